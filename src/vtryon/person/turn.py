"""Which way the torso faces, in degrees, from the landmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vtryon.types import Array


def heading(world: Array) -> Array:
    """(2,) cosine and sine of the torso's yaw from world landmarks (33, 3); shorter than 1 where they are unsure.

    The wearer's right-to-left line (cos yaw, sin yaw) in x and z, mean of shoulders and hips.
    """
    lines = np.stack([world[11] - world[12], world[23] - world[24]])[:, [0, 2]]
    lines = lines / (np.linalg.norm(lines, axis=1, keepdims=True) + 1e-6)
    out: Array = lines.mean(axis=0)
    return out


def yaw(headings: Sequence[Array], weights: Array) -> float:
    """Degrees in (-180, 180] of the weighted mean direction."""
    mean = (np.asarray(weights)[:, None] * np.stack(headings)).sum(axis=0)
    return float(np.degrees(np.arctan2(mean[1], mean[0])))
