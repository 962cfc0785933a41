"""Key points, parts, kind and the inside of the collar: what the reader saw, brought to the garment's own outline."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from vtryon.garment.network import INSIDE_WEIGHT, SEGMENTS
from vtryon.garment.reader import Reading
from vtryon.types import Array, GarmentKind, Part

_ON_OUTLINE = ("collar_l", "collar_r", "cuff_out_l", "cuff_in_l", "cuff_out_r", "cuff_in_r", "hem_l", "hem_r", "hem_c")
"""Key points that lie on the garment's outline."""

_REACH = 0.03
"""How far a key point may move to the outline, as a share of the garment's longer side."""

_NECK_SLACK = 0.06
"""How far below the neckline of the key points the inside may reach, as a share of the neckline's width."""

_NARROW = 0.25
"""A neckline less wide than this share of the shoulders is not one that the head goes through."""


_SEAM = 0.012  # of the picture's longer side: how smooth the line between two parts is
_FRAY = 0.1  # of the neckline's width: narrower strips and gaps along it are mistakes of the labels


def snap_to_outline(points: Mapping[str, Array], mask: Array) -> dict[str, Array]:
    """Key points moved to the nearest point of the outline of ``mask`` (H, W) bool where that is near."""
    found = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    outline = max(found, key=cv2.contourArea)[:, 0].astype(np.float32) + 0.5
    reach = _REACH * float(np.ptp(outline, axis=0).max())
    snapped = dict(points)
    for name in _ON_OUTLINE:
        distance = np.linalg.norm(outline - points[name], axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] < reach:
            snapped[name] = outline[nearest]
    return snapped


def split_parts(reading: Reading, alpha: Array) -> Array:
    """(H, W) uint8 of Part wherever ``alpha`` (H, W) is above 0.

    A seam is a smooth line: where a sleeve lies on its torso, labels fray.
    """
    share = reading.labels
    torso = share[SEGMENTS.index("torso")] + share[SEGMENTS.index("inside")]
    stack = [torso, share[SEGMENTS.index("left sleeve")], share[SEGMENTS.index("right sleeve")]]
    sigma = _SEAM * max(alpha.shape)
    best = np.stack([cv2.GaussianBlur(reading.enlarge(layer, alpha.shape), (0, 0), sigma) for layer in stack]).argmax(0)
    parts = (best + int(Part.TORSO)).astype(np.uint8)
    return np.where(alpha > 0, parts, np.uint8(Part.NONE))


def inside_share(reading: Reading, rgb: Array, alpha: Array) -> Array:
    """(H, W) float32: where the inside shows (the back panel in the collar), with the picture's own edge.

    It must lie in the neckline that the key points draw, too: label map and key points are seldom wrong together.
    """
    share = reading.enlarge(reading.labels[SEGMENTS.index("inside")], alpha.shape)
    cloth = reading.enlarge(1 - reading.labels[SEGMENTS.index("background")], alpha.shape)
    share = np.clip(share / np.maximum(cloth, 0.3), 0, 1)
    share /= INSIDE_WEIGHT - (INSIDE_WEIGHT - 1) * share  # it counted more in training; take that out of the odds
    radius = max(2, round(0.012 * max(alpha.shape)))
    share = cv2.ximgproc.guidedFilter(rgb, share, radius, (0.03 * 255) ** 2)
    share = np.minimum(np.clip((share - 0.4) / 0.2, 0, 1), _above_neckline(reading.points, alpha.shape))
    return np.asarray(_cut_clean(share, alpha, reading.points) * (alpha > 0), np.float32)


def _cut_clean(share: Array, alpha: Array, points: Mapping[str, Array]) -> Array:
    """``share`` (H, W) decided and without frays: a neckline is a smooth line, as sharp as the picture."""
    width = float(points["collar_l"][0] - points["collar_r"][0])
    size = int(np.clip(_FRAY * abs(width), 3, 61)) | 1
    away = ((share > 0.5) | (alpha < 0.5)).astype(np.uint8) * np.uint8(255)
    smooth = cv2.GaussianBlur(cv2.medianBlur(away, size).astype(np.float32) / 255, (0, 0), 1.0)
    reach = cv2.dilate((share > 0.02).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    return np.asarray(np.where(reach, smooth, share), np.float32)


def _above_neckline(points: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """(H, W) float32: 1 above the curve through both ends and the lowest point of the neckline, soft at the curve."""
    left, right, low = (points[name].astype(np.float64) for name in ("collar_l", "collar_r", "collar_c"))
    width = float(left[0] - right[0])
    if width < _NARROW * float(points["shoulder_l"][0] - points["shoulder_r"][0]):
        return np.ones(shape, np.float32)  # a buttoned jacket's lapels: the points do not draw its neckline
    width = max(width, 1.0)
    x, y = np.arange(shape[1]) + 0.5, np.arange(shape[0])[:, None] + 0.5
    side = np.where(x > low[0], 1.0, -1.0)
    end = np.where((side > 0)[:, None], left, right)
    reach = np.abs(x - low[0]) / np.maximum(side * (end[:, 0] - low[0]), 0.1 * width)
    curve = low[1] + (end[:, 1] - low[1]) * np.minimum(reach, 1.0) ** 2 + _NECK_SLACK * width
    soft = max(1.0, 0.03 * width)
    return np.asarray(np.clip((curve - y) / soft + 0.5, 0, 1) * (reach < 1 + 2 * _NECK_SLACK), np.float32)


def kind_of(reading: Reading, points: Mapping[str, Array], alpha: Array) -> GarmentKind:
    """The likeliest kind; what has long sleeves and a gap down its front in ``alpha`` (H, W) is an open jacket."""
    best = max(reading.kinds, key=lambda kind: reading.kinds[kind])
    if best is GarmentKind.LONG_SLEEVE and _open_front(points, alpha):
        return GarmentKind.OPEN_JACKET
    return best


def _open_front(points: Mapping[str, Array], alpha: Array) -> bool:
    """Whether most rows between armpits and hem have a gap in the middle two fifths of the torso."""
    left, right = points["armpit_l"], points["armpit_r"]
    width = left[0] - right[0]
    middle = (left[0] + right[0]) / 2
    rows = slice(max(0, int((left[1] + right[1]) / 2)), int(min(points["hem_l"][1], points["hem_r"][1])))
    strip = alpha[rows, max(0, int(middle - width / 5)) : max(0, int(middle + width / 5))]
    if strip.size == 0:
        return False
    return bool(((strip < 0.5).sum(axis=1) > 0.06 * width).mean() > 0.6)


def tilt_of(points: Mapping[str, Array]) -> float:
    """Degrees by which the garment is turned clockwise in its picture; 0 where its length and its width disagree."""
    top = (points["collar_l"] + points["collar_r"] + points["shoulder_l"] + points["shoulder_r"]) / 4
    down = (points["hem_l"] + points["hem_r"]) / 2 - top
    across = points["armpit_l"] - points["armpit_r"]
    along, over = np.degrees([np.arctan2(-down[0], down[1]), np.arctan2(across[1], across[0])])
    return float((along + over) / 2) if abs(along - over) < 12 else 0.0
