"""What hangs together: patches and rims of "top" on trousers are trousers, coats keep their tails."""

from __future__ import annotations

import numpy as np
import pytest

from vtryon.person.pieces import in_one_piece
from vtryon.types import Array, Label


def body() -> tuple[Array, Array]:
    """A top down to row 140 and trousers below it, (11, 256, 192), and how far down the torso each pixel is."""
    share = np.zeros((11, 256, 192), np.float32)
    share[Label.TOP, 40:140, 60:130] = 1
    share[Label.LOWER, 140:256, 60:130] = 1
    share[Label.BACKGROUND] = 1 - share.sum(axis=0)
    down = np.repeat(((np.arange(256) - 40) / 200).astype(np.float32)[:, None], 192, axis=1)  # hips at row 140
    return share, down


def worn(share: Array, rows: slice, columns: slice) -> None:
    share[:, rows, columns] = 0
    share[Label.TOP, rows, columns] = 1


def test_a_patch_on_the_trousers_and_a_rim_along_them_are_trousers() -> None:
    share, down = body()
    patch, rim = np.s_[170:185, 90:105], np.s_[145:256, 60:62]
    for where in (patch, rim):
        worn(share, *where)
    found = in_one_piece(share, down)
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert found[(Label.LOWER, *patch)].mean() > 0.85
    assert found[(Label.LOWER, *rim)][4:].mean() > 0.85
    assert np.array_equal(found[:, :136], share[:, :136]), "the top itself stays as it was"


def test_a_coats_tails_stay() -> None:
    share, down = body()
    tails = np.s_[140:230, 60:80], np.s_[140:230, 110:130]
    for where in tails:
        worn(share, *where)
    worn(share, slice(236, 256), slice(40, 150))  # and one that hands part from the rest
    found = in_one_piece(share, down)
    assert found[:, 138:224] == pytest.approx(share[:, 138:224], abs=0.35)
    assert all(found[(Label.TOP, *where)].mean() > 0.95 for where in tails)
    assert found[Label.TOP, 238:256, 42:148].mean() > 0.9


def test_without_trousers_or_without_a_top_nothing_changes() -> None:
    share, down = body()
    for label in (Label.LOWER, Label.TOP):
        alone = share.copy()
        alone[Label.BACKGROUND] += alone[label]
        alone[label] = 0
        assert in_one_piece(alone, down) is alone
