"""The renderer's network: what it is told, what it may touch, and how the frame before reaches it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from parsing import draw, landmarks
from vtryon.errors import BadInputError
from vtryon.person.network import fold
from vtryon.render.inputs import (
    CANDIDATES,
    IMAGE_CHANNELS,
    KEPT,
    View,
    candidates,
    kept_shares,
    light_hint,
    network_input,
)
from vtryon.render.unet import RendererNet, RendererSize, carried, clip, compose, load_renderer, save_renderer
from vtryon.train.tryon_data import shares
from vtryon.types import Label

TINY = RendererSize(widths=(8, 8, 12), depths=(1, 1, 1))
SIZE = (128, 96)


def view(colour: tuple[int, int, int] = (200, 30, 40)) -> View:
    points = landmarks(0.5, (48.0, 64.0))
    rgb, labels, _ = draw(points, SIZE)
    worn = labels == Label.TOP
    rgb[worn] = colour
    garment = np.zeros((*SIZE, 3), np.float32)
    garment[..., 2] = 0.8
    torso = worn.astype(np.float32)
    nothing = np.zeros(SIZE, np.float32)
    light = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.float32)
    return View(
        rgb, shares(labels), worn.astype(np.float32), points, np.ones(33, np.float32), garment, torso, nothing, light
    )


def batched(*views: View) -> dict[str, Tensor]:
    rows = [network_input(v) for v in views]
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}


@pytest.fixture(scope="module")
def net() -> RendererNet:
    torch.manual_seed(0)
    return RendererNet(TINY).eval()


def test_nothing_of_the_old_garment_reaches_the_network() -> None:
    red, green = network_input(view((200, 30, 40))), network_input(view((20, 200, 40)))
    assert red["image"].shape == (IMAGE_CHANNELS, *SIZE)
    for name in ("image", "candidates", "pose", "light", "garment", "seen"):
        assert np.array_equal(red[name], green[name]), name
    assert not np.array_equal(red["source"], green["source"])


def test_candidates_have_the_colours_of_what_is_seen() -> None:
    shown = view()
    fills, garment = candidates(shown)
    assert fills.shape == (CANDIDATES, SIZE[0] // 2, SIZE[1] // 2, 3)
    hole = shown.hole[::2, ::2] > 0.5
    background = shown.rgb[shown.shares[0] > 0.5].mean(0) / 255
    assert np.abs(fills[0][hole].mean(0) - background).max() < 0.1
    assert np.abs(fills[-1] - (0, 0, 0.8)).max() < 0.02
    assert np.abs(garment - (0, 0, 0.8)).max() < 0.02  # also beyond its outline


def test_what_is_not_seen_is_offered_as_grey() -> None:
    bare = view()
    bare.shares[:] = 0
    assert np.array_equal(candidates(bare)[0][:4], np.full((4, SIZE[0] // 2, SIZE[1] // 2, 3), 0.5, np.float32))


def test_kept_labels_come_from_probabilities() -> None:
    probability = np.zeros((len(Label), 4, 4), np.uint8)
    probability[Label.LEFT_ARM], probability[Label.RIGHT_ARM], probability[Label.TOP] = 102, 51, 102
    found = kept_shares(probability)
    arms = KEPT.index((Label.LEFT_ARM, Label.RIGHT_ARM))
    assert found[arms] == pytest.approx(0.6)
    assert np.delete(found, arms, 0).max() == 0


def test_the_light_of_the_old_top_is_relative_and_smooth() -> None:
    rgb = np.full((64, 48, 3), 100, np.uint8)
    rgb[:32] = 160
    worn = np.zeros((64, 48), np.float32)
    worn[8:56, 8:40] = 1
    hint = light_hint(rgb, worn)
    assert hint[6:12, 8:16].min() > hint[20:26, 8:16].max() + 0.2
    assert hint[0].tolist() == [0] * 24
    darker = light_hint((rgb // 2).astype(np.uint8), worn)
    assert np.sign(darker[8, 10] - darker[22, 10]) > 0
    assert not light_hint(rgb, np.zeros_like(worn)).any()


def test_shapes_ranges_and_a_state_that_is_the_result(net: RendererNet) -> None:
    inputs = batched(view(), view((10, 10, 10)))
    with torch.inference_mode():
        drawn, state = net(inputs)
    assert drawn.result.shape == (2, 3, *SIZE)
    assert drawn.gain.shape == (2, 3, SIZE[0] // 2, SIZE[1] // 2)
    for plane in (drawn.person, drawn.mask, drawn.weight, drawn.keep, drawn.result):
        assert 0 <= float(plane.min()) <= float(plane.max()) <= 1
    assert torch.equal(state, torch.cat([drawn.result, drawn.mask], 1))
    assert float((drawn.keep * (1 - inputs["seen"])).max()) == 0  # the old garment is never kept


def test_the_composition_is_equation_5_around_what_is_kept() -> None:
    source, garment, person = (torch.full((1, 3, 2, 2), v) for v in (0.2, 0.5, 0.9))
    one, none = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    gain = torch.full((1, 3, 2, 2), 0.5)
    assert torch.equal(compose(source, garment, person, one, one, gain), source)
    assert torch.allclose(compose(source, garment, person, one, none, gain), garment * gain)
    assert torch.allclose(compose(source, garment, person, none, none, gain), person)
    assert torch.allclose(compose(source, garment, person, 0.5 * one, none, gain), 0.5 * (0.25 + person))


def test_the_state_matters_only_where_it_is_valid(net: RendererNet) -> None:
    inputs = batched(view())
    none, some = torch.zeros(1, 1, *SIZE), torch.ones(1, 1, *SIZE)
    state = torch.rand(1, 4, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        alone = net(inputs)[0].result
        unsure = net(inputs | {"valid": none}, state)[0].result
        sure = net(inputs | {"valid": some}, state)[0].result
    assert torch.equal(alone, unsure)
    assert not torch.allclose(alone, sure)


def test_without_memory_every_frame_is_drawn_by_itself() -> None:
    net, inputs = RendererNet(replace(TINY, memory="none")).eval(), batched(view())
    state = torch.rand(1, 4, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        alone, sure = (net(inputs | {"valid": torch.ones(1, 1, *SIZE)}, s)[0].result for s in (None, state))
    assert torch.equal(alone, sure)


def test_a_blended_memory_shows_where_the_mask_says_so_and_the_flow_is_valid() -> None:
    torch.manual_seed(0)
    net, inputs = RendererNet(replace(TINY, memory="blended")).eval(), batched(view())
    state, valid = torch.full((1, 4, *SIZE), 0.25), torch.zeros(1, 1, *SIZE)
    valid[..., : SIZE[1] // 2] = 1
    with torch.inference_mode():
        alone = net(inputs)[0].person
        assert net.masks.bias is not None
        net.masks.bias[12:].fill_(20.0)
        drawn_anew = net(inputs | {"valid": valid}, state)[0].person
        net.masks.bias[12:].fill_(-20.0)
        carried_on = net(inputs | {"valid": valid}, state)[0].person
    assert torch.allclose(drawn_anew, alone, atol=1e-5)
    assert torch.allclose(carried_on[..., : SIZE[1] // 2], torch.tensor(0.25), atol=1e-5)
    assert torch.allclose(carried_on[..., SIZE[1] // 2 :], alone[..., SIZE[1] // 2 :], atol=1e-5)


def test_flow_moves_the_state() -> None:
    state = torch.rand(1, 4, 20, 30, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 2, 20, 30)
    flow[:, 0], flow[:, 1] = 3, -2
    moved = carried(state, flow)
    assert torch.allclose(moved[..., 2:, :-3], state[..., :-2, 3:], atol=1e-5)


def test_a_clip_hands_the_state_on(net: RendererNet) -> None:
    first, second = batched(view()), batched(view((0, 0, 0)))
    second |= {"valid": torch.ones(1, 1, *SIZE), "flow": torch.zeros(1, 2, *SIZE)}
    with torch.inference_mode():
        frames = list(clip(net, [first, second]))
        _, state = net(first)
        again, _ = net(second, state)
    assert torch.equal(frames[1].result, again.result)


def test_weights_are_kept_and_describe_themselves(net: RendererNet, tmp_path: Path) -> None:
    path = tmp_path / "tryon.safetensors"
    save_renderer(path, net, {"steps": 3})
    found = load_renderer(path)
    assert found.size == TINY
    with torch.inference_mode():
        wanted, got = (n(batched(view()))[0].result for n in (net, found))
    assert torch.allclose(wanted, got, atol=0.02)  # half precision
    torch.manual_seed(1)
    save_renderer(path, RendererNet(replace(TINY, widths=(8, 8, 16))))
    assert load_renderer(path).size.widths == (8, 8, 16)
    save_renderer(path, RendererNet(replace(TINY, memory="blended")))
    assert load_renderer(path).size == replace(TINY, memory="blended")


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tryon.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(BadInputError):
        load_renderer(path)


def test_folding_changes_nothing(net: RendererNet) -> None:
    inputs = batched(view())
    with torch.inference_mode():
        wanted, got = net(inputs)[0].result, fold(net)(inputs)[0].result
    assert torch.allclose(wanted, got, atol=1e-3)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        RendererSize(widths=(8, 8, 8), depths=(1, 1))
    with pytest.raises(ValueError, match="memory must be one of"):
        RendererSize(memory="all")
