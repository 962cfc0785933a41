"""Edges between what stays and the cloth that goes, at the video's pixels: by colour, where the colours differ.

A mask of a coarse grid, enlarged along the picture's edges, takes a rim of the old garment along with hair or a hand
that lies before it. At such an edge a pixel mixes two colours that are both seen nearby, I = a F + (1 - a) B; a is
where I lies between them. The share of the old cloth can then be taken out of the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.nearest import nearest
from vtryon.planes import smoothstep
from vtryon.types import Array

_BAND = 7  # grid px: how wide the stretch along an edge is in which colours decide
_NEAR = 6.0  # grid px to the next place that surely shows what stays; twice that to the cloth
_PRINT = 0.3  # of colours in [0, 1], between the ends of a garment's own: from here on it has a print
_APART = (0.15, 0.3)  # of colours in [0, 1]: below, they are too alike to tell
_BETTER = 0.03  # of colours: by how much the other kind of cloth must explain a pixel better than the nearest
_OFF = (0.12, 0.24)  # of a colour from the line between the two: beyond, it is a third one


@dataclass(frozen=True, eq=False)
class Edge:
    """On the crop grid (h, w): the colours of what stays ``kept`` and of the old garment ``cloths`` (h, w, 3) float32
    in [0, 1], each as at the nearest place that surely shows it, and how far ``told`` (h, w) they decide. Of a garment
    with a print there are two: the nearest cloth of all, and the nearest of the other kind."""

    kept: Array
    cloths: tuple[Array, ...]
    told: Array

    @classmethod
    def between(cls, picture: Array, mask: Array, worn: Array, one_colour: bool = False) -> Edge | None:
        """Along the edge of ``mask`` (h, w) to the old garment ``worn`` (h, w), in ``picture`` (h, w, 3) float32 in
        [0, 1]; None where they do not meet. What is of ``one_colour``, as arms are, has gaps where it is of the old
        garment's: between fingers labels see a hand."""
        solid = (mask > 0.5).astype(np.uint8)
        margin = _BAND + 2 * int(_NEAR)
        box = tuple(
            slice(max(0, int(lines[0]) - margin), int(lines[-1]) + margin + 1) if lines.size else slice(0)
            for lines in (np.flatnonzero(solid.max(1)), np.flatnonzero(solid.max(0)))
        )
        small, wide = np.ones((3, 3), np.uint8), np.ones((_BAND, _BAND), np.uint8)
        solid, mask, worn = solid[box], mask[box], worn[box]
        old = cv2.dilate((worn > 0.5).astype(np.uint8), wide) > 0 if solid.size else np.zeros(0, bool)
        if not old.any():
            return None
        band = (cv2.dilate(solid, wide) > cv2.erode(solid, wide)) & old
        if not band.any():
            return None
        sure = [((a > 0.9) & (b < 0.1)).astype(np.uint8) for a, b in ((mask, worn), (worn, mask))]
        cloths, off = _cloths(picture[box], cv2.erode(sure[1], small))
        if len(cloths) > 1:  # some colour of a print is much like anything: outwards labels know better
            band &= cv2.dilate(solid, small) > 0
        if one_colour and sure[0].any():
            usual = np.median(picture[box][sure[0] > 0], axis=0)
            strange = 0.7 * _length(picture[box] - usual)
            gap = np.minimum.reduce([_length(picture[box] - cloth) for cloth in cloths]) < strange
            gap &= (mask > 0.5) & (off < 2 * _NEAR)
            sure[0][gap] = 0
            band |= cv2.dilate(gap.astype(np.uint8), small) > 0
        kept, far = _nearest(picture[box], cv2.erode(sure[0], small))
        apart = [smoothstep(*_APART, _length(kept - cloth)) for cloth in cloths]
        soft = cv2.blur(band.astype(np.float32), (3, 3)) * band
        told = soft * (far < _NEAR) * (off < 2 * _NEAR) * apart[0]
        # a colour that could as well be of what stays tells nothing
        others = [np.where(a[..., None] > 0.5, c, cloths[0]) for a, c in zip(apart[1:], cloths[1:], strict=True)]
        planes = [_placed(p, box, picture.shape[:2]) for p in (kept, told, cloths[0], *others)]
        return cls(planes[0], tuple(planes[2:]), planes[1])


def _placed(plane: Array, box: tuple[slice, ...], size: tuple[int, ...]) -> Array:
    """A plane of ``box`` in one of the whole ``size``, zero elsewhere."""
    whole = np.zeros((*size, *plane.shape[2:]), np.float32)
    whole[box] = plane
    return whole


def _cloths(picture: Array, sure: Array) -> tuple[list[Array], Array]:
    """The old garment's colours (h, w, 3) at the nearest places that are ``sure`` (h, w) uint8 to show it, the nearest
    kind of cloth first, and how far (h, w) that is."""
    found = [_nearest(picture, kind) for kind in _kinds(picture, sure)]
    if len(found) == 1:
        return [found[0][0]], found[0][1]
    (light, light_off), (dark, dark_off) = found
    lighter = light_off <= dark_off
    first, second = np.where(lighter[..., None], light, dark), np.where(lighter[..., None], dark, light)
    other = np.where((np.maximum(light_off, dark_off) < 2 * _NEAR)[..., None], second, first)
    return [first, other], np.minimum(light_off, dark_off)


def _kinds(picture: Array, sure: Array) -> list[Array]:
    """``sure`` (h, w) uint8 split in two along the colours' main axis where it shows a print, else as it is."""
    colours = picture[sure > 0].astype(np.float32)
    if len(colours) < 50:
        return [sure]
    axis = np.linalg.eigh(np.cov(colours, rowvar=False))[1][:, -1]
    low, high = np.percentile(colours @ axis, (5, 95))
    if high - low < _PRINT:
        return [sure]
    over = (picture @ axis > 0.5 * (low + high)).astype(np.uint8)
    return [sure * over, sure * (1 - over)]


def _nearest(picture: Array, known: Array) -> tuple[Array, Array]:
    """The colour (h, w, 3) at the nearest place of ``known`` (h, w) uint8, a little smoothed, and how far it is."""
    weight = cv2.blur(known.astype(np.float32), (3, 3))
    mean = cv2.blur(picture * known[..., None], (3, 3)) / np.maximum(weight, 1e-3)[..., None]
    index, distance = nearest(known > 0)
    return cv2.blur(mean.reshape(-1, 3)[index], (3, 3)), distance


def split_edge(full: Array, mask: Array, kept: Array, cloths: Sequence[Array], told: Array) -> tuple[Array, Array]:
    """``mask`` (H, W) as the colours of ``full`` (H, W, 3) tell it, and ``full`` without the cloth's share in it.

    ``kept``, ``cloths`` (H, W, 3) and ``told`` (H, W) are those of an :class:`Edge`, enlarged; each pixel goes by the
    cloth that explains it best.
    """
    share, off, line = _between(full, kept, cloths[0])
    if len(cloths) == 2:
        other = _between(full, kept, cloths[1])
        better = other[1] < off - _BETTER
        share, off = np.where(better, other[0], share), np.where(better, other[1], off)
        line = np.where(better[..., None], other[2], line)
        # within a print, edges have colours between its own
        share *= smoothstep(-_BETTER, _BETTER, _between(full, *cloths)[1] - off)
        share = cv2.medianBlur(share.astype(np.float32), 3)
    # what is neither the one nor the other, nor between them, is some other colour of the old garment
    share = share * smoothstep(_OFF[1], _OFF[0], off)
    mask = mask + told * (smoothstep(0.1, 0.9, share) - mask)
    rest = told * np.where(mask > 0.05, 1.0 - share, 0.0)
    clean = full + rest[..., None] * line
    # no farther than to the colour of what stays: noise would be made stronger
    clean = np.clip(clean, np.minimum(full, kept), np.maximum(full, kept))
    return np.asarray(mask, np.float32), np.asarray(clean, np.float32)


def _between(full: Array, kept: Array, cloth: Array) -> tuple[Array, Array, Array]:
    """Where ``full`` lies between two colours: the share (H, W) of ``kept``, how far off the line it is, the line."""
    line, away = kept - cloth, full - cloth
    share = np.clip(_dot(away, line) / np.maximum(_dot(line, line), 1e-4), 0.0, 1.0)
    return share, _length(away - share[..., None] * line), line


def _length(colours: Array) -> Array:
    """(h, w) of (h, w, 3); three planes added are five times faster than a sum along the last axis."""
    return np.asarray(np.sqrt(_dot(colours, colours)))


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])
