"""Made-up bodies for tests of the person room: landmarks of a standing figure, observations of it, drawn pictures."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from vtryon.person.pose import Observation
from vtryon.person.track import Slot
from vtryon.types import Frame, Pose

Array = np.ndarray[Any, Any]

# x to the picture's right, y down, in body sizes from the middle of the shoulders; the figure faces the camera
_JOINTS = {
    0: (0.0, -0.55), 1: (0.04, -0.6), 2: (0.07, -0.6), 3: (0.09, -0.6), 4: (-0.04, -0.6), 5: (-0.07, -0.6),
    6: (-0.09, -0.6), 7: (0.14, -0.56), 8: (-0.14, -0.56), 9: (0.05, -0.45), 10: (-0.05, -0.45),
    11: (0.36, 0.0), 12: (-0.36, 0.0), 13: (0.5, 0.5), 14: (-0.5, 0.5), 15: (0.56, 0.95), 16: (-0.56, 0.95),
    17: (0.58, 1.1), 18: (-0.58, 1.1), 19: (0.56, 1.12), 20: (-0.56, 1.12), 21: (0.52, 1.06), 22: (-0.52, 1.06),
    23: (0.22, 1.0), 24: (-0.22, 1.0), 25: (0.22, 1.85), 26: (-0.22, 1.85), 27: (0.22, 2.6), 28: (-0.22, 2.6),
    29: (0.22, 2.7), 30: (-0.22, 2.7), 31: (0.26, 2.75), 32: (-0.26, 2.75),
}  # fmt: skip


def points(x: float = 240.0, y: float = 200.0, size: float = 150.0) -> Array:
    """(33, 2) float32 landmarks of a figure whose shoulders' middle is at (x, y)."""
    return (np.array([_JOINTS[i] for i in range(33)]) * size + (x, y)).astype(np.float32)


def world(yaw: float = 0.0) -> Array:
    """(33, 3) float32 world landmarks of the figure, turned."""
    flat = np.array([_JOINTS[i] for i in range(33)]) * 0.45
    flat[:, 1] -= 0.45
    turn = np.radians(yaw)
    return np.stack([flat[:, 0] * np.cos(turn), flat[:, 1], flat[:, 0] * np.sin(turn)], axis=1).astype(np.float32)


def observation(at: Array, yaw: float = 0.0, shape: tuple[int, int] = (640, 480)) -> Observation:
    """The figure with landmarks ``at`` as it would be seen in a frame of ``shape``, with a matte of its box."""
    matte = np.zeros((shape[0] // 4, shape[1] // 4), np.uint8)
    (x0, y0), (x1, y1) = np.clip(at.min(axis=0) / 4, 0, None), at.max(axis=0) / 4
    matte[int(y0) : int(y1), int(x0) : int(x1)] = 255
    return Observation(
        points=at.astype(np.float32),
        depth=np.zeros(33, np.float32),
        visibility=np.ones(33, np.float32),
        world=world(yaw),
        matte=matte,
        window=(0, 0, shape[1], shape[0]),
    )


def pose(at: Array, yaw: float = 0.0) -> Pose:
    return Pose(at.astype(np.float32), np.zeros(33, np.float32), np.ones(33, np.float32), world(yaw))


def frame(rgb: Array, index: int, fps: int = 24) -> Frame:
    return Frame(rgb, index, Fraction(1, fps), index)


def slot(index: int, seen: Observation | None, shot: int = 0) -> tuple[Frame, Slot]:
    picture = frame(np.zeros((2, 2, 3), np.uint8), index)
    return picture, Slot(index, picture.seconds, shot, seen)


SKIN, HAIR, SHIRT, TROUSERS, WALL = (224, 172, 140), (60, 40, 30), (30, 90, 160), (70, 72, 60), (200, 205, 210)


def drawing(at: Array, *, sleeves: bool) -> tuple[Array, Array]:
    """The figure drawn on a crop, (256, 192, 3) uint8, and its matte; bare arms without ``sleeves``."""
    rgb = np.full((256, 192, 3), WALL, np.uint8)
    size = float(np.linalg.norm(at[11:13].mean(axis=0) - at[23:25].mean(axis=0)))

    def bar(a: int, b: int, width: float, colour: tuple[int, int, int]) -> None:
        ends = [tuple(int(v) for v in at[i]) for i in (a, b)]
        cv2.line(rgb, ends[0], ends[1], colour, max(1, int(width * size)))

    for hip, knee, foot in ((23, 25, 27), (24, 26, 28)):
        bar(hip, knee, 0.34, TROUSERS)
        bar(knee, foot, 0.3, TROUSERS)
    cv2.fillPoly(rgb, [at[[11, 12, 24, 23]].astype(np.int32)], SHIRT)
    bar(11, 12, 0.2, SHIRT)
    bar(23, 24, 0.3, TROUSERS)
    for shoulder, elbow, wrist, tip in ((11, 13, 15, 19), (12, 14, 16, 20)):
        bar(shoulder, elbow, 0.2, SHIRT if sleeves else SKIN)
        bar(elbow, wrist, 0.17, SHIRT if sleeves else SKIN)
        bar(wrist, tip, 0.17, SKIN)
    neck, head = at[11:13].mean(axis=0), at[7:9].mean(axis=0)
    cv2.line(rgb, tuple(neck.astype(int).tolist()), tuple(head.astype(int).tolist()), SKIN, int(0.2 * size))
    middle = (int(head[0]), int(head[1]))
    cv2.ellipse(rgb, middle, (int(0.2 * size), int(0.32 * size)), 0, 0, 360, HAIR, -1)
    cv2.ellipse(
        rgb, (middle[0], middle[1] + int(0.05 * size)), (int(0.15 * size), int(0.2 * size)), 0, 0, 360, SKIN, -1
    )
    matte = (rgb != WALL).any(axis=2).astype(np.float32)
    return rgb, matte
