"""An analysis kept on disk comes back as it was, or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import bodies
from vtryon.errors import BadInputError, MissingInputError, WriteError
from vtryon.person import clip_key, load_people, save_people
from vtryon.types import Crop, Person


def person(seed: int) -> Person:
    rng = np.random.default_rng(seed)
    return Person(
        pose=bodies.pose(bodies.points() + seed, yaw=30),
        crop=Crop(1.25 + seed, -3.5, 411.0625),
        matte=rng.random((256, 192)).astype(np.float32),
        labels=rng.integers(0, 255, (11, 256, 192), np.uint8),
        yaw=-12.5,
        shot=seed,
    )


PEOPLE = [person(0), None, person(1)]


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clip.people"
    assert save_people(path, PEOPLE, key="k") == 3
    back = list(load_people(path, key="k"))
    assert [p is None for p in back] == [False, True, False]
    for a, b in zip(PEOPLE, back, strict=True):
        if a is None or b is None:
            continue
        for name in ("points", "depth", "visibility", "world"):
            assert np.array_equal(getattr(a.pose, name), getattr(b.pose, name))
        assert (a.crop, a.yaw, a.shot) == (b.crop, b.yaw, b.shot)
        assert np.array_equal(a.labels, b.labels)
        assert np.abs(a.matte - b.matte).max() <= 0.5 / 255 + 1e-6


def test_empty_clip(tmp_path: Path) -> None:
    save_people(tmp_path / "p", [None, None], key="k")
    assert list(load_people(tmp_path / "p", key="k")) == [None, None]


def test_people_are_taken_and_given_one_at_a_time(tmp_path: Path) -> None:
    size = 0

    def growing() -> Iterator[Person]:
        nonlocal size
        for i in range(6):
            on_disk = sum(f.stat().st_size for f in tmp_path.iterdir())
            assert i < 2 or on_disk > size, "earlier frames are on disk before later ones are asked for"
            size = on_disk
            yield person(i)

    save_people(tmp_path / "p", growing(), key="k")
    assert next(load_people(tmp_path / "p", key="k")) is not None


def test_other_clip_or_settings_are_refused(tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.write_bytes(b"video")
    keys = [clip_key(clip), clip_key(clip, 1.5), clip_key(clip, None, "parser")]
    clip.write_bytes(b"other")
    keys.append(clip_key(clip))
    assert len(set(keys)) == 4
    save_people(tmp_path / "p", PEOPLE, key=keys[0])
    with pytest.raises(BadInputError, match="another clip"):
        load_people(tmp_path / "p", key=keys[1])


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    save_people(path, PEOPLE, key="k")
    whole = path.read_bytes()
    for damaged in (b"", b"junk", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(BadInputError, match="analyse the clip again"):
            load_people(path, key="k")
    flipped = bytearray(whole)
    flipped[5000] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(BadInputError, match="frame 0 is damaged"):
        list(load_people(path, key="k"))
    with pytest.raises(MissingInputError):
        load_people(tmp_path / "absent", key="k")


@pytest.mark.parametrize("change", [{"version": 99}, {"format": "x"}, {"frames": "many"}])
def test_other_versions_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    header = {"format": "vtryon people", "version": 1, "key": "k", "frames": 0} | change
    with zipfile.ZipFile(tmp_path / "p", "w") as archive:
        archive.writestr("people.json", json.dumps(header))
    with pytest.raises(BadInputError, match="another version"):
        load_people(tmp_path / "p", key="k")


def test_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Iterator[Person]:
        yield person(0)
        raise WriteError("stopped")

    with pytest.raises(WriteError):
        save_people(tmp_path / "p", broken(), key="k")
    assert list(tmp_path.iterdir()) == []
