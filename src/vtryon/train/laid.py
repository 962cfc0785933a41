"""Garments as they lie on the person in every moment of a clip: made once, kept in one file, read one at a time."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vtryon.errors import BadInputError, MissingInputError
from vtryon.outputs import beside
from vtryon.render.learned import Cloth


@dataclass(frozen=True, eq=False)
class LaidClip:
    """The laid garments of a clip in their file."""

    path: Path
    count: int

    def __getitem__(self, n: int) -> Cloth:
        """The garment in one moment.

        Raises:
            BadInputError, MissingInputError: the file has been damaged or removed since it was opened.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                data = [archive.read(f"{n:06d}.{kind}.png") for kind in ("rgb", "cover")]
            rgb, cover = (cv2.imdecode(np.frombuffer(d, np.uint8), cv2.IMREAD_UNCHANGED) for d in data)
            planes = [
                p.astype(np.float32) * np.float32(1 / 255) for p in (rgb[..., ::-1], cover[..., 0], cover[..., 1])
            ]
        except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, cv2.error) as problem:
            raise BadInputError(f"{self.path}: not a whole file; delete it and it is made anew") from problem
        except OSError as problem:
            raise MissingInputError(f"{self.path}: cannot be read ({problem.strerror})") from problem
        return Cloth(*planes)


def save_laid(path: Path, cloths: Iterable[Cloth]) -> None:
    """Write the laid garments of a clip, one at a time.

    Raises:
        CannotCreateError, WriteError: as :func:`vtryon.outputs.beside`.
    """
    with beside(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for n, cloth in enumerate(cloths):
            planes = {
                "rgb": cloth.rgb[..., ::-1],
                "cover": np.dstack([cloth.torso, cloth.sleeves, np.zeros_like(cloth.torso)]),
            }
            for kind, values in planes.items():
                picture = np.ascontiguousarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
                archive.writestr(f"{n:06d}.{kind}.png", cv2.imencode(".png", picture)[1].tobytes())


def open_laid(path: Path, count: int) -> LaidClip:
    """What :func:`save_laid` wrote.

    Raises:
        MissingInputError, BadInputError: it cannot be read, or not all moments are in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            whole = len(archive.namelist()) == 2 * count
    except zipfile.BadZipFile as problem:
        raise BadInputError(f"{path}: not a whole file") from problem
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    if not whole:
        raise BadInputError(f"{path}: not a whole file")
    return LaidClip(path, count)
