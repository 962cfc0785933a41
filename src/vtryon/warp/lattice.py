"""Lattices: fixed points on the parts of a garment, and where they lie in the picture.

The torso has 5 rows x 4 columns and each sleeve 5 x 3: together the 100 numbers of the paper's warping module, spent
as three splines, which fit true correspondences more than twice as well as one 10 x 5 lattice (METHOD.md section 1).
Rows follow the body (collar to hem, shoulder to cuff) and the outermost columns lie on the part's outline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vtryon.types import Array, Garment, Part

TORSO_SHAPE = (5, 4)
SLEEVE_SHAPE = (5, 3)
LATTICES: Mapping[str, Mapping[Part, tuple[int, int]]] = {
    "parts": {Part.TORSO: TORSO_SHAPE, Part.LEFT_SLEEVE: SLEEVE_SHAPE, Part.RIGHT_SLEEVE: SLEEVE_SHAPE},
    "paper": {Part.NONE: (10, 5)},
    "cp-vton": {Part.NONE: (5, 5)},
}
"""Rows and columns of each spline by the lattice's name; the paper's single one is over the whole garment, and so is
CP-VTON's (2018)."""

SINGLE = frozenset(name for name, shapes in LATTICES.items() if set(shapes) == {Part.NONE})
"""The lattices of one spline over the whole garment."""


@dataclass(frozen=True, eq=False)
class Spline:
    """One part of the garment on its way into the picture.

    ``lattice`` (rows, columns, 2) float32, fixed points in garment pixels; ``points`` (rows, columns, 2) float32,
    where they lie in the picture, in frame pixels.
    """

    part: Part
    lattice: Array
    points: Array

    def __post_init__(self) -> None:
        if self.lattice.shape != self.points.shape or self.lattice.ndim != 3 or self.lattice.shape[-1] != 2:
            raise ValueError(f"lattice {self.lattice.shape} and points {self.points.shape} must be (rows, columns, 2)")

    def __repr__(self) -> str:
        return f"Spline({self.part.name.lower()}, {self.points.shape[0]}x{self.points.shape[1]})"


@dataclass(frozen=True, eq=False)
class Warp:
    """Where a garment lies in one frame.

    ``splines`` from the farthest to the nearest, the order in which they are drawn; ``turn`` radians, how far the
    torso has turned about its own axis as seen on an ellipse (0 faces the camera, beyond pi/2 the back is seen).
    """

    splines: tuple[Spline, ...]
    turn: float

    def __getitem__(self, part: Part) -> Spline:
        return next(s for s in self.splines if s.part == part)

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(s.part for s in self.splines)


def _mix(a: Array, b: Array, steps: int) -> Array:
    """(steps, 2) points from ``a`` to ``b``."""
    t = np.linspace(0.0, 1.0, steps)[:, None]
    return np.asarray(a[None] * (1.0 - t) + b[None] * t)


def has_sleeves(garment: Garment) -> bool:
    """Whether the garment has sleeves that follow the arms (a sleeveless top ends at the armhole)."""
    k = {n: np.asarray(v, np.float64) for n, v in garment.keypoints.items()}
    width = float(np.linalg.norm(k["armpit_l"] - k["armpit_r"]))
    area = [(garment.parts == p).sum() for p in (Part.LEFT_SLEEVE, Part.RIGHT_SLEEVE)]
    length = [
        float(np.linalg.norm((k[f"cuff_out_{s}"] + k[f"cuff_in_{s}"] - k[f"shoulder_{s}"] - k[f"armpit_{s}"]) / 2))
        for s in "lr"
    ]
    return min(area) > 0.004 * (garment.alpha > 0.5).sum() and min(length) > 0.06 * width


def garment_lattices(garment: Garment) -> Mapping[Part, Array]:
    """The fixed points of every part of a garment, part -> (rows, columns, 2) float32 garment pixels.

    Torso rows: the collar, the armpits, and three more down to the hem; its outer columns follow the torso's outline.
    Sleeve rows run from the shoulder seam to the cuff; columns from the outer edge to the inner one.
    """
    lattices = {Part.TORSO: _torso_lattice(garment)}
    if has_sleeves(garment):
        for part, side in ((Part.LEFT_SLEEVE, "l"), (Part.RIGHT_SLEEVE, "r")):
            k = {n: np.asarray(garment.keypoints[f"{n}_{side}"]) for n in ("shoulder", "armpit", "cuff_out", "cuff_in")}
            outer = _mix(k["shoulder"], k["cuff_out"], SLEEVE_SHAPE[0])
            inner = _mix(k["armpit"], k["cuff_in"], SLEEVE_SHAPE[0])
            lattices[part] = np.stack([outer, (outer + inner) / 2, inner], 1).astype(np.float32)
    return lattices


_ABOVE_HEM = 0.08  # of the torso's length below the armpits


def _torso_lattice(garment: Garment) -> Array:
    k = {n: np.asarray(v, np.float64) for n, v in garment.keypoints.items()}
    top = min(k["collar_l"][1], k["collar_r"][1])
    armpit = (k["armpit_l"][1] + k["armpit_r"][1]) / 2
    hem = max(k["hem_l"][1], k["hem_r"][1], k["hem_c"][1])
    heights = np.concatenate([[top], np.linspace(armpit, hem, TORSO_SHAPE[0] - 1)])
    rows = []
    for i, y in enumerate(heights):
        if i == 0:
            right, left = k["shoulder_r"][0], k["shoulder_l"][0]
        else:
            # a hem that slants or hangs lowest in its middle has no cloth at its sides on its lowest row
            right, left = torso_edges(garment, min(y, hem - _ABOVE_HEM * (hem - armpit)))
        rows.append(np.stack([np.linspace(right, left, TORSO_SHAPE[1]), np.full(TORSO_SHAPE[1], y)], -1))
    return np.asarray(np.stack(rows), np.float32)


def torso_edges(garment: Garment, y: float) -> tuple[float, float]:
    """Left and right end (garment px) of the torso part at height ``y``, wearer's right first (smaller x)."""
    k = garment.keypoints
    t = np.clip((y - k["armpit_r"][1]) / max(k["hem_r"][1] - k["armpit_r"][1], 1.0), 0, 1)
    straight = (1 - t) * k["armpit_r"][0] + t * k["hem_r"][0], (1 - t) * k["armpit_l"][0] + t * k["hem_l"][0]
    row = garment.parts[int(np.clip(y, 0, garment.parts.shape[0] - 1))] == Part.TORSO
    where = np.flatnonzero(row & (garment.alpha[int(np.clip(y, 0, garment.alpha.shape[0] - 1))] > 0.5))
    # near the hem the outline rounds off, and a slit or a fold may cut a row short: never narrower than the straight
    # line between armpit and hem by more than a tenth
    slack = 0.1 * (straight[1] - straight[0])
    if where.size == 0:
        return straight
    return (
        float(np.clip(where[0], straight[0] - 2 * slack, straight[0] + slack)),
        float(np.clip(where[-1] + 1, straight[1] - slack, straight[1] + 2 * slack)),
    )
