"""Labels of the person's regions without a trained network: where the pose says, what the colours say, in the matte.

Each pixel gets a prior from the distances to the bones, times how well its colour fits the colours of skin, hair,
upper and lower garment of this very person. These are learned from places that the pose makes sure of, and kept over
the shot. The result is drawn to the picture's edges by a guided filter and carried over time where the picture stands
still. This is the baseline that a parsing network must beat; it needs no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vtryon.person.pose import body_size
from vtryon.person.turn import heading
from vtryon.types import CROP_SIZE, Array, Label, Pose

_COARSE = 4  # crop pixels per step of the grid on which priors are made: they are smooth
_BINS = (12, 14, 14)  # colour bins: of lightness and the two chroma axes
_SKIN, _HAIR, _UPPER, _LOWER = range(4)
_MATERIAL = {
    Label.HAIR: _HAIR,
    Label.FACE: _SKIN,
    Label.TOP: _UPPER,
    Label.LOWER: _LOWER,
    Label.LEFT_ARM: _SKIN,
    Label.RIGHT_ARM: _SKIN,
    Label.LEGS: _SKIN,
}
_LABELS = tuple(_MATERIAL)
_LEARN = 0.15  # share of the newest frame in a colour model
_COLOUR = 0.9  # exponent of the colour likelihood: neighbouring pixels are not independent witnesses
_BARE = 8.0  # times the chance level: a colour that may well be skin
_CARRY = 0.6  # share of the frame before where the picture has not changed
_CHANGED = 12.0  # 8-bit steps: a colour difference that means the picture has changed


@dataclass(frozen=True, eq=False)
class Memory:
    """What one frame hands to the next.

    ``colours`` (4, bins) colour models of skin, hair, upper and lower garment, each summing to 1; ``sure`` (4,) in
    [0, 1]; ``rgb`` (256, 192, 3) float32 the blurred crop; ``labels`` (7, 256, 192) float32 in the order of _LABELS.
    """

    colours: Array
    sure: Array
    rgb: Array
    labels: Array


def label_regions(rgb: Array, pose: Pose, matte: Array, state: Any) -> tuple[Array, Memory]:
    """The :class:`~vtryon.person.Labeller` that needs no weights (see there); ``state`` a :class:`Memory` or None."""
    before: Memory | None = state
    body = _Body(pose)
    bins = _bins(rgb)
    colours, sure = _learn(bins, matte, body, before)
    likely = _likelihood(colours, sure)
    labels = np.empty((len(_LABELS), *CROP_SIZE), np.float32)
    for i, prior in enumerate(body.priors()):
        where = cv2.resize(prior, CROP_SIZE[::-1], interpolation=cv2.INTER_LINEAR)
        np.multiply(where, likely[_MATERIAL[_LABELS[i]]].take(bins), out=labels[i])
    labels /= labels.sum(axis=0) + 1e-12
    _to_edges(labels, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    picture = cv2.blur(rgb, (3, 3)).astype(np.float32)
    if before is not None:
        moved = cv2.max(*cv2.split(cv2.absdiff(picture, before.rgb))[:2])
        labels += _CARRY * cv2.exp(-((moved / _CHANGED) ** 2)) * (before.labels - labels)
    out = np.zeros((len(Label), *CROP_SIZE), np.uint8)
    solid = matte * 255
    for label, share in zip(_LABELS, labels, strict=True):
        out[label] = np.rint(share * solid)
    out[Label.BACKGROUND] = 255 - np.minimum(out[1:].sum(axis=0, dtype=np.uint16), 255)
    return out, Memory(colours, sure, picture, labels)


class _Body:
    """The pose on the coarse grid: distances in body sizes, and what follows from them."""

    def __init__(self, pose: Pose) -> None:
        p = self.points = pose.points / np.float32(_COARSE)
        self.seen = pose.visibility
        self.size = max(body_size(p), 2.0)
        rows, cols = CROP_SIZE[0] // _COARSE, CROP_SIZE[1] // _COARSE
        self.x = np.arange(cols, dtype=np.float32)[None, :] + np.float32(0.5)
        self.y = np.arange(rows, dtype=np.float32)[:, None] + np.float32(0.5)
        self.neck, self.hips, self.mouth = p[11:13].mean(axis=0), p[23:25].mean(axis=0), p[9:11].mean(axis=0)
        self.ears, self.eyes = p[7:9].mean(axis=0), p[[2, 5]].mean(axis=0)
        trunk = self.hips - self.neck
        self.down = trunk / max(float(np.linalg.norm(trunk)), 1e-3)
        self.trunk = max(float(np.linalg.norm(trunk)), 0.5 * self.size) / self.size
        self.front = float(heading(pose.world)[0]) > -0.3

    def beyond(self, point: Array) -> Array:
        """How far each grid point lies below ``point`` along the trunk, in body sizes."""
        out: Array = ((self.x - point[0]) * self.down[0] + (self.y - point[1]) * self.down[1]) / self.size
        return out

    def near(self, a: Array, b: Array, radius: float, soft: float = 0.05) -> Array:
        """1 within ``radius`` body sizes of the segment a-b, falling to 0 over about ``soft``."""
        dx, dy = (float(v) for v in b - a)
        ax, ay = self.x - a[0], self.y - a[1]
        t = np.clip((ax * dx + ay * dy) / max(dx * dx + dy * dy, 1e-3), 0, 1)
        return _step(radius - np.hypot(ax - t * dx, ay - t * dy) / self.size, soft)

    def arm(self, shoulder: int, elbow: int, wrist: int, finger: int) -> tuple[Array, Array]:
        """Shares of the whole arm, and of the hand."""
        s, e, w, f = (self.points[i] for i in (shoulder, elbow, wrist, finger))
        hand = self.near(w, f + 0.5 * (f - w), 0.11)
        arm = np.maximum(self.near(s + 0.2 * (e - s), e, 0.13), self.near(e, w, 0.10))
        # a hidden arm must not be painted on the top
        hidden, hidden_hand = (max(0.0, 1 - float(self.seen[i]) / 0.7) for i in (elbow, wrist))
        return np.maximum(arm, hand) * (1 - 0.7 * hidden), hand * (1 - 0.7 * hidden_hand)

    def face(self) -> Array:
        """Share of face: between the ears and from the eyes to the chin."""
        chin = self.mouth + 0.09 * self.size * self.down
        across = self.near(self.points[7], self.points[8], 0.11)
        out: Array = np.maximum(across, self.near(self.eyes, chin, 0.15))
        return out

    def priors(self) -> Array:
        """(7, 64, 48) float32 share of each label, in the order of _LABELS, before colours are looked at."""
        p, size, down = self.points, self.size, self.down
        skull = self.near(self.ears, self.ears - 0.08 * size * down, 0.34, 0.12)
        face = self.face() * (1.0 if self.front else 0.1)
        neck = self.near(self.mouth, self.neck + 0.1 * size * down, 0.18, 0.08) * (1.0 if self.front else 0.5)
        mane = self.near(self.ears, self.neck + 0.3 * size * down, 0.42, 0.2)
        (left, left_hand), (right, right_hand) = self.arm(11, 13, 15, 19), self.arm(12, 14, 16, 20)
        if not self.front:  # what arms do before the trunk is hidden by it
            before = 1 - 0.9 * self.near(self.neck, self.hips, 0.22, 0.08)
            left, left_hand, right, right_hand = (part * before for part in (left, left_hand, right, right_hand))
        hands = np.maximum(left_hand, right_hand)
        depth = self.beyond(self.neck)
        above = _step(-self.beyond(self.mouth) - 0.05, 0.08)  # no collar reaches over the mouth
        below = _step(depth - self.trunk, 0.25)
        tail = _step(self.trunk + 0.7 - depth, 0.3)  # tops rarely reach further
        shin = _step(self.beyond(p[25:27].mean(axis=0)), 0.2)
        cloth = (1 - 0.85 * hands) * (1 - 0.95 * above)
        shares: Array = np.stack(
            [
                0.02
                + 0.9 * skull * (1 - face)
                + mane * (0.12 + 0.4 * _step(-depth - 0.05, 0.08))
                + 0.3 * above * (1 - hands),
                0.01 + 1.6 * face + 0.6 * neck,
                0.02 + cloth * (1 - below + 0.15 * below * tail),
                0.01 + cloth * (0.04 + below * (1 - 0.4 * shin)),
                0.004 + 0.6 * left + 1.3 * left_hand,
                0.004 + 0.6 * right + 1.3 * right_hand,
                0.004 + below * (0.25 + 0.5 * shin) * (1 - hands),
            ]
        )
        return shares.astype(np.float32)

    def cores(self) -> Array:
        """(4, 64, 48) bool: places that surely show skin, hair, upper garment, lower garment."""
        p, size, down = self.points, self.size, self.down
        skin = self.near(self.eyes + 0.3 * (self.mouth - self.eyes), self.mouth, 0.10) > 0.5
        top = self.eyes - 1.0 * (self.mouth - self.eyes)
        hair = (self.near(top, top - 0.1 * size * down, 0.12) > 0.5) & ~skin
        arms = np.maximum(self.arm(11, 13, 15, 19)[0], self.arm(12, 14, 16, 20)[0]) > 0.2
        trunk = self.hips - self.neck
        upper = (self.near(self.neck + 0.35 * trunk, self.neck + 0.8 * trunk, 0.18) > 0.5) & ~arms
        lower = np.zeros_like(upper)
        for hip, knee in ((23, 25), (24, 26)):
            thigh = p[knee] - p[hip]
            lower |= self.near(p[hip] + 0.2 * thigh, p[hip] + 0.8 * thigh, 0.09) > 0.5
        return np.stack([skin & self.front, hair, upper, lower & ~arms & ~upper])


def _step(distance: Array, soft: float) -> Array:
    """0 well below zero, 1 well above, in between over about ``soft``."""
    out: Array = 0.5 + 0.5 * np.tanh(distance / soft)
    return out


def _bins(rgb: Array) -> Array:
    """(256, 192) index of each pixel's colour bin."""
    lab: Array = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    value = np.arange(256)
    light = (value * _BINS[0] >> 8) * _BINS[1] * _BINS[2]
    a, b = (np.clip((value - 128 + 3 * n) // 6, 0, n - 1) for n in _BINS[1:])
    out: Array = light.take(lab[..., 0]) + (a * _BINS[2]).take(lab[..., 1]) + b.take(lab[..., 2])
    return out


def _learn(bins: Array, matte: Array, body: _Body, before: Memory | None) -> tuple[Array, Array]:
    """Colour models and their certainty after this frame, as in :class:`Memory`."""
    count = int(np.prod(_BINS))
    colours = np.full((4, count), 1.0 / count) if before is None else before.colours.copy()
    sure = np.zeros(4) if before is None else before.sure.copy()
    step = _COARSE // 2
    bins, solid = bins[::step, ::step], matte[::step, ::step] > 0.8
    for i, core in enumerate(body.cores()):
        found = bins[core.repeat(2, axis=0).repeat(2, axis=1) & solid]
        bare = colours[_SKIN][found] > _BARE / count
        if i == _LOWER and sure[_SKIN] > 0.5 and 2 * bare.sum() > len(bare):  # bare thighs are no lower garment
            found = found[~bare]
        if len(found) < 12:
            continue
        seen = np.bincount(found, minlength=count) / len(found)
        colours[i] += (1.0 if sure[i] == 0 else _LEARN) * (_spread(seen) - colours[i])
        sure[i] = max(sure[i], min(1.0, len(found) / 60))
    return colours, sure


def _spread(histogram: Array) -> Array:
    """Each colour also counts for its neighbours: light changes, and few pixels are seen."""
    cube = np.pad(histogram.reshape(_BINS), 1)
    cube = 0.25 * cube[:-2] + 0.5 * cube[1:-1] + 0.25 * cube[2:]
    cube = 0.25 * cube[:, :-2] + 0.5 * cube[:, 1:-1] + 0.25 * cube[:, 2:]
    cube = 0.25 * cube[..., :-2] + 0.5 * cube[..., 1:-1] + 0.25 * cube[..., 2:]
    out: Array = cube.ravel()
    return out


def _likelihood(colours: Array, sure: Array) -> Array:
    """(4, bins) float32 how likely each colour is under each model; unsure models favour nothing."""
    certain = sure[:, None]
    mixed = certain * colours + (1 - certain) * colours.mean(axis=0) + 0.5 / colours.shape[1]
    out: Array = (mixed**_COLOUR).astype(np.float32)
    return out


def _to_edges(labels: Array, grey: Array, radius: int = 2, edge: float = 8.0) -> None:
    """Guided filter (He et al. 2013, fast form: coefficients at half size) of each plane, in place; sums stay 1."""
    guide = grey.astype(np.float32)
    half = (CROP_SIZE[1] // 2, CROP_SIZE[0] // 2)
    side = (2 * radius + 1, 2 * radius + 1)
    small = cv2.resize(guide, half, interpolation=cv2.INTER_AREA)
    mean = cv2.blur(small, side)
    spread = cv2.blur(small * small, side) - mean * mean + edge**2
    for plane in labels:
        coarse = cv2.resize(plane, half, interpolation=cv2.INTER_AREA)
        level = cv2.blur(coarse, side)
        slope = (cv2.blur(coarse * small, side) - level * mean) / spread
        offset = cv2.blur(level - slope * mean, side)
        slope = cv2.blur(slope, side)
        cv2.resize(offset, CROP_SIZE[::-1], dst=plane, interpolation=cv2.INTER_LINEAR)
        plane += cv2.resize(slope, CROP_SIZE[::-1], interpolation=cv2.INTER_LINEAR) * guide
    np.clip(labels, 0, 1, out=labels)
    labels /= labels.sum(axis=0) + 1e-6
