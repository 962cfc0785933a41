"""Scene changes: cuts are found, flashes and fast motion are not cuts."""

from __future__ import annotations

import cv2
import numpy as np

import bodies
from vtryon.person.shots import split


def scene(seed: int, count: int, speed: int = 2) -> list[np.ndarray]:
    """A textured wall that the camera pans along, with a bright square that moves the other way."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (6, 16, 3)).astype(np.uint8) // 2 + rng.integers(0, 120, 3).astype(np.uint8)
    wall = cv2.resize(coarse, (160 + count * speed, 90), interpolation=cv2.INTER_CUBIC)
    pictures = []
    for i in range(count):
        view = wall[:, i * speed : i * speed + 160].copy()
        view[30:60, 100 - i % 40 : 120 - i % 40] = 250
        pictures.append(view)
    return pictures


def shots(pictures: list[np.ndarray]) -> list[int]:
    frames = [bodies.frame(p, i) for i, p in enumerate(pictures)]
    found = list(split(frames))
    assert [f for f, _ in found] == frames
    return [shot for _, shot in found]


def test_cuts_start_new_shots_at_their_very_frame() -> None:
    assert shots(scene(1, 12) + scene(2, 7) + scene(3, 9)) == [0] * 12 + [1] * 7 + [2] * 9


def test_pan_and_motion_are_no_cut() -> None:
    assert set(shots(scene(4, 40, speed=6))) == {0}


def test_flashes_are_no_cut() -> None:
    pictures = scene(5, 30)
    for i in (10, 20, 21):
        pictures[i] = np.clip(pictures[i].astype(int) + 140, 0, 255).astype(np.uint8)
    assert set(shots(pictures)) == {0}


def test_cut_at_the_last_frame_and_short_clips() -> None:
    assert shots(scene(6, 5) + scene(7, 1)) == [0] * 5 + [1]
    assert shots(scene(6, 1)) == [0]
    assert shots([]) == []
