"""What is worn where, as our parser sees it, in source and result: the region in which a garment's measures count."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np

from vtryon.evaluate.clip import on_frame
from vtryon.evaluate.damage import Tally, damage, leftover
from vtryon.types import WORN_TOP, Array, Label, Person

_SEAM = 128
"""The region is grown by this part of the picture's height: seams shake first, and labels are only so exact."""


def coverage(person: Person, size: tuple[int, ...]) -> Array:
    """(H, W) float32: how surely each pixel of a frame of ``size`` shows the top that ``person`` wears."""
    return on_frame(person, person.probability(*WORN_TOP), size)


def labels_on_frame(person: Person, size: tuple[int, ...]) -> Array:
    """(H, W) uint8 of :class:`~vtryon.types.Label`, the likeliest; background outside the crop."""
    planes = [on_frame(person, person.probability(label), size) for label in Label]
    likeliest: Array = np.argmax(planes, axis=0).astype(np.uint8)
    return likeliest


def garment_region(person: Person | None, wearer: Person | None, size: tuple[int, ...]) -> Array:
    """(H, W) bool: the top worn in the source (``person``) and the one worn in the result, and a little round them."""
    found = np.zeros(size[:2], np.uint8)
    for one in (person, wearer):
        if one is not None:
            found |= (coverage(one, size[:2]) > 0.5).astype(np.uint8)
    side = 2 * round(size[0] / _SEAM) + 1
    return np.asarray(cv2.dilate(found, np.ones((side, side)))) > 0


class Kept:
    """Counts over a clip what of the worn top is left and what else is harmed (:mod:`vtryon.evaluate.damage`).

    A folder of results does not tell where the new garment lies: it is taken to lie where the parser sees a top in the
    result. Where the truth is known, cloth that it shows in the old one's colour counts as neither.
    """

    def __init__(self) -> None:
        self.left = Tally(Counter(), Counter())
        self.harmed = Tally(Counter(), Counter())

    def add(self, source: Array, result: Array, truth: Array | None, person: Person, wearer: Person) -> None:
        """A frame: pictures (H, W, 3) uint8, who is seen in source and result."""
        size = source.shape[:2]
        labels, new = labels_on_frame(person, size), coverage(wearer, size)
        known = np.zeros(size, np.float32) if truth is None else np.ones(size, np.float32)
        left = leftover(source, result, source if truth is None else truth, known, labels)
        harmed = damage(source, result, new, labels, person.pose)
        self.left = _sum(self.left, left)
        self.harmed = _sum(self.harmed, harmed)

    def leftover(self) -> float | None:
        """Share of the worn top that is as it was; None where there is no top to be replaced."""
        return _share(self.left)

    def damage(self) -> float | None:
        """Share of what is to stay that is changed; None where nobody is seen."""
        return _share(self.harmed)


def _sum(a: Tally, b: Tally) -> Tally:
    return Tally(a.of + b.of, a.wrong + b.wrong)


def _share(tally: Tally) -> float | None:
    return tally.wrong.total() / tally.of.total() if tally.of.total() else None
