"""Following one body and smoothing it: still when it is still, on time when it moves."""

from __future__ import annotations

import numpy as np
import pytest

import bodies
from vtryon.person.pose import Observation
from vtryon.person.track import GAP, bridge, follow, rest, smooth
from vtryon.types import Pose

REACH = 8


def smoothed(track: list[np.ndarray], visibility: np.ndarray | None = None) -> list[Pose]:
    """Every frame of a track of landmarks, as analyse() does it."""
    seen = [bodies.observation(at) for at in track]
    out: list[Pose] = []
    for i in range(len(seen)):
        low, high = max(0, i - REACH), min(len(seen), i + REACH + 1)
        pose = smooth(np.arange(low, high) / 24, seen[low:high], i - low)
        out.append(rest(pose, out[-1] if out else None))
    return out


def test_still_body_with_noise_stands_still() -> None:
    rng = np.random.default_rng(0)
    at = bodies.points()
    noisy = [at + rng.normal(0, 1.0, at.shape) for _ in range(48)]
    steps = np.diff([p.points for p in smoothed(noisy)], axis=0)
    assert np.sqrt((steps**2).sum(axis=-1).mean()) < 0.15  # 2 px before


def test_fast_hand_is_neither_late_nor_blurred() -> None:
    at = bodies.points()
    track = []
    for i in range(48):  # the right hand waves 1.5 times a second, 60 px either way
        moved = at.copy()
        moved[[16, 18, 20, 22], 0] += 60 * np.sin(2 * np.pi * 1.5 * i / 24)
        track.append(moved)
    found = np.array([p.points[16, 0] for p in smoothed(track)]) - at[16, 0]
    true = np.array([t[16, 0] for t in track]) - at[16, 0]
    lags = [np.abs(np.roll(true, lag)[8:-8] - found[8:-8]).mean() for lag in (-1, 0, 1)]
    assert int(np.argmin(lags)) == 1
    assert np.abs(found).max() > 0.9 * np.abs(true).max()
    still = np.array([p.points[15] for p in smoothed(track)])
    assert np.ptp(still, axis=0).max() < 1e-3, "the other arm must not move along"


def test_walking_body_is_followed_without_lag() -> None:
    rng = np.random.default_rng(1)
    track = [bodies.points(x=100 + 5.0 * i) + rng.normal(0, 1.0, (33, 2)) for i in range(40)]
    found = np.array([p.points for p in smoothed(track)])
    true = np.array([bodies.points(x=100 + 5.0 * i) for i in range(40)])
    error = (found - true)[REACH:-REACH]
    assert abs(error[..., 0].mean()) < 0.4
    assert np.sqrt((error**2).mean()) < 1.0


def test_unseen_frames_count_less() -> None:
    at = bodies.points()
    seen = [bodies.observation(at) for _ in range(9)]
    wrong = bodies.observation(at + 6)
    wrong.visibility[:] = 0.0
    seen[5] = wrong
    assert np.abs(smooth(np.arange(9) / 24, seen, 4).points - at).max() < 0.2


def test_play_keeps_landmarks_exactly_and_lets_them_go() -> None:
    before = bodies.pose(bodies.points())
    assert np.array_equal(rest(bodies.pose(bodies.points() + 0.3), before).points, before.points)
    moved = rest(bodies.pose(bodies.points() + 20), before).points - before.points
    assert np.abs(moved - 20).max() < 1.0


def bodies_of(track: list[Observation | None], shots: list[int] | None = None) -> list[tuple[int, bool]]:
    slots = [bodies.slot(i, seen, shots[i] if shots else 0) for i, seen in enumerate(track)]
    return [(s.body, s.seen is not None) for _, s in follow(slots)]


def test_lone_jump_is_dropped_and_lasting_one_is_a_new_body() -> None:
    here, there = bodies.observation(bodies.points(x=120)), bodies.observation(bodies.points(x=900))
    assert bodies_of([here, here, there, here]) == [(0, True), (0, True), (0, False), (0, True)]
    assert bodies_of([here, here, there, there]) == [(0, True), (0, True), (1, True), (1, True)]
    assert bodies_of([here, there]) == [(0, True), (0, False)]


def test_same_place_other_size_is_another_body() -> None:
    near, far = bodies.observation(bodies.points(size=150)), bodies.observation(bodies.points(size=60))
    assert [body for body, _ in bodies_of([near, near, far, far])] == [0, 0, 1, 1]


def test_long_loss_and_new_shot_start_anew() -> None:
    here = bodies.observation(bodies.points())
    short = bodies_of([here, *[None] * GAP, here])
    long = bodies_of([here, *[None] * (GAP + 1), here])
    assert short[-1][0] == 0
    assert long[-1][0] == 1
    assert [body for body, _ in bodies_of([here, here, here], [0, 0, 1])] == [0, 0, 1]


@pytest.mark.parametrize(("gap", "bridged"), [(1, True), (GAP, True), (GAP + 1, False)])
def test_short_gaps_are_bridged(gap: int, bridged: bool) -> None:
    a, b = bodies.observation(bodies.points(x=200)), bodies.observation(bodies.points(x=200 + 6 * (gap + 1)))
    slots = [s for _, s in follow(bodies.slot(i, seen) for i, seen in enumerate([a, *[None] * gap, b]))]
    found = bridge(slots, 1)
    assert (found is not None) == bridged
    if found is not None:
        assert found.points == pytest.approx(bodies.points(x=206), abs=1e-3)
        moved = found.window[0] if gap > 1 or found.window[0] > 0 else -found.window[0]
        assert moved == pytest.approx(6, abs=1e-3), "the matte goes along"


def test_nothing_is_bridged_at_the_ends_of_a_clip() -> None:
    here = bodies.observation(bodies.points())
    slots = [s for _, s in follow(bodies.slot(i, seen) for i, seen in enumerate([None, here, None]))]
    assert bridge(slots, 0) is None
    assert bridge(slots, 2) is None
