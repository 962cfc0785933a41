"""The rendered scenes packed for the renderer's training: every top, both frames, and where the warp lays each top.

The warp is the one that ships, laid by the landmarks and the outline of the picture in *another* top, as in use: its
mistakes are what the renderer has to live with (issue 6).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from vtryon.errors import MissingInputError
from vtryon.nearest import nearest
from vtryon.train.pairs import PICTURE, PRODUCT, read_correspondence, read_garment
from vtryon.train.prepare import PAIRS_LABELS, Report
from vtryon.train.store import made, require
from vtryon.types import CROP_SIZE, LANDMARKS, Array, Crop, Garment, Label, Part, Person, Pose
from vtryon.warp import Fitter, Texture, layers

TOPS, FRAMES = 3, 2
HALF = (PICTURE[0] // 2, PICTURE[1] // 2)
"""Origins, motion and warps are smooth: they are kept for every second pixel."""

ORIGIN = 100.0
"""Origins in the product picture are stored as px times this."""

MOTION = 4.0
"""Motion is stored as px times this."""

_ARRAYS: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
    "picture": ((TOPS, FRAMES, *PICTURE, 4), np.uint8),
    "labels": ((TOPS, FRAMES, *PICTURE), np.uint8),
    "origin": ((TOPS, FRAMES, *HALF, 2), np.uint16),
    "known": ((TOPS, FRAMES, *HALF), np.uint8),
    "motion": ((TOPS, *HALF, 2), np.int8),
    "placed_origin": ((TOPS, TOPS - 1, FRAMES, *HALF, 2), np.uint16),
    "placed": ((TOPS, TOPS - 1, FRAMES, *HALF, 4), np.uint8),
}


@dataclass(frozen=True, eq=False)
class SceneStore:
    """S scenes of three tops and two frames each.

    ``picture`` (S, 3, 2, 384, 288, 4) uint8, RGB and alpha, tops grey; ``labels`` (S, 3, 2, 384, 288) of
    :class:`Label`. On every second pixel: ``origin`` (..., 192, 144, 2) product px times ``ORIGIN``, continued beyond
    the cloth, ``known`` (..., 192, 144) 255 where it is measured; ``motion`` (S, 3, 192, 144, 2) from the first frame
    to the second, px times ``MOTION``; ``placed_origin`` and ``placed`` (S, new, other, 2, 192, 144, 2 and 4): where
    the warp takes the new top's pixels from, laid by a picture in the ``other``-th of the two other tops, the product's
    grey there, and the coverage of torso, left and right sleeve. ``pose`` (S, 3, 2, 33, 3) px and visibility, ``found``
    (S, 3, 2) whether there is one. Scene names ending in 7 are for validation.
    """

    picture: Array
    labels: Array
    origin: Array
    known: Array
    motion: Array
    placed_origin: Array
    placed: Array
    pose: Array
    found: Array
    train: Array
    validation: Array


def others(new: int) -> tuple[int, ...]:
    """The two other tops of a scene, in the order in which the store has them."""
    return tuple(top for top in range(TOPS) if top != new)


def prepare_scenes(pairs: Path, cache: Path, fit: Fitter, report: Report | None = None) -> None:
    """Pack the scenes of the folder ``pairs`` into ``cache``: about 3.5 GB; garments are laid by ``fit``."""
    require(pairs.parent, pairs.name)
    folders = sorted(p for p in pairs.iterdir() if p.is_dir() and p.name.isdigit())
    made(cache)
    index = cache / "scenes.npz"
    index.unlink(missing_ok=True)
    create: Any = np.lib.format.open_memmap
    arrays = {
        name: create(cache / f"scenes_{name}.npy", "w+", dtype, (len(folders), *shape))
        for name, (shape, dtype) in _ARRAYS.items()
    }
    pose = np.zeros((len(folders), TOPS, FRAMES, LANDMARKS, 3), np.float32)
    found = np.zeros((len(folders), TOPS, FRAMES), bool)
    for n, folder in enumerate(folders):
        meta = json.loads((folder / "meta.json").read_text())
        for name, at, value in _pictures(folder, meta):
            arrays[name][(n, *at)] = value
        for top in range(TOPS):
            for frame in range(FRAMES):
                seen = meta["images"][f"t{top}_f{frame}"]["mediapipe"]
                if seen is not None:
                    pose[n, top, frame], found[n, top, frame] = np.asarray(seen, np.float32), True
        for at, origin, planes in _placements(
            folder, meta, arrays["picture"][n], arrays["labels"][n], pose[n], found[n], fit
        ):
            arrays["placed_origin"][(n, *at)], arrays["placed"][(n, *at)] = origin, planes
        if report is not None:
            report("scenes", n + 1, len(folders))
    for array in arrays.values():
        array.flush()
    np.savez(index, pose=pose, found=found, ids=np.array([p.name for p in folders]))


def open_scenes(cache: Path) -> SceneStore:
    """The packed scenes in ``cache``, memory-mapped; :class:`MissingInputError` where they have not been prepared."""
    index = cache / "scenes.npz"
    if not index.is_file():
        raise MissingInputError(f"no prepared scenes in {cache}: give the data too")
    with np.load(index) as data:
        pose, found, ids = data["pose"], data["found"], data["ids"]
    arrays = {name: np.load(cache / f"scenes_{name}.npy", mmap_mode="r") for name in _ARRAYS}
    held_out = np.array([str(i).endswith("7") for i in ids])
    usable = found.all(axis=(1, 2))
    train, validation = np.flatnonzero(usable & ~held_out), np.flatnonzero(usable & held_out)
    return SceneStore(**arrays, pose=pose, found=found, train=train, validation=validation)


def _pictures(folder: Path, meta: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...], Array]]:
    for top in range(TOPS):
        for frame in range(FRAMES):
            name = f"t{top}_f{frame}"
            yield "picture", (top, frame), np.asarray(Image.open(folder / f"{name}.webp").convert("RGBA"))
            labels = PAIRS_LABELS[np.asarray(Image.open(folder / f"{name}_lab.png"))]
            yield "labels", (top, frame), labels
            origin, known = _origin(folder, name)
            yield "origin", (top, frame), origin
            yield "known", (top, frame), known
        flow = np.asarray(Image.open(folder / f"t{top}_f0_flow.png").convert("RGB")).astype(np.int16)
        moved = (flow[..., :2] - 128) * (flow[..., :1] > 0)
        yield "motion", (top,), np.clip(moved, -127, 127).astype(np.int8)


def _origin(folder: Path, name: str) -> tuple[Array, Array]:
    """Product px (192, 144, 2) of the cloth at every second pixel, continued beyond it, and 255 where it is known."""
    picture, product = read_correspondence(folder, name)
    at = ((picture - 0.5) / 2).astype(int)
    even = ((picture - 0.5) % 2 < 0.5).all(axis=1)
    known = np.zeros(HALF, np.uint8)
    origin = np.zeros((*HALF, 2), np.float32)
    known[at[even, 1], at[even, 0]] = 255
    origin[at[even, 1], at[even, 0]] = product[even]
    return _stored(continued(origin, known > 0)), known


def continued(values: Array, known: Array) -> Array:
    """``values`` (H, W, C) with the nearest known one wherever ``known`` (H, W) is False; unchanged if nothing is."""
    if not known.any():
        return values
    return np.asarray(values.reshape(-1, values.shape[2])[nearest(known)[0]])


def _stored(origin: Array) -> Array:
    return np.asarray(np.clip(np.rint(origin * ORIGIN), 0, 65535), np.uint16)


def _placements(
    folder: Path, meta: dict[str, Any], pictures: Array, labels: Array, pose: Array, found: Array, fit: Fitter
) -> Iterator[tuple[tuple[int, ...], Array, Array]]:
    for new in range(TOPS):
        garment = read_garment(folder, new, meta)
        texture = _origin_texture(garment)
        for n, old in enumerate(others(new)):
            for frame in range(FRAMES):
                if found[old, frame]:
                    alpha = pictures[old, frame, ..., 3]
                    person = _person(pose[old, frame], alpha, labels[old, frame], float(meta["yaw"]))
                    yield (new, n, frame), *_laid(person, garment, texture, fit)


def _origin_texture(garment: Garment) -> Texture:
    """A texture whose colours say where in the product picture they lie, and how light the product is there."""
    texture = Texture.of(garment)
    h, w = texture.planes.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    grey = texture.planes[0, :3].mean(0)
    colours = torch.stack([x / w, y / h, grey])
    return replace(texture, planes=torch.cat([colours[None], texture.planes[:, 3:]], 1), patterned=1.0)


def _laid(person: Person, garment: Garment, texture: Texture, fit: Fitter) -> tuple[Array, Array]:
    warp, _ = fit(person, garment)
    h, w = HALF
    origin, shade = np.zeros((h, w, 2), np.float32), np.zeros((h, w, 1), np.float32)
    cover = np.zeros((h, w, 3), np.float32)
    for layer in layers(warp, texture, (0.0, 0.0, float(PICTURE[1]), float(PICTURE[0])), HALF):
        alpha = layer.alpha.numpy()
        on = alpha > 0.5
        colours = layer.rgb.numpy().transpose(1, 2, 0)
        origin[on], shade[on] = colours[on, :2] * (PRODUCT[1], PRODUCT[0]), colours[on, 2:]
        if layer.part == Part.TORSO:
            cover[..., 0] = alpha
        else:  # where a sleeve lies before the torso, the torso is not seen
            cover[..., 1 if layer.part == Part.LEFT_SLEEVE else 2] = alpha
    seen = cover.max(-1) > 0.5
    planes = np.concatenate([continued(shade, seen), cover], -1)
    return _stored(continued(origin, seen)), np.asarray(np.rint(np.clip(planes, 0, 1) * 255), np.uint8)


def _person(pose: Array, alpha: Array, labels: Array, yaw: float) -> Person:
    """The carrier that the warp wants, from what is known of a rendered picture; its crop is the whole picture."""
    size = CROP_SIZE[::-1]
    matte = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    small = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    shares = np.stack([(small == label) * np.uint8(255) for label in Label])
    flat, space = np.zeros(LANDMARKS, np.float32), np.zeros((LANDMARKS, 3), np.float32)
    points = Pose(np.ascontiguousarray(pose[:, :2]), flat, np.ascontiguousarray(pose[:, 2]), space)
    return Person(points, Crop(0.0, 0.0, float(PICTURE[0])), matte, shares, yaw, 0)
