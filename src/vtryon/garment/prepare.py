"""From a picture to a :class:`~vtryon.types.Garment`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vtryon.errors import BadInputError
from vtryon.garment.anatomy import inside_share, kind_of, snap_to_outline, split_parts, tilt_of
from vtryon.garment.checks import UNCERTAIN, certainty, has_legs, picture_warnings, stands_out
from vtryon.garment.cutout import continued, cut_out, largest_of_several
from vtryon.garment.load import load_picture
from vtryon.garment.reader import GarmentReader, Reading
from vtryon.garment.sleeves import Cut, complete_sleeves
from vtryon.types import Array, Garment, GarmentKind

MAX_SIDE = 1536
"""Pictures are reduced to this long side: more detail than any video of a person shows."""

_LEAST_AREA = 0.01
"""Share of the picture that a garment must cover."""

_WHOLE = 0.85
"""How sure of its key points the reader must be of a thing that is said to be a garment of its own.

Measured: of garments that lie beside others 0.88 and more, of halves of a garment that falls apart 0.79 and less."""

_TURN_GAIN = 1.4
"""How much surer of the key points the reader must be of a garment turned by a quarter or a half."""

_MAX_TILT = 10.0
"""Degrees; a garment that is turned by more is set upright first."""


def load_garment(path: Path) -> Garment:
    """Read and prepare a garment's picture; raises what load_picture and prepare raise."""
    rgb, alpha = load_picture(path)
    return prepare(rgb, alpha, name=str(path))


def prepare(rgb: Array, alpha: Array | None = None, *, name: str = "garment") -> Garment:
    """Cut the garment out and find what it is.

    ``rgb`` (H, W, 3) uint8; ``alpha`` (H, W) float32 is used as it is where given; ``name`` stands in messages.
    Raises BadInputError where no garment is found, or trousers are.
    """
    reader = GarmentReader.load()
    scale = min(1.0, MAX_SIDE / max(rgb.shape[:2]))
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        alpha = None if alpha is None else cv2.resize(alpha, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    warnings: list[str] = []
    if alpha is None:
        alpha, warnings = _outlined(rgb, reader, name)
    if float((alpha > 0.5).mean()) < _LEAST_AREA:
        raise _nothing_in(name)
    if has_legs(alpha):
        raise BadInputError(f"{name} shows trousers; use a picture of a top or a dress")
    rgb, alpha, reading, turned = _upright(rgb, alpha, reader, name)
    points = snap_to_outline(reading.points, alpha > 0.5)
    warnings += [*turned, *picture_warnings(rgb, alpha, points, name)]
    parts = split_parts(reading, alpha)
    painted = alpha * (1 - inside_share(reading, rgb, alpha))
    cut, mirrored = Cut(rgb, painted, parts, points), None
    kind = kind_of(reading, points, painted)
    if kind is not GarmentKind.SLEEVELESS:
        cut, mirrored = complete_sleeves(cut)
    if mirrored:
        warnings.append(f"the {mirrored} sleeve is hidden in {name}; the other one is mirrored in its place")
    sure = cut.alpha > 0.95
    sure = cv2.erode(sure.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2) > 0
    if not sure.any():
        raise _nothing_in(name)
    return Garment(
        rgb=continued(cut.rgb, sure), alpha=cut.alpha, parts=cut.parts, kind=kind,
        keypoints=cut.points, cloth=main_colour(cut.rgb[sure]), warnings=tuple(warnings),
    )  # fmt: skip


def _nothing_in(name: str) -> BadInputError:
    return BadInputError(f"no garment found in {name}; use a picture of one garment on a plain background")


def _outlined(rgb: Array, reader: GarmentReader, name: str) -> tuple[Array, list[str]]:
    """Alpha (H, W) of the garment in a photograph, and what to tell the user about it."""
    sight = reader.first_sight(rgb)
    things = largest_of_several(rgb)
    several = things is not None and reader.look(rgb, things[0]).mean_trust > _WHOLE
    if things is not None and several:
        sight = sight.within(things[1])
    alpha = cut_out(rgb, sight)
    sure = certainty(sight.cloth, alpha)
    if sure < UNCERTAIN and not stands_out(rgb, alpha):
        raise _nothing_in(name)
    warnings = []
    if several:
        warnings.append(f"there is more than one garment in {name}; the largest is used")
    elif sure < UNCERTAIN:
        warnings.append(f"the outline of the garment in {name} is hard to see; another background would help")
    return alpha, warnings


def _upright(rgb: Array, alpha: Array, reader: GarmentReader, name: str) -> tuple[Array, Array, Reading, list[str]]:
    """The picture with the collar up, the reader's second look at it, and what to tell the user about it."""
    looks = [reader.look(np.rot90(rgb, k), np.rot90(alpha, k) > 0.5) for k in range(4)]
    trust = [look.mean_trust for look in looks]
    turn = int(np.argmax(trust)) if max(trust) > _TURN_GAIN * trust[0] else 0
    warnings = []
    if turn:
        rgb, alpha = np.ascontiguousarray(np.rot90(rgb, turn)), np.ascontiguousarray(np.rot90(alpha, turn))
        how = "upside down" if turn == 2 else "lying on its side"
        warnings.append(f"the garment in {name} is {how}; it was turned, check the result")
    reading = looks[turn]
    tilt = tilt_of(reading.points)
    if _MAX_TILT < abs(tilt) < 60:
        straight = _rotate(rgb, alpha, tilt)
        again = reader.look(straight[0], straight[1] > 0.5)
        if again.mean_trust > reading.mean_trust:
            return *straight, again, warnings
    return rgb, alpha, reading, warnings


def _rotate(rgb: Array, alpha: Array, degrees: float) -> tuple[Array, Array]:
    """Turn counter-clockwise on a canvas that holds all of it."""
    height, width = alpha.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = (int(width * cos + height * sin) + 1, int(width * sin + height * cos) + 1)
    turn = turn + np.array([[0, 0, (size[0] - width) / 2], [0, 0, (size[1] - height) / 2]])
    rgb = cv2.warpAffine(rgb, turn, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return rgb, np.asarray(cv2.warpAffine(alpha, turn, size, flags=cv2.INTER_LINEAR), np.float32)


def main_colour(pixels: Array) -> Array:
    """(3,) uint8: the colour that most of the pixels (N, 3) share, the mode in Lab, not a mean of print and cloth."""
    lab = cv2.cvtColor(pixels[None], cv2.COLOR_RGB2LAB)[0].astype(np.int32)
    coarse = lab // 8
    index = (coarse[:, 0] * 32 + coarse[:, 1]) * 32 + coarse[:, 2]
    smooth = np.bincount(index, minlength=32**3).reshape(32, 32, 32).astype(np.float32)
    for axis in range(3):
        smooth = smooth + np.roll(smooth, 1, axis) + np.roll(smooth, -1, axis)
    peak = np.array(np.unravel_index(int(np.argmax(smooth)), smooth.shape))
    near = (np.abs(coarse - peak) <= 1).all(axis=1)
    return np.asarray(np.median(pixels[near], axis=0), np.uint8)
