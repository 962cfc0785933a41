"""Prepared training pictures: packed, memory-mapped arrays, so that an epoch decodes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vtryon.errors import CannotCreateError, MissingInputError
from vtryon.types import Array


@dataclass(frozen=True, eq=False)
class Store:
    """N prepared pictures of one kind.

    ``picture`` (N, H, W, 3 or 4) uint8 (RGB, or RGBA with straight alpha); ``labels`` (N, H, W) uint8; ``matte``
    (N, H, W) uint8, MediaPipe's; ``texture`` (N, H, W, 3) uint8 or None: u, v in the product picture times 255, known
    or not; ``pose`` (N, 33, 3) float32: x, y px and visibility; ``ids`` (N,) names, ``train`` and ``validation``
    the picture numbers of either split (names ending in 7 are for validation).
    """

    picture: Array
    labels: Array
    matte: Array
    texture: Array | None
    pose: Array
    ids: Array
    train: Array
    validation: Array


def require(data: Path, *parts: str) -> None:
    """Raise :class:`MissingInputError` where one of ``parts``, files or folders, is not in the folder ``data``."""
    for part in parts:
        if not (data / part).exists():
            raise MissingInputError(
                f"{data / part}: not there; --data names the folder with people, pairs and garments"
            )


def made(folder: Path) -> Path:
    """The folder, made where it is missing; :class:`CannotCreateError` where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CannotCreateError(f"{folder}: no folder can be made there ({problem.strerror})") from problem
    return folder


def open_store(folder: Path, name: str) -> Store:
    """The store ``name`` in ``folder``; raises :class:`MissingInputError` where it has not been prepared."""
    index = folder / f"{name}.npz"
    if not index.is_file():
        raise MissingInputError(f"no prepared training pictures '{name}' in {folder}: give the data too")
    with np.load(index) as data:
        pose, ids, found = data["pose"], data["ids"], data["ok"]
    held_out = np.array([str(i).endswith("7") for i in ids])

    def read(part: str) -> Array | None:
        path = folder / f"{name}_{part}.npy"
        return np.load(path, mmap_mode="r") if path.is_file() else None

    picture = read("rgb")
    picture = read("rgba") if picture is None else picture
    labels, matte = read("lab"), read("mat")
    if picture is None or labels is None or matte is None:
        raise MissingInputError(f"the prepared training pictures '{name}' in {folder} are not complete")
    return Store(
        picture, labels, matte, read("cor"), pose, ids,
        np.flatnonzero(found & ~held_out), np.flatnonzero(found & held_out),
    )  # fmt: skip
