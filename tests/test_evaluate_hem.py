"""Known shaking of an outline is found, in pixels, on coverage and on pictures; stillness is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vtryon.evaluate.hem import edge_steps, outline_normals, outline_steps
from vtryon.types import Array


def disc(x: float = 0.0, radius: float = 40.0) -> Array:
    """(128, 160) coverage of a disc with a soft rim, moved by ``x`` px."""
    v, u = np.mgrid[:128, :160]
    return np.clip(radius - np.hypot(u - 80 - x, v - 64) + 0.5, 0, 1).astype(np.float32)


def photo(coverage: Array, noise: int = 0) -> Array:
    """The disc light on dark, with a sensor's noise where ``noise`` is a seed."""
    grey = 60 + 120 * coverage
    return (grey + (np.random.default_rng(noise).normal(0, 2, grey.shape) if noise else 0)).astype(np.float32)


def test_nothing_moves() -> None:
    assert outline_steps([disc(), disc(), disc()]).max() == 0
    assert edge_steps([photo(disc())] * 3, disc()).max() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("grown", [0.2, 0.6])
def test_a_growing_disc_moves_its_outline_everywhere(grown: float) -> None:
    frames = [disc(), disc(radius=40 + grown), disc()]
    assert outline_steps(frames).mean() == pytest.approx(grown, rel=0.1)
    seen = edge_steps([photo(f) for f in frames], frames[0])
    assert np.median(seen) == pytest.approx(grown, rel=0.1)
    assert seen.std() < 0.2 * grown


def test_a_shifted_disc_moves_by_what_lies_along_its_normals() -> None:
    frames = [disc(), disc(0.5)]
    expected = 0.5 * 2 / np.pi  # mean of |cos| round a circle
    assert outline_steps(frames).mean() == pytest.approx(expected, rel=0.08)
    assert edge_steps([photo(f) for f in frames], disc()).mean() == pytest.approx(expected, rel=0.1)


def test_noise_alone_moves_little() -> None:
    frames = [photo(disc(), seed) for seed in range(1, 8)]
    assert edge_steps(frames, disc()).mean() < 0.03


def test_where_no_edge_is_seen_nothing_counts() -> None:
    flat = np.full((128, 160), 90, np.float32)
    assert edge_steps([flat, flat + 1], disc()).size == 0
    assert edge_steps([flat, flat], np.zeros((128, 160), np.float32)).size == 0


def test_normals_point_inwards_from_the_line_itself() -> None:
    x, y, along_x, along_y = outline_normals(disc())
    assert len(x) > 200
    assert np.hypot(x - 80, y - 64) == pytest.approx(40, abs=0.6)
    inwards = np.stack([80 - x, 64 - y]) / np.hypot(x - 80, y - 64)
    assert (inwards * (along_x, along_y)).sum(axis=0).min() > 0.97


def test_a_picture_that_turns_keeps_its_edges() -> None:
    """A print inside the garment may change; it is no outline."""
    still, changed = photo(disc()), photo(disc())
    cv2.circle(changed, (80, 64), 20, (0.0,), -1)
    assert edge_steps([still, changed], disc()).max() < 1e-3
