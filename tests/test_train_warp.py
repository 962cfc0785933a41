"""Training the matching network: what it sees and what it must not, the losses know the truth, it stops and goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paired import SCALE, SHIFT, scenes_in
from vtryon.device import choose
from vtryon.train.loop import LoopConfig
from vtryon.train.pairs import PRODUCT, Pairs, read_pairs
from vtryon.train.warp import PRESETS, LossWeights, WarpTraining, train_warp, warp_terms
from vtryon.train.warp_data import WarpData, colours, made_print
from vtryon.types import Part
from vtryon.warp.network import MatchingSize, load_matching
from vtryon.warp.placing import BodyFrame, PlacingNet, save_placing

CPU = choose("cpu")
PARTS = MatchingSize(window=(64, 32), widths=(8, 8, 8, 8, 16), hidden=16)
PAPER = replace(PARTS, lattice="paper", joined=False)
EVERY = LossWeights(1.0, 1.0, 1.0, 1.0, 1.0)


@pytest.fixture(autouse=True)
def _one_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which format is the fastest depends on what else the machine does."""
    monkeypatch.setattr("vtryon.train.warp.fastest", lambda compute, work, repeats=2: compute)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes_in(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def pairs(data: Path) -> Pairs:
    return read_pairs(data, validation=False)


@pytest.fixture(scope="module")
def placing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "placing.safetensors"
    save_placing(path, PlacingNet(16, 1), {})
    return path


def config(data: Path, folder: Path, *, size: MatchingSize = PARTS, **changes: Any) -> WarpTraining:
    loop = LoopConfig(steps=2, batch=4, warmup=1, validate_every=1, save_every=0.0, seed=1, clip=10.0)
    return WarpTraining(
        data, folder, start="flat", size=size, loop=replace(loop, **changes), device="cpu", weights=EVERY
    )


class Moves(nn.Module):
    """Answers with given offsets, whatever it is shown."""

    def __init__(self, offsets: Tensor) -> None:
        super().__init__()
        self.offsets = offsets

    def forward(self, person: Tensor, garment: Tensor, start: Tensor) -> Tensor:
        return self.offsets


@pytest.mark.parametrize("size", [PARTS, PAPER], ids=["parts", "paper"])
def test_the_truth_costs_nothing_and_an_error_what_it_is(pairs: Pairs, size: MatchingSize) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = dict(WarpData(pairs, size, ()).validation(torch.arange(len(pairs))))
    batch |= made_print(generator, len(pairs))
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    lattices = torch.cat([batch[f"{part.name.lower()}_lattice"] for part in size.shapes], 1)
    offsets = frame.inward(lattices * SCALE + torch.from_numpy(SHIFT)) - batch["start"]
    true = warp_terms(Moves(offsets), batch, size, EVERY, CPU)
    off = warp_terms(Moves(offsets + torch.tensor([0.1, 0.0])), batch, size, EVERY, CPU)
    body = next(iter(size.shapes)).name.lower()
    assert float(true[body]) < 0.008
    assert float(off[body]) == pytest.approx(0.1, abs=0.008)
    assert float(off["keypoints"] - true["keypoints"]) == pytest.approx(0.1, abs=0.01)
    assert float(true["colour"]) < 0.06 < 2 * float(true["colour"]) + 0.06 < 3 * float(off["colour"])
    assert float(off["regularity"]) == pytest.approx(float(true["regularity"]), abs=1e-4), "a shift bends nothing"


def test_terms_without_weight_are_not_made(pairs: Pairs) -> None:
    batch = WarpData(pairs, PARTS, ()).validation(torch.arange(2))
    still = Moves(torch.zeros(2, PARTS.points, 2))
    terms = warp_terms(still, batch, PARTS, LossWeights(1.0, 0.0, 0.0, 0.0, 0.0), CPU)
    assert terms.keys() == {"torso", "left_sleeve", "right_sleeve", "keypoints"}
    assert float(terms["keypoints"]) == 0.0
    assert warp_terms(still, batch, PARTS, LossWeights(0, 0, 1.0, 0, 0), CPU).keys() == {"regularity"}


def test_the_worn_garments_cut_is_not_seen(pairs: Pairs) -> None:
    """Two pictures of a scene that differ in what is worn look the same where both are seen in the third top."""
    data = WarpData(pairs, PARTS, ())
    seen_by = {int(view): [] for view in pairs.rows["view"].flatten()}  # type: dict[int, list[Tensor]]
    for row in range(len(pairs)):
        for variant, view in enumerate(pairs.rows["view"][row].tolist()):
            batch = pairs.take(torch.tensor([row]), torch.tensor([variant]), parts=True)
            seen_by[view].append(data.seen(batch, None)["person"])
    for a, b in seen_by.values():
        assert torch.equal(a, b)


def test_batches_depend_on_the_generator_alone(pairs: Pairs, placing: Path) -> None:
    from vtryon.warp.placing import load_placing

    data = WarpData(pairs, PARTS, (load_placing(placing),))
    first, again, other = (data.training(np.random.default_rng(seed), 6) for seed in (3, 3, 4))
    for key, value in first.items():
        assert torch.equal(value, again[key]), key
    assert not torch.equal(first["person"], other["person"])
    assert first["person"].shape == (6, PARTS.person, 64, 32)
    assert first["start"].shape == (6, 50, 2)


def test_what_is_corrected_is_laid_by_a_stage_that_has_not_seen_it(pairs: Pairs) -> None:
    """Scenes 1 and 3 are odd, scene 2 is even."""
    torch.manual_seed(0)
    nets = (PlacingNet(16, 1).eval(), PlacingNet(16, 1).eval())
    rows = torch.arange(len(pairs))
    both, even, odd = (WarpData(pairs, PARTS, n).validation(rows)["start"] for n in (nets, nets[:1], nets[1:]))
    scene = pairs.rows["scene"]
    assert scene.unique().tolist() == [1, 2, 3]
    assert torch.equal(both[scene == 2], even[scene == 2])
    assert torch.equal(both[scene != 2], odd[scene != 2])
    assert not torch.equal(even, odd)


def test_prints_are_the_same_cloth_at_the_same_place() -> None:
    batch = made_print(torch.Generator().manual_seed(0), 3)
    points = torch.rand(3, 20, 2, generator=torch.Generator().manual_seed(1)) * 300
    found = colours(batch, points, PRODUCT)
    assert found.shape == (3, 3, 20)
    assert 0 <= float(found.min()) < float(found.max()) <= 1
    assert torch.equal(found[:, :, :5], colours(batch, points[:, :5], PRODUCT))
    assert (found[:, :, 1:] - found[:, :, :1]).abs().max() > 0.1, "not plain"


def test_the_papers_recipe() -> None:
    paper = PRESETS["paper"]
    assert paper["size"].shapes == {Part.NONE: (10, 5)}
    assert not paper["size"].joined
    loop = paper["loop"]
    assert (loop.peak_rate, loop.betas, loop.batch) == (2e-5, (0.8, 0.899), 16)
    assert loop.rate(0) == loop.rate(loop.steps // 2) == 2e-5
    assert loop.rate(loop.steps - 1) < 1e-9
    WarpTraining(Path(), Path(), **paper)
    WarpTraining(Path(), Path(), **PRESETS["ours"])


@pytest.mark.parametrize("wrong", [{"start": "anywhere"}, {"start": "placed", "size": PAPER}])
def test_recipes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="plac"):
        WarpTraining(Path(), Path(), **wrong)


@pytest.mark.parametrize("size", [PARTS, PAPER], ids=["parts", "paper"])
def test_two_steps_run_and_are_told(data: Path, tmp_path: Path, size: MatchingSize) -> None:
    steps: list[int] = []
    measures = train_warp(config(data, tmp_path, size=size), lambda step, _mean: steps.append(step))
    assert steps == [0, 1]
    assert measures.keys() == {"all, start", "all, moved", "yaw under 20, start", "yaw under 20, moved"}
    assert all(math.isfinite(v) and v > 0 for group in measures.values() for v in group.values())
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["measures"] == measures
    assert str(data) not in (tmp_path / "report.json").read_text(), "no paths of this machine"
    assert load_matching(tmp_path / "warp.safetensors").size == size
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (128, 8 * 64, 3)


def test_it_learns(data: Path, tmp_path: Path) -> None:
    training = config(data, tmp_path, steps=50, batch=8, peak_rate=1e-2, validate_every=50)
    measures = train_warp(replace(training, weights=LossWeights()))
    assert measures["all, moved"]["torso"] < 0.6 * measures["all, start"]["torso"]


def test_it_corrects_what_the_placing_stage_does(data: Path, placing: Path, tmp_path: Path) -> None:
    training = replace(config(data, tmp_path), start="placed", placing=placing, placing_steps=1)
    measures = train_warp(training)
    assert measures["all, start"] != train_warp(replace(training, start="flat", folder=tmp_path / "b"))["all, start"]
    assert {p.parent.name for p in tmp_path.glob("*/placing.safetensors")} == {
        "placing_without_0", "placing_without_1",
    }  # fmt: skip


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(data: Path, tmp_path: Path) -> None:
    whole, stopped = config(data, tmp_path / "whole", steps=4), config(data, tmp_path / "stopped", steps=4)
    train_warp(whole)

    def stop(step: int, _mean: dict[str, float]) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_warp(stopped, stop)
    steps: list[int] = []
    train_warp(stopped, lambda step, _mean: steps.append(step))
    assert steps == [2, 3]
    a, b = (load_matching(tmp_path / n / "warp.safetensors").state_dict() for n in ("whole", "stopped"))
    assert all(torch.equal(a[k], b[k]) for k in a)
