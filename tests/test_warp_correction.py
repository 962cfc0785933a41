"""The matching network at work on what the placing stage has laid."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import scenes
from vtryon.errors import UnavailableError
from vtryon.types import GarmentKind, Part, Person
from vtryon.warp import FitOptions, Warp, fitter
from vtryon.warp.correction import correct
from vtryon.warp.network import MatchingNet, MatchingSize, load_matching, save_matching
from vtryon.warp.placing import PlacingNet, load_placing, place, save_placing

SHIFT = np.float32([0.1, -0.05])  # body sizes
SMALL = MatchingSize(window=(64, 32), widths=(8, 8, 8, 8, 16), hidden=16)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A placing stage, and a network that moves everything by SHIFT."""
    torch.manual_seed(0)
    placing = PlacingNet(16, 1)
    torch.nn.init.normal_(placing.base, std=0.3)
    save_placing(tmp_path / "placing.safetensors", placing, {})
    net = MatchingNet(SMALL)
    with torch.no_grad():
        net.head.bias.copy_(torch.from_numpy(np.tile(SHIFT, 50)))
    save_matching(tmp_path / "warp.safetensors", net, {})
    monkeypatch.setenv("VTRYON_WEIGHTS", str(tmp_path))
    return tmp_path


def person(**about: object) -> Person:
    return scenes.scene(**about)[1]  # type: ignore[arg-type]


def moved(before: Warp, after: Warp) -> dict[Part, np.ndarray]:
    return {part: after[part].points - before[part].points for part in before.parts}


def laid(weights: Path, somebody: Person, options: FitOptions = FitOptions()) -> tuple[Warp, Warp]:
    """By the placing stage, and corrected; neither is seated."""
    net, placing = load_matching(weights / "warp.safetensors"), load_placing(weights / "placing.safetensors")
    garment = scenes.garment()
    return place(placing, somebody, garment, options)[0], correct(net, placing, somebody, garment, options)[0]


def test_it_moves_what_the_placing_stage_has_laid(weights: Path) -> None:
    somebody = person()
    placed, corrected = laid(weights, somebody)
    assert corrected.parts == placed.parts
    assert corrected.turn == placed.turn
    size = np.linalg.norm(somebody.pose.points[[11, 12]].mean(0) - somebody.pose.points[[23, 24]].mean(0))
    for part, offset in moved(placed, corrected).items():
        followed = np.linspace(1, 0, 5) if part != Part.TORSO else np.ones(5)  # a cuff stays on its arm
        assert offset == pytest.approx(np.ones_like(offset) * SHIFT * size * followed[:, None, None], abs=0.02 * size)


def test_a_garment_without_sleeves_has_none(weights: Path) -> None:
    warp, _ = fitter("network")(person(), scenes.garment(kind=GarmentKind.SLEEVELESS))
    assert warp.parts == (Part.TORSO,)


def test_it_follows_its_own_change_slowly_and_starts_afresh_with_a_shot(weights: Path) -> None:
    garment, somebody = scenes.garment(), person()
    net, placing = load_matching(weights / "warp.safetensors"), load_placing(weights / "placing.safetensors")
    still = partial(correct, MatchingNet(SMALL), placing)  # one that moves nothing
    first, state = correct(net, placing, somebody, garment)
    placed, _ = place(placing, somebody, garment)
    second, after = still(somebody, garment, state=state)
    once = np.abs(moved(placed, first)[Part.TORSO]).mean()
    assert 0.3 * once < np.abs(moved(placed, second)[Part.TORSO]).mean() < 0.9 * once
    third, _ = still(person(shot=1), garment, state=after)
    assert np.abs(moved(placed, third)[Part.TORSO]).mean() < 1e-3


def test_length_and_fit_are_the_users(weights: Path) -> None:
    somebody = person()
    (_, usual), (_, longer) = (laid(weights, somebody, FitOptions(length=length)) for length in (1.0, 1.5))
    a, b = (w[Part.TORSO].points for w in (usual, longer))
    assert np.allclose(b[:2], a[:2], atol=1e-3)
    assert b[-1] - b[1] == pytest.approx(1.5 * (a[-1] - a[1]), abs=0.1)


def test_auto_takes_it_where_its_weights_are_and_else_what_it_corrects(weights: Path) -> None:
    def torso(method: str) -> np.ndarray:
        warp, _ = fitter(method)(person(), scenes.garment())
        return np.asarray(warp[Part.TORSO].points)

    assert np.array_equal(torso("auto"), torso("network"))
    (weights / "warp.safetensors").unlink()
    assert np.array_equal(torso("auto"), torso("placed"))


def test_it_is_seated_unless_that_is_to_be_left_out(weights: Path) -> None:
    somebody, garment = person(), scenes.garment()
    net, placing = load_matching(weights / "warp.safetensors"), load_placing(weights / "placing.safetensors")
    own, _ = correct(net, placing, somebody, garment)
    unseated, _ = fitter("network", seated=False)(somebody, garment)
    seated, _ = fitter("network")(somebody, garment)
    assert np.array_equal(unseated[Part.TORSO].points, own[Part.TORSO].points)
    assert not np.allclose(seated[Part.TORSO].points, own[Part.TORSO].points, atol=1.0)


def test_missing_weights_are_told(weights: Path) -> None:
    (weights / "warp.safetensors").unlink()
    with pytest.raises(UnavailableError, match="warp"):
        fitter("network")
    (weights / "placing.safetensors").unlink()
    with pytest.raises(UnavailableError, match="placing"):
        fitter("network")
