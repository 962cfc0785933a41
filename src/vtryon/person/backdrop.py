"""What the top looked like before a hand came before it: where it still looks so, there is no hand.

A print between and beside hands is taken for a part of them; but it was seen before, or a moment ago beside the hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.planes import largest, smoothstep
from vtryon.types import CROP_SIZE, WORN_TOP, Array, Label

_SURE = 0.8
_AWAY = np.ones((7, 7), np.uint8)  # round an arm nothing is learned: its blur is on the cloth
_LEARN = 0.3  # share of the newest look in the colours
_FORGET = 0.995  # share of what is known that is left after a frame in which it is hidden
_SAME = (0.08, 0.04)  # of colours in [0, 1]: differences from those that are remembered, from none of it to all
_APART = (0.08, 0.16)  # of the remembered colour from the skin's: below, they are too alike to tell
_ENOUGH = 40  # px of skin from which its colour is known
_ARMS = [Label.LEFT_ARM, Label.RIGHT_ARM]
_WORN = list(WORN_TOP)
_TRUNK = [11, 12, 23, 24]


@dataclass(frozen=True, eq=False)
class Backdrop:
    """The top's ``colours`` (256, 192, 3) float32 in [0, 1] as they were last seen, how far they are ``known``
    (256, 192), and where the trunk was ``at`` (2,) crop px."""

    colours: Array
    known: Array
    at: Array

    @staticmethod
    def empty() -> Backdrop:
        """Of somebody who was not seen yet."""
        return Backdrop(np.zeros((*CROP_SIZE, 3), np.float32), np.zeros(CROP_SIZE, np.float32), np.zeros(2, np.float32))

    def without(self, share: Array, rgb: Array, points: Array) -> tuple[Array, Backdrop]:
        """Labels ``share`` (11, 256, 192) of the crop ``rgb`` (256, 192, 3) uint8, those of arms given back to the top
        where the crop looks as the top did there, and what is known now. ``points`` (33, 2) crop px: what is remembered
        goes along with the trunk."""
        now = cv2.GaussianBlur(rgb, (0, 0), 0.8).astype(np.float32) / np.float32(255)
        at = points[_TRUNK].mean(0)
        move = np.eye(2, 3, dtype=np.float32)
        move[:, 2] = at - self.at
        colours, known = (
            np.asarray(cv2.warpAffine(plane, move, CROP_SIZE[::-1])) for plane in (self.colours, self.known)
        )
        arms = share[_ARMS].sum(0)
        skin = cv2.erode((arms + share[Label.FACE] > _SURE).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        out = share
        if skin.sum() >= _ENOUGH and known.max() > 0:
            off = cv2.blur(largest(np.abs(now - colours)), (3, 3))
            apart = largest(np.abs(colours - np.median(now[skin], axis=0)))
            back = arms * known * smoothstep(*_SAME, off) * smoothstep(*_APART, apart)
            out = share.copy()
            out[_ARMS] *= 1 - back / np.maximum(arms, 1e-6)
            out[Label.TOP] += back
        clear = (out[_WORN].sum(0) > _SURE) & (cv2.dilate((arms > 0.2).astype(np.uint8), _AWAY) == 0)
        fresh = np.where(clear, np.where(known > 0.5, _LEARN, 1), 0).astype(np.float32)
        colours = colours + fresh[..., None] * (now - colours)
        known = np.where(clear, np.float32(1), known * np.float32(_FORGET))
        return out, Backdrop(colours, known, at)
