"""What the top looked like is known behind a hand, and only where the picture still looks so is there no hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import parsing
from vtryon.person.backdrop import Backdrop
from vtryon.types import Array, Label

POINTS = parsing.landmarks(0.75)
HAND, TAKEN = np.s_[90:112, 97:110], np.s_[90:112, 80:110]  # a hand, and what labels take for it
PRINT = (235, 230, 225)


def look(*, hand: bool, moved: int = 0, printed: tuple[int, int, int] = PRINT) -> tuple[Array, Array]:
    """Picture and labels: a top with a print before which a hand is, and labels that take print beside it for it."""
    rgb, labels, _ = parsing.draw(POINTS, seed=1)
    print_on = np.s_[80:120, 70:120]
    rgb[print_on][labels[print_on] == Label.TOP] = printed
    share = np.stack([(labels == n).astype(np.float32) for n in Label])
    if hand:
        rgb[HAND] = parsing.SKIN
        share[:, *TAKEN] = 0
        share[Label.RIGHT_ARM, *TAKEN] = 1
    shift = np.array([[1, 0, moved], [0, 1, 0]], np.float32)
    rgb = np.asarray(cv2.warpAffine(rgb, shift, rgb.shape[1::-1], borderMode=cv2.BORDER_REPLICATE))
    return rgb, np.stack([np.asarray(cv2.warpAffine(plane, shift, plane.shape[::-1])) for plane in share])


def arm(share: Array, where: tuple[slice, slice]) -> float:
    return float(share[Label.RIGHT_ARM][where].mean())


@pytest.mark.parametrize("moved", [0, 5])
def test_print_beside_a_hand_goes_back_to_the_top_that_showed_it(moved: int) -> None:
    rgb, share = look(hand=False)
    same, known = Backdrop.empty().without(share, rgb, POINTS)
    assert np.array_equal(same, share), "nothing is known yet"
    rgb, share = look(hand=True, moved=moved)
    found, _ = known.without(share, rgb, POINTS + np.array([moved, 0], np.float32))
    beside, inside = np.s_[92:110, 83 + moved : 93 + moved], np.s_[92:110, 100 + moved : 108 + moved]
    assert arm(share, beside) == 1
    assert arm(found, beside) < 0.1
    assert found[Label.TOP][beside].mean() > 0.9
    assert arm(found, inside) > 0.95
    assert np.abs(found.sum(0) - share.sum(0)).max() < 1e-5


def test_a_hand_that_never_moved_is_left_alone() -> None:
    rgb, share = look(hand=True)
    backdrop = Backdrop.empty()
    for _ in range(5):
        found, backdrop = backdrop.without(share, rgb, POINTS)
    assert arm(found, TAKEN) == pytest.approx(1, abs=1e-3)


def test_a_top_of_the_skins_colour_tells_nothing() -> None:
    rgb, share = look(hand=False, printed=parsing.SKIN)
    _, known = Backdrop.empty().without(share, rgb, POINTS)
    rgb, share = look(hand=True, printed=parsing.SKIN)
    found, _ = known.without(share, rgb, POINTS)
    assert arm(found, TAKEN) > 0.95
