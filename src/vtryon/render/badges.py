"""Cards that hang on a top by a lanyard: they go with it.

Of a badge labels tell the card, and seldom the strap, which is as thin as their grid is coarse. A card that is kept
alone floats on the new garment, half transparent where labels waver, and with a piece of strap it comes and goes. What
is held in a hand, or reaches past the cloth, as bags and scarves do, stays; what labels are not sure of there, between
hands and cloth, is a print.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import WORN_TOP, Array, Label, Person

_LARGEST = 0.2, 0.75  # shoulders to hips: across, and down with its strap
_AROUND = 5  # px: how wide the ring is that tells what it lies on
_ON_CLOTH, _IN_HAND = 0.65, 0.15  # shares of that ring
_PRINT = 0.45  # shoulders to hips: how large pieces of a print are that are taken for something else
_UNSURE = 0.52  # mean probability of a piece: of a card it is more, of a print less
_OF_CLOTH, _OF_BOTH = 0.6, 0.9  # shares of the ring that cloth, and that cloth and hands together have round a print


def hanging(person: Person) -> Array:
    """(256, 192) float32 on the crop: 1 on small things that lie on the worn top and in no hand."""
    share = person.probability(Label.CARRIED)
    carried = (share > 0.3).astype(np.uint8)
    result = np.zeros(carried.shape, np.float32)
    if not carried.any():
        return result
    points = person.crop.to_crop(person.pose.points)
    size = max(float(np.linalg.norm(points[[23, 24]].mean(0) - points[[11, 12]].mean(0))), 1.0)
    worn = person.probability(*WORN_TOP) > 0.5
    arms = person.probability(Label.LEFT_ARM, Label.RIGHT_ARM) > 0.5
    ring = np.ones((2 * _AROUND + 1, 2 * _AROUND + 1), np.uint8)
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(carried, connectivity=8)
    for n in range(1, count):
        left, top, width, height = boxes[n][: cv2.CC_STAT_AREA].tolist()
        across, down = width / size, height / size
        card, printed = across <= _LARGEST[0] and down <= _LARGEST[1], max(across, down) <= _PRINT
        if not card and not printed:
            continue
        near = (
            slice(max(0, top - _AROUND), top + height + _AROUND), slice(max(0, left - _AROUND), left + width + _AROUND)
        )  # fmt: skip
        piece = pieces[near] == n
        around = (cv2.dilate(piece.astype(np.uint8), ring) > 0) & (carried[near] == 0)
        if not around.any():
            continue
        cloth, hand = float(worn[near][around].mean()), float(arms[near][around].mean())
        card &= cloth > _ON_CLOTH and hand < _IN_HAND
        printed &= cloth > _OF_CLOTH and cloth + hand > _OF_BOTH and float(share[near][piece].mean()) < _UNSURE
        if card or printed:
            result[near][piece] = 1.0
    return result
