"""Likeness of pictures: known answers, and those of a library that others use."""

from __future__ import annotations

import numpy as np
import pytest

from vtryon.evaluate.similarity import (
    changed_region,
    difference,
    mean_scores,
    psnr,
    scores,
    ssim,
    ssim_map,
)  # fmt: skip
from vtryon.types import Array


def picture(seed: int = 0) -> Array:
    y, x = np.mgrid[:60, :80].astype(np.float32)
    waves = (
        120
        + 60 * np.sin(x / 7)[..., None]
        + 40 * np.cos(y / np.array([5.0, 9.0, 4.0])[:, None, None]).transpose(1, 2, 0)
    )
    return np.clip(waves + np.random.default_rng(seed).normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


def test_a_picture_is_like_itself() -> None:
    one = picture()
    everywhere = np.ones(one.shape[:2], bool)
    found = scores(one, one, everywhere)
    assert found.ssim == found.region_ssim == pytest.approx(1)
    assert found.l1 == found.region_l1 == 0
    assert found.psnr == np.inf


def test_known_differences() -> None:
    one = np.full((40, 40, 3), 100, np.uint8)
    two = one.copy()
    two[:, 20:] = 110
    half = np.zeros((40, 40), bool)
    half[:, 20:] = True
    found = scores(one, two, half)
    assert found.l1 == pytest.approx(5)
    assert found.region_l1 == pytest.approx(10)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / 50))
    # of flat pictures only the luminance term of SSIM is left
    flat = (2 * 100 * 110 + 2.55**2) / (100**2 + 110**2 + 2.55**2)
    assert ssim_map(one, two)[20, 35] == pytest.approx(flat)
    assert ssim_map(one, two)[20, 5] == pytest.approx(1)


def test_worse_pictures_score_worse() -> None:
    one = picture()
    noise = np.random.default_rng(1).normal(0, 1, one.shape)
    rated = [ssim(one, np.clip(one + s * noise, 0, 255).astype(np.uint8)) for s in (0, 5, 20, 60)]
    assert rated == sorted(rated, reverse=True)
    assert rated[-1] < 0.6


def test_region_of_change_is_one_pixel_wider() -> None:
    one = np.full((20, 20, 3), 90, np.uint8)
    two = one.copy()
    two[5, 5, 1] += 25
    two[15, 15] += 24
    found = changed_region(one, two)
    assert found.sum() == 9
    assert found[4:7, 4:7].all()
    assert difference(one, two)[5, 5] == 25


def test_means_leave_out_what_is_not_there() -> None:
    one = picture()
    nowhere, everywhere = np.zeros(one.shape[:2], bool), np.ones(one.shape[:2], bool)
    only = mean_scores([scores(one, one, nowhere)])
    assert only["region_ssim"] is None
    assert only["psnr"] is None, "infinite"
    both = mean_scores([scores(one, one, nowhere), scores(one, 255 - one, everywhere)])
    assert both["region_l1"] == pytest.approx(float(np.abs(one.astype(int) - (255 - one)).mean()), abs=0.01)
    assert both["l1"] == pytest.approx((both["region_l1"] or 0) / 2, abs=0.01)


def test_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    one, two = picture(), picture(3)[:, ::-1].copy()
    for other in (two, (one // 2 + two // 2).astype(np.uint8), one):
        mean, at = metrics.structural_similarity(
            one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255,
            full=True,
        )  # fmt: skip
        assert ssim(one, other) == pytest.approx(mean, abs=1e-3)
        assert np.abs(ssim_map(one, other) - at.mean(axis=2)).max() < 1e-3
        noise = metrics.peak_signal_noise_ratio(one, two, data_range=255)
        assert psnr(one, two) == pytest.approx(noise)
