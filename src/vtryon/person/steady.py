"""Label probabilities carried from one crop to the next by optical flow, with how far they can be trusted there.

Between two crops lies the person's motion and that of the window itself; dense flow between the crops holds both.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import Array

_GAIN = 1.0  # grey levels by which a motion must explain the picture better than none, to be believed
_RETURN = 1.0  # px: forward-backward error at which trust has fallen to 1/e
_LIGHT = 12.0  # grey levels, likewise for the difference of the pictures


def carry(before: Array, now: Array, share: Array) -> tuple[Array, Array]:
    """``share`` (L, H, W) float32 of the crop ``before`` moved onto the crop ``now``, both (H, W) uint8 grey.

    Returns the moved shares and the trust in them, (H, W) float32 in [0, 1]: low where the flow there and back does
    not return, where the pictures differ after the motion, and where the motion comes from outside the crop.
    """
    dense = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    back = dense.calc(now, before, np.zeros((*now.shape, 2), np.float32))
    forth = dense.calc(before, now, np.zeros((*now.shape, 2), np.float32))
    h, w = now.shape
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    moving = _explains(before, now, x + back[..., 0], y + back[..., 1])
    x, y = x + moving * back[..., 0], y + moving * back[..., 1]
    there = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    missed = np.hypot(*np.moveaxis(there + back, -1, 0)) * moving
    differs = _difference(before, now, x, y, 5)
    trust = np.exp(-np.square(missed / _RETURN) - np.square(differs / _LIGHT))
    trust[(x < -1) | (x > w) | (y < -1) | (y > h)] = 0
    return _moved(share, x, y), trust.astype(np.float32)


def _explains(before: Array, now: Array, x: Array, y: Array) -> Array:
    """(H, W) float32, 1 about pixels where the motion explains the picture better than standing still, else 0.

    On plain walls and shirts flow follows the sensor's noise; labels carried by it would crawl.
    """
    still = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in now.shape[::-1]))
    gain = _difference(before, now, still[0], still[1], 9) - _difference(before, now, x, y, 9)
    near = cv2.dilate((gain > _GAIN).astype(np.float32), np.ones((9, 9), np.uint8))
    return np.asarray(cv2.blur(near, (5, 5)), np.float32)


def _difference(before: Array, now: Array, x: Array, y: Array, width: int) -> Array:
    """Mean absolute difference in grey levels of ``now`` and ``before`` at (x, y), over ``width`` px."""
    seen = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blur(cv2.absdiff(now, seen).astype(np.float32), (width, width)), np.float32)


def _moved(share: Array, x: Array, y: Array) -> Array:
    parts = [np.ascontiguousarray(share[i : i + 4].transpose(1, 2, 0)) for i in range(0, len(share), 4)]
    moved = [cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in parts]
    return np.concatenate([m.reshape(*m.shape[:2], -1).transpose(2, 0, 1) for m in moved])
