"""MediaPipe behind our own door: quiet, right on large and small people, silent where nobody is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vtryon.person.crop import matte_on
from vtryon.person.pose import Landmarker, Observation, plausible, quiet
from vtryon.types import Crop
from vtryon.video import VideoReader

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def picture(examples: Path) -> Array:
    """The first frame of person.mp4, (640, 480, 3): a man who faces the camera."""
    with VideoReader(examples / "person.mp4") as reader:
        return next(iter(reader)).rgb


@pytest.fixture(scope="module")
def seen(picture: Array) -> Iterator[Observation]:
    with Landmarker() as landmarker:
        found = landmarker(picture)
        assert found is not None
        yield found


def test_landmarks_lie_on_the_man_and_left_is_his(seen: Observation) -> None:
    p = seen.points
    assert p[0] == pytest.approx((223, 105), abs=15)  # nose
    assert p[11, 0] > p[12, 0] + 80  # he faces us: his left shoulder is to the picture's right
    assert (p[[11, 12], 1] < p[[13, 14], 1]).all()
    assert (p[[13, 14], 1] < p[[15, 16], 1]).all()
    assert seen.visibility[:25].min() > 0.5
    assert seen.world[11, 0] > 0.1 > -0.1 > seen.world[12, 0]


def test_matte_covers_him_and_only_him(seen: Observation) -> None:
    matte = matte_on(Crop(0, 0, 640), seen, (640, 480))
    chest = seen.points[[11, 12, 23, 24]].mean(axis=0).astype(int)
    assert matte[chest[1], chest[0]] > 0.95
    assert matte[:60, :60].max() < 0.05
    assert 0.1 < matte.mean() < 0.4


def test_small_person_in_a_large_frame_is_seen_as_well(picture: Array, seen: Observation) -> None:
    wide = np.full((1080, 1920, 3), (196, 190, 184), np.uint8)
    wide[400:720, 900:1140] = cv2.resize(picture, (240, 320), interpolation=cv2.INTER_AREA)
    with Landmarker() as landmarker:
        small = [landmarker(wide) for _ in range(4)][-1]
    assert small is not None
    assert small.window[2] < 1920, "looked at through a window of its own"
    expected = seen.points / 2 + np.float32([900, 400])
    error = np.linalg.norm(small.points - expected, axis=1)[:25]
    assert np.median(error) < 3


def test_nobody_is_found_where_nobody_is() -> None:
    rng = np.random.default_rng(0)
    with Landmarker() as landmarker:
        assert landmarker(np.full((360, 640, 3), 128, np.uint8)) is None
        assert landmarker(rng.integers(0, 255, (360, 640, 3), np.uint8)) is None


def test_what_cannot_be_a_person_is_refused(seen: Observation) -> None:
    assert plausible(seen)
    assert not plausible(replace(seen, visibility=seen.visibility * 0.3))
    assert not plausible(replace(seen, matte=np.zeros_like(seen.matte)))
    assert not plausible(replace(seen, matte=np.roll(seen.matte, seen.matte.shape[1] // 2, axis=1)))


def test_mediapipe_keepsquiet_and_others_are_heard(picture: Array, capfd: pytest.CaptureFixture[str]) -> None:
    with Landmarker() as landmarker:
        landmarker(picture)
        landmarker.reset()
        landmarker(picture)
    assert capfd.readouterr().err == ""
    with quiet():
        os.write(2, b"W0000 00:00:1795400147.5 1 x.cc:1] noise\nsomething that matters\n")
    assert capfd.readouterr().err == "something that matters\n"
