"""Decisions for the whole body: a dress, or a top with something below; and by colour, where the top ends.

Pixel by pixel the network mixes dresses, skirts and trousers up in patches; what is worn is one or the other. And where
trousers are cut off by the picture's edge it takes them for the top, though their colour is another.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import WORN_TOP, Array, Label

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


_CHEST = (0.08, 0.36)  # of the "down" coordinate: surely the top's colours
_BELOW = (0.58, 1.0)  # hardly ever the top's
_TURN = 0.46  # from here on colour counts fully
_ENOUGH = 60.0  # px of either without which their colours are not known
_CELLS = 10  # colour cells along each axis of Lab
_RARE = 2e-4  # share of a colour that was not seen
_CHROMA = 2.2  # hue and saturation tell cloths apart better than light does
_CONVINCED = 3.0  # log odds that colour can add at most
_OPEN = 0.05  # probability that the network leaves to a label it did not see


def tell_apart(share: Array, rgb: Array, down: Array) -> Array:
    """``share`` (11, H, W) with top and lower garment told apart by their colours in ``rgb`` (H, W, 3) uint8.

    The chest shows the top's colours, the thighs and what is surely a lower garment its colours; between, a pixel's log
    odds of the two colour histograms are added to the network's. Nothing changes above the chest's end, nor where
    either colour is unknown or both are alike.
    """
    tops = [label for label in WORN_TOP if label != Label.DRESS]
    upper, lower = share[tops].sum(axis=0), share[Label.LOWER]
    cloth = upper + lower
    worn = cloth > 0.5
    chest = upper * (worn & (down > _CHEST[0]) & (down < _CHEST[1]))
    below = worn & (down < _BELOW[1])
    legs = cloth * (below & (down > _BELOW[0])) + lower * (below & (lower > 0.6) & (down > _CHEST[1]))
    if chest.sum() < _ENOUGH or legs.sum() < _ENOUGH:
        return share
    cell = _colour_cells(rgb)
    odds = np.log((_histogram(cell, chest) + _RARE) / (_histogram(cell, legs) + _RARE))
    evidence = cv2.blur(np.clip(odds, -_CONVINCED, _CONVINCED).astype(np.float32)[cell], (5, 5))
    weight = np.clip((down - _CHEST[1]) / (_TURN - _CHEST[1]), 0, 1)
    logit = np.log((upper + _OPEN) / (lower + _OPEN)) + weight * evidence
    part = np.where(weight > 0, 1 / (1 + np.exp(-logit)), upper / np.maximum(cloth, 1e-6))
    out = share.copy()
    among = np.where(upper > 1e-3, share[tops] / np.maximum(upper, 1e-6), np.array([1.0, 0.0])[:, None, None])
    out[tops] = among * (cloth * part)
    out[Label.LOWER] = cloth * (1 - part)
    return out


def _colour_cells(rgb: Array) -> Array:
    """(H, W) int: which of ``_CELLS`` ** 3 cells of Lab a pixel's colour is in, noise smoothed away."""
    lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (0, 0), 1.2), cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 1:] = np.clip((lab[..., 1:] - 128) * _CHROMA + 128, 0, 255)
    cells = (lab * (_CELLS / 256)).astype(np.int32)
    return np.asarray((cells[..., 0] * _CELLS + cells[..., 1]) * _CELLS + cells[..., 2])


def _histogram(cell: Array, weight: Array) -> Array:
    """(``_CELLS`` ** 3,) how the weight (H, W) is shared out over the cells, a little of it to their neighbours."""
    counts = np.bincount(cell.ravel(), weight.ravel(), _CELLS**3).reshape(_CELLS, _CELLS, _CELLS)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode="edge")
        counts = 0.5 * counts + 0.25 * (
            np.take(padded, range(_CELLS), axis) + np.take(padded, range(2, _CELLS + 2), axis)
        )
    return np.asarray(counts.ravel() / counts.sum())
