"""Labels of the person's regions without a trained network: geometry of the pose inside the matte."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from vtryon.types import CROP_SIZE, Array, Label, Pose


def label_regions(rgb: Array, pose: Pose, matte: Array, state: Any) -> tuple[Array, Any]:
    """The :class:`~vtryon.person.Labeller` that needs no weights; see there for shapes."""
    p = pose.points
    hip = p[23:25].mean(axis=0)
    shoulder = p[11:13].mean(axis=0)
    size = max(float(np.linalg.norm(hip - shoulder)), 8.0)
    grid = np.full(CROP_SIZE, int(Label.TOP), np.uint8)
    rows = np.arange(CROP_SIZE[0])[:, None]
    grid[np.broadcast_to(rows > hip[1] + 0.05 * size, CROP_SIZE)] = Label.LOWER
    grid[np.broadcast_to(rows > p[25:27, 1].min(), CROP_SIZE)] = Label.LEGS
    head = p[:9].mean(axis=0)
    chin = shoulder[1] - 0.12 * size
    grid[np.broadcast_to(rows < chin, CROP_SIZE)] = Label.HAIR
    _line(grid, shoulder, head, 0.28 * size, Label.FACE)
    cv2.ellipse(grid, _px(head), (int(0.2 * size), int(0.28 * size)), 0, 0, 360, (int(Label.FACE),), -1)
    for label, (elbow, wrist, tip) in {Label.LEFT_ARM: (13, 15, 19), Label.RIGHT_ARM: (14, 16, 20)}.items():
        _line(grid, p[elbow], p[wrist], 0.2 * size, label)
        _line(grid, p[wrist], p[tip], 0.24 * size, label)
    soft = np.zeros((len(Label), *CROP_SIZE), np.float32)
    for label in Label:
        if label != Label.BACKGROUND:
            soft[label] = cv2.GaussianBlur((grid == label).astype(np.float32), (0, 0), 1.5) * matte
    soft[Label.BACKGROUND] = 1 - matte
    soft /= soft.sum(axis=0, keepdims=True) + 1e-6
    return np.rint(soft * 255).astype(np.uint8), state


def _px(point: Array) -> tuple[int, int]:
    return int(np.clip(point[0], -999, 999)), int(np.clip(point[1], -999, 999))


def _line(grid: Array, a: Array, b: Array, width: float, label: Label) -> None:
    cv2.line(grid, _px(a), _px(b), (int(label),), max(1, round(width)))
