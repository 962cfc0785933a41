"""A clip of a data set made ready for training, in one compact file: everything on the person's crop.

A zip archive with a header, the numbers of all frames, and five small PNG pictures for each frame that shows a person;
single frames are read at random without the rest. Pictures and labels are kept as they are; flow is smooth, and kept at
half the size (off by 0.004 px on average where that was measured, at an eighth of the bytes).
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vtryon.errors import BadInputError, MissingInputError
from vtryon.outputs import beside
from vtryon.types import CROP_SIZE, Array, Crop, Label, Person, Pose

VERSION = 2

_HEADER = "clip.json"
_NUMBERS = "numbers.npz"
_KINDS = ("rgb", "labels", "matte", "flow", "valid")
_FLOW = 32.0  # steps of a stored flow in a crop px
_MIDDLE = 2**15


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame on the crop of its person, (H, W) = (256, 192).

    ``index`` of the frame in the footage; ``rgb`` (H, W, 3) uint8; ``labels`` (H, W) uint8 of
    :class:`~vtryon.types.Label`; ``matte`` (H, W) float32; ``points`` (33, 2) and ``depth`` (33,) crop px,
    ``visibility`` (33,); ``yaw`` degrees; ``shot`` counts scene changes; ``flow`` (H, W, 2) float32 crop px from each
    pixel to its place in the moment before, and ``valid`` (H, W) float32 how far it is to be trusted: all 0 where
    there is no moment before in the same shot.
    """

    index: int
    rgb: Array
    labels: Array
    matte: Array
    points: Array
    depth: Array
    visibility: Array
    yaw: float
    shot: int
    flow: Array
    valid: Array

    def person(self) -> Person:
        """The carrier that the warp wants; its frame is the crop."""
        shares = np.stack([(self.labels == label) * np.uint8(255) for label in Label])
        pose = Pose(self.points, self.depth, self.visibility, np.zeros((len(self.points), 3), np.float32))
        return Person(pose, Crop(0.0, 0.0, float(CROP_SIZE[0])), self.matte, shares, self.yaw, self.shot)


_PER_FRAME = ("index", "points", "depth", "visibility", "yaw", "shot")


@dataclass(frozen=True, eq=False)
class Clip:
    """The moments of one clip in its file. ``frames`` of the footage, with or without a person; ``shot`` (N,)."""

    path: Path
    frames: int
    shot: Array

    def __len__(self) -> int:
        return len(self.shot)

    def follows(self, n: int, stride: int = 1) -> bool:
        """Whether moment ``n`` has one ``stride`` moments before it in the same shot."""
        return n >= stride and bool(self.shot[n] == self.shot[n - stride])

    def __getitem__(self, n: int) -> Moment:
        """Read one moment.

        Raises:
            BadInputError, MissingInputError: the file has been damaged or removed since it was opened.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                numbers = _numbers(archive)
                rgb, labels, matte, flow, valid = (_picture(archive, f"{n:06d}.{kind}.png") for kind in _KINDS)
        except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, cv2.error) as problem:
            raise _damaged(self.path) from problem
        except OSError as problem:
            raise MissingInputError(f"{self.path}: cannot be read ({problem.strerror})") from problem
        moved = (flow[..., :2].astype(np.float32) - _MIDDLE) * np.float32(1 / _FLOW)
        row = {name: numbers[name][n] for name in _PER_FRAME}
        return Moment(
            int(row["index"]), np.ascontiguousarray(rgb[..., ::-1]), labels, matte.astype(np.float32) / np.float32(255),
            row["points"], row["depth"], row["visibility"], float(row["yaw"]), int(row["shot"]),
            np.asarray(cv2.resize(moved, CROP_SIZE[::-1], interpolation=cv2.INTER_LINEAR), np.float32),
            valid.astype(np.float32) / np.float32(255),
        )  # fmt: skip


def save_clip(path: Path, moments: Iterable[Moment | None], *, key: str) -> None:
    """Write a clip; ``moments`` has one entry for each frame, None where nobody is seen, and is consumed one at a time.

    Raises:
        CannotCreateError, WriteError: as :func:`vtryon.outputs.beside`.
    """
    rows: dict[str, list[Array]] = {name: [] for name in _PER_FRAME}
    frames = 0
    with beside(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for moment in moments:
            frames += 1
            if moment is None:
                continue
            for kind, picture in _pictures(moment).items():
                data = cv2.imencode(".png", np.ascontiguousarray(picture))[1].tobytes()
                archive.writestr(f"{len(rows['index']):06d}.{kind}.png", data)
            for name in _PER_FRAME:
                rows[name].append(np.asarray(getattr(moment, name)))
        numbers = io.BytesIO()
        np.savez(numbers, **{name: np.array(values) for name, values in rows.items()})
        archive.writestr(_NUMBERS, numbers.getvalue())
        about = {"format": "vtryon clip", "version": VERSION, "key": key, "frames": frames}
        archive.writestr(_HEADER, json.dumps(about))


def _pictures(moment: Moment) -> dict[str, Array]:
    half = cv2.resize(moment.flow, (CROP_SIZE[1] // 2, CROP_SIZE[0] // 2), interpolation=cv2.INTER_AREA)
    flow = np.clip(np.rint(half * _FLOW) + _MIDDLE, 0, 65535).astype(np.uint16)
    matte, valid = (np.rint(plane * 255).astype(np.uint8) for plane in (moment.matte, moment.valid))
    third = np.zeros(flow.shape[:2], np.uint16)  # PNG has three colours or one
    return dict(
        zip(_KINDS, (moment.rgb[..., ::-1], moment.labels, matte, np.dstack([flow, third]), valid), strict=True)
    )


def open_clip(path: Path, *, key: str) -> Clip:
    """What :func:`save_clip` wrote; its pictures are read when they are asked for.

    Raises:
        MissingInputError: the file cannot be read.
        BadInputError: it is damaged or made from something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(_HEADER))
            numbers = _numbers(archive)
        if (about["format"], about["version"], about["key"]) != ("vtryon clip", VERSION, key):
            raise BadInputError(f"{path}: made by another version or from other footage; delete it")
        return Clip(path, int(about["frames"]), numbers["shot"])
    except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError) as problem:
        raise _damaged(path) from problem
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem


def _numbers(archive: zipfile.ZipFile) -> dict[str, Array]:
    with np.load(io.BytesIO(archive.read(_NUMBERS)), allow_pickle=False) as numbers:
        return {name: numbers[name] for name in _PER_FRAME}


def _picture(archive: zipfile.ZipFile, name: str) -> Array:
    found = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError(name)
    return np.asarray(found)


def _damaged(path: Path) -> BadInputError:
    return BadInputError(f"{path}: not a whole prepared clip; delete it and it is made anew")
