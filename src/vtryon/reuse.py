"""Person analyses and prepared garments out of the cache, made where they are not there."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from vtryon import weights
from vtryon.cache import Cache
from vtryon.errors import BadInputError, CannotCreateError, MissingInputError, WriteError
from vtryon.outputs import beside
from vtryon.person import analyse
from vtryon.person.store import check_people, load_people, save_people
from vtryon.pipeline import default_labeller
from vtryon.progress import Progress, Report
from vtryon.types import Garment, Person
from vtryon.video import VideoReader

if TYPE_CHECKING:
    from vtryon.job import Options

log = logging.getLogger(__name__)


def people(cache: Cache, options: Options, progress: Report) -> Iterator[Person | None] | None:
    """The analysis of the part of the video that a job is about, one entry per frame; None where it cannot be kept.

    Raises:
        BadInputError: nobody is seen in any frame, or the video is damaged.
        VtryonError: as :class:`~vtryon.video.VideoReader` and :func:`~vtryon.pipeline.default_labeller`.
    """
    key = _person_key(options)

    def read(entry: Path) -> tuple[int, int, Iterator[Person | None]]:
        return *check_people(entry, key=key), load_people(entry, key=key)

    try:
        frames, seen, kept = cache.get("people", key, make=partial(_analyse, options, key, progress), read=read)
    except (CannotCreateError, WriteError) as problem:
        log.warning("the analysis of %s is not kept: %s", options.person, problem)
        return None
    if not seen:
        raise nobody(options.person, frames)
    return kept


def packed_people(cache: Cache, options: Options, progress: Report) -> tuple[str, bytes]:
    """The same as key and file, for the cache of another machine (:func:`unpack_people`).

    Raises:
        VtryonError: as :func:`people`, and where the cache cannot be written.
    """
    key = _person_key(options)

    def read(entry: Path) -> tuple[int, int, bytes]:
        return *check_people(entry, key=key), entry.read_bytes()

    frames, seen, data = cache.get("people", key, make=partial(_analyse, options, key, progress), read=read)
    if not seen:
        raise nobody(options.person, frames)
    return key, data


def unpack_people(cache: Cache, key: str, data: bytes) -> None:
    """Put what :func:`packed_people` gave into this cache, if it is not there."""

    def make(entry: Path) -> None:
        with beside(entry) as temporary:
            temporary.write_bytes(data)

    cache.get("people", key, make=make, read=partial(check_people, key=key))


def _analyse(options: Options, key: str, progress: Report, entry: Path) -> None:
    labeller = default_labeller(options.device)
    with VideoReader(options.person, start=options.start, end=options.end, max_pixels=options.max_pixels) as frames:
        found = (person for _, person in analyse(frames, labeller=labeller))
        save_people(entry, _counted(found, progress, frames.frames_estimate), key=key)


def garment(cache: Cache, path: Path) -> Garment:
    """The prepared garment of a picture.

    Raises:
        VtryonError: as :func:`vtryon.garment.load_garment`.
    """
    from vtryon import garment as room
    from vtryon.garment.store import read_garment, save_garment

    key = _garment_key(path)
    made: list[Garment] = []

    def make(entry: Path) -> None:
        made.append(room.load_garment(path))
        save_garment(entry, made[0], key=key, name=str(path))

    try:
        return cache.get("garments", key, make=make, read=lambda entry: read_garment(entry, key=key, name=str(path)))
    except (CannotCreateError, WriteError) as problem:
        log.warning("the garment of %s is not kept: %s", path, problem)
        return made[0] if made else room.load_garment(path)


def nobody(path: Path, frames: int) -> BadInputError:
    """The error for a video in which nobody is found: the output would be the input again."""
    return BadInputError(
        f"{path}: no person found in any of {frames} frames, nothing was written; "
        "the upper body must be upright and in the picture"
    )


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file.

    Raises:
        MissingInputError: it cannot be read.
    """
    try:
        return weights.sha256(path)
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror or problem})") from problem


def _person_key(options: Options) -> str:
    """What an analysis depends on: the video (SHA-256), the part of it, and what analyses it, where."""
    part = (file_digest(options.person), options.start, options.end)
    return _digest("people", *part, *analysis_version(options.device))


def analysis_version(device: str) -> tuple[object, ...]:
    """What analyses people here, on ``device``: with anything else of it, analyses may come out otherwise."""
    return _code("person"), version("mediapipe"), weights.listing().get("parser"), device_type(device)


def warp_version() -> tuple[object, ...]:
    """What lays garments on people here."""
    return _code("warp"), *(weights.listing().get(name) for name in ("placing", "warp"))


def _garment_key(path: Path) -> str:
    """What a prepared garment depends on: its picture (SHA-256), and what prepares it."""
    return _digest("garment", file_digest(path), *garment_version())


def garment_version() -> tuple[object, ...]:
    """What prepares garments here."""
    return _code("garment"), weights.listing().get("garment")


def device_type(name: str) -> str:
    """cpu, cuda or mps: where networks run whose device is called ``name``."""
    from vtryon.device import choose

    return str(choose(name).device.type)


def _code(room: str) -> str:
    """What the code of a room is: it makes the entries as much as the network does."""
    folder = Path(__file__).parent / room
    return _digest(*(path.read_bytes() for path in sorted(folder.glob("*.py"))))


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _counted(found: Iterable[Person | None], progress: Report, expected: int | None) -> Iterator[Person | None]:
    for done, person in enumerate(found, 1):
        yield person
        progress(Progress("analysing the person", done, expected))
