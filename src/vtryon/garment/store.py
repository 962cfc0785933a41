"""A prepared garment on disk, so that its picture need not be cut out again.

A zip archive: ``garment.json`` (format, version, key of the picture, kind, warnings) and one ``.npy`` array each.
Nothing in it can run code; a file that was cut short, belongs to another picture or comes from another version is
refused.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from vtryon.errors import BadInputError, MissingInputError
from vtryon.outputs import beside
from vtryon.types import KEYPOINTS, Array, Garment, GarmentKind

VERSION = 1

_HEADER = "garment.json"
_ARRAYS = ("rgb", "alpha", "parts", "keypoints", "cloth")
_NAME = "\0"
"""Stands for the picture's name in the warnings: the same picture may come again under another."""


def save_garment(path: str | Path, garment: Garment, *, key: str, name: str) -> None:
    """Write a garment, everything exactly.

    ``key`` says which picture it was made from, ``name`` what that is called in the garment's warnings.

    Raises:
        CannotCreateError, WriteError: as :func:`vtryon.outputs.beside`; nothing is left at ``path`` then.
    """
    header = {
        "format": "vtryon garment",
        "version": VERSION,
        "key": key,
        "kind": str(garment.kind),
        "warnings": [line.replace(name, _NAME) for line in garment.warnings],
    }
    points = np.stack([garment.keypoints[point] for point in KEYPOINTS])
    arrays = (garment.rgb, garment.alpha, garment.parts, points, garment.cloth)
    with (
        beside(Path(path)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for array_name, array in zip(_ARRAYS, arrays, strict=True):
            archive.writestr(array_name + ".npy", _to_bytes(array))
        archive.writestr(_HEADER, json.dumps(header))


def read_garment(path: str | Path, *, key: str, name: str) -> Garment:
    """What :func:`save_garment` wrote, with ``name`` for the picture in its warnings.

    Raises:
        MissingInputError: the file cannot be read.
        BadInputError: it is damaged, from another version or made from another picture.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            if (header["format"], header["version"], header["key"]) != ("vtryon garment", VERSION, key):
                raise BadInputError(f"{path}: a garment of another picture or another version")
            rgb, alpha, parts, points, cloth = (_from_bytes(archive.read(array + ".npy")) for array in _ARRAYS)
        return Garment(
            rgb=rgb,
            alpha=alpha,
            parts=parts,
            kind=GarmentKind(header["kind"]),
            keypoints=dict(zip(KEYPOINTS, points, strict=True)),
            cloth=cloth,
            warnings=tuple(str(line).replace(_NAME, name) for line in header["warnings"]),
        )
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError, EOFError) as problem:
        raise BadInputError(f"{path}: not a whole prepared garment") from problem


def _to_bytes(array: Array) -> bytes:
    into = io.BytesIO()
    np.save(into, array, allow_pickle=False)
    return into.getvalue()


def _from_bytes(data: bytes) -> Array:
    array: Array = np.load(io.BytesIO(data), allow_pickle=False)
    return array
