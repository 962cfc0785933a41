"""A sleeve that is folded away or lost is put back from the other one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.types import KEYPOINTS, Array, Part

_LOST = 0.4
"""A sleeve with less than this share of the other's area counts as lost."""

_WORTH = 0.05
"""Share of the garment that the better sleeve must cover: caps of a few pixels are not worth mirroring."""

_PARTS = {"l": Part.LEFT_SLEEVE, "r": Part.RIGHT_SLEEVE}


@dataclass(frozen=True, eq=False)
class Cut:
    """A garment cut out: ``rgb`` (H, W, 3) uint8, ``alpha`` (H, W) float32, ``parts`` (H, W) uint8, key ``points``."""

    rgb: Array
    alpha: Array
    parts: Array
    points: dict[str, Array]


def complete_sleeves(cut: Cut) -> tuple[Cut, str | None]:
    """``cut`` with both sleeves, and the name of the one ("left", "right") that was mirrored, if any."""
    area = {side: int(((cut.parts == part) & (cut.alpha > 0.5)).sum()) for side, part in _PARTS.items()}
    lost, good = sorted(area, key=lambda side: area[side])
    if area[lost] >= _LOST * area[good] or area[good] < _WORTH * int((cut.alpha > 0.5).sum()):
        return cut, None
    return _mirror(_widen(cut, good), lost, good), "left" if lost == "l" else "right"


def _widen(cut: Cut, good: str) -> Cut:
    """With room on both sides for as much as the good sleeve sticks out."""
    xs = np.flatnonzero((cut.parts == _PARTS[good]).any(axis=0))
    room = int(np.ptp(xs)) + 8
    return Cut(
        cv2.copyMakeBorder(cut.rgb, 0, 0, room, room, cv2.BORDER_REPLICATE),
        cv2.copyMakeBorder(cut.alpha, 0, 0, room, room, cv2.BORDER_CONSTANT, value=[0]),
        cv2.copyMakeBorder(cut.parts, 0, 0, room, room, cv2.BORDER_CONSTANT, value=[int(Part.NONE)]),
        {name: (point + np.array([room, 0])).astype(np.float32) for name, point in cut.points.items()},
    )


def _mirror(cut: Cut, lost: str, good: str) -> Cut:
    seam = {side: (cut.points[f"shoulder_{side}"] + cut.points[f"armpit_{side}"]) / 2 for side in _PARTS}
    # x -> shift - x and y -> y + drop bring the good sleeve's seam onto the lost one's
    shift, drop = float(seam[lost][0] + seam[good][0]), float(seam[lost][1] - seam[good][1])
    place = np.array([[-1.0, 0.0, shift - 1.0], [0.0, 1.0, drop]])
    size = cut.alpha.shape[1::-1]
    sleeve = np.where(cut.parts == _PARTS[good], cut.alpha, 0).astype(np.float32)
    added = cv2.warpAffine(sleeve, place, size, flags=cv2.INTER_LINEAR)
    colours = cv2.warpAffine(cut.rgb, place, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = np.where(cut.parts == _PARTS[lost], 0, cut.alpha)
    behind = (added > 0) & (alpha < 0.5)  # what is there of the torso stays in front
    rgb, parts = cut.rgb.copy(), np.where(cut.parts == _PARTS[lost], Part.NONE, cut.parts).astype(np.uint8)
    rgb[behind] = colours[behind]
    parts[behind] = int(_PARTS[lost])
    alpha = np.where(behind, added, alpha).astype(np.float32)
    points = dict(cut.points)
    for name in KEYPOINTS:
        if name.startswith("cuff") and name.endswith(lost):
            x, y = points[name[:-1] + good]
            points[name] = np.array([shift - x, y + drop], np.float32)
    return Cut(rgb, alpha, parts, points)
