"""Edges told by colour: hair and hands keep no rim of the old cloth, and lose nothing to the new one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vtryon.render.matting import Edge, split_edge
from vtryon.types import CROP_SIZE, Array

HAIR, CLOTH = np.array([0.1, 0.08, 0.06], np.float32), np.array([0.9, 0.6, 0.2], np.float32)
SCALE = 3


def strand(cloth: Array = CLOTH) -> tuple[Array, Array, Array]:
    """A strand over a top: the picture at SCALE times the grid, how much of it is hair, and the picture on the grid."""
    h, w = CROP_SIZE[0] * SCALE, CROP_SIZE[1] * SCALE
    share = np.zeros((h, w), np.float32)
    cv2.line(share, (300, 150), (270, 600), (1.0,), 30, cv2.LINE_AA)
    share = cv2.GaussianBlur(share, (0, 0), 1.0)
    full = (share[..., None] * HAIR + (1 - share[..., None]) * cloth).astype(np.float32)
    return full, share, cv2.resize(full, CROP_SIZE[::-1], interpolation=cv2.INTER_AREA)


def masks(share: Array, wider: int) -> tuple[Array, Array]:
    """What labels on the grid would say: hair a little ``wider`` than it is, the top in all the rest."""
    small = cv2.resize(share, CROP_SIZE[::-1], interpolation=cv2.INTER_AREA)
    hair = cv2.dilate((small > 0.5).astype(np.float32), np.ones((2 * wider + 1, 2 * wider + 1)))
    return hair, (1 - hair).astype(np.float32)


def refined(full: Array, small: Array, hair: Array, worn: Array, edge: Edge | None = None) -> tuple[Array, Array]:
    edge = edge or Edge.between(small, hair, worn)
    assert edge is not None
    size = full.shape[1::-1]
    kept, told, mask, *cloths = (cv2.resize(p, size) for p in (edge.kept, edge.told, hair, *edge.cloths))
    return split_edge(full, mask, kept, cloths, told)


@pytest.mark.parametrize("wider", [0, 1])
def test_a_mask_that_is_too_wide_is_cut_back_to_the_hair(wider: int) -> None:
    full, share, small = strand()
    hair, worn = masks(share, wider)
    mask, clean = refined(full, small, hair, worn)
    rows = slice(200, 560)  # the ends of the strand aside
    assert np.abs(mask - share)[rows].mean() < 0.01
    rim = (share[rows] > 0.3) & (share[rows] < 0.9)
    assert np.abs(clean[rows][rim] - HAIR).mean() < 0.1, "no old cloth is left in the edge"


def test_colours_too_alike_are_left_to_the_labels() -> None:
    _, share, small = strand(cloth=HAIR + np.float32(0.05))
    hair, worn = masks(share, 1)
    edge = Edge.between(small, hair, worn)
    assert edge is None or edge.told.max() < 0.05


def test_a_third_colour_of_the_old_garment_is_not_kept() -> None:
    full, share, small = strand()
    print_there = np.array([0.2, 0.9, 0.9], np.float32)
    hair, worn = masks(share, 2)
    beside = (cv2.resize(hair, full.shape[1::-1]) > 0.9) & (share < 0.02)
    full[beside] = print_there
    mask, _ = refined(full, small, hair, worn)
    assert mask[200:560][beside[200:560]].mean() < 0.15


def test_nothing_is_told_where_they_do_not_meet() -> None:
    picture = np.zeros((*CROP_SIZE, 3), np.float32)
    hair, worn = np.zeros(CROP_SIZE, np.float32), np.zeros(CROP_SIZE, np.float32)
    hair[10:40, 10:40], worn[150:200, 50:150] = 1, 1
    assert Edge.between(picture, hair, worn) is None


def test_between_fingers_is_the_old_garment() -> None:
    """The labels see one hand; what is between its fingers has the cloth's colour and is not kept."""
    full, _, _ = strand()
    hand = np.zeros(full.shape[:2], np.float32)
    cv2.rectangle(hand, (200, 300), (400, 420), (1.0,), -1)
    gap = np.zeros_like(hand)
    cv2.rectangle(gap, (365, 345), (400, 372), (1.0,), -1)
    full[:] = (0.8, 0.62, 0.55)
    old = full.copy()
    old[(hand == 0) | (gap > 0)] = (0.2, 0.35, 0.5)
    small = cv2.resize(old, CROP_SIZE[::-1], interpolation=cv2.INTER_AREA)
    labels, worn = masks(hand, 0)
    edge = Edge.between(small, labels, worn, one_colour=True)
    assert edge is not None
    found, _ = refined(old, small, labels, worn, edge)
    assert found[gap > 0].mean() < 0.3
    assert found[(hand > 0) & (gap == 0)].mean() > 0.95


def test_both_colours_of_a_print_are_the_old_garment() -> None:
    """A hand before black and white cloth: its label is too wide, and neither colour, nor what lies between the two
    at the print's edges, is kept as a rim."""
    h, w = CROP_SIZE[0] * SCALE, CROP_SIZE[1] * SCALE
    full = np.full((h, w, 3), 0.1, np.float32)
    full[(np.arange(h) // 24 % 2 == 0)[:, None] & (np.arange(w) // 24 % 2 == 0)] = (0.85, 0.85, 0.8)
    full = cv2.GaussianBlur(full, (0, 0), 2.0)
    hand = np.zeros((h, w), np.float32)
    cv2.ellipse(hand, (288, 384), (120, 80), 20, 0, 360, (1.0,), -1)
    full[hand > 0] = (0.75, 0.55, 0.45)
    small = cv2.resize(full, CROP_SIZE[::-1], interpolation=cv2.INTER_AREA)
    labels, worn = masks(hand, 1)
    edge = Edge.between(small, labels, worn, one_colour=True)
    assert edge is not None
    assert len(edge.cloths) == 2
    found, _ = refined(full, small, labels, worn, edge)
    rim = (cv2.resize(labels, (w, h)) > 0.9) & (cv2.dilate(hand, np.ones((5, 5))) == 0)
    assert found[rim].mean() < 0.1
    assert found[hand > 0].mean() > 0.97


def test_plain_cloth_has_one_colour() -> None:
    _, share, small = strand()
    edge = Edge.between(small, *masks(share, 1))
    assert edge is not None
    assert len(edge.cloths) == 1
