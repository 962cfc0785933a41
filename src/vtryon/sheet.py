"""Pictures to look at: side by side, contact sheets, points and lines drawn over a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from vtryon.outputs import beside
from vtryon.types import Array, Label

GUTTER = 4
"""Pixels of white between the pictures of a sheet."""

CELL = 400
"""Height in px of a picture on a contact sheet."""

_BODY = (
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24), (23, 25), (24, 26),
    (25, 27), (26, 28),
)  # fmt: skip
"""Pairs of landmarks that a drawn skeleton joins."""


LABEL_COLOURS = np.array([
    (0, 0, 0), (120, 60, 20), (255, 200, 170), (60, 120, 255), (20, 200, 200), (200, 80, 220), (60, 160, 60),
    (255, 220, 0), (255, 120, 0), (150, 150, 90), (255, 0, 0),
], np.uint8)  # fmt: skip
"""RGB of each :class:`~vtryon.types.Label` in overlays."""


def contact_sheet(rows: Sequence[Sequence[Array]], cell: int = CELL) -> Array:
    """Rows of RGB uint8 pictures of any size, each scaled to ``cell`` px high (never enlarged), on white."""
    lines = [_join([_scaled(picture, cell) for picture in row], axis=1) for row in rows]
    return _join(lines, axis=0)


def _scaled(picture: Array, height: int) -> Array:
    h, w = picture.shape[:2]
    if h <= height:
        return picture
    return cv2.resize(picture, (max(1, round(w * height / h)), height), interpolation=cv2.INTER_AREA)


def _join(pictures: Sequence[Array], axis: int) -> Array:
    across = 1 - axis
    size = max(picture.shape[across] for picture in pictures)
    padded = []
    for picture in pictures:
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[across] = (0, size - picture.shape[across])
        pad[axis] = (0, GUTTER if picture is not pictures[-1] else 0)
        padded.append(np.pad(picture, pad, constant_values=255))
    return np.concatenate(padded, axis=axis)


def on_grey(rgb: Array, alpha: Array, grey: int = 128) -> Array:
    """A cut-out (H, W, 3) uint8 with its alpha (H, W) float32 in [0, 1], laid on plain grey."""
    return over(np.full_like(rgb, grey), rgb, alpha)


def over(below: Array, rgb: Array, alpha: Array) -> Array:
    """A cut-out laid on another picture (H, W, 3) uint8."""
    weight = alpha[..., None]
    mixed: Array = np.rint(rgb * weight + below * (1 - weight))
    return mixed.astype(np.uint8)


def with_labels(rgb: Array, labels: Array, opacity: float = 0.6) -> Array:
    """A picture (H, W, 3) uint8 with labels (H, W) in their colours over it; background darkens it."""
    return np.asarray(cv2.addWeighted(rgb, 1 - opacity, LABEL_COLOURS[labels], opacity, 0), np.uint8)


def with_legend(rgb: Array) -> Array:
    """A copy of ``rgb`` with the name of every label in its colour, from the upper left corner down."""
    drawn = rgb.copy()
    line = max(8, min(rgb.shape[0] // 30, rgb.shape[1] // 12))
    scale, thick = line / 30, max(1, line // 16)
    for label in list(Label)[1:]:
        y = line * int(label)
        cv2.rectangle(drawn, (line // 3, y - line // 2), (line, y + line // 4), LABEL_COLOURS[label].tolist(), -1)
        at, name = (line + line // 3, y + line // 5), label.name.lower().replace("_", " ")
        for colour, width in (((0, 0, 0), thick + 2), ((255, 255, 255), thick)):
            cv2.putText(drawn, name, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)
    return drawn


def with_skeleton(rgb: Array, points: Array) -> Array:
    """A copy of ``rgb`` with body landmarks (33, 2), px, drawn on it."""
    lines = [points[[a, b]] for a, b in _BODY]
    return with_points(with_lines(rgb, lines, (0, 220, 255)), points[11:29], (255, 80, 0))


def with_points(rgb: Array, points: Array, colour: tuple[int, int, int]) -> Array:
    """A copy of ``rgb`` with dots at points (N, 2), px."""
    drawn = rgb.copy()
    radius = max(2, min(rgb.shape[:2]) // 160)
    for x, y in _drawable(points):
        cv2.circle(drawn, (x, y), radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(drawn, (x, y), radius, colour, -1, cv2.LINE_AA)
    return drawn


def with_lines(rgb: Array, lines: Sequence[Array], colour: tuple[int, int, int]) -> Array:
    """A copy of ``rgb`` with polylines, each (N, 2) px."""
    drawn = rgb.copy()
    width = max(1, min(rgb.shape[:2]) // 320)
    for line in lines:
        cv2.polylines(drawn, [_drawable(line)], False, colour, width, cv2.LINE_AA)
    return drawn


def _drawable(points: Array) -> Array:
    pixels: Array = np.rint(np.clip(points, -1e4, 1e4) - 0.5)
    return pixels.astype(np.int32)


def write_picture(path: Path, rgb: Array) -> None:
    """Write an RGB uint8 picture in the format of its suffix, whole or not at all.

    Raises:
        CannotCreateError: the suffix is no picture format.
        WriteError: the disk is full or broke.
    """
    with beside(path) as temporary:
        temporary.write_bytes(_encoded(rgb, path.suffix))


def _encoded(rgb: Array, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"cannot encode {suffix}")
    return data.tobytes()
