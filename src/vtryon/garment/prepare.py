"""From a picture to a :class:`~vtryon.types.Garment`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vtryon.errors import BadInputError
from vtryon.garment.cutout import cut_out, fill_from
from vtryon.garment.load import load_picture
from vtryon.garment.silhouette import classify, find_keypoints, split_parts
from vtryon.types import Array, Garment

MAX_SIDE = 1536
"""Pictures are reduced to this long side: more detail than any video of a person shows."""


def load_garment(path: Path) -> Garment:
    """Read and prepare a garment's picture; raises what load_picture and prepare raise."""
    rgb, alpha = load_picture(path)
    return prepare(rgb, alpha, name=str(path))


def prepare(rgb: Array, alpha: Array | None = None, *, name: str = "garment") -> Garment:
    """Cut the garment out and find what it is.

    ``rgb`` (H, W, 3) uint8; ``alpha`` (H, W) float32 is used as it is where given; ``name`` stands in messages.
    Raises BadInputError where no garment is found.
    """
    scale = min(1.0, MAX_SIDE / max(rgb.shape[:2]))
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        alpha = None if alpha is None else cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    if alpha is None:
        alpha = cut_out(rgb)
    area = float((alpha > 0.5).mean())
    if area < 0.01:
        raise BadInputError(f"no garment found in {name}; use a picture of one garment on a plain background")
    points = find_keypoints(alpha)
    parts = split_parts(alpha, points)
    sure = cv2.erode((alpha > 0.95).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    cloth = main_colour(rgb[sure])
    return Garment(
        rgb=fill_from(rgb, sure), alpha=alpha, parts=parts, kind=classify(points), keypoints=points, cloth=cloth
    )


def main_colour(pixels: Array) -> Array:
    """(3,) uint8: the colour that most of the pixels (N, 3) share, the mode in Lab, not a mean of print and cloth."""
    lab = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2LAB)[0].astype(np.int32)
    coarse = lab // 8
    index = (coarse[:, 0] * 32 + coarse[:, 1]) * 32 + coarse[:, 2]
    histogram = np.bincount(index, minlength=32**3).reshape(32, 32, 32).astype(np.float32)
    smooth = histogram.copy()
    for axis in range(3):
        smooth = smooth + np.roll(smooth, 1, axis) + np.roll(smooth, -1, axis)
    peak = np.array(np.unravel_index(int(np.argmax(smooth)), smooth.shape))
    near = (np.abs(coarse - peak) <= 1).all(axis=1)
    return np.asarray(np.median(pixels[near], axis=0), np.uint8)
