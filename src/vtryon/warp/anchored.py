"""The anchored fit: garment key points to body landmarks and outline, by plain geometry (issue 3).

It is the baseline that a learned warp must beat. Its constants are medians and least-squares fits over the training
scenes of the rendered pairs (frontal views, MediaPipe landmarks against key points of the worn tops); the formulas
that use them say which. Everything is in frame pixels; ``b``, the body's size, is the length from shoulders to hips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from vtryon.types import Array, Garment, GarmentKind, Label, Part, Person
from vtryon.warp.lattice import Spline, Warp, garment_lattices
from vtryon.warp.tps import ThinPlate

LEFT = {"shoulder": 11, "elbow": 13, "wrist": 15}
RIGHT = {"shoulder": 12, "elbow": 14, "wrist": 16}

COLLAR_ABOVE = 0.15  # the collar's corners lie this far above the shoulder joints, in b
SHOULDERS = 0.654  # distance of the shoulder joints in b, seen from the front
FLATNESS = 0.62  # depth of a torso over its width: the ellipse that turns
FITS: Mapping[str, float] = {"slim": 0.94, "regular": 1.0, "loose": 1.08}


@dataclass(frozen=True)
class FitOptions:
    """How the garment sits: ``fit`` slim | regular | loose scales its width, ``length`` what is below the armpits."""

    fit: str = "regular"
    length: float = 1.0

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        if not 0.5 <= self.length <= 2.0:
            raise ValueError(f"length must be between 0.5 and 2, got {self.length}")


@dataclass(frozen=True, eq=False)
class Body:
    """The torso's own frame: ``shoulders`` (2,) between the shoulder joints, ``down`` and ``across`` unit vectors
    (``across`` to the picture's right), ``size`` shoulders to hips in px, ``breadth`` distance of the shoulder joints
    as it would be from the front, ``turn`` radians on the torso's ellipse."""

    points: Array
    depth: Array
    shoulders: Array
    down: Array
    across: Array
    size: float
    breadth: float
    turn: float

    @classmethod
    def of(cls, person: Person) -> Body:
        p = person.pose.points.astype(np.float64)
        shoulders = (p[11] + p[12]) / 2
        hips = (p[23] + p[24]) / 2
        yaw = np.radians(person.yaw)
        # hips below the picture's edge are guessed by the pose model: then the shoulders must give the size
        seen = float(np.clip(person.pose.visibility[[23, 24]].mean(), 0.05, 1.0))
        length = float(np.linalg.norm(hips - shoulders))
        width = float(np.linalg.norm(p[11] - p[12]))
        frontal = float(np.cos(yaw) ** 2)
        by_width = width / max(abs(np.cos(yaw)), 0.4) / SHOULDERS
        weight = frontal * (1.0 - 0.75 * seen)
        size = max(length * (1.0 - weight) + by_width * weight, 1.0)
        breadth = (width / max(abs(np.cos(yaw)), 0.5)) * frontal + SHOULDERS * size * (1.0 - frontal)
        down = (hips - shoulders) / max(length, 1e-6)
        across = np.array([down[1], -down[0]])
        turn = float(np.arctan2(FLATNESS * np.sin(yaw), np.cos(yaw)))
        return cls(p, person.pose.depth.astype(np.float64), shoulders, down, across, size, breadth, turn)

    def limb(self, side: Mapping[str, int]) -> Array:
        """(3, 2) shoulder, elbow, wrist."""
        return self.points[[side["shoulder"], side["elbow"], side["wrist"]]]


def garment_scale(garment: Garment, body: Body) -> float:
    """Picture pixels per garment pixel, as worn with a regular fit.

    A picture does not say how large a garment is; bodies do: tops are about as wide as those who wear them. Least
    squares on the frontal training scenes: log(scale * armpit width / b), standard deviation 0.075.
    """
    k = {n: np.asarray(v, np.float64) for n, v in garment.keypoints.items()}
    armpits = max(float(np.linalg.norm(k["armpit_l"] - k["armpit_r"])), 1.0)
    shoulders = float(np.linalg.norm(k["shoulder_l"] - k["shoulder_r"]))
    hem = float(np.linalg.norm(k["hem_l"] - k["hem_r"]))
    log = (
        -0.14
        - 0.13 * np.log(np.clip(shoulders / armpits, 0.5, 1.5))
        - 0.23 * np.log(np.clip(hem / armpits, 0.6, 2.0))
        + 0.47 * np.log(np.clip(body.breadth / body.size, 0.2, 2.0))
    )
    return float(np.exp(log) * body.size / armpits)


@dataclass(frozen=True, eq=False)
class FitState:
    """What the fit remembers from frame to frame: ``outline`` (rows, 2), how much each row of the torso lattice is
    widened to the body's outline on either side (the matte flickers, cloth does not), ``arms`` the same for each
    sleeve, and the ``shot`` it belongs to."""

    outline: Array
    arms: Mapping[Part, float]
    shot: int


_WIDTH = (0.95, 1.2)  # of the lattice's own half width
_ARM = 0.2  # b from the bone of an arm in a sleeve to the farthest outline that is still the sleeve's
_OUTLINE_PACE = 0.12  # share of the new frame in the remembered outline


def fit(
    person: Person, garment: Garment, options: FitOptions = FitOptions(), state: FitState | None = None
) -> tuple[Warp, FitState]:
    """Lay ``garment`` on ``person``: a :class:`Warp` in frame pixels, and the state for the next frame."""
    body = Body.of(person)
    if state is not None and state.shot != person.shot:
        state = None
    lattices = garment_lattices(garment)
    scale = garment_scale(garment, body) * FITS[options.fit]
    torso = _place_torso(body, garment, lattices[Part.TORSO], scale, options)
    outline = outline_factors(person, body.across, torso, _WIDTH)
    if state is not None:
        outline = state.outline + _OUTLINE_PACE * (outline - state.outline)
    torso = _widened(torso, outline)
    seam = _seams(lattices[Part.TORSO], torso, body.turn)
    sleeves = []
    arms = dict(state.arms) if state is not None else {}
    for part, side in ((Part.LEFT_SLEEVE, LEFT), (Part.RIGHT_SLEEVE, RIGHT)):
        if part in lattices:
            sleeve = _Sleeve.of(body, garment, lattices[part], scale, side, person.yaw)
            widen = sleeve.outline(person)
            arms[part] = arms[part] + _OUTLINE_PACE * (widen - arms[part]) if part in arms else widen
            sleeves.append((sleeve.points(seam(lattices[part][0, [0, -1]]), arms[part]), part, side))
    layers = [(0.0, Spline(Part.TORSO, lattices[Part.TORSO], torso))]
    layers += [(_depth(body, side), Spline(part, lattices[part], points)) for points, part, side in sleeves]
    ordered = sorted(layers, key=lambda layer: -layer[0])
    return Warp(tuple(spline for _, spline in ordered), body.turn), FitState(outline, arms, person.shot)


def _seams(lattice: Array, points: Array, turn: float) -> Callable[[Array], Array]:
    """Garment points on the armholes to frame px: carried round with the torso, then laid like the torso itself, so
    that sleeves stay attached."""
    source, target = (torch.from_numpy(a.reshape(-1, 2)).double() for a in (lattice, points))
    plate = ThinPlate.fit(source, target)
    centre = float(lattice[..., 0].mean())

    def place(at: Array) -> Array:
        x = centre + (at[:, :1] - centre) * np.cos(turn)
        moved = torch.from_numpy(np.concatenate([x, at[:, 1:]], -1)).double()
        return np.asarray(plate(moved).numpy())

    return place


def _depth(body: Body, side: Mapping[str, int]) -> float:
    """Positive where an arm lies behind the torso (drawn first), negative in front of it or beside it."""
    middle = body.depth[[11, 12, 23, 24]].mean()
    arm = body.depth[[side["shoulder"], side["elbow"]]].mean() - middle
    behind = arm / body.size
    return float(behind - 0.25)  # beside the torso counts as in front: its sleeve is seen whole


def _place_torso(body: Body, garment: Garment, lattice: Array, scale: float, options: FitOptions) -> Array:
    k = {n: np.asarray(v, np.float64) for n, v in garment.keypoints.items()}
    centre_x = (k["collar_l"][0] + k["collar_r"][0]) / 2
    collar_y = (k["collar_l"][1] + k["collar_r"][1]) / 2
    armpit_y = (k["armpit_l"][1] + k["armpit_r"][1]) / 2
    hem_y = (k["hem_l"][1] + k["hem_r"][1]) / 2
    armpits, hem = (float(np.linalg.norm(k[f"{n}_l"] - k[f"{n}_r"])) * scale / body.size for n in ("armpit", "hem"))
    widths = (float(np.clip(armpits, 0.4, 1.2)), float(np.clip(hem, 0.4, 1.6)))
    place = _Place(body, centre_x, collar_y, armpit_y, hem_y, *widths, scale, options.length)
    return place(lattice).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Place:
    """Garment px of the torso to frame px: a similarity in the torso's frame, narrowed as the torso turns, its
    shoulders following the shoulder joints."""

    body: Body
    centre_x: float
    collar_y: float
    armpit_y: float
    hem_y: float
    armpit_width: float  # of the garment at its scale, in b, like hem_width
    hem_width: float
    scale: float
    length: float

    def __call__(self, points: Array) -> Array:
        b = self.body
        narrow = float(np.hypot(np.cos(self._yaw), FLATNESS * np.sin(self._yaw)))
        x = (points[..., 0] - self.centre_x) * self.scale * self._breadth(points[..., 1]) * narrow
        y = points[..., 1] - self.collar_y
        below = np.maximum(points[..., 1] - self.armpit_y, 0.0)
        y = (y + below * (self.length - 1.0)) * self.scale * 1.04
        out = b.shoulders + b.across * x[..., None] + b.down * (y - COLLAR_ABOVE * b.size)[..., None]
        return np.asarray(out + self._shoulder_shift(x, points[..., 1]))

    def _breadth(self, y: Array) -> Array:
        """Factor on the width at height ``y``: under the arms a body fills its clothes whatever their cut, at the hem
        the cut decides (least squares of worn on product widths, log-linear)."""
        at_armpit = np.exp(-0.289) * self.armpit_width**-0.687
        at_hem = self.hem_width**-0.174
        below = np.clip((y - self.armpit_y) / max(self.hem_y - self.armpit_y, 1.0), 0.0, 1.0)
        above = np.clip((self.armpit_y - y) / max(self.armpit_y - self.collar_y, 1.0), 0.0, 1.0)
        factor = np.where(y >= self.armpit_y, at_armpit + (at_hem - at_armpit) * below, at_armpit * (1 - above) + above)
        return np.asarray(factor)

    @property
    def _yaw(self) -> float:
        return float(np.arctan2(np.sin(self.body.turn), FLATNESS * np.cos(self.body.turn)))

    def _shoulder_shift(self, x: Array, y: Array) -> Array:
        """A raised or lowered shoulder takes its half of the yoke along, fading out below the armpits."""
        b = self.body
        facing = 1.0 if np.cos(b.turn) >= 0 else -1.0
        fade = np.clip(1.0 - 0.6 * (y - self.collar_y) / max(self.armpit_y - self.collar_y, 1.0), 0.0, 1.0)
        shift = np.zeros((*x.shape, 2))
        for joint, sign in ((11, facing), (12, -facing)):
            up = (b.points[joint] - b.shoulders) @ b.down
            share = np.clip(sign * x / (0.5 * SHOULDERS * b.size), 0.0, 1.2)
            shift += (up * share * fade)[..., None] * b.down
        return shift


def outline_factors(person: Person, across: Array, points: Array, limits: tuple[float, float]) -> Array:
    """(rows, 2) factors that take the half widths of a torso's lattice, row by row, to the body's outline in the matte.

    ``points`` (rows, columns, 2) frame px; ``across`` unit vector from their first column to the last. The worn garment
    shows in the matte too, so its width is only trusted within ``limits`` of what the new one has by itself; a wider
    outline is a wide old garment. Bare arms are told from the body by their labels; an arm in a sleeve by its bone: an
    outline beyond that is the sleeve's, and nothing is known of the torso there.
    """
    factors = np.ones((len(points), 2))
    arm = _ARM * float(np.linalg.norm(person.pose.points[[23, 24]].mean(0) - person.pose.points[[11, 12]].mean(0)))
    body = np.clip(person.matte - person.probability(Label.LEFT_ARM, Label.RIGHT_ARM), 0.0, 1.0)
    for i, row in enumerate(points[1:], start=1):
        centre = row.mean(0)
        half = max(float(np.linalg.norm(row[-1] - row[0])) / 2, 1e-3)
        arms = _arms_at(person, centre, across)
        for j, sign in enumerate((-1.0, 1.0)):
            edge = edge_along(person, body, centre, sign * across, half)
            if edge is not None and not ((arms * sign < edge) & (arms * sign > edge - arm)).any():
                factors[i, j] = np.clip(edge / half, *limits)
    factors[0] = (1.0 + factors[1]) / 2
    return factors


def _arms_at(person: Person, centre: Array, across: Array) -> Array:
    """(N,) px from ``centre`` along ``across`` at which the bones of the arms cross the line through both."""
    found = []
    for side in (LEFT, RIGHT):
        arm = person.pose.points[list(side.values())] - centre
        x, y = arm @ across, arm @ np.array([-across[1], across[0]])
        for a in range(len(arm) - 1):
            if (y[a] < 0) != (y[a + 1] < 0):
                found.append(x[a] + (x[a + 1] - x[a]) * y[a] / (y[a] - y[a + 1]))
    return np.array(found)


def edge_along(
    person: Person, mask: Array, origin: Array, direction: Array, expected: float, farthest: float = 1.35
) -> float | None:
    """Distance from ``origin`` (2,) frame px along the unit vector ``direction`` at which ``mask`` (256, 192) on the
    crop grid ends: the end nearest to ``expected``, within 0.7 to ``farthest`` of it; None if it does not end there,
    which the crop's own edge does not count as."""
    reach = np.linspace(0.7, farthest, 40) * expected
    at = person.crop.to_crop(origin + direction * reach[:, None])
    x, y = np.floor(at[:, 0]).astype(int), np.floor(at[:, 1]).astype(int)
    ok = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    inside = np.zeros(len(reach), bool)
    inside[ok] = mask[y[ok], x[ok]] > 0.5
    ends = np.flatnonzero(inside[:-1] & ~inside[1:] & ok[1:])
    if ends.size == 0:
        return None
    return float(reach[ends[np.argmin(np.abs(reach[ends] - expected))]])


def _widened(points: Array, factors: Array) -> Array:
    centre = points.mean(1, keepdims=True)
    middle = points.shape[1] // 2
    per_point = np.repeat(factors, [middle, points.shape[1] - middle], axis=1)[..., None]
    return np.asarray((centre + (points - centre) * per_point).astype(np.float32))


# Where along the arm (0 shoulder, 1 wrist) a sleeve ends whose length is x * b: medians over the training scenes.
_ARM_LENGTH = 1.03  # shoulder to wrist, in b
_SLEEVE_LENGTH = (0.0, 0.15, 0.25, 0.35, 0.45, 0.65, 0.75)
_SLEEVE_END = (0.12, 0.29, 0.36, 0.47, 0.62, 0.80, 1.0)


@dataclass(frozen=True, eq=False)
class _Sleeve:
    """A sleeve on its arm: ``arm`` (3, 2) shoulder, elbow, wrist; ``end`` how far along it the cuff's middle lies and
    ``skew`` how much farther its inner edge (the seam is oblique, and so may the cuff be); ``outward``
    +1 or -1, the side of the arm that is away from the body; ``widths`` (rows,) half widths in px."""

    arm: Array
    end: float
    skew: float
    outward: float
    widths: Array
    columns: int

    @classmethod
    def of(
        cls, body: Body, garment: Garment, lattice: Array, scale: float, side: Mapping[str, int], yaw: float
    ) -> _Sleeve:
        rows, columns, _ = lattice.shape
        length = float(np.linalg.norm(lattice[-1].mean(0) - lattice[0].mean(0))) * scale / body.size
        end = float(np.interp(length, _SLEEVE_LENGTH, _SLEEVE_END))
        if garment.kind is GarmentKind.LONG_SLEEVE:
            end = max(end, 0.97)
        facing = 1.0 if abs(yaw) <= 90 else -1.0
        axis = lattice[-1].mean(0) - lattice[0].mean(0)
        axis = axis / max(float(np.linalg.norm(axis)), 1e-6)
        span = lattice[:, 0] - lattice[:, -1]  # along the seam, which is oblique at the shoulder
        across = np.abs(span[:, 0] * axis[1] - span[:, 1] * axis[0]) * scale / 2
        arm_width = (0.095 - 0.045 * np.linspace(0.1, end, rows)) * body.size  # never narrower than an arm
        outward = facing if side is LEFT else -facing
        inner, outer = (float(np.linalg.norm(lattice[-1, n] - lattice[0, n])) * scale / body.size for n in (-1, 0))
        skew = float(np.clip(0.26 + (inner - outer) / _ARM_LENGTH, 0.0, 0.16)) / 2
        return cls(body.limb(side), end, skew, outward, np.maximum(across, arm_width), columns)

    def at(self, t: float) -> tuple[Array, Array]:
        """Point of the arm's axis and unit normal away from the body, at ``t`` along the arm."""
        point, direction = _along(self.arm, t)
        return point, self.outward * np.array([direction[1], -direction[0]])

    def _nearest(self, point: Array) -> float:
        """Where along the upper arm ``point`` lies, 0.1 (shoulder) to 0.45 (elbow)."""
        upper = self.arm[1] - self.arm[0]
        return float(np.clip(0.5 * ((point - self.arm[0]) @ upper) / max(float(upper @ upper), 1e-6), 0.1, 0.45))

    def outline(self, person: Person) -> float:
        """How much wider the arm, with what it wears, is than the sleeve: the outer outline in the matte."""
        factors = []
        for i in range(1, len(self.widths)):
            point, normal = self.at(0.1 + (self.end - 0.1) * i / (len(self.widths) - 1))
            edge = edge_along(person, person.matte, point, normal, 1.15 * float(self.widths[i]))
            if edge is not None:
                factors.append(edge / float(self.widths[i]))
        return float(np.clip(np.median(factors), 0.95, 1.4)) if factors else 1.0

    def points(self, base: Array, widen: float) -> Array:
        """(rows, columns, 2) frame points; the edges leave the torso at ``base`` (2, 2), shoulder and armpit."""
        rows = len(self.widths)
        fade = np.linspace(1.0, 0.0, rows)[:, None] ** 2
        # the seam runs from the joint's height down to the armpit, wherever the torso has it
        armpit = self._nearest(base[1])
        starts = (0.02, min(armpit, self.end))
        ends = (self.end - self.skew, max(self.end, starts[1]) + self.skew)
        edges = []
        for start, end, sign, root in zip(starts, ends, (1.0, -1.0), base, strict=True):
            edge = np.empty((rows, 2))
            for i in range(rows):
                point, normal = self.at(start + (end - start) * i / (rows - 1))
                edge[i] = point + sign * normal * self.widths[i] * widen
            edges.append(edge + (root - edge[0]) * fade)
        t = np.linspace(0.0, 1.0, self.columns)[None, :, None]
        return np.asarray((edges[0][:, None] * (1 - t) + edges[1][:, None] * t).astype(np.float32))


def _along(arm: Array, t: float) -> tuple[Array, Array]:
    """Point and unit direction at ``t`` on the way shoulder (0), elbow (0.5), wrist (1), rounded at the elbow."""
    shoulder, elbow, wrist = arm
    upper, lower = elbow - shoulder, wrist - elbow
    at = shoulder + upper * min(t, 0.5) * 2 + lower * max(t - 0.5, 0.0) * 2
    share = float(np.clip((t - 0.35) / 0.3, 0.0, 1.0))
    units = [v / max(float(np.linalg.norm(v)), 1e-6) for v in (upper, lower)]
    direction = units[0] * (1.0 - share) + units[1] * share
    return at, direction / max(float(np.linalg.norm(direction)), 1e-6)
