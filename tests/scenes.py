"""Made-up garments, and drawn people in a picture with all that is known about them, for tests of warp and render."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import cv2
import numpy as np

import parsing
from vtryon.types import CROP_SIZE, Array, Crop, Frame, Garment, GarmentKind, Label, Part, Person, Pose
from vtryon.warp import Spline, Warp, garment_lattices

SIZE = (640, 480)  # of the picture, (H, W); its crop is all of it, 2.5 px per crop px
RED, BLUE, GREEN, WHITE = (205, 30, 35), (30, 60, 200), (30, 160, 60), (240, 240, 240)

_POINTS = {
    "collar_l": (225, 50), "collar_r": (135, 50), "collar_c": (180, 80), "shoulder_l": (256, 62),
    "shoulder_r": (104, 62), "armpit_l": (250, 150), "armpit_r": (110, 150), "hem_l": (250, 350), "hem_r": (110, 350),
    "hem_c": (180, 350),
}  # fmt: skip
_CUFFS: Mapping[GarmentKind, tuple[tuple[int, int], tuple[int, int]]] = {
    GarmentKind.SHORT_SLEEVE: ((332, 140), (292, 176)),
    GarmentKind.LONG_SLEEVE: ((352, 320), (312, 334)),
    GarmentKind.SLEEVELESS: (_POINTS["shoulder_l"], _POINTS["armpit_l"]),
}


def garment(
    colour: tuple[int, int, int] = BLUE,
    *,
    kind: GarmentKind = GarmentKind.SHORT_SLEEVE,
    print_colour: tuple[int, int, int] | None = None,
    stripes: tuple[int, int, int] | None = None,
    longer: int = 0,
) -> Garment:
    """A top on 360 x 420 px: plain, with a square print on its chest, or striped all over; ``longer`` px at the hem."""
    points = {n: np.array(p, np.float32) for n, p in _POINTS.items()}
    for name, cuff in zip(("cuff_out", "cuff_in"), _CUFFS[kind], strict=True):
        points[f"{name}_l"] = np.array(cuff, np.float32)
        points[f"{name}_r"] = np.array((360 - cuff[0], cuff[1]), np.float32)
    for name in ("hem_l", "hem_r", "hem_c"):
        points[name][1] += longer
    rgb = np.full((420 + longer, 360, 3), colour, np.uint8)
    if stripes is not None:
        rgb[(np.arange(len(rgb)) // 14) % 2 == 1] = stripes
    if print_colour is not None:
        rgb[160:240, 150:210] = print_colour
    parts = np.zeros(rgb.shape[:2], np.uint8)
    torso = ("collar_r", "collar_c", "collar_l", "shoulder_l", "armpit_l", "hem_l", "hem_r", "armpit_r", "shoulder_r")
    _fill(parts, [points[n] for n in torso], Part.TORSO)
    if kind is not GarmentKind.SLEEVELESS:
        for side, part in (("l", Part.LEFT_SLEEVE), ("r", Part.RIGHT_SLEEVE)):
            _fill(parts, [points[f"{n}_{side}"] for n in ("shoulder", "cuff_out", "cuff_in", "armpit")], part)
    alpha = (parts > 0).astype(np.float32)
    return Garment(rgb, alpha, parts, kind, points, np.array(colour, np.uint8))


def _fill(picture: Array, outline: list[Array], value: int) -> None:
    cv2.fillPoly(picture, [np.round(np.stack(outline)).astype(np.int32)], (int(value),))


def flat(garment: Garment, turn: float = 0.0) -> Warp:
    """The garment laid where it lies in its own picture."""
    return Warp(tuple(Spline(part, at, at.copy()) for part, at in garment_lattices(garment).items()), turn)


def body(yaw: float = 0.0) -> Array:
    """(33, 2) landmarks in the picture: somebody standing, 150 px from shoulders to hips, turned by ``yaw``."""
    p = parsing.landmarks(1.5, (240.0, 345.0))
    p[:11, 1] -= 22  # a neck
    for side, sign in ((11, 1), (12, -1)):  # arms away from the body
        p[side + 2, 0] += sign * 20
        p[side + 4, 0] += sign * 35
        p[[side + 6, side + 8, side + 10], 0] += sign * 38
    p[:, 0] = 240 + (p[:, 0] - 240) * np.cos(np.radians(yaw))
    return p


def hand_on_belly() -> Array:
    """The same, the left forearm across the body."""
    p = body()
    p[15], p[[17, 19, 21]] = (240, 270), (222, 264)
    return p


def scene(
    points: Array | None = None,
    *,
    yaw: float = 0.0,
    shot: int = 0,
    top: tuple[int, int, int] | Array = RED,
    size: tuple[int, int] = SIZE,
    seed: int | None = None,
) -> tuple[Array, Person, Array]:
    """Picture (H, W, 3) uint8, :class:`Person`, labels (H, W); the old top in a colour or with a picture's pixels."""
    points = body(yaw) if points is None else points
    rgb, labels, _ = parsing.draw(points, size)
    neck = np.zeros(size, np.uint8)
    ends = [tuple(int(v) for v in p) for p in (points[0], points[[11, 12]].mean(0) - (0, 8))]
    cv2.line(neck, ends[0], ends[1], (1,), 30)
    labels[(neck > 0) & (labels == 0)] = Label.FACE
    rgb[labels == Label.FACE] = parsing.SKIN
    inside = labels == Label.TOP
    rgb[inside] = top[inside] if isinstance(top, np.ndarray) else top
    if seed is not None:
        rgb = with_noise(rgb, seed)
    return rgb, person(points, labels, yaw=yaw, shot=shot), labels


def with_noise(rgb: Array, seed: int, sigma: float = 2.0) -> Array:
    noisy = rgb + np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def person(points: Array, labels: Array, *, yaw: float = 0.0, shot: int = 0, crop: Crop | None = None) -> Person:
    """What the person room would say: a crop that is the whole picture, and the true labels and matte on it."""
    planes = [
        cv2.resize((labels == n).astype(np.float32), CROP_SIZE[::-1], interpolation=cv2.INTER_AREA) for n in Label
    ]
    shares = np.stack(planes)
    pose = Pose(
        points.astype(np.float32), np.zeros(33, np.float32), np.ones(33, np.float32), np.zeros((33, 3), np.float32)
    )
    matte = np.asarray(1.0 - shares[Label.BACKGROUND], np.float32)
    crop = crop or Crop(0.0, 0.0, float(labels.shape[0]))
    return Person(pose, crop, matte, np.rint(shares * 255).astype(np.uint8), yaw, shot)


def frame(rgb: Array, index: int = 0) -> Frame:
    return Frame(rgb, index, Fraction(1, 24), index)


def near(rgb: Array, colour: tuple[int, int, int], within: int = 60) -> Array:
    """(H, W) bool: pixels of about this colour; ``rgb`` uint8, or float in [0, 1]."""
    values = rgb.astype(np.float32) * (1.0 if rgb.dtype == np.uint8 else 255.0)
    return np.asarray(np.abs(values - colour).max(-1) < within)
