"""How warps, labels and cameras go wrong, for the renderer's examples; everything random comes from the generator."""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.planes import smoothstep
from vtryon.types import CROP_SIZE, WORN_TOP, Array, Label

_GRID = (6, 5)  # nodes of the smooth fields: about the spacing of the warp's own lattice
_AROUND = np.ones((5, 5), np.uint8)
_NOISE = np.random.default_rng(0).normal(0, 1, (320, 256, 3)).astype(np.float32)


def field(size: tuple[int, ...], amplitude: float, rng: np.random.Generator) -> Array:
    """(H, W, 2) float32 px: a smooth random displacement; ``amplitude`` is the standard deviation of its nodes, in px
    of a crop of the usual size."""
    nodes = rng.normal(0, amplitude * size[0] / CROP_SIZE[0], (*_GRID, 2)).astype(np.float32)
    return np.asarray(cv2.resize(nodes, size[1::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def camera_motion(size: tuple[int, ...], stride: int, rng: np.random.Generator) -> Array:
    """(H, W, 2) float32 px: shift, turn and zoom of a hand-held camera over ``stride`` frames."""
    h, w = size[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x, y = x - w / 2, y - h / 2
    dx, dy = rng.normal(0, 1.2 * stride * h / CROP_SIZE[0], 2)
    turn, zoom = rng.normal(0, 0.006 * stride, 2)
    return np.asarray(np.stack([dx + zoom * x - turn * y, dy + turn * x + zoom * y], -1), np.float32)


def moved(values: Array, by: Array, *, nearest: bool = False) -> Array:
    """``values`` (H, W[, C]) taken from ``by`` (H, W, 2) px beside each pixel; labels ask for the ``nearest``."""
    h, w = by.shape[:2]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    x, y = x + by[..., 0], y + by[..., 1]
    if values.ndim == 3 and values.shape[2] > 4:  # OpenCV remaps at most four channels at a time
        return np.concatenate(
            [moved(values[..., i : i + 4], by).reshape(h, w, -1) for i in range(0, values.shape[2], 4)], -1
        )
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    if values.dtype == np.int8:  # which OpenCV does not remap
        return moved(values.view(np.uint8), by, nearest=nearest).view(np.int8)
    return np.asarray(cv2.remap(values, x, y, how, borderMode=cv2.BORDER_REPLICATE))


def look(rng: np.random.Generator) -> Array:
    """(256, 1, 3) uint8: exposure, contrast and colour cast of a camera, as a table of encoded values."""
    gamma, gain = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(-0.05, 0.12)) * np.exp(rng.normal(0, 0.04, 3))
    if rng.random() < 0.1:
        gain = gain * rng.uniform(0.25, 0.6)
    ramp = np.linspace(0, 1, 256)[:, None] ** gamma * gain
    return np.asarray(np.clip(ramp * 255, 0, 255), np.uint8)[:, None]


def seen(picture: Array, table: Array) -> Array:
    """A picture (H, W, 3) through a :func:`look`, uint8."""
    return np.asarray(cv2.LUT(np.clip(picture, 0, 255).astype(np.uint8), table))


def noisy(picture: Array, rng: np.random.Generator) -> Array:
    """Sensor noise, and now and then compression."""
    h, w = picture.shape[:2]
    y, x = rng.integers(_NOISE.shape[0] - h + 1), rng.integers(_NOISE.shape[1] - w + 1)
    noise = _NOISE[y : y + h, x : x + w] * np.float32(abs(rng.normal(0, 2.5)))
    out: Array = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out


def patches(size: tuple[int, ...], rng: np.random.Generator) -> Array:
    """(H, W) float32 in [0, 1]: random soft patches, on the whole as much of the one as of the other."""
    coarse = rng.normal(0.5, 0.8, (8, 6)).astype(np.float32)
    return np.asarray(np.clip(cv2.resize(coarse, size[1::-1], interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)


def outline(mask: Array, rng: np.random.Generator) -> Array:
    """A mask (H, W) float32 a little larger or smaller."""
    k = int(rng.integers(0, 4))
    if k == 0:
        return mask
    kernel = np.ones((k + 1, k + 1), np.uint8)
    return np.asarray(cv2.erode(mask, kernel) if rng.random() < 0.5 else cv2.dilate(mask, kernel))


def worn(labels: Array) -> Array:
    """(H, W) float32: the worn top and the pixels along its edge, which are mixed with it."""
    return np.asarray(cv2.dilate(np.isin(labels, WORN_TOP).astype(np.float32), _AROUND))


def misread(labels: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The hole (H, W) float32 that a parser with mistakes leaves, and the labels that it gives: pieces of the top taken
    for something else, which then stay in sight, pieces of something else taken for the top, a ragged outline."""
    told = labels.copy()
    top = np.isin(labels, WORN_TOP)
    for _ in range(int(rng.integers(1, 3)) if rng.random() < 0.4 and top.any() else 0):
        y, x = np.argwhere(top)[rng.integers(int(top.sum()))]
        box = (float(x), float(y)), tuple(rng.uniform(4, 26, 2).tolist()), float(rng.uniform(0, 180))
        blob = np.zeros(labels.shape, np.uint8)
        cv2.ellipse(blob, box, (1,), -1)
        if rng.random() < 0.5:
            wrong = (Label.LOWER, Label.BACKGROUND, Label.LEFT_ARM, Label.FACE, Label.CARRIED)
            told[(blob > 0) & top] = wrong[int(rng.integers(len(wrong)))]
        else:
            told[blob > 0] = Label.TOP
    hole = outline(worn(told), rng)
    return hole, told


def more_taken(labels: Array, points: Array, rng: np.random.Generator) -> Array:
    """(H, W) float32: what an old top larger than this one would have covered too: arms, neck, hips, background."""
    h, w = labels.shape
    hole = np.zeros((h, w), np.float32)
    rows = np.arange(h, dtype=np.float32)[:, None]
    top = np.isin(labels, WORN_TOP)
    if rng.random() < 0.5:
        gone = [label for label in (Label.LEFT_ARM, Label.RIGHT_ARM) if rng.random() < 0.8]
        arms = np.isin(labels, gone)
        if arms.any() and rng.random() < 0.6:  # as far as a sleeve would reach
            ys = np.nonzero(arms.any(axis=1))[0]
            arms &= rows < ys[0] + rng.uniform(0.3, 1.0) * (ys[-1] - ys[0])
        hole = np.maximum(hole, cv2.dilate(arms.astype(np.float32), np.ones((3, 3), np.uint8)))
    if rng.random() < 0.4:
        chin = float(points[[9, 10], 1].mean()) + 0.75 * float(points[[9, 10], 1].mean() - points[0, 1])
        hole = np.maximum(hole, (labels == Label.FACE) * smoothstep(chin, chin + 4, rows))
    if top.any() and rng.random() < 0.4:
        hem = int(np.nonzero(top.any(axis=1))[0][-1])
        lower = np.isin(labels, (Label.LOWER, Label.LEGS)) & (rows < hem + rng.uniform(4, 45))
        hole = np.maximum(hole, lower)
    if rng.random() < 0.3:  # wider than the body
        k = int(rng.integers(3, 15))
        wide = cv2.dilate(top.astype(np.uint8), np.ones((k, k), np.uint8)) > 0
        hole = np.maximum(hole, wide & np.isin(labels, (Label.BACKGROUND, Label.LOWER)))
    return np.asarray(hole, np.float32)
