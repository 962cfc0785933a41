"""A picture still in its layers: the source, what lies under the new cloth, and the cloth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.types import CROP_SIZE, Array, Crop


@dataclass(frozen=True, eq=False)
class Window:
    """A rectangle of whole frame pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def edges(self) -> tuple[float, float, float, float]:
        return float(self.left), float(self.top), float(self.right), float(self.bottom)

    def of(self, picture: Array) -> Array:
        return picture[self.top : self.bottom, self.left : self.right]

    def within(self, other: Window) -> tuple[slice, slice]:
        """Where this window lies in an array that covers ``other``."""
        rows = slice(self.top - other.top, self.bottom - other.top)
        return rows, slice(self.left - other.left, self.right - other.left)


@dataclass(frozen=True, eq=False)
class Layered:
    """The part ``window`` (h, w) of a frame before its layers are one picture, float32, colours in [0, 1].

    ``source`` (h, w, 3) the frame; ``under`` (h, w, 3) what lies under the new cloth, the coarse person p of eq. (5);
    ``cover`` (h, w) in [0, 1] where the cloth lies, its mask m, and ``sleeves`` (h, w) how much of that is sleeve;
    ``cloth`` (h, w, 3) the cloth in the scene's light, of which only what lies under ``cover`` means anything.
    """

    window: Window
    source: Array
    under: Array
    cover: Array
    sleeves: Array
    cloth: Array

    def picture(self) -> Array:
        """(h, w, 3) uint8: eq. (5) as METHOD.md reads it."""
        out = self.under + self.cover[..., None] * (self.cloth - self.under)
        return np.asarray(np.clip(out * 255.0 + 0.5, 0, 255), np.uint8)


def enlarged(planes: Array, crop: Crop, window: Window, size: tuple[int, int] = CROP_SIZE) -> Array:
    """Planes (height, width[, C <= 4]) of the crop's grid of ``size`` over a window of the frame, bilinear."""
    matrix = crop.matrix(size)
    matrix[:, 2] += matrix[:, :2] @ (window.left + 0.5, window.top + 0.5) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(planes, matrix, window.size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE))


def reduced(planes: Array, crop: Crop, window: Window, size: tuple[int, int], border: float = 0.0) -> Array:
    """The inverse: planes (h, w[, C <= 4]) float32 of a window on the crop's grid of ``size``, ``border`` outside the
    window. Boxes are averaged first, so that nothing is skipped."""
    matrix = crop.matrix(size)
    step = max(1, int(1.0 / matrix[0, 0] + 0.25))
    h, w = (side // step for side in planes.shape[:2])
    if step > 1 and h and w:
        planes = cv2.resize(planes[: h * step, : w * step], (w, h), interpolation=cv2.INTER_AREA)
    else:
        step = 1
    scale = np.diag(1.0 / np.diag(matrix[:, :2])) / step
    offset = np.array([crop.left - window.left, crop.top - window.top]) / step + scale @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    back = np.column_stack([scale, offset])
    return np.asarray(
        cv2.warpAffine(planes, back, size[::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(border,) * 4)
    )
