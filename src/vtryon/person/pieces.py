"""A top hangs together: patches and rims of "top" on the trousers below it are trousers.

Where trousers are dark, in shadow or cut off by the picture's edge, the network sees patches of a top in them, and thin
rims along the legs. They would be taken away with the old garment, and the new one's hem continued over them.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import Array, Label

_UPPER = [Label.TOP, Label.OUTER]
_CHEST = (0.08, 0.36)  # of the body's "down" coordinate: where the top surely is
_HIPS = 0.42  # from here on there may be trousers
_THIN = 7  # px: what is thinner is a rim
_LARGE = 0.15  # of the largest piece: the tail of a coat, parted from it by hands
_NEAR = 12.0  # px to the next place that shows a lower garment


def in_one_piece(share: Array, down: Array) -> Array:
    """``share`` (11, H, W) with what is apart from the top, thin or below the hips, given to the lower garment near it.

    ``down`` (H, W) is the torso coordinate v of :func:`vtryon.person.heatmaps.pose_maps`.
    """
    upper, lower = share[_UPPER].sum(axis=0), share[Label.LOWER]
    seen = (lower > 0.5).astype(np.uint8)
    worn = upper > 0.5
    if not seen.any() or not (worn & (down > _HIPS)).any():
        return share
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN, _THIN))
    core = cv2.morphologyEx(worn.astype(np.uint8), cv2.MORPH_OPEN, disc)
    count, piece = cv2.connectedComponents(core, connectivity=4)
    areas = np.bincount(piece.ravel(), minlength=count)
    areas[0] = 0
    chest = np.bincount(piece[(down > _CHEST[0]) & (down < _CHEST[1])].ravel(), minlength=count)
    kept = (chest > 0) | (areas >= _LARGE * areas.max())
    kept[0] = False
    if not kept.any():
        return share
    body = cv2.dilate(kept[piece].astype(np.uint8), disc)
    near = cv2.distanceTransform(1 - seen, cv2.DIST_L2, 3) < _NEAR
    apart = cv2.blur(((down > _HIPS) & (body == 0) & near).astype(np.float32), (3, 3)) * (body == 0)
    out = share.copy()
    out[Label.LOWER] += upper * apart
    out[_UPPER] *= 1 - apart
    return out
