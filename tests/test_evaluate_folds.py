"""Folds are found where a lattice turns over, and evenness is what it says."""

from __future__ import annotations

import numpy as np
import pytest

import scenes
from vtryon.evaluate.folds import folded, unevenness
from vtryon.train.pairs import PICTURE
from vtryon.types import Part
from vtryon.warp import Spline, Warp, garment_lattices

TORSO = garment_lattices(scenes.garment())[Part.TORSO]
EVERYWHERE = np.ones(PICTURE, bool)


def test_a_flat_garment_has_no_folds() -> None:
    assert folded(Spline(Part.TORSO, TORSO, TORSO * 0.5 + 20), EVERYWHERE) == (EVERYWHERE.size, 0)


def test_a_garment_inside_out_is_one_fold() -> None:
    mirrored = TORSO * np.float32([-0.5, 0.5]) + np.float32([250, 20])
    pixels, over = folded(Spline(Part.TORSO, TORSO, mirrored), EVERYWHERE)
    assert over > 0.98 * pixels
    assert folded(Spline(Part.TORSO, TORSO, mirrored), EVERYWHERE, mirrored=True)[1] == 0
    nowhere = np.zeros(PICTURE, bool)
    assert folded(Spline(Part.TORSO, TORSO, mirrored), nowhere) == (0, 0)


def test_points_that_change_places_fold_the_cloth_between_them() -> None:
    points = TORSO * 0.5 + 20
    points[[2, 3]] = points[[3, 2]]
    pixels, over = folded(Spline(Part.TORSO, TORSO, points), EVERYWHERE)
    assert 0.02 * pixels < over < 0.7 * pixels


def test_evenness_by_hand() -> None:
    y, x = np.mgrid[:3, :3].astype(np.float32)
    even = np.stack([2 * x, 3 * y], -1)
    assert unevenness(Warp((Spline(Part.TORSO, even, even),), 0.0)) == pytest.approx((0.0, 0.0), abs=1e-4)
    wide = even.copy()
    wide[:, 2, 0] = 8  # steps across of 2 and 6: they differ by 4, their mean is 4; those down differ by nothing
    lengths, angles = unevenness(Warp((Spline(Part.TORSO, even, wide),), 0.0))
    assert lengths == pytest.approx(0.5)
    assert angles == pytest.approx(0.0, abs=1e-4)
    bent = even.copy()
    bent[2, :, 0] += 3  # the last rows' steps turn by 45 degrees: half of all pairs of steps
    assert unevenness(Warp((Spline(Part.TORSO, even, bent),), 0.0))[1] == pytest.approx(22.5, abs=1e-3)
