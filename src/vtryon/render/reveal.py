"""What comes to light where the old garment was: skin, trousers, background, continued from what is seen (issue 3)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.nearest import nearest
from vtryon.planes import largest, smoothstep
from vtryon.render.filters import fill_smoothly
from vtryon.render.regions import Regions
from vtryon.types import Array, Label, Person

_LIT = 75  # per cent of the skin that is seen are darker than its usual colour: hollows, shadows, the rim of hair
_SEEN = 60  # px of skin from which its colour is known
_UNSEEN = (0.72, 0.56, 0.48)  # skin where none is
_LETTER = 7  # px: as far from what goes, whatever looks like skin or scene goes too
_AWAY = 0.0, 0.15  # shoulders to hips: from the skin that is seen to where its shadow has ended


@dataclass(frozen=True, eq=False)
class Revealed:
    """What is behind the old garment, on the crop grid: ``fill`` (h, w, 3) float32 colours in [0, 1], before them those
    of ``arms`` (h, w, 3) where ``bare`` (h, w); all of it goes where ``gone`` (h, w)."""

    fill: Array
    arms: Array
    bare: Array
    gone: Array


def reveal(picture: Array, person: Person, where: Regions, worn: Array, covered: Array, light: Array) -> Revealed:
    """What a person (h, w, 3) uint8 shows where ``worn`` (h, w) is taken away and ``covered`` (h, w) is covered again.

    Skin on arms and neck, the lower garment below the new hem, background elsewhere, each continued smoothly from
    where it is seen; new skin takes its light and shade from the cloth that covered it, ``light`` (h, w). A dress below
    the new hem stays: nothing tells what would be under it.
    """
    rgb = picture.astype(np.float32) / 255.0
    hem = _hem(covered, where.axis_y)
    below = smoothstep(hem - 0.02, hem + 0.04, where.axis_y)
    dress = person.probability(Label.DRESS) * below
    # the old garment's rim goes with it, but not what lies before it: the edge of a hand stays the hand's
    before = cv2.erode(np.maximum.reduce([where.front, where.left_arm, where.right_arm]), np.ones((3, 3), np.uint8))
    gone = np.clip(cv2.dilate(worn, np.ones((5, 5), np.uint8)) - dress - before, 0.0, 1.0)

    def seen(*labels: Label, margin: int = 3) -> Array:
        """Pixels that surely show these labels; edges are mixed with what they border on."""
        sure = smoothstep(0.6, 0.9, person.probability(*labels))
        return np.asarray(cv2.erode(sure, np.ones((margin, margin), np.uint8)))

    skin = seen(Label.LEFT_ARM, Label.RIGHT_ARM), seen(Label.FACE)
    if max(float(part.sum()) for part in skin) > _SEEN:
        continued = [fill_smoothly(rgb, np.maximum(own, 0.02 * other)) for own, other in (skin, skin[::-1])]
    else:  # from behind, under long hair and sleeves: a guess, which any trace of skin would be better than
        continued = [np.full_like(rgb, _UNSEEN)] * 2
    arms, neck = (_as_usual(rgb, part, own, skin, where.size) for part, own in zip(continued, skin, strict=True))
    lower_seen = seen(Label.LOWER, Label.LEGS)
    lower = fill_smoothly(rgb, lower_seen)
    scene = fill_smoothly(
        rgb, cv2.erode(smoothstep(0.3, 0.05, np.maximum(person.matte, worn)), np.ones((5, 5), np.uint8))
    )

    fill = scene
    has_lower = min(1.0, float(lower_seen.sum()) / 40.0)
    gone = gone * (1.0 - where.body * below * (1.0 - has_lower))  # nothing is known about what is under there
    tone = np.clip(light / max(float(np.median(light)), 1e-3), 0.75, 1.25)[..., None]
    arms, neck = arms * tone * where.arm_round[..., None], neck * np.clip(tone, 0.94, 1.06)
    for colour, weight in ((lower, where.body * below * has_lower), (neck, where.neck * where.body)):
        fill = fill + weight[..., None] * (colour - fill)
    bare = where.arm_shape * person.matte
    # where the picture already looks like what would be filled in, a label was wrong or it makes no difference:
    # its own texture is the better one
    there = fill + bare[..., None] * (arms - fill), *continued
    skinny = np.maximum(bare, where.neck * where.body)
    unlike = [largest(np.abs(cv2.blur(rgb, (3, 3)) - colours)) for colours in there]
    unlike = [unlike[0], *(np.where(skinny > 0.5, u, np.inf) for u in unlike[1:])]
    # letters of a print are alike, and what is around them is not
    strange = np.minimum.reduce(unlike).astype(np.float32)
    around = cv2.dilate(strange, np.ones((_LETTER, _LETTER), np.uint8))
    strange = np.where(cv2.erode(worn, np.ones((5, 5), np.uint8)) > 0.9, around, strange)
    gone = gone * smoothstep(0.05, 0.14, strange)
    return Revealed(*(a.astype(np.float32) for a in (fill, arms, bare, gone)))


def _as_usual(rgb: Array, continued: Array, own: Array, skin: tuple[Array, Array], size: float) -> Array:
    """Skin (h, w, 3) ``continued`` from where it is seen, ``own`` (h, w), and away from there as ``skin`` (h, w) of
    arms and face is on the whole: what is seen last lies in the shadow of a chin or a cuff, and what follows does not.
    """
    seen = [np.percentile(rgb[part > 0.5], _LIT, axis=0) for part in skin if (part > 0.5).sum() > _SEEN]
    if not seen:
        return continued
    far = smoothstep(_AWAY[0] * size, _AWAY[1] * size, nearest(own > 0.5)[1])
    return np.asarray(continued + far[..., None] * (np.mean(seen, axis=0) - continued), np.float32)


def _hem(covered: Array, axis_y: Array) -> float:
    """How far down the torso's axis the new garment reaches."""
    inside = axis_y[covered > 0.5]
    return float(np.percentile(inside, 97)) if inside.size else 1.0
