"""Steadiness has known answers: what moves with the source is no error, what moves on its own is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from moving import HEIGHT, WIDTH, flickering, noisy, sliding
from vtryon.evaluate.still import HEIGHT as NOMINAL
from vtryon.evaluate.temporal import Steadiness, edge_jitter, mean_of, motion_between, warp_error
from vtryon.types import Array

EVERYWHERE = np.ones((HEIGHT, WIDTH), bool)


def steadiness(result: list[Array], source: list[Array], truth: list[Array] | None = None) -> Steadiness:
    found = Steadiness()
    found.skip()
    for n in range(1, len(source)):
        true = None if truth is None else (truth[n - 1], truth[n])
        found.add((result[n - 1], result[n]), true, (source[n - 1], source[n]), EVERYWHERE, None)
    return found


def test_motion_is_found_and_what_comes_in_at_the_edge_was_not_seen() -> None:
    before, now = sliding(2, step=(4.0, 0.0))
    motion = motion_between(before, now)
    middle = motion.flow.backward[20:-20, 20:-20]
    assert np.median(middle[..., 0]) == pytest.approx(-4, abs=0.1)
    assert np.median(middle[..., 1]) == pytest.approx(0, abs=0.1)
    assert motion.seen[20:-20, 20:-20].mean() > 0.9
    assert not motion.seen[:, :2].any()


def test_something_new_was_not_seen() -> None:
    before, now = sliding(2)
    now[40:60, 50:70] = sliding(1, seed=9)[0][40:60, 50:70]
    seen = motion_between(before, now).seen
    assert seen[42:58, 52:68].mean() < 0.3
    assert seen[5:30, 10:40].mean() > 0.9


def test_a_copy_of_the_source_is_as_steady_as_the_source() -> None:
    source = noisy(sliding(), 2)
    found = steadiness(source, source)
    assert found.ratio(found.error) == pytest.approx(1)
    assert found.error[0] is None
    assert found.error[1:] == found.source_error[1:]


def test_flicker_adds_its_own_square() -> None:
    source = sliding(step=(2.0, 1.0))
    found = steadiness(flickering(source, 20), source)
    added = [
        a - b for a, b in zip(found.error[1:], found.source_error[1:], strict=True) if a is not None and b is not None
    ]
    assert np.mean(added) == pytest.approx((20 / 255) ** 2, rel=0.1)
    stronger = steadiness(flickering(source, 40), source)
    assert (stronger.ratio(stronger.error) or 0) > 2 * (found.ratio(found.error) or 0) > 4


def test_swapped_frames_and_another_motion_are_unsteady() -> None:
    source = noisy(sliding(8, step=(2.0, 0.0)), 2)
    swapped = source.copy()
    swapped[3], swapped[4] = source[4], source[3]
    still = [source[0]] * 8
    for wrong in (swapped, still):
        found = steadiness(wrong, source)
        assert (found.ratio(found.error) or 0) > 1.5


def test_smoother_than_the_source_is_below_one() -> None:
    clean = sliding()
    found = steadiness(clean, noisy(clean, 6))
    assert 0 < (found.ratio(found.error) or 0) < 0.5


def test_the_truth_has_its_own_figure() -> None:
    source = noisy(sliding(), 2)
    found = steadiness(flickering(source, 30), source, truth=source)
    assert found.ratio(found.truth_error) == pytest.approx(1)
    assert (found.ratio(found.error) or 0) > 2


def test_there_is_no_ratio_to_a_source_without_any_error() -> None:
    still = [sliding(1)[0]] * 3
    found = steadiness(flickering(still, 10), still)
    assert found.ratio(found.error) is None
    assert (mean_of(found.error) or 0) > 0


def test_only_the_region_counts() -> None:
    before, now = sliding(2)
    spoilt = now.copy()
    spoilt[:, WIDTH // 2 :] = 255
    motion, left = motion_between(before, now), np.zeros((HEIGHT, WIDTH), bool)
    left[:, : WIDTH // 2] = True
    assert warp_error(before, spoilt, motion, left) == warp_error(before, now, motion, left)
    assert warp_error(before, spoilt, motion, np.zeros_like(left)) is None


def test_what_was_not_seen_before_does_not_count() -> None:
    before, now = sliding(2)
    new, patch = now.copy(), np.s_[40:60, 50:70]
    new[patch] = sliding(1, seed=9)[0][patch]
    inner = np.zeros((HEIGHT, WIDTH), bool)
    inner[44:56, 54:66] = True
    motion = motion_between(before, new)
    white = now.copy()
    white[patch] = 255
    unseen = inner & ~motion.seen
    assert unseen.sum() > 50
    assert warp_error(before, white, motion, unseen) is None
    assert warp_error(before, white, motion_between(before, now), unseen) is not None


def garment(shake: float, motion: float = 0.0) -> tuple[Array, Array]:
    """A light disc on a dark ground, its place shaken by ``shake`` px and moved by ``motion``: picture, coverage."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    coverage = np.clip(28 - np.hypot(u - WIDTH / 2 - shake - motion, v - HEIGHT / 2) + 0.5, 0, 1).astype(np.float32)
    grey = np.rint(50 + 140 * coverage).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), coverage


@pytest.mark.parametrize("shake", [0.3, 0.8])
def test_an_edge_that_shakes_by_itself_is_measured_in_px(shake: float) -> None:
    still = motion_between(*sliding(1) * 2)
    before, now = garment(0.0), garment(shake)
    expected = shake * 2 / np.pi * NOMINAL / HEIGHT  # mean of |cos| round a disc
    assert edge_jitter(before[0], now[0], still, now[1]) == pytest.approx(expected, rel=0.15)
    assert edge_jitter(before[0], before[0], still, before[1]) == pytest.approx(0, abs=1e-6)


def test_an_edge_that_goes_with_the_source_does_not_jitter() -> None:
    moved = motion_between(*sliding(2, step=(2.0, 0.0)))
    before, now = garment(0.0), garment(0.0, motion=2.0)
    with_source = edge_jitter(before[0], now[0], moved, now[1])
    left_behind = edge_jitter(before[0], before[0], moved, before[1])
    assert with_source is not None
    assert left_behind is not None
    assert with_source < 0.15 * left_behind


def test_without_an_edge_there_is_no_jitter() -> None:
    flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    _, coverage = garment(0.0)
    assert edge_jitter(flat, flat, motion_between(*sliding(1) * 2), coverage) is None
    blind = motion_between(*sliding(1) * 2)
    cv2.rectangle(blind.seen.view(np.uint8), (0, 0), (WIDTH, HEIGHT), 0, -1)
    assert edge_jitter(garment(0.0)[0], garment(0.5)[0], blind, coverage) is None


def test_means_leave_out_what_is_not_there() -> None:
    assert mean_of([None, 1.0, 3.0, float("nan")]) == 2
    assert mean_of([None]) is None
