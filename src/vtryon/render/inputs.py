"""What the renderer is told of one frame: the person without the old garment, the new one as it was warped, colours to
fill in with (issue 6).

The old garment's pixels never reach the network, nor the labels of them: only where they were. What lies there instead
(skin, trousers, background, cloth) is offered as smooth continuations of what is seen, so that the network has to
decide *what* is there rather than to invent its colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.person.heatmaps import pose_maps
from vtryon.render.filters import fill_in, luminance, masked_blur
from vtryon.types import Array, Label

KEPT: tuple[tuple[Label, ...], ...] = (
    (Label.BACKGROUND,), (Label.HAIR,), (Label.FACE,), (Label.LOWER,), (Label.LEFT_ARM, Label.RIGHT_ARM),
    (Label.LEGS,), (Label.CARRIED,),
)  # fmt: skip
"""Labels whose pixels stay unless the new garment covers them, one channel each."""

IMAGE_CHANNELS = 3 + 1 + len(KEPT) + 3 + 2
CANDIDATES = 5
"""Continuations offered: background, arms, neck, lower garment and legs, the new cloth."""

_HINT = 0.15  # floor under luminances before their ratio is taken: black cloth tells little about the light


@dataclass(frozen=True, eq=False)
class View:
    """One frame on the crop grid (H, W), as the renderer may see it.

    ``rgb`` (H, W, 3) uint8; ``shares`` (7, H, W) float32 of ``KEPT``; ``hole`` (H, W) float32, 1 where the old garment
    is taken away; ``points`` (33, 2) px and ``visibility`` (33,); the warped garment's ``garment`` (H, W, 3) float32
    in [0, 1] with the coverage of its ``torso`` and its ``sleeves`` (H, W) float32; ``light`` (H/2, W/2) float32, how
    much lighter than usual the old garment is there (:func:`light_hint`), 0 where nothing is known.
    """

    rgb: Array
    shares: Array
    hole: Array
    points: Array
    visibility: Array
    garment: Array
    torso: Array
    sleeves: Array
    light: Array

    @property
    def cover(self) -> Array:
        return np.maximum(self.torso, self.sleeves)


def kept_shares(probability: Array) -> Array:
    """(7, H, W) float32 shares of ``KEPT`` from the label probabilities (11, H, W) uint8 of a person."""
    sums = [probability[list(group)].sum(axis=0, dtype=np.float32) for group in KEPT]
    return np.asarray(np.stack(sums) / np.float32(255))


def light_hint(rgb: Array, worn: Array) -> Array:
    """(H/2, W/2) float32 in [-1, 1]: logarithm of the old garment's luminance over its median, large scale only.

    ``worn`` (H, W) in [0, 1]. A print leaves its trace in it, which is why it is only a hint.
    """
    h, w = worn.shape
    small = cv2.resize(luminance(rgb), (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    solid = cv2.erode(cv2.resize(worn, (w // 2, h // 2), interpolation=cv2.INTER_AREA), np.ones((3, 3), np.uint8))
    inside = solid > 0.5
    if inside.sum() < 20:
        return np.zeros((h // 2, w // 2), np.float32)
    level = float(np.median(small[inside]))
    hint = np.log((masked_blur(small, solid, 3.0) + _HINT) / (level + _HINT))
    return np.asarray(np.clip(hint * solid, -1, 1), np.float32)


def candidates(view: View) -> tuple[Array, Array]:
    """The five continuations (5, H/2, W/2, 3) float32 in [0, 1], and the garment (H, W, 3) continued past its outline.

    A kind of which nothing is seen is offered as plain grey.
    """
    h, w = view.hole.shape
    half = (w // 2, h // 2)
    rgb = cv2.resize(view.rgb, half, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    seen = cv2.resize(1.0 - view.hole, half, interpolation=cv2.INTER_AREA)
    background, _, face, lower, arms, legs, _ = (
        cv2.resize(share, half, interpolation=cv2.INTER_AREA) * seen for share in view.shares
    )
    # pixels on an edge are mixed with what they border on
    sure = cv2.erode(np.stack([background, arms, face, np.maximum(lower, legs)], -1), np.ones((3, 3), np.uint8))
    known = [
        sure[..., 0],
        np.maximum(sure[..., 1], 0.02 * sure[..., 2]),
        sure[..., 2] + 0.02 * sure[..., 1],
        sure[..., 3],
    ]
    fills = [_filled(rgb, np.ascontiguousarray(weight)) for weight in known]
    cover = cv2.resize(view.cover, half, interpolation=cv2.INTER_AREA)
    cloth = _filled(cv2.resize(view.garment, half, interpolation=cv2.INTER_AREA), (cover > 0.9).astype(np.float32))
    beyond = (1.0 - view.cover)[..., None]
    garment = view.garment + beyond * (cv2.resize(cloth, (w, h), interpolation=cv2.INTER_LINEAR) - view.garment)
    return np.stack([*fills, cloth]), np.asarray(garment, np.float32)


def _filled(rgb: Array, known: Array) -> Array:
    if float(known.sum()) < 4.0:
        return np.full(rgb.shape, 0.5, np.float32)
    return np.asarray(fill_in(rgb, known), np.float32)


def network_input(view: View) -> dict[str, Array]:
    """Arrays without the batch dimension, all float32 and channels first.

    ``image`` (16, H, W): RGB, what is seen, kept labels (all 0 in the hole), garment and its coverages, scaled to about
    [-1, 1]; ``pose`` (18, H/4, W/4); ``candidates`` (5, 3, H/2, W/2); ``light`` (1, H/2, W/2); and for the
    composition ``source`` and ``garment`` (3, H, W) in [0, 1] and ``seen`` (1, H, W).
    """
    h, w = view.hole.shape
    fills, garment = candidates(view)
    seen = (1.0 - view.hole).astype(np.float32)
    source = view.rgb.transpose(2, 0, 1) * np.float32(1 / 255)
    colours = garment.transpose(2, 0, 1)
    image = np.empty((IMAGE_CHANNELS, h, w), np.float32)
    kinds = len(KEPT)
    image[:3] = (source * 2 - 1) * seen
    image[3] = seen
    image[4 : 4 + kinds] = view.shares * seen
    image[4 + kinds : 7 + kinds] = colours * 2 - 1
    image[7 + kinds], image[8 + kinds] = view.torso, view.sleeves
    return {
        "image": image,
        "pose": pose_maps(view.points, view.visibility, (h, w)),
        "candidates": np.ascontiguousarray(fills.transpose(0, 3, 1, 2)),
        "light": view.light[None],
        "source": np.ascontiguousarray(source),
        "garment": np.ascontiguousarray(colours),
        "seen": seen[None],
    }
