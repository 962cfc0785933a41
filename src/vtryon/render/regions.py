"""Which layer lies before which: masks on the person's crop for the composition (issue 3).

All masks are (256, 192) float32 in [0, 1] on the crop grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.planes import smoothstep
from vtryon.render.badges import hanging
from vtryon.types import CROP_SIZE, WORN_TOP, Array, Label, Person

_BADGE = 0.06  # shoulders to hips: around a badge, its cover and its shadow
_STRANDS = 9  # crop px across: beside hair, single hairs on the cloth are taken for light
_FOREARM, _HAND = 0.085, 0.2  # shoulders to hips: from the middle of a forearm and of a hand to their edges
_SHOULDER, _ELBOW, _WRIST, _INDEX = (11, 12), (13, 14), (15, 16), (19, 20)


@dataclass(frozen=True, eq=False)
class Regions:
    """The layers of one crop.

    ``worn`` the old top with the badge on it, ``lit`` that of it which tells the light; ``front`` hair, face and things
    carried, before any cloth; ``left_arm`` / ``right_arm`` skin of an arm that lies before the torso's cloth,
    ``left_covered`` / ``right_covered`` a forearm in an old sleeve that does; ``uppers`` (2, 256, 192) skin of the arms
    next to the shoulders, behind any cloth; ``arms`` (2, 256, 192) where the left and the right arm are, covered or
    not, ``along`` (2, 256, 192) how far down its arm a pixel is (0 shoulder, 0.5 elbow, 1 wrist), ``raised`` the same
    where all that is near a hand which is held before its upper arm counts as hand, and ``arm_round`` how light their
    roundness makes them;
    ``neck`` where skin appears if the old collar goes or the new top bares the chest, ``throat`` its narrow middle;
    ``body`` the torso's own extent; ``axis_y`` how far down the torso a pixel is, 0 at the shoulders, 1 at the hips;
    ``size`` from shoulders to hips in grid px.
    """

    worn: Array
    lit: Array
    front: Array
    left_arm: Array
    right_arm: Array
    left_covered: Array
    right_covered: Array
    uppers: Array
    arms: Array
    along: Array
    raised: Array
    arm_round: Array
    neck: Array
    throat: Array
    body: Array
    axis_y: Array
    size: float

    @property
    def arm_shape(self) -> Array:
        """Where arms are, of either side."""
        return np.asarray(self.arms.max(0))


def regions(person: Person) -> Regions:
    """Read the layers off the labels and the pose."""
    points = person.crop.to_crop(person.pose.points)
    y, x = np.mgrid[: CROP_SIZE[0], : CROP_SIZE[1]].astype(np.float32) + 0.5
    shoulders, hips = points[[11, 12]].mean(0), points[[23, 24]].mean(0)
    size = max(float(np.linalg.norm(hips - shoulders)), 1.0)
    down = (hips - shoulders) / size
    axis_y = ((x - shoulders[0]) * down[0] + (y - shoulders[1]) * down[1]) / size
    axis_x = ((x - shoulders[0]) * down[1] - (y - shoulders[1]) * down[0]) / size

    chin = _chin_height(person, points, axis_y, size)
    face = decided(person.probability(Label.FACE)) * chin
    badge = hanging(person)
    carried = person.probability(Label.CARRIED) * (1.0 - cv2.dilate(badge, np.ones((5, 5), np.uint8)))
    front = np.maximum.reduce([face, decided(person.probability(Label.HAIR)), decided(carried)])
    worn = _closed(np.maximum(decided(person.probability(*WORN_TOP)), badge))
    reach = 2 * round(_BADGE * size) + 1
    strands = cv2.dilate(decided(person.probability(Label.HAIR)), np.ones((_STRANDS, _STRANDS), np.uint8))
    lit = worn * (1.0 - np.maximum(cv2.dilate(badge, np.ones((reach, reach), np.uint8)), strands))
    arms, uppers, shapes, alongs, raiseds, rounds, sleeves = [], [], [], [], [], [], []
    for side, label in ((0, Label.LEFT_ARM), (1, Label.RIGHT_ARM)):
        joints = points[[_SHOULDER[side], _ELBOW[side], _WRIST[side]]]
        along, raised, distance, hand = _limb(joints, x, y, size * _raised(person, side, size))
        # near the shoulder the cloth lies over the arm, unless the hand is there; farther down a visible arm is before
        # the torso
        at_hand = smoothstep(0.3, 0.2, hand / size)
        # where a hand is, any skin below the chin is the hand's: before the neck, labels waver between the two
        skin = person.probability(Label.LEFT_ARM, Label.RIGHT_ARM, Label.FACE) * (1.0 - chin) * at_hand
        shown = np.maximum(smoothstep(0.22, 0.34, along), at_hand)
        arms.append(decided(np.maximum(person.probability(label), skin)) * shown)
        uppers.append(decided(person.probability(label)) * person.matte * (1.0 - shown))
        radius = size * np.interp(along, [0.0, 0.5, 1.0], [0.125, 0.095, 0.07]).astype(np.float32)
        alongs.append(along)
        raiseds.append(raised)
        shapes.append(np.clip((radius - distance) / 2.0 + 0.5, 0.0, 1.0))
        # an old sleeve before the torso: an arm is in it, and it stays before the torso when the sleeve goes
        forearm = shapes[-1] * smoothstep(0.4, 0.55, along) * smoothstep(1.12, 1.0, along)
        core = forearm * (distance < 0.4 * radius)
        # of what is not bare: a sleeve that is pushed up is one
        unseen = max(float((core * (1.0 - arms[-1])).sum()), 0.15 * float(core.sum()), 1.0)
        sleeved = float((core * worn).sum()) / unseen
        sure = _in_front(person, side, size, arms[-1], at_hand) * float(smoothstep(0.3, 0.6, np.asarray(sleeved)))
        sleeves.append(forearm * person.matte * sure)
        rounds.append(1.0 - 0.25 * np.clip(distance / radius, 0.0, 1.0) ** 3)
    # a sleeveless top bares the chest beside it; farther down, what a wide old top hid there is the scene
    chest = smoothstep(0.38, 0.32, np.abs(axis_x)) * smoothstep(0.50, 0.40, axis_y)
    neck = np.maximum((np.abs(axis_x) < 0.30) & (axis_y < 0.16), chest) * (axis_y > -0.6)
    throat = smoothstep(0.17, 0.13, np.abs(axis_x)) * smoothstep(0.10, 0.02, axis_y) * (axis_y > -0.6)
    return Regions(
        worn=worn,
        lit=lit,
        front=front.astype(np.float32),
        left_arm=arms[0].astype(np.float32),
        right_arm=arms[1].astype(np.float32),
        left_covered=sleeves[0].astype(np.float32),
        right_covered=sleeves[1].astype(np.float32),
        uppers=np.stack(uppers).astype(np.float32),
        arms=np.stack(shapes).astype(np.float32),
        along=np.stack(alongs),
        raised=np.stack(raiseds),
        arm_round=np.maximum(rounds[0], rounds[1]).astype(np.float32),
        neck=neck.astype(np.float32),
        throat=throat.astype(np.float32),
        body=(np.abs(axis_x) < 0.42).astype(np.float32) * person.matte,
        axis_y=axis_y.astype(np.float32),
        size=size,
    )


def decided(probability: Array) -> Array:
    """A label is a decision: probabilities near one half are edges, all others are yes or no."""
    return smoothstep(0.3, 0.7, probability)


def _closed(mask: Array) -> Array:
    """Without pinholes: what is missing from the middle of a garment is a mistake of the labels, not a hole."""
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)))


def _chin_height(person: Person, points: Array, axis_y: Array, size: float) -> Array:
    """1 above the chin, 0 on the neck: a collar may cover the neck but never the face."""
    nose, mouth = points[0], points[[9, 10]].mean(0)
    shoulders = points[[11, 12]].mean(0)
    if abs(person.yaw) > 100:  # from behind there is no chin; the head ends where the neck begins
        level = 0.45 * float(np.linalg.norm(points[[7, 8]].mean(0) - shoulders)) / size
        return np.asarray(smoothstep(-level + 0.02, -level - 0.02, axis_y))
    chin = mouth + 0.75 * (mouth - nose)
    hips = points[[23, 24]].mean(0)
    down = (hips - shoulders) / size
    level = float((chin - shoulders) @ down) / size
    return np.asarray(1.0 - smoothstep(level - 0.02, level + 0.05, axis_y))


def _in_front(person: Person, side: int, size: float, arm: Array, at_hand: Array) -> float:
    """How sure it is, 0 to 1, that a forearm lies before the torso: the hand is seen, and is nearer than the torso."""
    depth = person.pose.depth
    scale = size * person.crop.height / CROP_SIZE[0]
    ahead = float(depth[[_ELBOW[side], _WRIST[side]]].mean() - depth[[11, 12, 23, 24]].mean()) / max(scale, 1.0)
    seen = float((arm * at_hand).sum() / max(float(at_hand.sum()), 1.0))
    return float(smoothstep(0.15, -0.1, np.asarray(ahead)) * smoothstep(0.02, 0.1, np.asarray(seen)))


def _raised(person: Person, side: int, size: float) -> float:
    """1 where the wrist is nearer to the camera than the shoulder, and the forearm before the upper arm, else 0."""
    scale = size * person.crop.height / CROP_SIZE[0]
    ahead = float(person.pose.depth[_SHOULDER[side]] - person.pose.depth[_WRIST[side]]) / max(scale, 1.0)
    return float(ahead > 0.3)


def _limb(joints: Array, x: Array, y: Array, raised: float) -> tuple[Array, Array, Array, Array]:
    """For each pixel the nearest place along shoulder (0), elbow (0.5), wrist (1), past it for the hand (up to 1.5),
    the same with room for a raised hand, the distance to it in px, and the distance to the wrist and hand.

    Of a ``raised`` forearm, told by the body's size in px, is all that is as near to it as forearms are wide, though
    the upper arm behind may be nearer.
    """
    places, distances = [], []
    for n, (a, b, longest) in enumerate(((joints[0], joints[1], 1.0), (joints[1], joints[2], 1.9))):
        v = b - a
        t = ((x - a[0]) * v[0] + (y - a[1]) * v[1]) / max(float(v @ v), 1e-3)
        t = np.clip(t, 0.0, longest)
        places.append((n + t) / 2)
        distances.append(np.hypot(x - a[0] - t * v[0], y - a[1] - t * v[1]))
    fore = (distances[1] < distances[0]) | (distances[1] < _FOREARM * raised)
    along, best = (np.where(fore, pair[1], pair[0]).astype(np.float32) for pair in (places, distances))
    hands = (distances[1] < _HAND * raised) & (places[1] > 0.95)
    reach = joints[2] + 0.35 * (joints[2] - joints[1])
    hand = np.minimum(np.hypot(x - joints[2][0], y - joints[2][1]), np.hypot(x - reach[0], y - reach[1]))
    return along, np.where(hands, places[1], along).astype(np.float32), best, hand.astype(np.float32)
