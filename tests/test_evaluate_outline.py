"""The kind of a worn top is told by its sleeves, and outlines are compared where they are seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scenes
from vtryon.evaluate.outline import above_waist, coat, overlap, view, worn_kind
from vtryon.types import Array, GarmentKind, Label

LIMBS = ((11, 13, 15, Label.LEFT_ARM), (12, 14, 16, Label.RIGHT_ARM))


def clad(share: float) -> Array:
    """Labels of the scene's person with sleeves down to ``share`` of the way from shoulder to wrist."""
    import cv2

    _, person, labels = scenes.scene()
    out = np.where(np.isin(labels, (Label.LEFT_ARM, Label.RIGHT_ARM)), 0, labels).astype(np.uint8)
    for shoulder, elbow, wrist, label in LIMBS:
        a, b, c = person.pose.points[[shoulder, elbow, wrist]]
        line = np.concatenate([np.linspace(a, b, 50), np.linspace(b, c, 50)])
        for i, point in enumerate(line):
            worn = Label.TOP if i < 100 * share else label
            cv2.circle(out, tuple(point.astype(int).tolist()), 9, int(worn), -1)
    return out


@pytest.mark.parametrize(
    ("share", "kind"),
    [
        (0.0, GarmentKind.SLEEVELESS),
        (0.4, GarmentKind.SHORT_SLEEVE),
        (1.0, GarmentKind.LONG_SLEEVE),
        (0.75, None),  # three quarters: neither
    ],
)
def test_the_kind_is_told_by_the_arms(share: float, kind: GarmentKind | None) -> None:
    _, person, _ = scenes.scene()
    assert worn_kind(clad(share), person.pose) == kind


def test_dresses_and_hidden_arms_have_no_kind() -> None:
    _, person, _ = scenes.scene()
    labels = clad(1.0)
    assert worn_kind(np.where(labels == Label.TOP, Label.DRESS, labels), person.pose) is None
    assert worn_kind(np.zeros_like(labels), person.pose) is None


def test_overlap_counts_only_what_is_seen() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 10:30] = Label.TOP
    alpha = np.zeros((40, 40), np.float32)
    alpha[10:30, 10:20] = 1
    assert overlap(alpha, labels) == pytest.approx(0.5)
    labels[10:30, 20:30] = Label.HAIR  # what hangs before the other half hides it
    assert overlap(alpha, labels) == pytest.approx(1.0)
    assert overlap(np.zeros_like(alpha), labels) == 0.0


def test_above_the_waist_length_does_not_count() -> None:
    _, person, labels = scenes.scene()
    above = above_waist(person.pose, labels.shape)
    worn = (labels == Label.TOP).astype(np.float32)
    shorter = worn * (np.arange(len(worn))[:, None] < person.pose.points[[23, 24], 1].mean() - 20)
    assert overlap(shorter, labels) < 0.95
    assert overlap(shorter, labels, above) == pytest.approx(1.0)
    narrower = worn * (np.arange(worn.shape[1]) > 220)
    assert overlap(narrower, labels, above) < 0.8


def test_coats() -> None:
    _, _, labels = scenes.scene()
    assert not coat(labels)
    assert coat(np.where(labels == Label.TOP, Label.OUTER, labels))


def test_views() -> None:
    _, person, _ = scenes.scene()
    assert view(person) == "facing"
    assert view(replace(person, yaw=40.0)) == "turned"
    points = person.pose.points.copy()
    points[15] = points[[11, 12, 23, 24]].mean(0)
    assert view(replace(person, pose=replace(person.pose, points=points))) == "arm across"
