"""The rendered validation scenes with made prints: any cloth on their grey tops, its truth known everywhere.

The scenes are described in the README beside them; the readers of products and correspondence are the training's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vtryon.errors import MissingInputError
from vtryon.nearest import nearest
from vtryon.train.pairs import PICTURE, PRODUCT, read_correspondence, read_garment
from vtryon.train.prepare import PAIRS_LABELS
from vtryon.types import Array, Garment, Label

_ALBEDO = 0.70
_LINEAR = np.array([x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in np.arange(256) / 255])
_INSIDE = 4  # label of the cloth's inside in product pictures


@dataclass(frozen=True)
class Scene:
    """One rendered person in three tops in turn; ``folder`` holds its files."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "meta.json").read_text())
        return found

    @property
    def validates(self) -> bool:
        """Whether it is kept for validation, and never trained on."""
        return self.folder.name.endswith("7")

    @property
    def yaw(self) -> float:
        return float(self.meta["yaw"])

    def landmarks(self, top: int) -> Array | None:
        """(33, 3) float32 MediaPipe's x, y (px) and visibility in the first picture in ``top``; None: found nobody."""
        found = self.meta["images"][f"t{top}_f0"]["mediapipe"]
        return None if found is None else np.asarray(found, np.float32)

    @property
    def found(self) -> bool:
        """Whether MediaPipe finds the person in every picture."""
        return all(image["mediapipe"] is not None for image in self.meta["images"].values())

    def labels(self, top: int, frame: int = 0) -> Array:
        """(384, 288) uint8 of :class:`~vtryon.types.Label`: the picture in ``top`` in one of its two moments."""
        return np.asarray(PAIRS_LABELS[np.asarray(Image.open(self.folder / f"t{top}_f{frame}_lab.png"))])

    def garment(self, top: int) -> Garment:
        """The product as it truly is, grey."""
        return read_garment(self.folder, top, self.meta)

    def correspondence(self, top: int) -> tuple[Array, Array]:
        """(N, 2) picture px of the first picture in ``top``, and (N, 2) product px of the cloth seen there."""
        return read_correspondence(self.folder, f"t{top}_f0")

    def brightness(self, top: int) -> float:
        """How bright (sRGB) the cloth of ``top`` is beside cloth in full light: the scene's exposure."""
        grey = self._rgba(f"t{top}_f0")[..., :3].mean(axis=2)[self.labels(top) == Label.TOP]
        full = 255 * (1.055 * _ALBEDO ** (1 / 2.4) - 0.055)
        return float(np.clip(np.median(grey) / full, 0.2, 1.0)) if grey.size else 1.0

    def worn(self, top: int, cloth: Array, background: Array, frame: int = 0) -> Array:
        """(384, 288, 3) uint8: the person in ``top`` of ``cloth`` (512, 384, 3) before ``background``, in the first or
        second moment."""
        rgba = self._rgba(f"t{top}_f{frame}")
        at = self._origin(f"t{top}_f{frame}")
        printed = cv2.remap(cloth, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        printed[at[..., 0] < -0.5] = main_colour(cloth)
        cloth_seen = (self.labels(top, frame) == Label.TOP)[..., None]
        rgb = np.where(cloth_seen, dyed(rgba[..., :3], printed), rgba[..., :3])
        return _over(rgb, rgba[..., 3], background)

    def product(self, top: int, cloth: Array, background: Array) -> Array:
        """(512, 384, 3) uint8: the product picture of ``top`` made of ``cloth``, the same size, on ``background``."""
        rgba = self._rgba(f"product_{top}")
        inside = np.asarray(Image.open(self.folder / f"product_{top}_lab.png")) == _INSIDE
        printed = np.where(inside[..., None], main_colour(cloth), cloth)
        return _over(dyed(rgba[..., :3], printed), rgba[..., 3], background)

    def product_alpha(self, top: int) -> Array:
        """(512, 384) uint8: what of the product picture is garment, inside of the cloth included."""
        return self._rgba(f"product_{top}")[..., 3]

    def _origin(self, name: str) -> Array:
        """(384, 288, 2) float32: where in the product OpenCV finds the cloth of every pixel of a picture; -1 where that
        is not known."""
        picture, product = read_correspondence(self.folder, name)
        at = np.full((*PICTURE, 2), -1, np.float32)
        x, y = picture.astype(int).T
        at[y, x] = product - 0.5
        if name.endswith("f0"):
            return at
        some = np.ascontiguousarray(at[::2, ::2])  # second moments are stored at every second pixel
        known = some[..., 0] > -0.5
        if known.any():
            some = np.ascontiguousarray(some.reshape(-1, 2)[nearest(known)[0]], np.float32)
        row, column = np.mgrid[: PICTURE[0], : PICTURE[1]]
        whole = cv2.remap(
            some, (column / 2).astype(np.float32), (row / 2).astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        whole[~known[row // 2, column // 2]] = -1
        return np.asarray(whole, np.float32)

    def _rgba(self, name: str) -> Array:
        return np.asarray(Image.open(self.folder / f"{name}.webp").convert("RGBA"))


def validation_scenes(data: Path) -> Iterator[Scene]:
    """The scenes of ``data/pairs`` that are never trained on; :class:`MissingInputError` where there are none."""
    found = [scene for scene in every_scene(data) if scene.validates]
    if not found:
        raise MissingInputError(f"{data / 'pairs'}: no validation scenes there; give the data folder with --data")
    yield from found


def every_scene(data: Path) -> list[Scene]:
    """The scenes of ``data/pairs`` in order of their numbers; none where there is no such folder."""
    return [Scene(path) for path in sorted((data / "pairs").glob("[0-9]*")) if path.is_dir()]


def dyed(grey: Array, cloth: Array) -> Array:
    """Pictures of grey cloth (H, W, 3) uint8 as if it were dyed in the sRGB colours of ``cloth`` (H, W, 3) uint8."""
    light = _LINEAR[grey] / _ALBEDO * _LINEAR[cloth]
    light = np.clip(light, 0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(srgb * 255), np.uint8)


def _over(rgb: Array, alpha: Array, background: Array) -> Array:
    a = alpha[..., None] / 255.0
    return np.asarray(np.rint(rgb * a + background * (1 - a)), np.uint8)


def main_colour(cloth: Array) -> Array:
    """(3,) uint8: the most frequent colour of a made print."""
    codes, count = np.unique(cloth.reshape(-1, 3) @ np.array([1 << 16, 1 << 8, 1]), return_counts=True)
    most = int(codes[count.argmax()])
    return np.array([most >> 16, most >> 8 & 255, most & 255], np.uint8)


def make_print(rng: np.random.Generator) -> Array:
    """(512, 384, 3) uint8 cloth: plain, with a badge and writing, striped, checked or dotted, in two colours."""
    height, width = PRODUCT
    ground, figure = _two_colours(rng)
    y, x = np.mgrid[:height, :width]
    period = int(rng.integers(16, 44))
    on = np.zeros(PRODUCT, np.uint8)
    pick = rng.choice(["plain", "badge", "stripes", "checks", "dots"], p=[0.2, 0.35, 0.2, 0.15, 0.1])
    if pick == "badge":
        middle = (width // 2, int(rng.uniform(0.4, 0.5) * height))
        cv2.circle(on, middle, int(rng.uniform(25, 45)), (1,), int(rng.integers(4, 10)))
        word = "".join(rng.choice(list("AEKMNORSTX"), 5))
        cv2.putText(on, word, (middle[0] - 55, middle[1] + 12), cv2.FONT_HERSHEY_DUPLEX, 1.1, (1,), 3)
    elif pick == "stripes":
        on[((x if rng.random() < 0.4 else y) // (period // 2)) % 2 > 0] = 1
    elif pick == "checks":
        on[(x % period < period // 3) | (y % period < period // 3)] = 1
    elif pick == "dots":
        on[(x % period - period // 2) ** 2 + (y % period - period // 2) ** 2 < (period // 4) ** 2] = 1
    return np.asarray(np.where(on[..., None] > 0, figure, ground), np.uint8)


def _two_colours(rng: np.random.Generator) -> tuple[Array, Array]:
    while True:
        a, b = rng.integers(20, 236, (2, 1)) + rng.integers(-45, 46, (2, 3))
        if np.abs(a - b).sum() > 150:
            return a.clip(15, 240), b.clip(15, 240)


def make_background(rng: np.random.Generator) -> Array:
    """(384, 288, 3) float32: a softly lit wall, a floor, and a few things standing about."""
    height, width = PICTURE
    coarse = rng.normal(0, 9, (6, 5, 1)).astype(np.float32) + rng.normal(0, 3, (6, 5, 3)).astype(np.float32)
    picture = (
        rng.uniform(80, 225)
        + rng.uniform(-22, 22, 3)
        + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    )
    floor = int(rng.uniform(0.6, 0.9) * height)
    picture[floor:] += rng.uniform(-60, 20) + rng.uniform(-10, 10, 3)
    for _ in range(rng.integers(2, 7)):
        left, top = int(rng.integers(width)), int(rng.integers(height))
        picture[top : top + int(rng.integers(20, 200)), left : left + int(rng.integers(10, 90))] = rng.uniform(
            20, 240, 3
        )
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.2) + rng.normal(0, 1.5, picture.shape)
    return np.clip(blurred, 0, 255).astype(np.float32)
