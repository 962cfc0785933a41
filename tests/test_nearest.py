"""The nearest known pixel, against trying all of them."""

from __future__ import annotations

import numpy as np

from vtryon.nearest import nearest


def test_it_is_the_nearest() -> None:
    rng = np.random.default_rng(0)
    known = rng.random((24, 31)) < 0.04
    index, distance = nearest(known)
    places = np.argwhere(known)
    y, x = np.mgrid[:24, :31]
    least = np.hypot(y[..., None] - places[:, 0], x[..., None] - places[:, 1]).min(-1)
    there = np.stack(np.unravel_index(index, known.shape))
    assert known.ravel()[index].all()
    assert np.abs(np.hypot(there[0] - y, there[1] - x) - least).max() < 0.5  # a 5 x 5 chamfer is nearly exact
    assert np.abs(distance - least).max() < 0.5


def test_what_is_known_stays_where_it_is() -> None:
    known = np.eye(9, dtype=bool)
    index, distance = nearest(known)
    assert (index[known] == np.flatnonzero(known)).all()
    assert (distance[known] == 0).all()


def test_nothing_known_is_infinitely_far() -> None:
    index, distance = nearest(np.zeros((4, 5), bool))
    assert np.isinf(distance).all()
    assert (index == 0).all()
