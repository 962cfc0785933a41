"""From observations to one steady body: who is followed, gaps, and smoothing without delay.

Smoothing (issue 3). Every landmark is refitted with a weighted straight line in time over a centred window. A frame's
weight falls with how far the limb has moved between that frame and the centre, measured against the landmarks' noise:
a resting limb is averaged over the whole window, a moving one only over the frames next to it, where the line keeps up
with it. Nothing is delayed and nothing is switched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vtryon.person.crop import Framing
from vtryon.person.pose import TRUNK, Observation, body_size
from vtryon.types import Array, Frame, Pose

GAP = 5
"""Longest run of frames without a detection that is bridged."""

GROUPS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    (11, 12, 23, 24),
    (13, 15, 17, 19, 21),
    (14, 16, 18, 20, 22),
    (25, 27, 29, 31),
    (26, 28, 30, 32),
)
"""Landmarks that move together: head, trunk, left arm, right arm, left leg, right leg."""

_REST = 0.045
"""Of the body size: a limb that moved less than about this between two frames is seen at the same place twice.

Of .01 to .07 this is where, on the rendered clips, the error's change from frame to frame is least for limbs at rest
(.53 px of 640, raw 1.5) and the error of fast ones has stopped falling."""
_PLAY = 0.008  # of the body size: halves the steps of still landmarks and leaves the error of moving ones as it is
_SPAN = 5.0  # frames: standard deviation of the window in time


@dataclass(frozen=True, eq=False)
class Slot:
    """A frame's place in time, its shot, the followed body's number (new after a loss or a jump), what was seen, and
    the held framing up to it (None before the body is seen)."""

    index: int
    seconds: float
    shot: int
    seen: Observation | None
    body: int = 0
    framing: Framing | None = None


def same_body(a: Observation, b: Observation, seconds: float) -> bool:
    """Whether ``b`` can be the body of ``a`` after ``seconds``: not too far (8 body sizes a second), not resized."""
    size = max(a.size, b.size)
    moved = float(np.linalg.norm(a.points[11:13].mean(axis=0) - b.points[11:13].mean(axis=0)))
    return moved < size * (1.0 + 8.0 * max(seconds, 0.0)) and size < 1.7 * min(a.size, b.size)


def follow(slots: Iterable[tuple[Frame, Slot]]) -> Iterator[tuple[Frame, Slot]]:
    """Number the bodies. A lone observation that fits nobody is dropped; two that agree are a new body.

    Runs one frame behind its input.
    """
    body = 0
    last: Slot | None = None  # newest sight of the body
    odd: tuple[Frame, Slot] | None = None  # does not fit the body, not yet handed on
    for frame, slot in slots:
        if odd is not None:
            if _fits(odd[1], slot):
                body, last = body + 1, odd[1]
                yield odd[0], replace(odd[1], body=body)
            else:
                yield odd[0], replace(odd[1], body=body, seen=None)
            odd = None
        if last is not None and (slot.shot != last.shot or slot.index - last.index > GAP + 1):
            body, last = body + 1, None
        if slot.seen is None or last is None or _fits(last, slot):
            last = slot if slot.seen is not None else last
            yield frame, replace(slot, body=body)
        else:
            odd = frame, slot
    if odd is not None:
        yield odd[0], replace(odd[1], body=body, seen=None)


def _fits(a: Slot, b: Slot) -> bool:
    if a.seen is None or b.seen is None or a.shot != b.shot:
        return False
    return same_body(a.seen, b.seen, b.seconds - a.seconds)


def bridge(stretch: Sequence[Slot], centre: int) -> Observation | None:
    """What is seen at ``stretch[centre]``; inside a short gap of one body what lies between both its ends."""
    here = stretch[centre]
    if here.seen is not None:
        return here.seen
    before = next((s for s in reversed(stretch[:centre]) if s.seen is not None), None)
    after = next((s for s in stretch[centre + 1 :] if s.seen is not None), None)
    if before is None or after is None or before.seen is None or after.seen is None:
        return None
    if not before.body == here.body == after.body or after.index - before.index > GAP + 1:
        return None
    a, b = before.seen, after.seen
    share = (here.index - before.index) / (after.index - before.index)
    mixed = {k: (1 - share) * getattr(a, k) + share * getattr(b, k) for k in ("points", "depth", "visibility", "world")}
    nearest = a if share < 0.5 else b
    left, top, width, height = nearest.window
    dx, dy = (float(v) for v in (mixed["points"] - nearest.points)[list(TRUNK)].mean(axis=0))
    return replace(
        nearest,
        **{k: v.astype(np.float32) for k, v in mixed.items()},
        window=(left + dx, top + dy, width, height),  # the matte goes along with the trunk
    )


def smooth(times: Array, seen: Sequence[Observation], centre: int, own_weight: float = 1.0) -> Pose:
    """The pose at ``seen[centre]`` from a centred stretch of one body.

    ``times`` (n,) in seconds, increasing; ``own_weight`` 0 where the centre itself was only bridged.
    """
    t = np.asarray(times, np.float64) - times[centre]
    t /= (float(np.median(np.diff(t))) if len(t) > 1 else 0.0) or 1.0  # in frames
    points = np.stack([o.points for o in seen]).astype(np.float64)  # (n, 33, 2)
    visibility = np.stack([o.visibility for o in seen]).astype(np.float64)
    values = np.concatenate(
        [
            points,
            np.stack([o.depth for o in seen])[..., None],
            visibility[..., None],
            np.stack([o.world for o in seen]),
        ],
        axis=2,
    )  # (n, 33, 7)
    weights = _similarity(points, visibility, centre, seen[centre].size) * np.exp(-0.5 * (t / _SPAN) ** 2)[:, None]
    weights[centre] *= own_weight
    weights *= 0.05 + visibility
    fitted = _line_at_zero(t, values, weights)
    return Pose(
        points=fitted[:, :2].astype(np.float32),
        depth=fitted[:, 2].astype(np.float32),
        visibility=np.clip(fitted[:, 3], 0, 1).astype(np.float32),
        world=fitted[:, 4:].astype(np.float32),
    )


def rest(pose: Pose, last: Pose | None) -> Pose:
    """``pose`` with landmarks that stay exactly where they were in ``last`` until they leave a play of about a pixel.

    What the centred window cannot average away is a slow wander; no garment should float with it.
    """
    if last is None:
        return pose
    play = _PLAY * body_size(pose.points)
    step = pose.points - last.points
    length = np.linalg.norm(step, axis=1, keepdims=True)
    step *= np.maximum(0.0, 1.0 - (play / np.maximum(length, 1e-6)) ** 2)  # the lag vanishes with the speed
    return replace(pose, points=(last.points + step).astype(np.float32))


def _similarity(points: Array, visibility: Array, centre: int, size: float) -> Array:
    """(n, 33) weights of the frames from how far each limb is from where it is at the centre."""
    calm = points.copy()
    if len(points) > 2:  # against noise, distances are taken between means of three frames
        calm[1:-1] = (points[:-2] + points[1:-1] + points[2:]) / 3
    weights = np.empty(points.shape[:2])
    for group in GROUPS:
        members = list(group)
        trust = visibility[:, members] * visibility[centre, members] + 1e-3
        squared = ((calm[:, members] - calm[centre, members]) ** 2).sum(axis=2)
        moved = (squared * trust).sum(axis=1) / trust.sum(axis=1)
        weights[:, members] = np.exp(-0.5 * moved / (_REST * size) ** 2)[:, None]
    return np.maximum(weights, 1e-6)


def _line_at_zero(t: Array, values: Array, weights: Array) -> Array:
    """Value at t = 0 of weighted straight lines: t (n,), values (n, 33, k), weights (n, 33) -> (33, k)."""
    total = weights.sum(axis=0)
    mean_t = (weights * t[:, None]).sum(axis=0) / total
    mean_v = (weights[..., None] * values).sum(axis=0) / total[:, None]
    dt = t[:, None] - mean_t
    spread = (weights * dt**2).sum(axis=0)
    # the ridge keeps the line level where hardly more than one frame counts
    slope = (weights[..., None] * dt[..., None] * values).sum(axis=0) / (spread + 0.05 * total)[:, None]
    out: Array = mean_v - slope * mean_t[:, None]
    return out
