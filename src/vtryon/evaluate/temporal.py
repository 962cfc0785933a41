"""Steadiness of a result clip against the motion of its source: warping error, and how far the garment's edge jumps.

Both carry the picture before along the *source's* optical flow: what the person does is no error, what the garment does
on its own is. The same is done to the source itself, which tells what noise, encoder and flow contribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vtryon.evaluate.hem import edge_steps
from vtryon.evaluate.still import HEIGHT
from vtryon.render.flow import Flow, SourceFlow
from vtryon.types import Array

_AGREES = 0.5  # of the flow's own agreement of pictures, as wherever labels are carried
_NO_ERROR = 1e-9  # below it the source is a still without noise, and nothing can be divided by it


@dataclass(frozen=True, eq=False)
class Motion:
    """Optical flow from a picture to the next, and ``seen`` (H, W) bool: where what is seen was seen before."""

    flow: Flow
    seen: Array


def motion_between(previous: Array, current: Array) -> Motion:
    """Flow between two RGB pictures (H, W, 3) uint8, and where it is trusted.

    Forward and backward flow must agree (Sundaram et al. 2010, eq. (5)), and so must the pictures after the motion:
    the flow of small pictures is so smooth that it agrees with itself across what is uncovered.
    """
    find = SourceFlow()
    flow, forward = find(previous, current), find(current, previous).backward
    there_and_back = flow.backward + flow.carry(forward)
    size = np.square(flow.backward).sum(-1) + np.square(flow.carry(forward)).sum(-1)
    h, w = flow.valid.shape
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    x, y = x + flow.backward[..., 0], y + flow.backward[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    agrees = np.square(there_and_back).sum(-1) < 0.01 * size + 0.5
    return Motion(flow, agrees & inside & (flow.valid > _AGREES))


def warp_error(previous: Array, current: Array, motion: Motion, region: Array) -> float | None:
    """Mean squared difference, values in [0, 1], between ``current`` (H, W, 3) uint8 and ``previous`` carried along.

    Over the pixels of ``region`` (H, W) bool that were seen before (Lai et al. 2018, section 3.2); None without any.
    """
    counted = region & motion.seen
    if not counted.any():
        return None
    carried = motion.flow.carry(previous.astype(np.float32))
    return float(np.square((carried - current)[counted] / 255).mean())


def edge_jitter(previous: Array, current: Array, motion: Motion, coverage: Array) -> float | None:
    """Mean displacement of the edges along the outline of ``coverage`` (H, W) between ``current`` and ``previous``
    carried along, in px of a picture ``HEIGHT`` px high; None where no edge is seen there."""
    before, now = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.float32) for p in (previous, current))
    steps = edge_steps([motion.flow.carry(before), now], coverage, seen=motion.seen)
    return float(steps.mean()) * HEIGHT / coverage.shape[0] if steps.size else None


@dataclass
class Steadiness:
    """Collects a clip's steps from frame to frame, None where there is nothing to compare (the first frame, a cut)."""

    error: list[float | None] = field(default_factory=list)
    truth_error: list[float | None] = field(default_factory=list)
    source_error: list[float | None] = field(default_factory=list)
    jitter: list[float | None] = field(default_factory=list)
    source_jitter: list[float | None] = field(default_factory=list)

    def skip(self) -> None:
        """A frame that has no predecessor."""
        for values in (self.error, self.truth_error, self.source_error, self.jitter, self.source_jitter):
            values.append(None)

    def add(
        self,
        result: tuple[Array, Array],
        truth: tuple[Array, Array] | None,
        source: tuple[Array, Array],
        region: Array,
        coverage: Array | None,
    ) -> None:
        """A frame: pictures (before, now) of result, truth and source; ``region`` (H, W) bool in which errors count;
        ``coverage`` (H, W) of the garment in the result, None where it is not known."""
        motion = motion_between(*source)
        self.error.append(warp_error(*result, motion, region))
        self.truth_error.append(None if truth is None else warp_error(*truth, motion, region))
        self.source_error.append(warp_error(*source, motion, region))
        self.jitter.append(None if coverage is None else edge_jitter(*result, motion, coverage))
        self.source_jitter.append(None if coverage is None else edge_jitter(*source, motion, coverage))

    def ratio(self, of: Sequence[float | None]) -> float | None:
        """Errors ``of`` result or truth over those of the source; None where the source has none or nothing counts."""
        ours, theirs = mean_of(of), mean_of(self.source_error)
        return None if ours is None or theirs is None or theirs < _NO_ERROR else ours / theirs


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of what there is; None where there is nothing."""
    there = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(there)) if there else None
