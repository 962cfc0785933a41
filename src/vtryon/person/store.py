"""The analysis of a clip on disk, so that the next garment need not wait for it.

A zip archive: ``people.json`` (format, version, key of the clip, number of frames) and one record of fixed size per
frame that shows a person. Nothing in it can run code, frames are written and read one at a time, and a file that was
cut short, belongs to another clip or comes from another version is refused.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vtryon.errors import BadInputError, MissingInputError
from vtryon.outputs import beside
from vtryon.types import CROP_SIZE, LANDMARKS, Crop, Label, Person, Pose

VERSION = 1

_HEADER = "people.json"
_RECORD = np.dtype(
    [
        ("points", "<f4", (LANDMARKS, 2)),
        ("depth", "<f4", (LANDMARKS,)),
        ("visibility", "<f4", (LANDMARKS,)),
        ("world", "<f4", (LANDMARKS, 3)),
        ("crop", "<f8", (3,)),
        ("yaw", "<f8"),
        ("shot", "<i8"),
        ("matte", "u1", CROP_SIZE),
        ("labels", "u1", (len(Label), *CROP_SIZE)),
    ]
)


def clip_key(path: str | Path, *settings: object) -> str:
    """What an analysis is valid for: the bytes of the clip and whatever else it depends on (start, end, labeller).

    Raises:
        MissingInputError: the clip cannot be read.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def save_people(path: str | Path, people: Iterable[Person | None], *, key: str) -> int:
    """Write the analysis of a whole clip and return its number of frames; ``people`` is consumed one at a time.

    All is kept exactly (the matte, where it is a multiple of 1/255, as :func:`~vtryon.person.analyse` makes it), so
    what is dressed with it is the same to the bit. ``key`` says which clip this is (:func:`clip_key`).

    Raises:
        CannotCreateError, WriteError: as :func:`vtryon.outputs.beside`; nothing is left at ``path`` then.
    """
    frames = 0
    with (
        beside(Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for person in people:
            if person is not None:
                archive.writestr(_name(frames), _pack(person))
            frames += 1
        header = {"format": "vtryon people", "version": VERSION, "key": key, "frames": frames}
        archive.writestr(_HEADER, json.dumps(header))
    return frames


def load_people(path: str | Path, *, key: str) -> Iterator[Person | None]:
    """What :func:`save_people` wrote, one frame at a time; the file as such is checked at once.

    Raises:
        MissingInputError: the file cannot be read.
        BadInputError: it is damaged, from another version, or made from another clip or with other settings.
    """
    try:
        archive = zipfile.ZipFile(path)
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    except zipfile.BadZipFile as problem:
        raise BadInputError(f"{path}: not a whole person analysis; delete it and analyse the clip again") from problem
    try:
        frames = _check(path, archive, key)
    except BaseException:
        archive.close()
        raise
    return _read(path, archive, frames)


def check_people(path: str | Path, *, key: str) -> tuple[int, int]:
    """Read all that :func:`save_people` wrote against its checksums; number of frames, and of those with a person.

    Raises:
        MissingInputError, BadInputError: as :func:`load_people`, and for any damaged frame.
    """
    seen = [person is not None for person in load_people(path, key=key)]
    return len(seen), sum(seen)


def _check(path: str | Path, archive: zipfile.ZipFile, key: str) -> int:
    try:
        header = json.loads(archive.read(_HEADER))
        kind, version, frames = header["format"], header["version"], header["frames"]
        mine = header["key"] == key
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as problem:
        raise BadInputError(f"{path}: not a person analysis; delete it and analyse the clip again") from problem
    if kind != "vtryon people" or version != VERSION or not isinstance(frames, int):
        raise BadInputError(f"{path}: person analysis of another version; delete it and analyse the clip again")
    if not mine:
        raise BadInputError(f"{path}: made from another clip or with other settings; delete it or give another name")
    return frames


def _read(path: str | Path, archive: zipfile.ZipFile, frames: int) -> Iterator[Person | None]:
    with archive:
        seen = {info.filename: info for info in archive.infolist()}
        for index in range(frames):
            info = seen.get(_name(index))
            if info is None:
                yield None
                continue
            if info.file_size != _RECORD.itemsize:
                raise BadInputError(f"{path}: frame {index} is damaged; delete it and analyse the clip again")
            try:
                data = archive.read(info)
            except (zipfile.BadZipFile, zlib.error, OSError) as problem:
                raise BadInputError(
                    f"{path}: frame {index} is damaged; delete it and analyse the clip again"
                ) from problem
            yield _unpack(data)


def _name(index: int) -> str:
    return f"{index:08d}"


def _pack(person: Person) -> bytes:
    record = np.zeros((), _RECORD)
    for name in ("points", "depth", "visibility", "world"):
        record[name] = getattr(person.pose, name)
    record["crop"] = (person.crop.left, person.crop.top, person.crop.height)
    record["yaw"], record["shot"] = person.yaw, person.shot
    record["matte"] = np.rint(np.clip(person.matte, 0, 1) * 255)
    record["labels"] = person.labels
    return record.tobytes()


def _unpack(data: bytes) -> Person:
    record = np.frombuffer(data, _RECORD)[0]
    pose = Pose(*(record[name].astype(np.float32) for name in ("points", "depth", "visibility", "world")))
    left, top, height = (float(v) for v in record["crop"])
    matte = record["matte"].astype(np.float32) / np.float32(255)
    return Person(pose, Crop(left, top, height), matte, record["labels"], float(record["yaw"]), int(record["shot"]))
