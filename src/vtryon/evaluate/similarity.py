"""How alike two pictures are: SSIM, PSNR and the mean absolute difference, over all of them and inside a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np

from vtryon.types import Array

DIFFERENT = 24
"""Two pictures differ at a pixel where any channel does by more than this, of 255."""

_SIGMA, _SIDE = 1.5, 11  # the Gaussian window of Wang et al. 2004
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BORDER = _SIDE // 2


def ssim_map(a: Array, b: Array) -> Array:
    """(H, W) float64 structural similarity at every pixel of two pictures (H, W, 3) uint8, mean of the channels.

    Wang, Bovik, Sheikh and Simoncelli 2004, eq. (13), with their Gaussian window; pictures are mirrored at the border.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)

    def local(values: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(values, (_SIDE, _SIDE), _SIGMA, borderType=cv2.BORDER_REFLECT))

    mx, my = local(x), local(y)
    spread: Array = local(x * x) + local(y * y) - mx * mx - my * my
    together: Array = local(x * y) - mx * my
    found = (2 * mx * my + _C1) * (2 * together + _C2) / ((mx * mx + my * my + _C1) * (spread + _C2))
    return np.asarray(found.mean(axis=2))


def ssim(a: Array, b: Array) -> float:
    """Mean of :func:`ssim_map` where the window lies inside the picture."""
    return float(ssim_map(a, b)[_BORDER:-_BORDER, _BORDER:-_BORDER].mean())


def psnr(a: Array, b: Array) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures; infinite where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def difference(a: Array, b: Array) -> Array:
    """(H, W) int: largest difference of any channel between two pictures (H, W, 3) uint8."""
    return np.asarray(np.abs(a.astype(np.int16) - b).max(axis=2))


def changed_region(truth: Array, source: Array) -> Array:
    """(H, W) bool: where truth and source differ, one pixel wider, as issue 3 measures."""
    return np.asarray(cv2.dilate((difference(truth, source) > DIFFERENT).astype(np.uint8), np.ones((3, 3))) > 0)


@dataclass(frozen=True)
class Scores:
    """Likeness of a picture to its truth: ``ssim``, ``psnr`` in dB and ``l1`` (mean absolute difference of channels, of
    255) over all of it, ``region_*`` inside a region, NaN where that is empty."""

    ssim: float
    psnr: float
    l1: float
    region_ssim: float
    region_l1: float


def scores(truth: Array, picture: Array, region: Array) -> Scores:
    """Score ``picture`` (H, W, 3) uint8 against ``truth``, and inside ``region`` (H, W) bool."""
    away = np.abs(truth.astype(np.float64) - picture).mean(axis=2)
    alike = ssim_map(truth, picture)
    inner = np.s_[_BORDER:-_BORDER, _BORDER:-_BORDER]
    some = bool(region.any())
    return Scores(
        ssim=float(alike[inner].mean()),
        psnr=psnr(truth, picture),
        l1=float(away.mean()),
        region_ssim=float(alike[region].mean()) if some else float("nan"),
        region_l1=float(away[region].mean()) if some else float("nan"),
    )


def mean_scores(many: Sequence[Scores]) -> dict[str, float | None]:
    """Mean of every score over pictures, rounded to what means something; None where no picture has it."""
    table = {name: [asdict(one)[name] for one in many] for name in asdict(many[0])} if many else {}
    means: dict[str, float | None] = {}
    for name, values in table.items():
        known = [v for v in values if np.isfinite(v)]
        means[name] = round(float(np.mean(known)), 4 if "ssim" in name else 2) if known else None
    return means
