"""The still-person test measures what it says, and our analysis stands it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bodies
from vtryon.evaluate import still_clip, stillness
from vtryon.person import analyse
from vtryon.types import Crop, Person
from vtryon.video import VideoReader


def person(shift: float) -> Person:
    matte = np.clip(0.5 + 0.25 * (96 + shift - np.arange(192, dtype=np.float32)), 0, 1)
    labels = np.zeros((11, 256, 192), np.uint8)
    labels[3] = 255
    return Person(
        pose=bodies.pose(bodies.points() + shift),
        crop=Crop(shift, 0, 512),
        matte=np.ascontiguousarray(np.broadcast_to(matte, (256, 192)), np.float32),
        labels=labels,
        yaw=170 if shift else -170,
        shot=0,
    )


def test_known_shaking_is_measured_in_pixels_of_640() -> None:
    found = stillness([person(0), None, person(1), person(0), person(1)], height=1280)
    assert found.landmarks == pytest.approx(np.sqrt(2) / 2, rel=1e-3)
    assert found.wander == pytest.approx(np.sqrt(2) / 4, rel=1e-3)
    assert found.crop == pytest.approx(0.5)
    assert found.matte == pytest.approx(1.0, rel=0.05)  # one crop px is 2 px of the frame, 1 px of 640
    assert found.labels == 0
    assert found.yaw == pytest.approx(10, abs=0.1)
    assert found.missing == 1


def test_changed_labels_are_counted() -> None:
    other = person(0).labels[[0, 1, 2, 5, 4, 3, *range(6, 11)]]
    assert stillness([person(0), replace(person(0), labels=other)], 640).labels == 1
    with pytest.raises(ValueError, match="fewer than two"):
        stillness([None, person(0)], 640)


def test_still_man_stands_still(examples: Path, tmp_path: Path) -> None:
    with VideoReader(examples / "person.mp4") as reader:
        picture = next(iter(reader)).rgb
    clip = still_clip(picture, tmp_path / "still.mp4", seconds=1.0)
    with VideoReader(clip) as reader:
        frames = list(reader)
    assert len(frames) == 24
    assert 0.6 < np.std(frames[3].rgb.astype(int) - frames[9].rgb) < 4, "noise has come through the encoder"
    found = stillness([p for _, p in analyse(frames)], picture.shape[0])
    assert found.missing == 0
    assert found.landmarks < 0.2
    assert found.crop < 0.1
    assert found.matte < 0.25
    assert found.labels < 0.005
