"""What colour tells beside the network: where the top ends, which of the cloth is hair, and what of it is no hand.

Where trousers are cut off by the picture's edge the network takes them for the top, long hair over it for cloth, and
a print between hands for a hand, though their colours are others. Colours are learned anew from each crop, from what
is sure.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import WORN_TOP, Array, Label

_CHEST = (0.08, 0.36)  # of the body's "down" coordinate: surely the top's colours
_BELOW = (0.58, 1.0)  # hardly ever the top's
_TURN = 0.46  # from here on colour counts fully
_SURE = 0.6
_ENOUGH = 60.0  # px of either without which their colours are not known
_LEAST = 25  # px of a thing that is carried
_CELLS = 10  # colour cells along each axis of Lab
_RARE = 2e-4  # share of a colour that was not seen
_CHROMA = 2.2  # hue and saturation tell cloths apart better than light does
_CONVINCED = 3.0, 4.0, 3.5, 3.5  # log odds that colour can add at most: the top's end, hair, skin, things carried
_OPEN = 0.05  # probability that the network leaves to a label it did not see
_OF_HAIR = 1.6  # log odds from which cloth that hangs together with hair is hair
_NEAR_SKIN = 9  # px: as far from skin cloth shows its own colours
_OF_ARMS = np.float32(0.25)  # weight of the arms' colours beside the face's
_NECK, _CHIN = -0.08, -0.2  # of the body's "down" coordinate: the face is above, and no cloth above that
_ARMS = [Label.LEFT_ARM, Label.RIGHT_ARM]
_BARE = [Label.FACE, *_ARMS]
_UPPER = [Label.TOP, Label.OUTER]
_WORN = list(WORN_TOP)


def by_colour(share: Array, rgb: Array, down: Array) -> Array:
    """``share`` (11, H, W) with hair, skin, things carried, top and lower garment told apart by their colours in
    ``rgb`` (H, W, 3) uint8.

    ``down`` (H, W) is the torso coordinate v of :func:`vtryon.person.heatmaps.pose_maps`.
    """
    cell = _colour_cells(rgb)
    share = skin_from_cloth(top_from_lower(share, cell, down), cell, down)
    share = carried_from_cloth(share, cell)
    return hair_over_cloth(share, cell, down)


def top_from_lower(share: Array, cell: Array, down: Array) -> Array:
    """``share`` with top and lower garment told apart by the colours ``cell`` (H, W).

    The chest shows the top's colours, the thighs and what is surely a lower garment its colours; between, a pixel's log
    odds of the two colour histograms are added to the network's. Nothing changes above the chest's end, nor where
    either colour is unknown or both are alike.
    """
    upper, lower = share[_UPPER].sum(axis=0), share[Label.LOWER]
    cloth = upper + lower
    worn = cloth > 0.5
    chest = upper * (worn & (down > _CHEST[0]) & (down < _CHEST[1]))
    below = worn & (down < _BELOW[1])
    legs = cloth * (below & (down > _BELOW[0])) + lower * (below & (lower > _SURE) & (down > _CHEST[1]))
    if chest.sum() < _ENOUGH or legs.sum() < _ENOUGH:
        return share
    evidence = _evidence(cell, chest, legs, _CONVINCED[0], 5)
    weight = np.clip((down - _CHEST[1]) / (_TURN - _CHEST[1]), 0, 1)
    logit = np.log((upper + _OPEN) / (lower + _OPEN)) + weight * evidence
    part = np.where(weight > 0, 1 / (1 + np.exp(-logit)), upper / np.maximum(cloth, 1e-6))
    out = share.copy()
    out[_UPPER] = _among(share[_UPPER], upper) * (cloth * part)
    out[Label.LOWER] = cloth * (1 - part)
    return out


def skin_from_cloth(share: Array, cell: Array, down: Array) -> Array:
    """``share`` with skin, of arms and neck, and worn cloth told apart along edges by the colours ``cell`` (H, W).

    The face, and arms away from their edges, show the skin's colours; cloth away from both shows its own, prints and
    all. What the network is sure of stays, and so does everything where either is unknown or both are alike.
    """
    bare, worn = share[_BARE].sum(axis=0), share[_WORN].sum(axis=0)
    core, far = np.ones((5, 5), np.uint8), np.ones((2 * _NEAR_SKIN + 1, 2 * _NEAR_SKIN + 1), np.uint8)
    cloth = worn * ((worn > _SURE) & (cv2.dilate((bare > 0.3).astype(np.uint8), far) == 0))
    arms, face = share[_ARMS].sum(axis=0) > _SURE, (share[Label.FACE] > _SURE) & (down < _NECK)
    # a face is no cloth; of what looks like an arm some may be
    skin = cv2.erode((arms | face).astype(np.uint8), core) * np.where(arms, _OF_ARMS, np.float32(1))
    if skin.sum() < _ENOUGH * _OF_ARMS or cloth.sum() < 3 * _ENOUGH:
        return share
    total = bare + worn
    logit = np.log((bare + _OPEN) / (worn + _OPEN)) + _evidence(cell, skin, cloth, _CONVINCED[2], 3)
    edge = cv2.dilate((worn > 0.3).astype(np.uint8), core) > 0  # farther in, dark skin is shadow
    doubt = (bare > 0.3) & (total > 0.5) & (down > _CHIN) & edge
    part = np.where(doubt, 1 / (1 + np.exp(-logit)), bare / np.maximum(total, 1e-6))
    out = share.copy()
    out[_BARE] = share[_BARE] / np.maximum(bare, 1e-6) * (total * part)
    out[_WORN] = _among(share[_WORN], worn) * (total * (1 - part))
    return out


def carried_from_cloth(share: Array, cell: Array) -> Array:
    """``share`` with cloth that shows between the straps of a lanyard or a bag given back to the top, by the colours
    ``cell`` (H, W). What is carried and what is worn both show theirs; things of the top's own colours stay."""
    carried, worn = share[Label.CARRIED], share[_WORN].sum(axis=0)
    cloth = worn * (worn > _SURE)
    if (carried > 0.5).sum() < _LEAST or cloth.sum() < 3 * _ENOUGH:
        return share
    evidence = _evidence(cell, carried * (carried > 0.5), cloth, _CONVINCED[3], 3)
    total = carried + worn
    logit = np.log((carried + _OPEN) / (worn + _OPEN)) + np.minimum(evidence, 0)
    given = np.where((carried > 0.2) & (total > 0.5), np.maximum(carried - total / (1 + np.exp(-logit)), 0), 0)
    out = share.copy()
    out[Label.CARRIED] -= given
    out[_WORN] += _among(share[_WORN], worn) * given
    return out


def _among(parts: Array, total: Array) -> Array:
    """How cloth that is found is shared out among labels of what is worn (N, H, W), the top first: as ``parts`` are of
    their ``total`` (H, W) there, else all to the top."""
    top = (np.arange(len(parts)) == 0).astype(np.float32)[:, None, None]
    return np.where(total > 1e-3, parts / np.maximum(total, 1e-6), top)


def hair_over_cloth(share: Array, cell: Array, down: Array) -> Array:
    """``share`` with cloth given to the hair that it hangs together with and whose colours ``cell`` (H, W) it has, and
    hair below the chin to the cloth, a hood's, whose colours it has.

    Cloth near hair does not count for the cloth's colours: part of it may be hair. Hair and cloth of one colour stay
    as the network saw them.
    """
    hair, worn = share[Label.HAIR], share[_WORN].sum(axis=0)
    near = cv2.dilate((hair > 0.3).astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    known = hair * (hair > _SURE), worn * ((worn > _SURE) & ~near)
    if known[0].sum() < _ENOUGH or known[1].sum() < 3 * _ENOUGH:
        return share
    evidence = _evidence(cell, *known, _CONVINCED[1], 3)
    seed, alike = hair > 0.5, evidence > _OF_HAIR
    count, piece = cv2.connectedComponents(((alike & (hair + worn > 0.5)) | seed).astype(np.uint8), connectivity=4)
    grown = np.isin(np.arange(count), piece[seed])[piece] & alike
    total = hair + worn
    with_colour = 1 / (1 + np.exp(-np.log((hair + _OPEN) / (worn + _OPEN)) - evidence))
    gained = np.where(grown, np.maximum(total * with_colour - hair, 0), 0)
    hood = (evidence < -_OF_HAIR) & (down > _CHIN) & (hair > 0.2)
    lost = np.where(hood, np.maximum(hair - total * with_colour, 0), 0)
    out = share.copy()
    out[Label.HAIR] += gained - lost
    out[_WORN] *= 1 - gained / np.maximum(worn, 1e-6)
    out[_WORN] += _among(share[_WORN], worn) * lost
    return out


def _evidence(cell: Array, one: Array, other: Array, most: float, width: int) -> Array:
    """(H, W) log odds, at most ``most``, that a pixel's colour is of the one and not of the other, both pixel weights
    (H, W), averaged over ``width`` px."""
    odds = np.log((_histogram(cell, one) + _RARE) / (_histogram(cell, other) + _RARE))
    return np.asarray(cv2.blur(np.clip(odds, -most, most).astype(np.float32)[cell], (width, width)))


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
