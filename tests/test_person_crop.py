"""The window around the person: what it holds, that it holds still, and pictures seen through it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bodies
from vtryon.person.crop import OUTSIDE, Framing, follow, framing, matte_on, picture_on, steady_matte, warp, window
from vtryon.person.pose import Observation
from vtryon.types import Crop

SHAPE = (1080, 1080)
BOX = (0, 0, 192, 256)


def crop_of(at: np.ndarray, shape: tuple[int, int] = SHAPE) -> Crop:
    return window([framing(at, np.ones(33, np.float32), None, shape)], np.ones(1))


def held(track: list[np.ndarray]) -> list[Crop]:
    out: list[Crop] = []
    state: Framing | None = None
    for at in track:
        state = follow(state, framing(at, np.ones(33, np.float32), None, SHAPE), 1 / 24)
        out.append(window([state], np.ones(1)))
    return out


def test_whole_figure_is_held_from_hair_to_knee_with_both_hands() -> None:
    at = bodies.points(x=540, y=400, size=200)
    inside = crop_of(at).to_crop(at[:27])
    assert inside.min() > 0
    assert (inside < (192, 256)).all()
    head, knee = inside[:11, 1].min(), inside[25:27, 1].max()
    assert 10 < head < 60
    assert 215 < knee < 256
    assert crop_of(at).to_crop(at[27:])[:, 1].min() > 256, "the feet would only make the top smaller"


def test_half_figure_fills_the_window() -> None:
    at = bodies.points(x=540, y=760, size=400)  # the frame ends above the hips
    crop = crop_of(at)
    assert crop.top + crop.height < SHAPE[0] + 0.1 * crop.height
    assert crop.height < 4 * 400


def test_wide_arms_are_inside() -> None:
    at = bodies.points(x=540, y=500, size=150)
    at[[13, 15, 17, 19, 21]] = at[11] + np.array([[75, 0], [140, 0], [160, 0], [165, 0], [155, 0]])
    at[[14, 16, 18, 20, 22]] = at[12] - np.array([[75, 0], [140, 0], [160, 0], [165, 0], [155, 0]])
    inside = crop_of(at).to_crop(at[11:23])
    assert inside[:, 0].min() > 0
    assert inside[:, 0].max() < 192


def test_window_stays_put_under_noise_and_follows_a_walk() -> None:
    rng = np.random.default_rng(0)
    at = bodies.points(x=500, y=400)
    still = held([at + rng.normal(0, 1.5, at.shape).astype(np.float32) for _ in range(60)])
    edges = np.array([(c.left, c.top, c.height) for c in still])
    assert np.abs(np.diff(edges, axis=0)[5:]).max() < 0.1
    walk = held([at + np.float32([4 * i, 0]) for i in range(60)])
    assert walk[-1].left - walk[0].left == pytest.approx(4 * 59, abs=10)


def test_waving_widens_the_window_once_instead_of_pumping() -> None:
    at = bodies.points(x=500, y=400)
    track = []
    for i in range(96):
        moved = at.copy()
        moved[[16, 18, 20, 22], 0] -= 90 * (1 + np.sin(2 * np.pi * i / 24))
        track.append(moved)
    heights = np.array([c.height for c in held(track)])[30:]
    assert np.ptp(heights) < 0.12 * heights.mean()


def test_ramp_comes_through_the_window_where_it_belongs() -> None:
    xs = np.arange(400, dtype=np.float32) + 0.5
    ramp = np.broadcast_to(xs / 2, (300, 400)).astype(np.float32)
    for height in (90.0, 200.0, 280.0):  # magnified, and reduced less and more than twice
        crop = Crop(40.3, 10.7, height)
        grid = np.stack(np.meshgrid(np.arange(8, 40) + 0.5, np.arange(8, 56) + 0.5), axis=-1)
        expected = crop.to_frame(grid, (64, 48))[..., 0] / 2
        seen = warp(ramp, crop.matrix((64, 48)), (64, 48))[8:56, 8:40]
        assert np.abs(seen - expected).max() < 0.06


def test_strong_reduction_does_not_alias() -> None:
    checks = (np.indices((1200, 900)).sum(axis=0) % 2 * 255).astype(np.uint8)
    seen = warp(checks, Crop(100, 100, 1000).matrix((64, 48)), (64, 48))
    assert np.abs(seen[4:-4, 4:-4].astype(int) - 128).max() < 12


def test_outside_the_frame_is_grey_and_nobody() -> None:
    seen = bodies.observation(bodies.points())
    crop = Crop(-100, -50, 600)
    assert tuple(picture_on(crop, np.zeros((640, 480, 3), np.uint8))[0, 0]) == OUTSIDE
    matte = matte_on(crop, seen)
    assert matte.dtype == np.float32
    assert matte[0, 0] == 0
    assert matte.max() == 1


def test_matte_of_a_still_person_is_averaged_and_a_moving_edge_stays_on_time() -> None:
    rng = np.random.default_rng(0)
    crop = Crop(0, 0, 256)

    def edge(x: float) -> Observation:
        ramp = np.clip(128 + 32 * (x - np.arange(192)), 0, 255)
        noisy = ramp + rng.normal(0, 10, (256, 192))
        return replace(bodies.observation(bodies.points()), matte=np.clip(noisy, 0, 255).astype(np.uint8), window=BOX)

    still = [edge(90.0) for _ in range(9)]
    before, after = matte_on(crop, still[4]), steady_matte(crop, still, 4)
    assert after[:, 86:94].std(axis=0).mean() < 0.6 * before[:, 86:94].std(axis=0).mean()
    moving = [edge(60.0 + 6 * i) for i in range(9)]
    found = steady_matte(crop, moving, 4).mean(axis=0)
    assert np.interp(-0.5, -found, np.arange(192)) == pytest.approx(84, abs=0.3)
