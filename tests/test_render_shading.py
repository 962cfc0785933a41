"""Light is carried from the old cloth to the new; what is printed on the old cloth is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vtryon.render.shading import ShadingState, shading
from vtryon.types import CROP_SIZE, Array

WORN = np.zeros(CROP_SIZE, np.float32)
WORN[60:200, 40:150] = 1
NOTHING = np.zeros_like(WORN)
INSIDE = np.s_[70:190, 50:140]


def picture(cloth: Array) -> Array:
    """A grey wall, and ``cloth`` (256, 192) luminance in [0, 1] of a grey top before it."""
    light = np.where(WORN > 0, cloth, 0.75)
    return np.rint(np.repeat(light[..., None], 3, -1) * 255).astype(np.uint8)


def shade(cloth: Array, state: ShadingState | None = None) -> tuple[Array, Array, ShadingState]:
    rgb = picture(cloth)
    return shading(rgb, WORN, WORN, rgb, state)


Y, X = np.mgrid[: CROP_SIZE[0], : CROP_SIZE[1]].astype(np.float32)


def test_even_cloth_gives_even_light() -> None:
    factor, trust, _ = shade(np.full(CROP_SIZE, 0.5))
    assert factor[INSIDE].std() < 0.01
    assert trust[INSIDE].min() > 0.95
    assert trust[:30].max() < 0.01
    assert factor[:30].std() < 0.01


def test_a_darker_half_darkens_the_new_cloth() -> None:
    factor, _, _ = shade(np.where(X < 95, 0.35, 0.6))
    dark, bright = factor[70:190, 50:80].mean(), factor[70:190, 110:140].mean()
    assert 0.4 < dark / bright < 0.85


def test_folds_are_carried() -> None:
    folds = 0.5 + 0.06 * np.sin(X / 4.0) * np.exp(-(((Y - 130) / 40) ** 2))
    factor, _, _ = shade(folds)
    assert np.corrcoef(factor[INSIDE].ravel(), folds[INSIDE].ravel())[0, 1] > 0.8
    assert factor[110:150, 60:130].std() > 0.03


@pytest.mark.parametrize("width", [3, 6])
def test_stripes_of_the_old_cloth_do_not_leak(width: int) -> None:
    stripes = np.where((Y // width) % 2 == 0, 0.2, 0.8)
    factor, _, state = shade(stripes)
    assert state.plain < 0.2
    relative = stripes / stripes[INSIDE].mean()
    assert factor[INSIDE].std() < 0.1 * relative[INSIDE].std()


def test_a_coloured_pattern_is_a_pattern_too() -> None:
    rgb = picture(np.full(CROP_SIZE, 0.5))
    checks = ((X // 8 + Y // 8) % 2 == 0) & (WORN > 0)
    rgb[checks] = (200, 60, 60)
    _, _, state = shading(rgb, WORN, WORN, rgb, None)
    plain = shade(np.full(CROP_SIZE, 0.5))[2]
    assert plain.plain > 0.9
    assert state.plain < 0.3


def test_noise_on_black_cloth_is_not_folds() -> None:
    rng = np.random.default_rng(0)
    factor, _, _ = shade(np.clip(0.03 + rng.normal(0, 0.01, CROP_SIZE), 0, 1))
    assert factor[INSIDE].std() < 0.04


def test_a_dark_scene_darkens_the_garment() -> None:
    bright, dark = picture(np.full(CROP_SIZE, 0.5)), (picture(np.full(CROP_SIZE, 0.5)) * 0.5).astype(np.uint8)
    factors = [float(shading(rgb, WORN, WORN, rgb, None)[0].mean()) for rgb in (bright, dark)]
    assert factors[1] < 0.8 * factors[0]


def test_nothing_worn_is_no_error() -> None:
    rgb = picture(np.full(CROP_SIZE, 0.5))
    factor, trust, _ = shading(rgb, NOTHING, NOTHING, rgb, None)
    assert np.isfinite(factor).all()
    assert trust.max() == 0.0


def test_the_level_follows_slowly() -> None:
    _, _, state = shade(np.full(CROP_SIZE, 0.5))
    _, _, after = shade(np.full(CROP_SIZE, 0.8), state)
    assert state.level < after.level < state.level + 0.05
    for _ in range(150):
        _, _, after = shade(np.full(CROP_SIZE, 0.8), after)
    assert after.level == pytest.approx(0.8, abs=0.02)


def test_light_is_smooth_at_the_old_tops_edge() -> None:
    """Where the new garment reaches past the old one, its light has no seam."""
    factor, _, _ = shade(np.full(CROP_SIZE, 0.5) + 0.1 * np.sin(X / 9))
    assert np.abs(np.diff(cv2.blur(factor, (3, 3)), axis=1)).max() < 0.1


def test_what_tells_no_light_gets_that_of_the_cloth_around() -> None:
    """Round a badge nothing is read, and the new cloth there is as bright as beside it."""
    lit = WORN.copy()
    lit[110:140, 80:110] = 0
    rgb = picture(np.where(X < 70, 0.2, 0.6))
    factor, trust, _ = shading(rgb, WORN, lit, rgb, None)
    around = np.concatenate([factor[120:130, 70:76].ravel(), factor[120:130, 114:120].ravel()])
    assert abs(factor[118:132, 88:102].mean() - around.mean()) < 0.06
    assert trust[118:132, 88:102].min() > 0.95
