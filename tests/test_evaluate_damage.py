"""Leftover and damage count what they say: a drawn person whose labels are known, and changes made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import bodies
from vtryon.evaluate.damage import above_chin, damage, hands, leftover
from vtryon.types import Array, Label

SIZE = (400, 300)
POSE = bodies.pose(bodies.points(150, 100, 100))


def labels() -> Array:
    """Face over top over trousers, a bare arm to the right."""
    out = np.zeros(SIZE, np.uint8)
    out[20:90, 130:170] = Label.FACE
    out[90:200, 110:190] = Label.TOP
    out[200:380, 120:180] = Label.LOWER
    out[100:230, 190:220] = Label.LEFT_ARM
    return out


def before() -> Array:
    palette = np.full((11, 3), 200, np.uint8)
    palette[Label.TOP], palette[Label.LOWER] = (40, 60, 160), (70, 70, 70)
    return np.asarray(palette[labels()])


def cover(rows: slice) -> Array:
    out = np.zeros(SIZE, np.float32)
    out[rows, 110:190] = 1
    return out


RED = np.full((*SIZE, 3), (200, 20, 20), np.uint8)


def test_untouched_top_is_all_left_and_nothing_harmed() -> None:
    nowhere = np.zeros(SIZE, np.float32)
    assert leftover(before(), before(), RED, nowhere, labels()).shares() == {"all": 1.0, "top": 1.0}
    assert set(damage(before(), before(), nowhere, labels(), POSE).shares().values()) == {0.0}


def test_half_a_top_left() -> None:
    after, alpha = before(), cover(slice(90, 145))
    after[alpha > 0] = RED[alpha > 0]
    assert leftover(before(), after, RED, alpha, labels()).shares()["top"] == pytest.approx(0.5, abs=0.02)


def test_new_cloth_of_the_same_colour_is_not_left() -> None:
    alpha = cover(slice(90, 145))
    same = np.full((*SIZE, 3), (45, 66, 150), np.uint8)
    found = leftover(before(), before(), same, alpha, labels())
    assert found.shares()["top"] == 1.0
    assert found.of["top"] == pytest.approx(0.5 * 106 * 76, rel=0.05), "what is under it does not count"


def test_what_lies_under_the_new_garment_may_change_but_not_the_face() -> None:
    alpha = cover(slice(40, 260))
    after = before()
    after[alpha > 0] = RED[alpha > 0]
    found = damage(before(), after, alpha, labels(), POSE).shares()
    assert found["lower body"] == found["background"] == 0
    assert found["face"] > 0.2, "painted over the mouth"


def test_changes_are_counted_where_they_are() -> None:
    nowhere = np.zeros(SIZE, np.float32)
    slightly, clearly = before(), before()
    slightly[300:340] += 12
    clearly[200:380, 120:180] += 13
    assert damage(before(), slightly, nowhere, labels(), POSE).shares()["all"] == 0
    found = damage(before(), clearly, nowhere, labels(), POSE).shares()
    assert found["lower body"] == 1
    assert found["background"] == found["face"] == 0


def test_hands_begin_at_the_wrist_and_faces_end_at_the_chin() -> None:
    hand = hands(POSE, labels())
    rows = np.flatnonzero(hand.any(axis=1))
    assert rows.min() == pytest.approx(POSE.points[15, 1], abs=4)
    assert rows.max() == 229
    chin = np.flatnonzero(above_chin(POSE, SIZE).all(axis=1)).max()
    assert POSE.points[9, 1] < chin < POSE.points[11, 1]
