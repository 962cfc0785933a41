"""Made cloth, backgrounds, shadows and hangers for the garment reader's training. Colours are floats, 0..255."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.types import Array


@dataclass(frozen=True, eq=False)
class Photograph:
    """A real garment: ``rgb`` (h, w, 3) uint8, ``mask`` (h, w) bool, ``kind`` an index into KINDS or -1."""

    rgb: Array
    mask: Array
    kind: int


def colour(rng: np.random.Generator) -> Array:
    """(3,) float64: white, black, grey or any colour."""
    pick = rng.random()
    if pick < 0.18:
        return np.asarray(rng.uniform(215, 255) + rng.normal(0, 3, 3))
    if pick < 0.36:
        return np.asarray(rng.uniform(8, 50) + rng.normal(0, 3, 3))
    if pick < 0.5:
        return np.asarray(rng.uniform(60, 210) + rng.normal(0, 5, 3))
    hsv = np.array([[[rng.integers(180), rng.integers(40, 255), rng.integers(60, 255)]]], np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], np.float64)


def cloth(rng: np.random.Generator, photographs: Sequence[Photograph], height: int, width: int) -> Array:
    """(height, width, 3) float32: plain, striped, checked, dotted, blotched, or taken from a real garment."""
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    first, second = colour(rng).astype(np.float32), colour(rng).astype(np.float32)
    pick = rng.random()
    if pick < 0.25:
        photo = photographs[rng.integers(len(photographs))]
        py, px = np.nonzero(photo.mask)
        y0, y1, x0, x1 = (int(v) for v in (*np.percentile(py, [25, 80]), *np.percentile(px, [28, 72])))
        if y1 - y0 > 8 and x1 - x0 > 8:
            crop = photo.rgb[y0:y1, x0:x1]
            return np.asarray(cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    period = rng.uniform(4, 40)
    u, v = (xs / period) % 1, (ys / period) % 1
    weight = np.zeros((height, width), np.float32)
    if pick < 0.40:
        weight = ((v if rng.random() < 0.7 else u) < rng.uniform(0.2, 0.7)).astype(np.float32)
    elif pick < 0.48:
        weight = ((u < 0.4) * 0.5 + (v < 0.4) * 0.5).astype(np.float32)
    elif pick < 0.54:
        weight = ((u - 0.5) ** 2 + (v - 0.5) ** 2 < 0.06).astype(np.float32)
    elif pick < 0.62:
        weight = (noise(rng, height, width, int(rng.integers(4, 24))) > rng.uniform(-0.5, 0.8)).astype(np.float32)
    return np.asarray(first + (second - first) * weight[..., None], np.float32)


def background(rng: np.random.Generator, photographs: Sequence[Photograph], side: int) -> Array:
    """(side, side, 3) float32: a studio's white, a plain colour, cloth, or what lies beside a real garment."""
    pick = rng.random()
    if pick >= 0.6:
        return _beside_a_garment(rng, photographs, side)
    base = np.empty((side, side, 3), np.float32)
    if pick < 0.2:
        base[:] = rng.uniform(235, 255)
    elif pick < 0.5:
        base[:] = colour(rng)
    else:
        base[:] = cloth(rng, photographs, side, side)
    ys, xs = np.mgrid[:side, :side] / side - 0.5
    light = 1 + rng.normal(0, 0.12) * xs + rng.normal(0, 0.12) * ys
    light += rng.uniform(0, 0.08) * noise(rng, side, side, int(rng.integers(2, 60)))
    return np.asarray(np.clip(base * light[..., None], 0, 255), np.float32)


def _beside_a_garment(rng: np.random.Generator, photographs: Sequence[Photograph], side: int) -> Array:
    """A strip beside a real garment, mirrored until it fills the picture."""
    for _ in range(4):
        photo = photographs[rng.integers(len(photographs))]
        ys, xs = np.nonzero(photo.mask)
        beside = (
            photo.rgb[:, : xs.min()],
            photo.rgb[:, xs.max() + 1 :],
            photo.rgb[: ys.min()],
            photo.rgb[ys.max() + 1 :],
        )
        strip = max(beside, key=lambda s: min(s.shape[:2]))
        if min(strip.shape[:2]) < 20:
            continue
        scale = rng.uniform(0.5, 1.2)
        strip = np.asarray(cv2.resize(strip, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        if rng.random() < 0.5:
            strip = strip.transpose(1, 0, 2)
        for axis in (0, 1):
            while strip.shape[axis] < side:
                strip = np.concatenate([strip, np.flip(strip, axis)], axis)
        y, x = rng.integers(strip.shape[0] - side + 1), rng.integers(strip.shape[1] - side + 1)
        return np.ascontiguousarray(strip[y : y + side, x : x + side], np.float32)
    return np.ascontiguousarray(np.broadcast_to(colour(rng), (side, side, 3)), np.float32)


def shadowed(rng: np.random.Generator, back: Array, mask: Array) -> Array:
    """A background (H, W, 3) with the soft shadow of what will lie on it."""
    x, y = rng.normal(0, 2.5, 2)
    size = mask.shape[1::-1]
    shade = cv2.warpAffine(mask.astype(np.float32), np.array([[1, 0, x], [0, 1, y]], np.float32), size)
    shade = cv2.GaussianBlur(shade, (0, 0), float(rng.uniform(0.7, 5)))
    return np.asarray(back * (1 - rng.uniform(0.05, 0.6) * shade[..., None]), np.float32)


def hang(rng: np.random.Generator, back: Array, neck: Array, width: float) -> None:
    """Draw a hanger into ``back`` (H, W, 3) float32, its hook above ``neck`` (2,), for shoulders ``width`` px apart."""
    reach = width * rng.uniform(0.25, 0.5)
    x, y = float(neck[0]), float(neck[1] - rng.uniform(2, 10))
    tint = [float(v) for v in rng.uniform(0, 255, 3)]
    thick = int(rng.integers(1, 4))
    for side in (-1, 1):
        end = (int(x + side * reach), int(y + rng.uniform(0.2, 0.5) * reach))
        cv2.line(back, (int(x), int(y)), end, tint, thick, cv2.LINE_AA)
    cv2.line(back, (int(x), int(y)), (int(x), int(y) - 5), tint, 1, cv2.LINE_AA)
    cv2.ellipse(back, (int(x), int(y) - 5), (3, 4), 0, 180, 400, tint, 1, cv2.LINE_AA)


def camera(rng: np.random.Generator, rgb: Array) -> Array:
    """(H, W, 3) uint8: exposure, white balance, a little blur and sensor noise."""
    rgb = np.clip(rgb, 0, 255).astype(np.float32)
    rgb = 255 * (rgb / 255) ** np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.3:
        rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.3, 0.9)))
    rgb = rgb + rng.normal(0, rng.uniform(0, 5), rgb.shape)
    return np.asarray(np.clip(rgb, 0, 255), np.uint8)


def noise(rng: np.random.Generator, height: int, width: int, cells: int) -> Array:
    """(height, width) float32 smooth noise of about unit spread."""
    field = rng.normal(0, 1, (cells, max(2, cells * width // height))).astype(np.float32)
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC))
