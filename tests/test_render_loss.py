"""The renderer's losses: motion against known motion, and every part judged by its own truth."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtryon.render.loss import Perceptual, cached_vgg, excess_motion, flow_loss, frame_terms, l1
from vtryon.render.unet import Drawn, compose

SIZE = (64, 48)
INNER = (..., slice(12, -12), slice(12, -12))


def cloud(dx: float = 0.0, dy: float = 0.0) -> Tensor:
    """A picture (1, 3, 64, 48) with detail everywhere, moved by (dx, dy) px."""
    noise = np.random.default_rng(3).random((104, 88, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    moved = cv2.warpAffine(smooth, np.array([[1, 0, dx], [0, 1, dy]]), (88, 104), flags=cv2.INTER_CUBIC)
    return torch.from_numpy(moved[20:84, 20:68].transpose(2, 0, 1).copy())[None]


def constant(dx: float, dy: float) -> Tensor:
    return torch.tensor([dx, dy]).view(1, 2, 1, 1).expand(1, 2, *SIZE)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.7, -0.4), (-1.2, 0.9)])
@pytest.mark.parametrize("known", [(0.0, 0.0), (3.0, -2.0)])
def test_excess_motion_is_the_motion_beyond_the_flow(shift: tuple[float, float], known: tuple[float, float]) -> None:
    before, now = cloud(), cloud(shift[0] + known[0], shift[1] + known[1])
    found = excess_motion(before, now, constant(-known[0], -known[1]))[INNER]
    wanted = torch.tensor([-shift[0], -shift[1]])
    assert torch.allclose(found.mean((0, 2, 3)), wanted, atol=0.15)


def test_eq_8_counts_pixels_of_motion_inside_the_region_only() -> None:
    region = torch.zeros(1, 1, *SIZE)
    region[..., 12:-12, 12:-12] = 1
    still = flow_loss(cloud(), cloud(), constant(0, 0), region)
    shaken = flow_loss(cloud(), cloud(0.8, 0.0), constant(0, 0), region)
    assert float(still) < 1e-4
    assert float(shaken) == pytest.approx(0.8, abs=0.25)
    assert float(flow_loss(cloud(), cloud(0.8, 0.0), constant(0, 0), torch.zeros_like(region))) == 0.0


def test_eq_8_pulls_a_result_back_to_the_flow() -> None:
    before, truth, wrong = cloud(), cloud(2.0, 1.0), cloud(2.6, 1.0)
    flow, region = constant(-2.0, -1.0), torch.ones(1, 1, *SIZE)
    share = torch.tensor(0.0, requires_grad=True)
    optimiser = torch.optim.Adam([share], lr=0.1)
    for _ in range(40):
        optimiser.zero_grad()
        flow_loss(before, wrong + share * (truth - wrong), flow, region).backward()
        optimiser.step()
    assert float(share.detach()) == pytest.approx(1.0, abs=0.15)


def test_a_flat_picture_has_no_motion() -> None:
    flat = torch.full((1, 3, *SIZE), 0.5)
    assert float(excess_motion(flat, flat + 0.01, constant(1, 1)).abs().max()) < 1e-3


def test_l1_is_a_weighted_mean() -> None:
    a, b = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    b[..., 0, 0], b[..., 1, 1] = 0.4, 1.0
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    assert float(l1(a, b, weight)) == pytest.approx(0.2)


def scene() -> tuple[Drawn, dict[str, Tensor], dict[str, Tensor]]:
    """A drawing that is right everywhere: left third kept, the middle cloth, the right third skin in the hole."""
    mask, keep = torch.zeros(1, 1, *SIZE), torch.zeros(1, 1, *SIZE)
    keep[..., :16], mask[..., 16:32] = 1, 1
    source, garment = cloud(), torch.full((1, 3, *SIZE), 0.8)
    person, gain = torch.full((1, 3, *SIZE), 0.3), torch.full((1, 3, SIZE[0] // 2, SIZE[1] // 2), 0.5)
    light = torch.full((1, 3, *SIZE), 0.5)
    picture = compose(source, garment, person, mask, keep, light)
    logits = torch.cat([mask, keep], 1) * 40 - 20
    kind = torch.full((1, 1, SIZE[0] // 2, SIZE[1] // 2), -1.0)
    kind[..., 8:16], kind[..., 16:] = 4, 1
    kinds = 40 * torch.nn.functional.one_hot(kind[:, 0].clamp_min(0).long(), 5).permute(0, 3, 1, 2).float()
    drawn = Drawn(person, mask, torch.ones_like(mask), keep, gain, picture, logits, kinds)
    inputs = {"source": source, "garment": garment, "seen": keep}
    truth = {"picture": picture, "mask": mask, "keep": keep, "keep_known": torch.ones_like(keep),
             "gain": gain.log(), "gain_known": torch.ones(1, 1, SIZE[0] // 2, SIZE[1] // 2), "kind": kind}  # fmt: skip
    return drawn, inputs, truth


def test_the_truth_costs_nothing() -> None:
    assert all(float(value) < 1e-6 for value in frame_terms(*scene()).values())


@pytest.mark.parametrize(
    ("part", "terms"),
    [
        ("person", {"person", "l1"}),
        ("gain", {"gain", "l1"}),
        ("weight", {"weight", "l1"}),
        ("logits", {"mask", "keep"}),
        ("kinds", {"kind"}),
    ],
)
def test_each_part_is_judged(part: str, terms: set[str]) -> None:
    drawn, inputs, truth = scene()
    wrong = replace(
        drawn, **{part: -getattr(drawn, part) if part in ("logits", "kinds") else 0.7 * getattr(drawn, part)}
    )
    costly = {name for name, value in frame_terms(wrong, inputs, truth).items() if float(value) > 1e-4}
    assert costly == terms


def test_a_print_that_lies_wrong_is_not_mended_with_shadows() -> None:
    drawn, inputs, truth = scene()
    gain = drawn.gain.clone().requires_grad_()
    inputs["garment"] = inputs["garment"] * 0.5  # as if a dark stripe lay here
    terms = frame_terms(replace(drawn, gain=gain), inputs, truth)
    torch.stack(list(terms.values())).sum().backward()
    assert gain.grad is not None
    assert float(gain.grad.abs().max()) < 1e-4


def test_what_is_not_known_to_stay_is_not_judged() -> None:
    drawn, inputs, truth = scene()
    wrong = replace(drawn, logits=torch.cat([drawn.logits[:, :1], -drawn.logits[:, 1:]], 1))
    truth["keep_known"] = torch.zeros_like(truth["keep_known"])
    assert float(frame_terms(wrong, inputs, truth)["keep"]) < 1e-6


def test_features_tell_pictures_apart() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    perceptual = Perceptual(features, layers=(1, 3))
    picture = cloud()
    assert float(perceptual(picture, picture)) == 0
    moved = cloud(1.0).requires_grad_()
    perceptual(moved, picture).backward()
    assert moved.grad is not None
    assert float(moved.grad.abs().max()) > 0
    assert not any(p.requires_grad for p in perceptual.parameters())


def test_without_weights_the_term_is_left_out_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(logging.getLogger("vtryon"), "propagate", True)  # a command that ran here before may own it
    with caplog.at_level(logging.WARNING, "vtryon"):
        assert cached_vgg() is None
    assert "without the perceptual term" in caplog.text
    assert list(tmp_path.rglob("*.pth")) == []
