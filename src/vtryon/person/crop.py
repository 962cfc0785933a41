"""The person-centred window: what it must hold, how it moves, and sampling pictures through it.

The window reaches from above the head to the knees, with the arms, as far as they are inside the frame, at 3:4. It is
held in body terms (mid shoulders, body size, reach to each side), each with some play, so that a person who stands
still has a window that does not move at all, and waving arms widen it once instead of pumping it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.person.pose import Observation, body_size
from vtryon.types import CROP_SIZE, Array, Crop

OUTSIDE = (128, 128, 128)
"""RGB of crop pixels that lie outside the frame."""

MARGIN = 0.06
"""Free border around what must be inside, as a share of the window."""

_PLAY_PLACE = 0.04  # of the body size
_PLAY_SIZE = 0.05  # in log units
_PLAY_REACH = 0.08  # of the body size
_RELAX = 3.0  # seconds in which an unused reach shrinks by 1/e
_LEAST = 1.2  # body sizes: least height, for people who are almost out of the frame
_FRAMES = 3  # the matte is averaged over so many to each side
_ALIKE = 0.25  # difference of mattes at which a neighbour's weight has fallen to 1/e
_ARMS_HEAD = (0, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24)


@dataclass(frozen=True, eq=False)
class Framing:
    """Where the window wants to be: ``anchor`` (2,) px mid shoulders, ``size`` px body size, ``reach`` (4,) left, up,
    right, down from the anchor in body sizes."""

    anchor: Array
    size: float
    reach: Array


def framing(points: Array, visibility: Array, matte_box: Array | None, shape: tuple[int, int]) -> Framing:
    """What the window must hold for landmarks (33, 2), (33,) in a frame of ``shape`` = (height, width).

    ``matte_box`` (4,) left, top, right, bottom of the matte in px, or None: it finds hair and wide clothes.
    """
    size = body_size(points)
    anchor = points[11:13].mean(axis=0).astype(np.float64)
    shown = [i for i in _ARMS_HEAD if visibility[i] > 0.3 or i in (11, 12)]
    x0, y0 = points[shown].min(axis=0) - 0.12 * size
    x1, y1 = points[shown].max(axis=0) + 0.12 * size
    head = float(points[:9, 1].mean())
    top = head - 0.45 * size
    hips = float(points[23:25, 1].mean())
    bottom = float(np.clip(points[25:27, 1].max(), hips + 0.4 * size, hips + 1.0 * size))
    if matte_box is not None:
        left, upper, right, _ = (float(v) for v in matte_box)
        top = float(np.clip(upper, head - 0.8 * size, head - 0.3 * size))
        x0 = min(float(x0), max(left, float(points[11:13, 0].min()) - 0.7 * size))
        x1 = max(float(x1), min(right, float(points[11:13, 0].max()) + 0.7 * size))
    height, width = shape
    box = np.array([max(x0, 0.0), max(min(y0, top), 0.0), min(x1, width), min(max(y1, bottom), height)])
    reach = (box - np.tile(anchor, 2)) * (-1, -1, 1, 1) / size
    return Framing(anchor, size, np.maximum(reach, 0.05))


def follow(old: Framing | None, new: Framing, seconds: float) -> Framing:
    """The next held framing: each quantity moves only when it leaves its play; reaches grow at once, shrink slowly."""
    if old is None:
        return new
    anchor = old.anchor + _beyond(new.anchor - old.anchor, _PLAY_PLACE * new.size)
    size = old.size * math.exp(float(_beyond(np.log(new.size / old.size), _PLAY_SIZE)))
    change = _beyond(new.reach - old.reach, _PLAY_REACH)
    reach = old.reach + np.where(change > 0, change, change * (1 - math.exp(-max(seconds, 0.0) / _RELAX)))
    return Framing(anchor, size, reach)


def _beyond(change: Array, play: float) -> Array:
    out: Array = change - np.clip(change, -play, play)
    return out


def window(held: Sequence[Framing], weights: Array) -> Crop:
    """The crop for the weighted mean of ``held`` framings (a centred stretch of time)."""
    w = np.asarray(weights, np.float64) / np.sum(weights)
    anchor = sum(k * f.anchor for k, f in zip(w, held, strict=True))
    size = math.exp(sum(float(k) * math.log(f.size) for k, f in zip(w, held, strict=True)))
    reach = sum(k * f.reach for k, f in zip(w, held, strict=True)) * size
    left, up, right, down = (float(v) for v in np.asarray(reach) * (1 + MARGIN * np.array([2, 1, 2, 1])))
    x, y = (float(v) for v in np.asarray(anchor))
    height = max(up + down, (left + right) * CROP_SIZE[0] / CROP_SIZE[1], _LEAST * size)
    width = height * CROP_SIZE[1] / CROP_SIZE[0]
    return Crop(x + (right - left - width) / 2, y + (down - up - height) / 2, height)


def matte_box(seen: Observation) -> Array | None:
    """(4,) left, top, right, bottom of the matte in frame px, None where it is empty."""
    on = seen.matte > 127
    cols, rows = np.flatnonzero(on.any(axis=0)), np.flatnonzero(on.any(axis=1))
    if not len(cols):
        return None
    left, top, w, h = seen.window
    sx, sy = w / seen.matte.shape[1], h / seen.matte.shape[0]
    return np.array(
        [left + sx * cols[0], top + sy * rows[0], left + sx * (cols[-1] + 1), top + sy * (rows[-1] + 1)], np.float64
    )


def picture_on(crop: Crop, rgb: Array, size: tuple[int, int] = CROP_SIZE) -> Array:
    """``rgb`` (H, W, 3) uint8 through the window: (height, width, 3) uint8, grey outside the frame."""
    return warp(rgb, crop.matrix(size), size, OUTSIDE)


def matte_on(crop: Crop, seen: Observation, size: tuple[int, int] = (256, 192)) -> Array:
    """(height, width) float32 matte of ``seen`` on the grid of ``crop``; 0 outside the frame."""
    left, top, w, h = seen.window
    rows, cols = seen.matte.shape
    to_frame = np.array([[w / cols, 0, left], [0, h / rows, top], [0, 0, 1]])
    return warp(seen.matte, crop.matrix(size) @ to_frame, size).astype(np.float32) / np.float32(255)


def steady_matte(crop: Crop, seen: Sequence[Observation], centre: int) -> Array:
    """(256, 192) float32 matte of ``seen[centre]``, freed from flicker with the frames around it.

    Bilateral in time: a neighbour counts at a pixel as far as it says nearly the same there. The outline of a still
    person is averaged; where it moves, the frames before and after weigh the same and it stays where it is.
    """
    here = matte_on(crop, seen[centre])
    total, weight = here.copy(), np.ones_like(here)
    for i in range(max(0, centre - _FRAMES), min(len(seen), centre + _FRAMES + 1)):
        if i != centre:
            other = matte_on(crop, seen[i])
            alike = cv2.exp(-(((other - here) / _ALIKE) ** 2))
            total += alike * other
            weight += alike
    out: Array = total / weight
    return out


def warp(image: Array, matrix: Array, size: tuple[int, int], border: tuple[int, int, int] = (0, 0, 0)) -> Array:
    """``image`` through the (2, 3) map ``matrix`` (pixel centres at +0.5) onto a grid of ``size``, without aliasing.

    Before a strong reduction the picture is averaged down by a whole factor, bilinear sampling does the rest.
    """
    matrix = np.asarray(matrix, np.float64).copy()
    factor = max(1, math.floor(1 / max(float(np.abs(matrix[:, :2]).sum(axis=1).max()), 1e-6)))
    if factor > 1:
        image, offset = _needed(image, matrix, size, factor)
        rows, cols = image.shape[0] // factor, image.shape[1] // factor
        matrix[:, 2] += matrix[:, :2] @ offset
        matrix[:, :2] *= factor
        image = cv2.resize(image[: rows * factor, : cols * factor], (cols, rows), interpolation=cv2.INTER_AREA)
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    out: Array = cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderValue=border)
    return out


def _needed(image: Array, matrix: Array, size: tuple[int, int], factor: int) -> tuple[Array, Array]:
    """The part of ``image`` that the grid sees, padded at the far edges to whole blocks, and its (x, y) offset."""
    inverse = np.linalg.inv(matrix[:, :2])
    corners = (np.array([(0, 0), (size[1], size[0])]) - matrix[:, 2]) @ inverse.T
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - factor, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + factor, image.shape[1::-1])
    low = np.minimum(low, np.array(image.shape[1::-1]) - 1)
    high = np.maximum(high, low + 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    pad = -np.array(part.shape[:2]) % factor
    if pad.any():
        part = cv2.copyMakeBorder(part, 0, int(pad[0]), 0, int(pad[1]), cv2.BORDER_REPLICATE)
    return part, low
