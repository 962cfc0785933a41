"""The carriers that the rooms of the house hand to each other: frozen, checked when made, short when printed.

Conventions, everywhere: pictures are RGB uint8 ``(H, W, 3)``; masks are float32 ``(H, W)`` in [0, 1]; points are
float32 ``(..., 2)`` as (x, y) in pixels of the picture they belong to, with the centre of the first pixel at 0.5;
left and right are the *wearer's*; a yaw of 0 faces the camera, positive turns to the picture's right, beyond
90 degrees either way the back is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CROP_SIZE = (256, 192)
"""Height and width of the person-centred crop that the networks see."""

LANDMARKS = 33
"""Number of body landmarks, in MediaPipe's order (0 nose, 11/12 shoulders, 13/14 elbows, 15/16 wrists, 23/24 hips)."""

KEYPOINTS = (
    "collar_l", "collar_r", "collar_c", "shoulder_l", "shoulder_r", "armpit_l", "armpit_r",
    "cuff_out_l", "cuff_in_l", "cuff_out_r", "cuff_in_r", "hem_l", "hem_r", "hem_c",
)  # fmt: skip
"""Garment key points. ``collar_c`` is the lowest point of the neckline in front, ``cuff_out`` / ``cuff_in`` the ends
of the sleeve opening away from and towards the body; a sleeveless top has its cuffs at the armhole."""


class Label(IntEnum):
    """What a pixel shows (issue 4). ``CARRIED`` is worn or held over the garment: bag, scarf, badge strap."""

    BACKGROUND = 0
    HAIR = 1
    FACE = 2  # face and neck skin
    TOP = 3
    OUTER = 4
    DRESS = 5
    LOWER = 6
    LEFT_ARM = 7  # bare arm and hand
    RIGHT_ARM = 8
    LEGS = 9  # legs and shoes
    CARRIED = 10


WORN_TOP = (Label.TOP, Label.OUTER, Label.DRESS)
"""The labels that a new top replaces."""


class GarmentKind(StrEnum):
    """Kinds that are worn, and therefore fitted, differently."""

    SHORT_SLEEVE = "short-sleeve"
    LONG_SLEEVE = "long-sleeve"
    SLEEVELESS = "sleeveless"
    DRESS = "dress"
    OPEN_JACKET = "open-jacket"


WARP_METHODS = ("auto", "anchored", "placed", "network")
"""What may lay a garment on a body: plain geometry, the trained regressor, that and the matching network which corrects
it, or the best of those whose weights are here."""


class Part(IntEnum):
    """Parts of a garment, each warped by a spline of its own."""

    NONE = 0
    TORSO = 1
    LEFT_SLEEVE = 2
    RIGHT_SLEEVE = 3


def _check(what: str, array: Array, shape: tuple[int | None, ...], dtype: type[np.generic]) -> None:
    fits = array.ndim == len(shape) and all(s is None or s == n for s, n in zip(shape, array.shape, strict=True))
    if not fits or array.dtype != dtype:
        raise ValueError(f"{what} must be {np.dtype(dtype).name} {shape}, got {array.dtype} {array.shape}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    ``rgb`` (H, W, 3) uint8, upright (rotation already applied); ``pts`` presentation time in units of ``time_base``
    seconds, as in the source (it need not start at 0 nor be evenly spaced); ``index`` counts decoded frames from 0.
    """

    rgb: Array
    pts: int
    time_base: Fraction
    index: int

    def __post_init__(self) -> None:
        _check("rgb", self.rgb, (None, None, 3), np.uint8)

    @property
    def seconds(self) -> float:
        return float(self.pts * self.time_base)

    def __repr__(self) -> str:
        h, w = self.rgb.shape[:2]
        return f"Frame({w}x{h}, index={self.index}, pts={self.pts}, time_base={self.time_base})"


@dataclass(frozen=True, eq=False)
class Pose:
    """Body landmarks of one person in one frame, in MediaPipe's order.

    ``points`` (33, 2) float32, px of the frame (may lie outside it); ``depth`` (33,) float32, px, smaller is nearer
    to the camera, 0 at the middle of the hips; ``visibility`` (33,) float32 in [0, 1]; ``world`` (33, 3) float32,
    metres about the middle of the hips (x to the picture's right, y down, z away from the camera).
    """

    points: Array
    depth: Array
    visibility: Array
    world: Array

    def __post_init__(self) -> None:
        _check("points", self.points, (LANDMARKS, 2), np.float32)
        _check("depth", self.depth, (LANDMARKS,), np.float32)
        _check("visibility", self.visibility, (LANDMARKS,), np.float32)
        _check("world", self.world, (LANDMARKS, 3), np.float32)

    def __repr__(self) -> str:
        return f"Pose(mean visibility {float(self.visibility.mean()):.2f})"


@dataclass(frozen=True)
class Crop:
    """The upright person-centred window, aspect 3:4 (W:H), in frame pixels; it may reach past the frame's edge."""

    left: float
    top: float
    height: float

    def __post_init__(self) -> None:
        if not self.height > 0:
            raise ValueError(f"height must be positive, got {self.height}")

    @property
    def width(self) -> float:
        return self.height * CROP_SIZE[1] / CROP_SIZE[0]

    def matrix(self, size: tuple[int, int] = CROP_SIZE) -> Array:
        """(2, 3) float64 affine map from frame pixels to a grid of ``size`` = (height, width), centres at +0.5."""
        sy, sx = size[0] / self.height, size[1] / self.width
        return np.array([[sx, 0.0, -sx * self.left], [0.0, sy, -sy * self.top]])

    def to_crop(self, points: Array, size: tuple[int, int] = CROP_SIZE) -> Array:
        """Frame points (..., 2) to points of the crop grid of ``size`` = (height, width)."""
        m = self.matrix(size)
        mapped: Array = np.asarray(points) @ m[:, :2].T + m[:, 2]
        return mapped.astype(np.float32)

    def to_frame(self, points: Array, size: tuple[int, int] = CROP_SIZE) -> Array:
        """The inverse of :meth:`to_crop`."""
        m = self.matrix(size)
        mapped: Array = (np.asarray(points) - m[:, 2]) / np.diag(m[:, :2])
        return mapped.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Person:
    """What is known about the person in one frame; independent of any garment.

    ``pose`` smoothed landmarks; ``crop`` the smoothed window; ``matte`` (256, 192) float32, how much of each crop
    pixel is the person; ``labels`` (11, 256, 192) uint8, probability of each :class:`Label` times 255, on the crop;
    ``yaw`` degrees, which way the *torso* faces; ``shot`` counts scene changes and people found anew (state is reset
    when it changes).
    """

    pose: Pose
    crop: Crop
    matte: Array
    labels: Array
    yaw: float
    shot: int

    def __post_init__(self) -> None:
        _check("matte", self.matte, CROP_SIZE, np.float32)
        _check("labels", self.labels, (len(Label), *CROP_SIZE), np.uint8)

    def probability(self, *which: Label) -> Array:
        """(256, 192) float32: probability that a crop pixel shows one of these labels."""
        total: Array = self.labels[list(which)].astype(np.float32).sum(axis=0) / np.float32(255)
        return np.minimum(total, np.float32(1))

    def __repr__(self) -> str:
        return f"Person(crop={self.crop}, yaw={self.yaw:.0f}, shot={self.shot}, {self.pose!r})"


@dataclass(frozen=True, eq=False)
class Garment:
    """A garment cut out of its picture.

    ``rgb`` (H, W, 3) uint8, cloth colours continued past the outline so that sampling at the edge never picks up the
    old background; ``alpha`` (H, W) float32, 1 on cloth that may be painted (the inside back of the collar is 0);
    ``parts`` (H, W) uint8 of :class:`Part`, defined over the whole alpha; ``keypoints`` name -> (2,) float32 px,
    all names of ``KEYPOINTS``; ``cloth`` (3,) uint8, the plain cloth's main colour; ``warnings`` one line each.
    """

    rgb: Array
    alpha: Array
    parts: Array
    kind: GarmentKind
    keypoints: Mapping[str, Array]
    cloth: Array
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        _check("rgb", self.rgb, (None, None, 3), np.uint8)
        _check("alpha", self.alpha, self.rgb.shape[:2], np.float32)
        _check("parts", self.parts, self.rgb.shape[:2], np.uint8)
        _check("cloth", self.cloth, (3,), np.uint8)
        missing = [name for name in KEYPOINTS if name not in self.keypoints]
        if missing:
            raise ValueError(f"key points missing: {', '.join(missing)}")

    def __repr__(self) -> str:
        h, w = self.alpha.shape
        return f"Garment({self.kind}, {w}x{h})"
