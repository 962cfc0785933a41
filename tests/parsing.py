"""A drawn person with pose, matte and labels, for the tests of the parser and its training."""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import Array, Label, Pose

SKIN, SHIRT, TROUSERS, HAIR, WALL = (215, 160, 130), (40, 70, 190), (60, 60, 60), (50, 30, 20), (190, 190, 180)


def landmarks(scale: float = 1.0, at: tuple[float, float] = (96.0, 128.0)) -> Array:
    """(33, 2) float32: a standing body facing us, hips at ``at``, 100 px from shoulders to hips at scale 1."""
    p = np.zeros((33, 2), np.float32)
    p[:11] = (0, -130)
    p[[7, 2]], p[[8, 5]] = (14, -132), (-14, -132)  # the wearer's left is on our right
    p[[9, 10]] = (5, -120), (-5, -120)
    for left, x, y in ((11, 30, -100), (13, 42, -55), (15, 46, -10), (23, 18, 0), (25, 20, 60), (27, 20, 115)):
        p[left], p[left + 1] = (x, y), (-x, y)
    for left in (17, 19, 21):
        p[left], p[left + 1] = (47, 4), (-47, 4)
    for left in (29, 31):
        p[left], p[left + 1] = (22, 125), (-22, 125)
    return (p * scale + at).astype(np.float32)


def pose(points: Array | None = None) -> Pose:
    points = landmarks(0.75) if points is None else points
    ones = np.ones(33, np.float32)
    return Pose(points, 0 * ones, ones, np.zeros((33, 3), np.float32))


def draw(points: Array, size: tuple[int, int] = (256, 192), seed: int | None = None) -> tuple[Array, Array, Array]:
    """RGB (H, W, 3) uint8, labels (H, W) uint8 and matte (H, W) float32 of the body with ``points``."""
    s = float(np.linalg.norm(points[11] - points[23])) / 100
    labels = np.zeros(size, np.uint8)

    def limb(label: Label, width: float, *chain: int) -> None:
        line = np.round(points[list(chain)]).astype(np.int32)
        cv2.polylines(labels, [line], False, (int(label),), max(1, round(width * s)))

    head = tuple(int(v) for v in points[0])
    limb(Label.LEGS, 22, 25, 27)
    limb(Label.LEGS, 22, 26, 28)
    limb(Label.LOWER, 26, 23, 25)
    limb(Label.LOWER, 26, 24, 26)
    cv2.ellipse(labels, head, (round(20 * s), round(26 * s)), 0, 0, 360, (int(Label.HAIR),), -1)
    cv2.fillPoly(labels, [np.round(points[[11, 12, 24, 23]]).astype(np.int32)], (int(Label.TOP),))
    cv2.ellipse(labels, (head[0], head[1] + round(5 * s)), (round(14 * s), round(20 * s)), 0, 0, 360, (2,), -1)
    limb(Label.LEFT_ARM, 13, 13, 15, 19)
    limb(Label.RIGHT_ARM, 13, 14, 16, 20)
    limb(Label.TOP, 16, 11, 13)
    limb(Label.TOP, 16, 12, 14)
    colours = np.array([WALL, HAIR, SKIN, SHIRT, SHIRT, SHIRT, TROUSERS, SKIN, SKIN, TROUSERS, WALL], np.float32)
    rgb = colours[labels]
    if seed is not None:
        rgb = rgb + np.random.default_rng(seed).normal(0, 2, rgb.shape)
    matte = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 1)
    return np.clip(rgb, 0, 255).astype(np.uint8), labels, matte
