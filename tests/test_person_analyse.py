"""The person room's one entrance, from frames to people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import bodies
from vtryon.person import analyse
from vtryon.types import Frame, Label, Person, Pose
from vtryon.video import VideoReader

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def pictures(examples: Path) -> list[Array]:
    """14 frames of person.mp4."""
    with VideoReader(examples / "person.mp4", end=0.6) as reader:
        return [f.rgb for f in reader]


def frames(pictures: Iterable[Array]) -> list[Frame]:
    return [bodies.frame(p, i) for i, p in enumerate(pictures)]


def people(pictures: Iterable[Array], **options: Any) -> list[Person | None]:
    given = frames(pictures)
    out = list(analyse(given, **options))
    assert [f for f, _ in out] == given
    return [p for _, p in out]


def test_every_frame_has_its_person(pictures: list[Array]) -> None:
    found = people(pictures)
    assert all(p is not None for p in found)
    for p in found:
        assert p is not None
        assert p.shot == 0
        assert abs(p.yaw) < 30
        inside = p.crop.to_crop(p.pose.points[:25])
        assert inside.min() > 0
        assert (inside < (192, 256)).all()
        chest = tuple(inside[[11, 12, 23, 24]].mean(axis=0).astype(int)[::-1])
        assert p.matte[chest] > 0.9
        assert Label(int(p.labels[:, *chest].argmax())) is Label.TOP
        elbow = tuple(((inside[14] + inside[16]) / 2).astype(int)[::-1])
        assert Label(int(p.labels[:, *elbow].argmax())) is Label.RIGHT_ARM


def test_still_picture_gives_a_still_person(pictures: list[Array]) -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(pictures[0] + rng.normal(0, 2, pictures[0].shape), 0, 255).astype(np.uint8) for _ in range(12)]
    found = [p for p in people(noisy) if p is not None]
    assert len(found) == 12
    steps = np.diff([p.pose.points[:25] for p in found], axis=0)
    assert np.sqrt((steps**2).sum(axis=-1).mean()) < 0.25
    crops = np.array([(p.crop.left, p.crop.top, p.crop.height) for p in found])
    assert np.ptp(crops, axis=0).max() < 0.1


def test_gaps_shots_and_memory(pictures: list[Array]) -> None:
    """One run for all: 4 frames, 3 without him, 3 frames, 8 without him, 3 frames, then a cut to another room."""
    rng = np.random.default_rng(0)
    room = cv2.resize(rng.integers(90, 250, (5, 7, 3), np.uint8), (800, 600), interpolation=cv2.INTER_CUBIC)

    def in_room(picture: Array, without_him: bool = False) -> Array:
        small = cv2.resize(picture, (360, 480), interpolation=cv2.INTER_AREA)
        if without_him:
            small[:, 80:290] = small[:, 40:41]  # wall and floor go on behind him
        view = room.copy()
        view[120:, 220:580] = small
        return view

    here, empty = [in_room(p) for p in pictures], in_room(pictures[0], without_him=True)
    other = np.roll(here[0][::-1, ::-1], 300, axis=1)[::-1, ::-1, ::-1]  # elsewhere, in other colours
    clip = here[:4] + [empty] * 3 + here[4:7] + [empty] * 8 + here[7:10] + [np.ascontiguousarray(other)] * 4
    states: list[Any] = []

    def labeller(rgb: Array, pose: Pose, matte: Array, state: Any) -> tuple[Array, Any]:
        assert rgb.shape == (256, 192, 3)
        assert rgb.dtype == np.uint8
        assert matte.shape == (256, 192)
        assert matte.dtype == np.float32
        assert 0 < pose.points[11, 0] < 192
        states.append(state)
        return np.zeros((11, 256, 192), np.uint8), len(states)

    found = people(clip, labeller=labeller)
    there = [p is not None for p in found]
    assert there[:10] == [True] * 10, "a short gap is bridged"
    assert there[10:18] == [False] * 8
    assert there[18:] == [True] * 7
    assert [p.shot for p in found if p is not None] == [0] * 10 + [1] * 3 + [2] * 4
    begins = [i for i, state in enumerate(states) if state is None]
    assert begins == [0, 10, 13], "memory ends with a long absence and with a shot"
    assert all(state == i for i, state in enumerate(states) if i not in begins)


@pytest.mark.parametrize("lookahead", [0, 3])
def test_reads_only_so_far_ahead(pictures: list[Array], lookahead: int) -> None:
    read = 0

    def source() -> Iterator[Frame]:
        nonlocal read
        for frame in frames(pictures):
            read += 1
            yield frame

    stream = analyse(source(), lookahead=lookahead)
    for given in range(1, 5):
        next(stream)
        assert read <= given + lookahead + 4
    stream.close()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="lookahead"):
        next(analyse([], lookahead=-1))


def test_nothing_in_nothing_out() -> None:
    assert people([]) == []
    assert people([np.full((120, 160, 3), 90, np.uint8)] * 3) == [None] * 3


def test_steps_can_be_timed(pictures: list[Array]) -> None:
    seen: list[str] = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        seen.append(name)
        yield

    people(pictures[:3], on_stage=stage)
    assert {name: seen.count(name) for name in seen} == {"pose": 3, "track": 3, "labels": 3}


@pytest.mark.slow
def test_full_turn_is_seen_all_round(examples: Path) -> None:
    with VideoReader(examples / "turning.mp4") as reader:
        yaw = np.array([p.yaw for _, p in analyse(reader) if p is not None])
    assert len(yaw) == 96
    turned = np.unwrap(yaw, period=360)
    assert turned[-1] - turned[0] == pytest.approx(360, abs=15)
    assert np.diff(turned).min() > -3
    assert abs(yaw[[0, -1]]).max() < 20
    assert np.abs(turned - np.linspace(turned[0], turned[-1], 96)).max() < 60
    assert 75 < yaw[28] < 110  # she shows her left
    assert abs(yaw[46]) > 150  # her back
    assert -110 < yaw[66] < -65  # her right


@pytest.mark.data
def test_yaw_on_rendered_people() -> None:
    pairs = Path(__file__).resolve().parents[2] / "shared" / "data" / "pairs"
    if not pairs.is_dir():
        pytest.skip("no ../shared/data/pairs here")
    errors = []
    for folder in sorted(p for p in pairs.iterdir() if p.name.endswith("7") and p.name.isdigit())[:16]:
        meta = json.loads((folder / "meta.json").read_text())
        rgba = cv2.cvtColor(cv2.imread(str(folder / "t0_f0.webp"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        alpha = rgba[..., 3:] / 255
        [person] = people([np.rint(rgba[..., :3] * alpha + 150 * (1 - alpha)).astype(np.uint8)])
        if person is not None:
            true = meta["yaw"] + meta["pose_params"]["spine"][0]
            errors.append(abs((person.yaw - true + 180) % 360 - 180))
    assert len(errors) >= 12
    assert np.median(errors) < 14
