"""Elbows in long sleeves: patches of arm are given to the sleeve, bare arms and hands are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from parsing import draw, landmarks
from vtryon.person.sleeves import cover_elbows
from vtryon.types import Array, Label

POINTS = landmarks(0.75)


def shares(labels: Array) -> Array:
    """(11, 256, 192) float32: sure of every label."""
    return np.eye(len(Label), dtype=np.float32)[labels].transpose(2, 0, 1).copy()


def long_sleeves() -> Array:
    """The drawn man in long sleeves to the wrists, with patches of "arm" at both elbows."""
    labels = draw(POINTS)[1]
    y, x = np.mgrid[:256, :192] + 0.5
    for elbow, wrist, label in ((13, 15, Label.LEFT_ARM), (14, 16, Label.RIGHT_ARM)):
        labels[(labels == label) & (y < POINTS[wrist, 1] - 4)] = Label.TOP
        labels[(labels > 0) & (np.hypot(x - POINTS[elbow, 0], y - POINTS[elbow, 1]) < 6)] = label
    return labels


def test_an_elbow_in_a_long_sleeve_is_covered_and_hands_stay() -> None:
    labels = long_sleeves()
    share = shares(labels)
    found = cover_elbows(share, POINTS)
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    bare = found[[Label.LEFT_ARM, Label.RIGHT_ARM]].sum(axis=0)
    for elbow, wrist in ((13, 15), (14, 16)):
        x, y = POINTS[elbow].astype(int)
        assert share[[Label.LEFT_ARM, Label.RIGHT_ARM], y, x].sum() == 1
        assert found[Label.TOP, y, x] > 0.95
        hand = np.s_[int(POINTS[wrist, 1]) :, :]
        assert np.array_equal(bare[hand], share[[Label.LEFT_ARM, Label.RIGHT_ARM]].sum(axis=0)[hand])


def test_bare_arms_are_left_alone() -> None:
    share = shares(draw(POINTS)[1])
    assert cover_elbows(share, POINTS) is share


def test_an_elbow_whose_hand_is_hidden_is_left_alone() -> None:
    labels = long_sleeves()
    labels[int(POINTS[15, 1]) - 4 :][np.isin(labels[int(POINTS[15, 1]) - 4 :], (7, 8))] = Label.LOWER
    share = shares(labels)
    assert cover_elbows(share, POINTS) is share


def test_arms_out_of_the_picture_do_no_harm() -> None:
    share = shares(long_sleeves())
    for shift in ((400, 0), (0, -400), (90, 30)):
        assert cover_elbows(share, POINTS + np.float32(shift)).shape == share.shape
