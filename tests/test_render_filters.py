"""Image operations of the composition: edges are followed, what is known is kept, what is not is continued."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vtryon.planes import smoothstep
from vtryon.render.filters import (
    GuidedUpsampler,
    apply_coefficients,
    attached,
    fill_in,
    fill_smoothly,
    luminance,
    masked_blur,
)
from vtryon.types import Array


def test_luminance_is_the_same_for_bytes_and_floats() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.abs(luminance(rgb) - luminance(rgb.astype(np.float32) / 255)).max() < 1e-5
    assert luminance(np.full((2, 2, 3), 255, np.uint8)) == pytest.approx(1.0, abs=1e-5)
    red, green, blue = (luminance(np.eye(3, dtype=np.uint8)[None, [i]] * 255)[0, 0] for i in range(3))
    assert green > red > blue > 0


def edge_scene() -> tuple[Array, Array, Array, Array]:
    """A picture (256, 192, 3) in [0, 1] with a curved edge and noise, its true mask; both on a grid of a quarter, the
    mask as a network would give it: blurred, and one small pixel off."""
    y, x = np.mgrid[:256, :192].astype(np.float32)
    truth = (x + 25 * np.sin(y / 30) > 100).astype(np.float32)
    rgb = np.where(truth[..., None] > 0, np.float32([0.7, 0.25, 0.2]), np.float32([0.35, 0.4, 0.5]))
    rgb = np.clip(rgb + np.random.default_rng(0).normal(0, 0.02, rgb.shape), 0, 1).astype(np.float32)
    small = cv2.resize(rgb, (48, 64), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(np.roll(truth, 4, axis=1), (48, 64), interpolation=cv2.INTER_AREA)
    mask[:, 0] = 0
    mask = cv2.GaussianBlur(mask, (0, 0), 1.0)
    return rgb, truth, small, mask


def test_guided_upsampling_follows_the_edge() -> None:
    rgb, truth, small, mask = edge_scene()
    bilinear = cv2.resize(mask, (192, 256), interpolation=cv2.INTER_LINEAR)
    coefficients = cv2.resize(GuidedUpsampler(small).coefficients(mask), (192, 256), interpolation=cv2.INTER_LINEAR)
    guided = apply_coefficients(coefficients, rgb)
    assert 0.0 <= guided.min() <= guided.max() <= 1.0
    decided = [m > 0.5 for m in (guided, bilinear)]
    wrong = [float((m != (truth > 0)).mean()) for m in decided]
    assert wrong[1] > 0.01
    assert wrong[0] < 0.2 * wrong[1]


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_guided_upsampling_leaves_an_even_mask_alone(value: float) -> None:
    rgb, _, small, mask = edge_scene()
    coefficients = GuidedUpsampler(small).coefficients(np.full_like(mask, value))
    enlarged = cv2.resize(coefficients, (192, 256), interpolation=cv2.INTER_LINEAR)
    assert np.abs(apply_coefficients(enlarged, rgb) - value).max() < 1e-3


def test_filling_in_keeps_what_is_known() -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((60, 44, 3)).astype(np.float32)
    known = np.zeros((60, 44), np.float32)
    known[:, :20] = 1
    filled = fill_in(picture, known)
    assert np.abs(filled - picture)[known > 0].max() < 1e-5
    assert np.abs(filled - picture)[known == 0].mean() > 0.1, "the unknown part does not show through"


def test_filling_in_continues_one_colour_exactly() -> None:
    colour = np.float32([0.2, 0.5, 0.8])
    picture = np.random.default_rng(0).random((90, 70, 3)).astype(np.float32)
    known = np.zeros((90, 70), np.float32)
    known[5:25, 10:30] = 1
    picture[known > 0] = colour
    assert np.abs(fill_in(picture, known) - colour).max() < 1e-3


def test_filling_in_bridges_a_gradient() -> None:
    ramp = np.tile(np.linspace(0, 1, 96, dtype=np.float32)[None, :, None], (64, 1, 1))
    known = np.ones((64, 96), np.float32)
    known[20:44, 36:60] = 0
    holed = np.where(known[..., None] > 0, ramp, np.float32(5.0))
    filled = fill_in(holed, known)
    assert filled.shape == ramp.shape
    assert np.abs(filled - ramp).max() < 0.12
    assert np.diff(filled[32, 30:66, 0]).min() > -0.02, "no step back"


def test_filling_in_from_nothing_changes_nothing() -> None:
    picture = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    assert np.array_equal(fill_in(picture, np.zeros((20, 20), np.float32)), picture)


def test_a_blur_under_a_mask_sees_only_the_mask() -> None:
    picture = np.full((40, 40), 0.3, np.float32)
    picture[:, 20:] = 9.0
    trusted = np.zeros((40, 40), np.float32)
    trusted[:, :20] = 1
    assert np.abs(masked_blur(picture, trusted, 3.0)[:, :20] - 0.3).max() < 0.01
    assert masked_blur(picture, np.zeros_like(trusted), 3.0).max() == 0.0


def test_smoothstep_goes_either_way() -> None:
    value = np.linspace(-1, 2, 31).astype(np.float32)
    up, down = smoothstep(0.2, 0.8, value), smoothstep(0.8, 0.2, value)
    assert up[0] == 0.0
    assert up[-1] == 1.0
    assert np.diff(up).min() >= 0
    assert np.abs(up + down - 1).max() < 1e-6


def test_filling_in_at_half_the_size_gives_the_same_where_nothing_is_known() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.random((90, 71, 3)).astype(np.float32), (0, 0), 6)
    picture = (picture - picture.min()) / np.ptp(picture)
    known = np.zeros((90, 71), np.float32)
    known[10:40, 12:60] = 1
    holed = np.where(known[..., None] > 0, picture, np.float32(7.0))
    full, half = fill_in(holed, known), fill_smoothly(holed, known)
    assert half.shape == full.shape
    outside = cv2.dilate(known, np.ones((5, 5), np.uint8)) == 0
    assert np.abs(half - full)[outside].mean() < 0.02
    assert np.abs(half - full)[outside].max() < 0.1


def test_pieces_that_hang_together_with_the_core_are_kept_with_their_soft_edges() -> None:
    mask, core = np.zeros((40, 60), np.float32), np.zeros((40, 60), np.float32)
    mask[10:30, 5:25], mask[10:30, 40:50] = 1, 1
    core[15:20, 10:15] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), 1)
    kept = attached(mask, core)
    assert kept[:, :30][mask[:, :30] > 0.05].all()
    assert not kept[:, 35:].any()
    assert not attached(mask, np.zeros_like(core)).any()
