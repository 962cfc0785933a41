"""Seating a garment on what is seen of the person: its shoulders, sides and hem go to the outlines nearby.

How wide and long a garment is for a body is only partly written in its picture, and what it hangs on is seen: a torso
ends at its silhouette, and where two tops end nearly together they end together. A garment that keeps a hand's breadth
of its own there needs cloth, skin or background to be guessed in a strip along its whole outline (issue 3). And where
the picture ends before any trousers are seen, nobody knows what a shorter top would show: it goes down as far as the
old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vtryon.types import WORN_TOP, Array, Garment, Label, Part, Person
from vtryon.warp.anchored import FitOptions, edge_along, outline_factors
from vtryon.warp.lattice import Spline, Warp
from vtryon.warp.tps import ThinPlate

_PACE = 0.12  # share of the new frame in what is remembered: outlines flicker, cloth does not
_WIDTH = (0.85, 1.3)  # of the garment's own half width: farther off, the outline is an arm or a wide old garment
_SLEEVE_WIDTH = 1.4  # of its own half width: how far a sleeve's outer edge goes to that of an arm with a sleeve on
_BARE_ARM = 0.16  # torso lengths from a sleeve's middle to the farthest edge of a bare arm that it goes to
_ARMS = {Part.LEFT_SLEEVE: Label.LEFT_ARM, Part.RIGHT_SLEEVE: Label.RIGHT_ARM}
_NEAR, _FAR = 0.12, 0.20  # torso lengths: a hem this near goes to the old one, one that far stays where it is
_STRETCH = 0.5, 0.7  # the same where no trousers are seen, and only downwards
_TROUSERS = 0.04, 0.05  # of a torso length squared: as much of them is nothing, and enough to know what they are
_FORGET = 0.985  # share that is remembered from frame to frame of how much of them has been seen
_EDGE, _OUT = 0.06, 0.12  # torso lengths: where nobody is seen that far below the old hem, the new one goes so far out
_KNEES = (25, 26)
_SEAM = (0.35, 0.5, 0.65, 0.8)  # places along the shoulder, from the collar on
_RISE = (-0.03, 0.08)  # torso lengths that shoulders move, upwards; farther off, it is a hood or a bag that is seen
_LOOK = (-0.12, 0.16)  # the same where they are looked for
_ARMPIT = 0.3  # of a shoulder's move, that of the armpit below it


@dataclass(frozen=True, eq=False)
class SeatState:
    """What is remembered: ``shoulders`` (2,), how far the wearer's right and left one move up, in torso lengths;
    ``sides`` (rows, 2) factors on the torso's half widths; for each of the ``sleeves`` how far its edges (rows, 2)
    move, outer one first, and ``hem`` a shift, both in torso lengths; how much of ``lower`` garment and legs has been
    seen, in torso lengths squared; the state of the fit that is seated, and the ``shot``."""

    shoulders: Array
    sides: Array
    sleeves: Mapping[Part, Array]
    hem: float
    lower: float
    inner: Any
    shot: int


class Seated:
    """A :class:`~vtryon.warp.Fitter` whose garments are seated. What the user asks for otherwise is left alone: all but
    the hem unless the fit is regular, the hem unless the length is the garment's own."""

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
        lower = max(_lower(person), _FORGET * state.lower if state else 0.0)
        size = _length(person)
        seat = SeatState(np.zeros(2), np.ones((len(torso), 2)), {}, 0.0, lower, inner, person.shot)
        if self._options.fit == "regular":
            shoulders = _shoulders(person, garment, warp[Part.TORSO], down)
            if state is not None:
                shoulders = _slowly(state.shoulders, shoulders)
            seat = replace(seat, shoulders=shoulders)
            torso = _raised(torso, size * shoulders, down)
            across = np.array([down[1], -down[0]])
            if (torso[:, -1] - torso[:, 0]).sum(0) @ across < 0:  # from behind, right and left change places
                across = -across
            seat = replace(seat, sides=outline_factors(person, across, torso, _WIDTH))
        if self._options.length == 1.0:
            seat = replace(seat, hem=_hem(person, torso, down, _unseen(lower)))
        if state is not None:
            seat = replace(seat, sides=_slowly(state.sides, seat.sides), hem=_slowly(state.hem, seat.hem))
        warp = _with_torso(warp, _moved(torso, seat.sides, seat.hem * size * down))
        if self._options.fit == "regular":  # sleeves hang on the torso: they go round their arms from where it is now
            before = state.sleeves if state is not None else {}
            around = {s.part: _around_arm(person, s) for s in warp.splines if s.part != Part.TORSO}
            seat = replace(seat, sleeves={part: _slowly(before.get(part, by), by) for part, by in around.items()})
        return _with_sleeves(warp, {part: size * by for part, by in seat.sleeves.items()}), seat


def _slowly(old: Any, new: Any) -> Any:
    return old + _PACE * (new - old)


def _length(person: Person) -> float:
    points = person.pose.points
    return max(float(np.linalg.norm(points[[23, 24]].mean(0) - points[[11, 12]].mean(0))), 1.0)


def _shoulders(person: Person, garment: Garment, torso: Spline, down: Array) -> Array:
    """(2,) torso lengths by which the garment's right and left shoulder lie below those of the person, within limits; 0
    where hair or the picture's edge hides them."""
    size = _length(person)
    product, picture = (torch.from_numpy(p.reshape(-1, 2)).double() for p in (torso.lattice, torso.points))
    laid = ThinPlate.fit(product, picture)
    over = person.probability(Label.HAIR, Label.FACE)
    body = np.clip(person.matte - over, 0.0, 1.0)
    rise = np.linspace(*_LOOK, 57)
    moves = np.zeros(2)
    for i, side in enumerate("rl"):
        collar, shoulder = garment.keypoints[f"collar_{side}"], garment.keypoints[f"shoulder_{side}"]
        seam = collar + (shoulder - collar) * np.array(_SEAM)[:, None]
        found = []
        for point in laid(torch.from_numpy(seam).double()).numpy():
            at = np.floor(person.crop.to_crop(point - down * size * rise[:, None])).astype(int)
            ok = ((at >= 0) & (at < (body.shape[1], body.shape[0]))).all(1)
            inside, hidden = np.zeros(len(rise), bool), ~ok
            inside[ok], hidden[ok] = body[at[ok, 1], at[ok, 0]] > 0.5, over[at[ok, 1], at[ok, 0]] > 0.3
            ends = np.flatnonzero(inside[:-1] & ~inside[1:])
            end = int(ends[np.argmin(np.abs(rise[ends]))]) if ends.size else -1
            if end >= 0 and not hidden[end + 1 : end + 3].any():
                found.append(rise[end])
        if len(found) >= len(_SEAM) // 2:
            moves[i] = np.clip(np.median(found), *_RISE)
    return moves


def _raised(torso: Array, shoulders: Array, down: Array) -> Array:
    """A torso's points with its right and left shoulder moved up by so many px, and the armpits a little with them."""
    columns = np.linspace(0.0, 1.0, torso.shape[1])
    share = columns * columns * (3 - 2 * columns)  # each half of the collar goes with its own shoulder
    up = shoulders[0] + (shoulders[1] - shoulders[0]) * share
    rows = np.zeros(len(torso))
    rows[:2] = 1.0, _ARMPIT
    return np.asarray((torso - (rows[:, None] * up)[..., None] * down).astype(np.float32))


def _around_arm(person: Person, sleeve: Spline) -> Array:
    """How far the edges of a sleeve move away from its middle, (rows, 2) torso lengths, the outer edge first.

    Where the arm is bare it is seen, and cloth goes round it. An arm with a sleeve on is seen by its outer outline
    alone: the inner one is lost before the torso.
    """
    size, outward = _length(person), _outward(sleeve.points)
    bare = person.probability(_ARMS[sleeve.part]) * person.matte
    moves = np.zeros((len(sleeve.points), 2))
    for i, (row, out) in enumerate(zip(sleeve.points, outward, strict=True)):
        if i == 0:  # the seam belongs to the shoulder
            continue
        middle, half = row[len(row) // 2], float(np.abs((row[[0, -1]] - row[len(row) // 2]) @ out).mean())
        arm = _across(person, bare, middle, out, _BARE_ARM * size, half)
        if arm is not None:
            moves[i] = np.maximum(arm - half, 0.0)
            continue
        edge = edge_along(person, person.matte, middle, out, max(half, 1e-3), _SLEEVE_WIDTH)
        if edge is not None:
            moves[i, 0] = max(edge - half, 0.0)
    return np.asarray(moves / size)


def _outward(points: Array) -> Array:
    """(rows, 2) unit vectors across a sleeve's middle line, towards its outer edge. Not the rows' own directions: where
    a bent arm squeezes a row together it has none."""
    along = np.gradient(points[:, points.shape[1] // 2].astype(np.float64), axis=0)
    across = np.stack([along[:, 1], -along[:, 0]], -1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    side = float((across * (points[:, 0] - points[:, -1])).sum())
    return np.asarray(across if side >= 0 else -across)


def _across(person: Person, mask: Array, middle: Array, out: Array, reach: float, half: float) -> Array | None:
    """(2,) px from ``middle`` to the ends of ``mask`` along ``out`` and against it: of the stretch that holds the
    middle, or begins within ``half`` of it; None where there is none, or it does not end within ``reach`` px."""
    steps = np.linspace(-reach, reach, 65)
    at = np.floor(person.crop.to_crop(middle + out * steps[:, None])).astype(int)
    ok = ((at >= 0) & (at < (mask.shape[1], mask.shape[0]))).all(1)
    inside = np.zeros(len(steps), bool)
    inside[ok] = mask[at[ok, 1], at[ok, 0]] > 0.5
    starts, ends = (np.flatnonzero(np.diff(inside.astype(int)) == change) for change in (1, -1))
    if inside[0]:
        return None
    for first, last in zip(starts, ends, strict=False):
        if steps[first + 1] <= half and steps[last] >= -half:
            return np.array([steps[last], -steps[first + 1]])
    return None


def _hem(person: Person, points: Array, down: Array, unseen: float) -> float:
    """How far the new hem goes down to meet the old one, in torso lengths; 0 where they are far apart, unless what is
    below is ``unseen`` (0 to 1)."""
    size = _length(person)
    worn = person.probability(*WORN_TOP)
    shifts, lower = [], []
    for column in np.linspace(0.15, 0.85, 5) * (points.shape[1] - 1):
        i, t = int(column), column - int(column)
        top, bottom = (row[i] * (1 - t) + row[i + 1] * t for row in (points[1], points[-1]))
        expected = float((bottom - top) @ down)
        if expected <= 0.2 * size:
            continue
        edge = edge_along(person, worn, top, down, expected)
        if edge is not None:
            shifts.append((edge - expected) / size)
        if unseen > 0:
            lower.append((_lowest(person, worn, top, down) - expected) / size)
    shift = _softly(float(np.median(shifts)), _NEAR, _FAR) if len(shifts) >= 3 else 0.0  # else hidden by hands
    farther = _softly(max(float(np.median(lower)), 0.0), *_STRETCH) if len(lower) >= 3 else 0.0
    return shift + unseen * max(farther - shift, 0.0)


def _softly(shift: float, near: float, far: float) -> float:
    """``shift`` as it is up to ``near``, and none of it from ``far`` on."""
    return shift * float(np.clip((far - abs(shift)) / (far - near), 0.0, 1.0))


def _unseen(lower: float) -> float:
    """How surely no trousers, skirt or legs are seen, 0 to 1, from the area ``lower`` that labels show."""
    return float(np.clip((_TROUSERS[1] - lower) / (_TROUSERS[1] - _TROUSERS[0]), 0.0, 1.0))


def _lower(person: Person) -> float:
    """The area of lower garment and legs that is seen, in torso lengths squared; enough of it wherever knees are,
    though labels call black trousers below a black coat a coat."""
    seen = person.probability(Label.LOWER, Label.LEGS)
    pixel = person.crop.height / person.matte.shape[0] / _length(person)
    area = float((seen * (seen > 0.5)).sum()) * pixel * pixel
    knees = np.floor(person.crop.to_crop(person.pose.points[list(_KNEES)])).astype(int)
    h, w = person.matte.shape
    shown = any(0 <= y < h and 0 <= x < w and person.matte[y, x] > 0.5 for x, y in knees)
    return max(area, _TROUSERS[1]) if shown else area


def _lowest(person: Person, worn: Array, top: Array, down: Array) -> float:
    """How far below ``top`` the old garment ends, in px: past whatever is before it, and past the picture's edge."""
    size = _length(person)
    reach = np.linspace(0.0, 2.0 * size, 120)
    at = np.floor(person.crop.to_crop(top + down * reach[:, None])).astype(int)
    ok = ((at >= 0) & (at < (worn.shape[1], worn.shape[0]))).all(1)
    cloth, somebody = (np.zeros(len(reach), bool) for _ in range(2))
    cloth[ok], somebody[ok] = (plane[at[ok, 1], at[ok, 0]] > 0.5 for plane in (worn, person.matte))
    last = float(reach[cloth].max(initial=0.0))
    edge = float(reach[somebody].max(initial=0.0))
    return edge + _OUT * size if edge - last < _EDGE * size else last


def _moved(points: Array, sides: Array, hem: Array) -> Array:
    """Edges go to the outline; towards the middle, where a print is, the cloth keeps its size."""
    columns = points.shape[1]
    u = np.linspace(-1.0, 1.0, columns)
    share = u * u  # of an edge's move, with its distance from the middle
    factors = 1.0 + (np.where(u < 0, sides[:, :1], sides[:, 1:]) - 1.0) * share
    centre = points.mean(1, keepdims=True)
    below = np.concatenate([[0.0], np.linspace(0.0, 1.0, len(points) - 1)])[:, None, None]  # from the armpits down
    return np.asarray((centre + (points - centre) * factors[..., None] + below * hem).astype(np.float32))


def _with_sleeves(warp: Warp, moves: Mapping[Part, Array]) -> Warp:
    """The warp with its sleeves' edges moved away from the middle by ``moves`` (rows, 2) px, the outer one first."""
    splines = []
    for spline in warp.splines:
        if spline.part not in moves:
            splines.append(spline)
            continue
        share = np.linspace(0.0, 1.0, spline.points.shape[1])[None, :]  # from the outer to the inner edge
        by = moves[spline.part]
        shift = by[:, :1] * (1.0 - share) - by[:, 1:] * share
        moved = spline.points + shift[..., None] * _outward(spline.points)[:, None]
        splines.append(Spline(spline.part, spline.lattice, moved.astype(np.float32)))
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
