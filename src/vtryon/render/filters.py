"""Small image operations of the composition: edge-aware upsampling, filling in, blurring under a mask."""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import Array


def luminance(rgb: Array) -> Array:
    """(H, W) float32 in [0, 1], Rec. 709 weights on the encoded values, of an RGB picture uint8 or float in [0, 1]."""
    scale = 255.0 if rgb.dtype == np.uint8 else 1.0
    weights = np.array([[0.2126, 0.7152, 0.0722]], np.float32) / np.float32(scale)
    return np.asarray(cv2.transform(rgb.astype(np.float32), weights), np.float32)


class GuidedUpsampler:
    """Takes masks from a small grid to the video's pixels along the edges of the picture.

    The fast guided filter (He and Sun, 2015): on the small grid each mask is fitted, window by window, as a linear
    function of the picture's colours; the coefficients, not the mask, are enlarged and applied to the full picture.
    """

    def __init__(self, small: Array, radius: int = 4, epsilon: float = 4e-4) -> None:
        """``small`` (h, w, 3) float32 RGB in [0, 1]; ``epsilon`` is the variance of colour that counts as an edge."""
        self._size = (2 * radius + 1, 2 * radius + 1)
        self._planes = cv2.split(small)  # plane by plane: strided arithmetic takes four times as long
        self._means = [self._box(plane) for plane in self._planes]
        xx, xy, xz, yy, yz, zz = (
            self._box(self._planes[i] * self._planes[j]) - self._means[i] * self._means[j] + epsilon * (i == j)
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        )
        # the inverse of the symmetric covariance by its cofactors: a general solver is twenty times slower here
        cofactors = (yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy)
        determinant = xx * cofactors[0] + xy * cofactors[1] + xz * cofactors[2]
        others = (xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy)
        a, b, c = (q / determinant for q in cofactors)
        d, e, f = (q / determinant for q in others)
        self._inverse = ((a, b, c), (b, d, e), (c, e, f))

    def _box(self, picture: Array) -> Array:
        return np.asarray(cv2.blur(picture, self._size, borderType=cv2.BORDER_REFLECT))

    def coefficients(self, mask: Array) -> Array:
        """(h, w, 4) float32: slope for each colour and offset, of a mask (h, w) float32 in [0, 1]."""
        mean = self._box(mask)
        cross: list[Array] = [self._box(p * mask) - m * mean for p, m in zip(self._planes, self._means, strict=True)]
        slopes: list[Array] = [row[0] * cross[0] + row[1] * cross[1] + row[2] * cross[2] for row in self._inverse]
        offset = mean.copy()
        for slope, m in zip(slopes, self._means, strict=True):
            offset -= slope * m
        return np.asarray(cv2.merge([self._box(plane) for plane in (*slopes, offset)]))


def apply_coefficients(coefficients: Array, picture: Array) -> Array:
    """(H, W) float32 mask in [0, 1] from enlarged coefficients (H, W, 4) and the picture (H, W, 3) in [0, 1]."""
    mask = coefficients[..., 3].copy()
    for i in range(3):
        mask += coefficients[..., i] * picture[..., i]
    return np.clip(mask, 0.0, 1.0)


def fill_in(picture: Array, known: Array, levels: int = 7) -> Array:
    """Continue the known part of ``picture`` (h, w, C) float32 smoothly over the rest (push and pull on a pyramid).

    ``known`` (h, w) float32 weights in [0, 1]; where it is 1 the picture is kept. All-zero weights give the picture
    back unchanged.
    """
    if float(known.max()) <= 1e-4:
        return picture
    weights: list[Array] = [known[..., None].astype(np.float32)]
    sums: list[Array] = [picture.astype(np.float32) * weights[0]]
    for _ in range(levels):
        if min(sums[-1].shape[:2]) <= 2:
            break
        down = [cv2.pyrDown(a).reshape(*_half(a), -1) for a in (sums[-1], weights[-1])]
        sums.append(np.asarray(down[0], np.float32))
        weights.append(np.asarray(down[1], np.float32))
    result: Array = sums[-1] / np.maximum(weights[-1], 1e-6)
    for level in range(len(sums) - 2, -1, -1):
        h, w = sums[level].shape[:2]
        coarse = cv2.resize(result, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, -1)
        here = sums[level] / np.maximum(weights[level], 1e-6)
        trust = np.clip(weights[level] * (4.0 if level else 1.0), 0.0, 1.0)
        result = here * trust + coarse * (1.0 - trust)
    return result


def fill_smoothly(picture: Array, known: Array) -> Array:
    """:func:`fill_in` for what is only looked at where nothing is known: worked on at half the size, a third of the
    cost. The known part comes back smoothed."""
    h, w = known.shape
    size = (max(1, w // 2), max(1, h // 2))
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
    half = fill_in(total / np.maximum(weight, 1e-6)[..., None], weight)
    return np.asarray(cv2.resize(half, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def _half(array: Array) -> tuple[int, int]:
    return (array.shape[0] + 1) // 2, (array.shape[1] + 1) // 2


def masked_blur(picture: Array, weights: Array, sigma: float) -> Array:
    """Gaussian mean of ``picture`` (h, w) over the pixels that ``weights`` (h, w) trusts; 0 where there are none."""
    total = cv2.GaussianBlur(weights, (0, 0), sigma)
    weighted: Array = picture * weights
    return np.asarray(cv2.GaussianBlur(weighted, (0, 0), sigma) / np.maximum(total, 1e-4))


def attached(mask: Array, core: Array) -> Array:
    """(h, w) bool: the pieces of ``mask`` that share a pixel with ``core``, both (h, w) in [0, 1], with their soft
    edges."""
    count, piece = cv2.connectedComponents((mask > 0.5).astype(np.uint8), connectivity=4)
    kept = np.bincount(piece[core > 0.5], minlength=count) > 0
    kept[0] = False
    return np.asarray(cv2.dilate(kept[piece].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
