"""One decision for the whole body: a dress, or a top with something below.

Pixel by pixel the network mixes dresses, skirts and trousers up in patches; what is worn is one or the other.
"""

from __future__ import annotations

import numpy as np

from vtryon.types import Array, Label

DRESS = 0.65
"""Share of a dress from which one is worn. Above one half: the label maps call many skirts dresses."""

_HIPS, _PLAY = 0.5, 0.05  # of the body's "down" coordinate: 0 at mid shoulders, 0.5 one torso length below
_PRIOR = 0.1  # weight of the place where neither top nor lower garment was seen


def dress_share(share: Array, down: Array) -> float:
    """How much of the body's clothes is a dress, in [0, 1], by label probabilities (11, H, W) and ``down`` (H, W).

    ``down`` is the torso coordinate v of :func:`vtryon.person.heatmaps.pose_maps`. Above the hips a dress stands
    against a top, below against a lower garment; outer garments say nothing. 0.5 where no clothes are seen.
    """
    dress = share[Label.DRESS]
    other = np.where(down < _HIPS, share[Label.TOP], share[Label.LOWER])
    sure = np.abs(down - _HIPS) > _PLAY
    worn, rest = float(dress[sure].sum()), float(other[sure].sum())
    return (worn + 1e-3) / (worn + rest + 2e-3)


def settle(share: Array, down: Array, dress: bool) -> Array:
    """``share`` with the other kind's probability handed over: lower garment to dress, or dress to top and lower.

    Where both top and lower garment are possible, what the network saw there decides, the hips where it saw neither.
    """
    out = share.copy()
    if dress:
        out[Label.DRESS] += out[Label.LOWER]
        out[Label.LOWER] = 0
        return out
    below = np.clip((down - _HIPS + _PLAY) / (2 * _PLAY), 0, 1)
    top, lower = share[Label.TOP] + _PRIOR * (1 - below), share[Label.LOWER] + _PRIOR * below
    part = lower / (top + lower)
    out[Label.TOP] += out[Label.DRESS] * (1 - part)
    out[Label.LOWER] += out[Label.DRESS] * part
    out[Label.DRESS] = 0
    return out
