"""Scene changes, from small copies of the frames.

A cut changes both the colours (histogram) and the picture (structure) at once, far above the clip's running level of
change, and stays: a flash comes back within a few frames, fast motion keeps the colours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.types import Array, Frame

PATIENCE = 2
"""Frames after a sudden change that must also differ from the frame before it; a shorter change is a flash."""

_COLOUR, _STRUCTURE = 0.10, 0.30
"""Least change of a cut. Between 3500 pairs of neighbouring frames of 28 clips (5 to 30 fps) the two never exceeded .04
and .31, nor .21 but for one skateboarder; between clips of different places they were at least .17 and .51."""
_LEVEL = 3.0  # ... and least multiple of the running level


@dataclass(frozen=True, eq=False)
class _Look:
    colours: Array  # (192,) histogram of the small copy, sums to 1
    structure: Array  # (18, 32) grey, zero mean, unit variance


def _look(rgb: Array) -> _Look:
    small: Array = cv2.resize(rgb, (64, 36), interpolation=cv2.INTER_AREA)
    counts = [np.bincount((small[..., c] >> 3).ravel(), minlength=32) for c in range(3)]
    # neighbouring bins are mixed so that a small change of exposure is a small change here
    colours = np.stack([np.convolve(c, (1, 2, 3, 2, 1), "same") for c in counts]).astype(np.float64)
    grey = cv2.resize(small, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32).mean(axis=2)
    grey -= grey.mean()
    return _Look((colours / colours.sum()).ravel(), grey / (grey.std() + 4.0))


def _change(a: _Look, b: _Look) -> tuple[float, float]:
    """Colour change in [0, 1] and structure change (about 1 for unrelated pictures)."""
    return float(np.abs(a.colours - b.colours).sum() / 2), float(np.abs(a.structure - b.structure).mean())


def split(frames: Iterable[Frame]) -> Iterator[tuple[Frame, int]]:
    """Each frame with the number of its shot, counted from 0. Runs ``PATIENCE`` frames behind its input."""
    held: deque[tuple[Frame, _Look]] = deque()
    state: tuple[_Look, Array] | None = None  # the frame before and the running level of change
    shot = 0
    for frame in frames:
        held.append((frame, _look(frame.rgb)))
        if len(held) > PATIENCE:
            state, cut = _step(state, [look for _, look in held])
            shot += cut
            yield held.popleft()[0], shot
    while held:
        state, cut = _step(state, [look for _, look in held])
        shot += cut
        yield held.popleft()[0], shot


def _step(state: tuple[_Look, Array] | None, ahead: list[_Look]) -> tuple[tuple[_Look, Array], bool]:
    if state is None:
        return (ahead[0], np.array([0.02, 0.05])), False
    before, level = state
    change = np.array(_change(before, ahead[0]))
    bar = np.maximum((_COLOUR, _STRUCTURE), _LEVEL * level)
    if (change > bar).all():
        if all((np.array(_change(before, look)) > bar).all() for look in ahead[1:]):
            return (ahead[0], level), True
        return (before, level), False  # a flash: the next frames are compared with the one before it
    return (ahead[0], 0.85 * level + 0.15 * np.minimum(change, 2 * level + 0.02)), False
