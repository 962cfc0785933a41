"""Sleeves on arms: from the shoulder to the cuff an arm is in cloth, whatever the warp leaves bare of it (issue 3).

A lattice of a few rows cuts the corner of a sharply bent elbow, and a sleeve may be narrower than its arm is seen. How
far down the arm the sleeve reaches is told well, though, and so is where the arm is.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vtryon.planes import smoothstep
from vtryon.render.filters import fill_smoothly
from vtryon.render.regions import Regions
from vtryon.types import Array, Part, Person
from vtryon.warp.lattice import Warp
from vtryon.warp.sampler import Layer

_JOINTS = {Part.LEFT_SLEEVE: (11, 13, 15), Part.RIGHT_SLEEVE: (12, 14, 16)}
_CUFF = (0.08, 0.14)  # arm lengths before the end: there the cuff itself has to decide
_PAST = (0.0, 0.04)
_LOOSE = 0.07  # shoulders to hips: how far an old sleeve stands off
_RAISED = (0.04, 0.10)
_EVEN = 0.1  # arm lengths by which a sleeve's last row may lie off where the others expect it


def past_cuff(person: Person, warp: Warp, along: Array) -> Array:
    """(h, w, 2): how far past the end of the new sleeve a pixel of the left or of the right arm lies, in arm lengths;
    negative in the sleeve. ``along`` (2, h, w) is where on the arm it is, as :class:`~vtryon.render.regions.Regions`
    tells. No sleeve is one without length."""
    ends = [
        reach(warp[part].points, person.pose.points[list(joints)]) if part in warp.parts else 0.0
        for part, joints in _JOINTS.items()
    ]
    return np.asarray(along.transpose(1, 2, 0) - np.array(ends, np.float32))


def sleeved(past: Array) -> Array:
    """(h, w, 2): how surely a pixel lies on a part of an arm that the new sleeve covers, from :func:`past_cuff`."""
    return np.asarray(smoothstep(-_CUFF[0], -_CUFF[1], past), np.float32)


def before_cuff(past: Array, where: Regions) -> Array:
    """(h, w, 3): where torso, left and right sleeve may be continued over the edge of the old garment: a sleeve to its
    cuff, the torso not over an arm that is bare from there on."""
    inside = smoothstep(_PAST[1], _PAST[0], past)
    bare = where.arms.transpose(1, 2, 0) * (1.0 - inside)
    return np.asarray(np.concatenate([1.0 - bare.max(-1, keepdims=True), inside], -1), np.float32)


def past_sleeve(past: Array) -> Array:
    """(h, w, 2): how surely a pixel of an arm lies past the end of its new sleeve, from :func:`past_cuff`: what is seen
    of the arm there, a forearm or a hand that is raised before the upper arm, is before that sleeve."""
    return np.asarray(smoothstep(*_RAISED, past), np.float32)


def loose(where: Regions, wearing: Array, parts: Sequence[Layer]) -> Array:
    """(h, w, 2): where beside an elbow the new sleeve goes to the old one's outline: there old sleeves stand off the
    arm, and the scene behind them is a guess. Not where the torso's cloth is; ``wearing`` from :func:`sleeved`."""
    torso = next(layer.alpha.cpu().numpy() for layer in parts if layer.part == Part.TORSO)
    wide = 2 * round(_LOOSE * where.size) + 1
    around = cv2.dilate(where.arms.transpose(1, 2, 0), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    elbow = smoothstep(0.18, 0.1, np.abs(where.along - 0.5)).transpose(1, 2, 0)
    return np.asarray(around * elbow * wearing * (1.0 - torso)[..., None], np.float32)


def reach(points: Array, arm: Array) -> float:
    """How far down the arm (3, 2) a sleeve's lattice ``points`` (rows, columns, 2) goes: 0 shoulder, 0.5 elbow, 1
    wrist.

    The rows follow each other evenly, and all of them are looked at: where the forearm is seen before the upper arm,
    the nearest place of the arm to a single row may be on the other bone.
    """
    middles = points[:, points.shape[1] // 2]
    ends = np.linspace(0.0, 1.0, 101)
    shares = np.linspace(0.0, 1.0, len(middles))
    off = np.linalg.norm(_on_arm(arm, ends[:, None] * shares) - middles, axis=-1)
    end = float(ends[off[:, 1:].sum(axis=1).argmin()])
    near = ends[np.abs(ends - end) <= _EVEN]
    return float(near[np.linalg.norm(_on_arm(arm, near) - middles[-1], axis=-1).argmin()])


def _on_arm(arm: Array, at: Array) -> Array:
    """(..., 2) points of the arm (3, 2) at places ``at`` (...) down it."""
    upper, fore = np.minimum(2 * at, 1.0)[..., None], np.maximum(2 * at - 1, 0.0)[..., None]
    return np.asarray(arm[0] + upper * (arm[1] - arm[0]) + fore * (arm[2] - arm[1]))


def sleeves_continued(arms: Array, parts: Sequence[Layer], where: Regions, light: Array, wearing: Array) -> Array:
    """The colours of ``arms`` (h, w, 3), those of the new sleeve where it covers one (``wearing``: :func:`sleeved`), as
    light as ``light`` (h, w): beside a sleeve narrower than the old one, no skin shows before its cuff."""
    for layer in parts:
        if layer.part == Part.TORSO:
            continue
        side = layer.part - Part.LEFT_SLEEVE
        weight = (wearing[..., side] * (where.arms[side] > 0))[..., None]
        if weight.max() == 0:
            continue
        cloth = layer.rgb.cpu().numpy().transpose(1, 2, 0)
        colour = fill_smoothly(cloth, smoothstep(0.5, 0.9, layer.alpha.cpu().numpy())) * light[..., None]
        arms = arms + weight * (np.minimum(colour, 1.0) - arms)
    return np.asarray(arms, np.float32)
