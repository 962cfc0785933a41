"""Hem jitter: how far the new garment's outline moves from frame to frame on somebody who stands still.

Measured twice: on the coverage that the warp gives, and, as the user sees it, on the finished pictures along the
normals of that outline. The source itself, measured at the same places, tells what noise and encoder contribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from vtryon.evaluate.still import HEIGHT, still_clip
from vtryon.person import Labeller
from vtryon.pipeline import TryOnOptions, try_on
from vtryon.render import Drawer
from vtryon.types import Array, Garment
from vtryon.video import VideoReader

_REACH = 5  # px that a profile reaches to either side of the outline
_STRIP = 16  # neighbouring profiles that are moved as one
_CONTRAST = 24.0  # grey levels between inside and outside that make an edge


@dataclass(frozen=True)
class HemJitter:
    """Lengths in px of a picture ``HEIGHT`` px high, mean and 95th percentile over the outline and all frames.

    ``outline`` of the warped garment's coverage; ``seen`` of the edges in the result; ``source`` of edges in the source
    at the same places, NaN where there are none; ``shimmer`` and ``source_shimmer`` mean change in grey levels per
    frame inside the garment, in the result and in the source; ``missing`` frames without a person.
    """

    outline: float
    outline_95: float
    seen: float
    seen_95: float
    source: float
    source_95: float
    shimmer: float
    source_shimmer: float
    missing: int


def hem_jitter(
    picture: Array,
    garment: Garment,
    *,
    labeller: Labeller,
    warp: str = "auto",
    draw: Drawer | None = None,
    seconds: float = 3.0,
    seed: int = 0,
) -> HemJitter:
    """Dress ``picture`` (H, W, 3) uint8 as a clip of ``seconds`` with a camera's noise (:func:`still_clip`).

    Raises ValueError where fewer than two frames show a person.
    """
    alphas, results, sources = [], [], []
    missing = 0
    with TemporaryDirectory() as folder:
        clip = still_clip(picture, Path(folder) / "still.mp4", seconds=seconds, seed=seed)
        with VideoReader(clip) as reader:
            options = TryOnOptions(warp=warp)
            for shown in try_on(reader, garment, labeller=labeller, options=options, draw=draw):
                warped = shown.warped
                if warped is None:
                    missing += 1
                    continue
                alphas.append(warped[1])
                results.append(_grey(shown.frame.rgb))
                sources.append(_grey(shown.source.rgb))
    if len(alphas) < 2:
        raise ValueError("fewer than two frames show a person")
    mean = np.mean(alphas, axis=0)
    scale = HEIGHT / picture.shape[0]
    inside = cv2.erode((mean > 0.9).astype(np.uint8), np.ones((15, 15))) > 0
    outline, seen, source = (
        _mean_and_95(scale * steps)
        for steps in (outline_steps(alphas), edge_steps(results, mean), edge_steps(sources, mean))
    )
    return HemJitter(*outline, *seen, *source, _shimmer(results, inside), _shimmer(sources, inside), missing)


def _grey(rgb: Array) -> Array:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32)


def _mean_and_95(values: Array) -> tuple[float, float]:
    if not values.size:
        return float("nan"), float("nan")
    return round(float(values.mean()), 4), round(float(np.percentile(values, 95)), 4)


def _shimmer(pictures: Sequence[Array], inside: Array) -> float:
    if not inside.any():
        return float("nan")
    return round(float(np.mean([np.abs(a - b)[inside].mean() for a, b in pairwise(pictures)])), 3)


def outline_steps(alphas: Sequence[Array]) -> Array:
    """(N,) px: how far the line where coverage (H, W) passes one half moves from frame to frame, at all its pixels."""
    soft = [cv2.GaussianBlur(a, (0, 0), 1.5) for a in alphas]
    steps = []
    for a, b in pairwise(soft):
        middle = (a + b) / 2
        slope = np.hypot(*np.gradient(middle))
        edge = (np.abs(middle - 0.5) < 0.2) & (slope > 0.1)
        steps.append((np.abs(a - b)[edge] / slope[edge]).ravel())
    return np.concatenate(steps)


def edge_steps(pictures: Sequence[Array], coverage: Array, seen: Array | None = None) -> Array:
    """(N,) px: how far the edges that pictures (H, W) show along the outline of ``coverage`` (H, W) move.

    Grey values are read along the outline's normals; a strip of neighbouring profiles is moved as one, by least squares
    against its mean over time (Lucas and Kanade 1981 in one dimension). Strips without an edge do not count, nor do
    those that leave ``seen`` (H, W) bool.
    """
    x, y, along_x, along_y = outline_normals(coverage)
    reach = np.arange(-_REACH, _REACH + 0.01, 0.5, dtype=np.float32)
    map_x, map_y = x[:, None] + along_x[:, None] * reach, y[:, None] + along_y[:, None] * reach
    whole = len(x) // _STRIP * _STRIP
    if not whole:
        return np.zeros(0)
    shape = (whole // _STRIP, _STRIP, len(reach))

    def profiles(picture: Array) -> Array:
        read = cv2.remap(cv2.GaussianBlur(picture, (0, 0), 1.0), map_x, map_y, cv2.INTER_LINEAR)
        return np.asarray(read[:whole].reshape(shape), np.float64)

    read = np.stack([profiles(p) for p in pictures])
    mean = read.mean(axis=0)
    slope = np.gradient(mean, reach, axis=2)
    ends = np.abs(mean[..., -4:].mean(axis=(1, 2)) - mean[..., :4].mean(axis=(1, 2)))
    clear = ends > _CONTRAST
    if seen is not None:
        known = cv2.remap(seen.astype(np.float32), map_x, map_y, cv2.INTER_NEAREST)
        clear &= known[:whole].reshape(shape).min(axis=(1, 2)) > 0.5
    moved = -((read - mean) * slope).sum(axis=(2, 3))[:, clear] / (slope**2).sum(axis=(1, 2))[clear]
    return np.asarray(np.abs(np.diff(moved, axis=0)).ravel())


def outline_normals(coverage: Array) -> tuple[Array, Array, Array, Array]:
    """x, y (N,) px on the line where ``coverage`` (H, W) passes one half, in order along it, and its unit normals."""
    soft = cv2.GaussianBlur(coverage.astype(np.float32), (0, 0), 2.0)
    found, _ = cv2.findContours((soft > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = coverage.shape
    points = np.concatenate([c[:, 0] for c in found]) if found else np.zeros((0, 2), int)
    margin = _REACH + 1
    inside = (points >= margin).all(axis=1) & (points < (width - margin, height - margin)).all(axis=1)
    x, y = points[inside].T
    down, right = np.gradient(soft)
    normal = np.stack([right[y, x], down[y, x]])
    length = np.linalg.norm(normal, axis=0)
    normal /= np.maximum(length, 1e-6)
    # the contour's points are whole pixels just inside: go on to where the line really is
    beyond = np.clip((0.5 - soft[y, x]) / np.maximum(length, 1e-3), -1.5, 1.5)
    x, y = x + normal[0] * beyond, y + normal[1] * beyond
    return x.astype(np.float32), y.astype(np.float32), normal[0].astype(np.float32), normal[1].astype(np.float32)
