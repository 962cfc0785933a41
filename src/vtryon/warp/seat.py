"""Seating a garment on what is seen of the person: its sides and hem go to the outlines nearby.

How wide and long a garment is for a body is only partly written in its picture, and what it hangs on is seen: a torso
ends at its silhouette, and where two tops end nearly together they end together. A garment that keeps a hand's breadth
of its own there needs cloth, skin or background to be guessed in a strip along its whole outline (issue 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vtryon.types import WORN_TOP, Array, Garment, Part, Person
from vtryon.warp.anchored import FitOptions, edge_along, outline_factors
from vtryon.warp.lattice import Spline, Warp
from vtryon.warp.tps import ThinPlate

_PACE = 0.12  # share of the new frame in what is remembered: outlines flicker, cloth does not
_WIDTH = (0.85, 1.3)  # of the garment's own half width: farther off, the outline is an arm or a wide old garment
_SLEEVE_WIDTH = (1.0, 1.4)
_NEAR, _FAR = 0.12, 0.20  # torso lengths: a hem this near goes to the old one, one that far stays where it is


@dataclass(frozen=True, eq=False)
class SeatState:
    """What is remembered: ``sides`` (rows, 2) factors on the torso's half widths, ``sleeves`` one for each sleeve,
    ``hem`` a shift in torso lengths; the state of the fit that is seated, and the ``shot``."""

    sides: Array
    sleeves: Mapping[Part, float]
    hem: float
    inner: Any
    shot: int


class Seated:
    """A :class:`~vtryon.warp.Fitter` whose garments are seated. What the user asks for otherwise is left alone: sides
    unless the fit is regular, the hem unless the length is the garment's own."""

    def __init__(self, fit: Any, options: FitOptions) -> None:
        self._fit, self._options = fit, options

    def __call__(self, person: Person, garment: Garment, *, state: SeatState | None = None) -> tuple[Warp, SeatState]:
        """Lay and seat ``garment`` on ``person``: a :class:`Warp` in frame pixels, and the next state."""
        if state is not None and state.shot != person.shot:
            state = None
        warp, inner = self._fit(person, garment, state=state.inner if state else None)
        torso = warp[Part.TORSO].points
        down = torso[-1].mean(0) - torso[1].mean(0)
        down = down / max(float(np.linalg.norm(down)), 1e-6)
        seat = SeatState(np.ones((len(torso), 2)), {}, 0.0, inner, person.shot)
        if self._options.fit == "regular":
            sleeves = {s.part: _around_arm(person, s.points) for s in warp.splines if s.part != Part.TORSO}
            across = np.array([down[1], -down[0]])
            if (torso[:, -1] - torso[:, 0]).sum(0) @ across < 0:  # from behind, right and left change places
                across = -across
            seat = replace(seat, sides=outline_factors(person, across, torso, _WIDTH), sleeves=sleeves)
        if self._options.length == 1.0:
            seat = replace(seat, hem=_hem(person, torso, down))
        if state is not None:
            seat = _slowly(state, seat)
        points = _moved(torso, seat.sides, seat.hem * _length(person) * down)
        return _with_torso(_with_sleeves(warp, seat.sleeves), points), seat


def _slowly(old: SeatState, new: SeatState) -> SeatState:
    sleeves = {
        part: old.sleeves.get(part, f) + _PACE * (f - old.sleeves.get(part, f)) for part, f in new.sleeves.items()
    }
    sides, hem = old.sides + _PACE * (new.sides - old.sides), old.hem + _PACE * (new.hem - old.hem)
    return replace(new, sides=sides, sleeves=sleeves, hem=hem)


def _length(person: Person) -> float:
    points = person.pose.points
    return max(float(np.linalg.norm(points[[23, 24]].mean(0) - points[[11, 12]].mean(0))), 1.0)


def _around_arm(person: Person, points: Array) -> float:
    """How much wider the arm, with what it wears, is than the sleeve (rows, columns, 2): by the outer outline, since
    the inner one is lost before the torso. 1 where the matte does not tell."""
    factors = []
    for row in points[1:]:
        out = row[0] - row[len(row) // 2]
        half = max(float(np.linalg.norm(out)), 1e-3)
        edge = edge_along(person, person.matte, row[len(row) // 2], out / half, half, _SLEEVE_WIDTH[1])
        if edge is not None:
            factors.append(edge / half)
    return float(np.clip(np.median(factors), *_SLEEVE_WIDTH)) if factors else 1.0


def _hem(person: Person, points: Array, down: Array) -> float:
    """How far the new hem goes down to meet the old one, in torso lengths; 0 where they are far apart."""
    size = _length(person)
    worn = person.probability(*WORN_TOP)
    shifts = []
    for column in np.linspace(0.15, 0.85, 5) * (points.shape[1] - 1):
        i, t = int(column), column - int(column)
        top, bottom = (row[i] * (1 - t) + row[i + 1] * t for row in (points[1], points[-1]))
        expected = float((bottom - top) @ down)
        edge = edge_along(person, worn, top, down, expected) if expected > 0.2 * size else None
        if edge is not None:
            shifts.append((edge - expected) / size)
    if len(shifts) < 3:  # hidden by hands, or out of the picture
        return 0.0
    shift = float(np.median(shifts))
    return shift * float(np.clip((_FAR - abs(shift)) / (_FAR - _NEAR), 0.0, 1.0))


def _moved(points: Array, sides: Array, hem: Array) -> Array:
    """Edges go to the outline; towards the middle, where a print is, the cloth keeps its size."""
    columns = points.shape[1]
    u = np.linspace(-1.0, 1.0, columns)
    share = u * u  # of an edge's move, with its distance from the middle
    factors = 1.0 + (np.where(u < 0, sides[:, :1], sides[:, 1:]) - 1.0) * share
    centre = points.mean(1, keepdims=True)
    below = np.concatenate([[0.0], np.linspace(0.0, 1.0, len(points) - 1)])[:, None, None]  # from the armpits down
    return np.asarray((centre + (points - centre) * factors[..., None] + below * hem).astype(np.float32))


def _with_sleeves(warp: Warp, factors: Mapping[Part, float]) -> Warp:
    """The warp with its sleeves' outer edges moved out; the inner ones lie before the torso and stay."""
    splines = []
    for spline in warp.splines:
        columns = spline.points.shape[1]
        share = np.clip(1.0 - 2.0 * np.arange(columns) / (columns - 1), 0.0, 1.0).astype(np.float32)
        out = spline.points[:, :1] - spline.points[:, columns // 2, None]
        down = np.clip(np.arange(len(spline.points)), 0, 1).astype(np.float32)  # the shoulder's corner stays
        moved = spline.points + down[:, None, None] * share[None, :, None] * out * np.float32(
            factors.get(spline.part, 1.0) - 1.0
        )
        splines.append(Spline(spline.part, spline.lattice, moved))
    return Warp(tuple(splines), warp.turn)


def _with_torso(warp: Warp, points: Array) -> Warp:
    """The warp with its torso moved, and the sleeves' upper ends along with it."""
    torso = warp[Part.TORSO]
    before, after = (torch.from_numpy(p.reshape(-1, 2)).double() for p in (torso.points, points))
    shift = ThinPlate.fit(before, after - before, stiffness=1e-3)
    splines = []
    for spline in warp.splines:
        if spline.part == Part.TORSO:
            splines.append(Spline(Part.TORSO, spline.lattice, points))
            continue
        rows = len(spline.points)
        fade = np.linspace(1.0, 0.0, rows)[:, None, None] ** 2
        root = shift(torch.from_numpy(np.ascontiguousarray(spline.points[0])).double()).numpy()
        splines.append(Spline(spline.part, spline.lattice, (spline.points + fade * root[None]).astype(np.float32)))
    return Warp(tuple(splines), warp.turn)
