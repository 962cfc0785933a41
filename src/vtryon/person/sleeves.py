"""A sleeve that reaches the wrist covers the elbow: patches of "bare arm" in it are cloth of the colour of skin."""

from __future__ import annotations

import numpy as np

from vtryon.types import WORN_TOP, Array, Label

_ARMS = ((11, 13, 15), (12, 14, 16))  # shoulder, elbow, wrist
_BARE = [Label.LEFT_ARM, Label.RIGHT_ARM]
_CORE, _REACH = 0.07, 0.14  # of shoulders to hips: half width of a limb's middle, and beyond its outline
_FOREARM = (0.65, 0.88)  # along the arm: shoulder 0, elbow 0.5, wrist 1
_HAND = (1.0, 1.3)


def cover_elbows(share: Array, points: Array) -> Array:
    """``share`` (11, H, W) with elbows covered where the forearm is and the hand is seen; ``points`` (33, 2) crop px.

    An arm whose hand is hidden is left alone: only its elbow may show, the rest behind the back.
    """
    size = float(np.linalg.norm(points[[11, 12]].mean(axis=0) - points[[23, 24]].mean(axis=0)))
    out = share
    for joints in _ARMS:
        box = _box(points[list(joints)], _REACH * size, share.shape[1:])
        part = out[:, box[0], box[1]]
        if 0 in part.shape:
            continue
        along, distance = _limb(points[list(joints)], box)
        bare, core = part[_BARE].sum(axis=0), distance < _CORE * size
        forearm, hand = (core & (along > low) & (along < high) for low, high in (_FOREARM, _HAND))
        if forearm.sum() < 8 or hand.sum() < 4:
            continue
        sure = np.clip((0.35 - bare[forearm].mean()) / 0.15, 0, 1) * np.clip((bare[hand].mean() - 0.25) / 0.2, 0, 1)
        worn = part[list(WORN_TOP)][:, core & (along < 0.9)].sum(axis=1)
        if sure == 0 or worn.sum() < 8:
            continue
        sleeve = np.clip((0.8 - along) / 0.1, 0, 1) * (distance < _REACH * size) * _away(points, box, size)
        moved = part[_BARE] * (sure * sleeve)
        out = out.copy() if out is share else out
        out[_BARE, box[0], box[1]] -= moved
        out[list(WORN_TOP), box[0], box[1]] += (worn / worn.sum())[:, None, None] * moved.sum(axis=0)
    return out


def _box(joints: Array, margin: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that hold an arm with its hand."""
    hand = joints[2] + 0.5 * (joints[2] - joints[1])
    chain = np.concatenate([joints, hand[None]])
    low, high = np.floor(chain.min(axis=0) - margin), np.ceil(chain.max(axis=0) + margin)
    left, top = np.clip(low, 0, (shape[1], shape[0])).astype(int)
    right, bottom = np.clip(high, 0, (shape[1], shape[0])).astype(int)
    return slice(top, bottom), slice(left, right)


def _away(points: Array, box: tuple[slice, slice], size: float) -> Array:
    """Of each pixel of the box: 1 where it is away from both hands, which may lie before any sleeve, else 0."""
    y, x = np.mgrid[box].astype(np.float32) + np.float32(0.5)
    away = np.ones(x.shape, np.float32)
    for _, elbow, wrist in _ARMS:
        along = points[wrist] - points[elbow]
        for centre in (points[wrist], points[wrist] + 0.4 * along):
            away *= np.clip(np.hypot(x - centre[0], y - centre[1]) / (0.06 * size) - 4, 0, 1)
    return away


def _limb(joints: Array, box: tuple[slice, slice]) -> tuple[Array, Array]:
    """Of each pixel of the box: its place along the arm, 0 to 1 and on to the hand's end, and its distance in px."""
    y, x = np.mgrid[box].astype(np.float32) + np.float32(0.5)
    found: list[tuple[Array, Array]] = []
    for start, end, longest in ((joints[0], joints[1], 1.0), (joints[1], joints[2], 1.6)):
        bone = end - start
        t = ((x - start[0]) * bone[0] + (y - start[1]) * bone[1]) / max(float(bone @ bone), 1e-3)
        t = np.clip(t, 0, longest)
        found.append((t, np.hypot(x - start[0] - t * bone[0], y - start[1] - t * bone[1])))
    (upper, to_upper), (lower, to_lower) = found
    nearer = to_lower < to_upper
    return np.where(nearer, 0.5 + lower / 2, upper / 2), np.where(nearer, to_lower, to_upper)
