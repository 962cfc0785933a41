"""Cutting a garment out of its photograph without a trained network.

The background is modelled from the picture's border: a smooth colour field in Lab (light falls off, walls shade), then
GrabCut's colour mixtures on what is left (Rother et al., SIGGRAPH 2004) at reduced size. The outline is refined at full
size by placing each pixel of a narrow band between the nearest sure cloth and the nearest sure background.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import Array

WORK_SIDE = 288
"""Long side of the reduced picture that is segmented."""


def cut_out(rgb: Array) -> Array:
    """(H, W) float32 alpha of the garment in a photograph (H, W, 3) uint8; all 0 where nothing stands out."""
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK_SIDE / max(height, width))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = clean_mask(segment(small), small)
    if not mask.any():
        return np.zeros((height, width), np.float32)
    return refine(rgb, cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def segment(rgb: Array) -> Array:
    """(H, W) bool: what does not look like the border, from a small picture (H, W, 3) uint8."""
    residual = background_residual(rgb)
    # chroma counts twice: shadows and folds change lightness, seldom hue
    flat = np.clip(residual * [0.9, 2.0, 2.0] + 128, 0, 255).astype(np.uint8)
    band = max(3, round(0.03 * min(rgb.shape[:2])))
    mask = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    mask[band:-band, band:-band] = cv2.GC_PR_FGD
    background, cloth = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut's k-means draws from OpenCV's generator: the same picture gives the same mask
    cv2.grabCut(flat, mask, None, background, cloth, 5, cv2.GC_INIT_WITH_MASK)
    return np.asarray(mask == cv2.GC_PR_FGD)


def background_residual(rgb: Array) -> Array:
    """(H, W, 3) float32: Lab difference from the background, a quadratic in x and y fitted robustly to the border."""
    smooth = cv2.bilateralFilter(rgb, 5, 20, 3)
    lab = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    height, width = lab.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = 2 * x / width - 1, 2 * y / height - 1
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    border = _border(height, width, max(3, round(0.03 * min(height, width))))
    samples, target = basis[border], lab[border]
    weight = np.ones((len(samples), 1), np.float32)
    for _ in range(10):  # iteratively reweighted: where the garment touches the border it loses its say
        field = np.linalg.lstsq(samples * weight, target * weight, rcond=None)[0]
        error = np.abs(target - samples @ field)
        spread = np.maximum(1.48 * np.median(error, axis=0), 1.0)
        weight = 1 / (1 + ((error / spread) ** 2).sum(axis=1, keepdims=True) / 9)
    return np.asarray(lab - basis @ field, np.float32)


def clean_mask(mask: Array, rgb: Array) -> Array:
    """The garment alone: thin things (hanger, string, seams of the floor) off, pinholes closed, one piece kept."""
    size = max(3, round(0.012 * max(mask.shape)) * 2 + 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    body = _main_piece(opened)
    if not body.any():
        return body
    thin = mask & ~body & _near_cloth_colour(rgb, body)
    body = _main_piece((body | thin).astype(np.uint8))
    return _close_pinholes(body, rgb)


def refine(rgb: Array, soft: Array) -> Array:
    """(H, W) float32 alpha: ``soft`` (H, W) in [0, 1], a mask enlarged from a small one, brought to the true outline."""
    radius = max(2, round(1.2 * max(rgb.shape[:2]) / WORK_SIDE))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    core = cv2.erode((soft > 0.5).astype(np.uint8), disc).astype(bool)
    outside = cv2.erode((soft < 0.5).astype(np.uint8), disc).astype(bool)
    if not core.any() or not outside.any():
        return np.asarray(soft, np.float32)
    cloth, background = fill_from(rgb, core), fill_from(rgb, outside)
    band = ~core & ~outside
    axis = cloth[band].astype(np.float32) - background[band]
    length = (axis**2).sum(axis=1)
    along = ((rgb[band].astype(np.float32) - background[band]) * axis).sum(axis=1) / np.maximum(length, 1)
    trust = np.clip(length / 40**2, 0, 1)  # cloth and background alike: keep to the mask
    alpha = core.astype(np.float32)
    alpha[band] = trust * np.clip(along, 0, 1) + (1 - trust) * soft[band]
    alpha = cv2.ximgproc.guidedFilter(rgb, alpha, radius, (0.02 * 255) ** 2)
    alpha = np.clip((alpha - 0.3) / 0.5, 0, 1)
    alpha[outside] = 0
    alpha[core] = 1
    return _largest_soft(alpha)


def fill_from(rgb: Array, sure: Array) -> Array:
    """(H, W, 3) uint8: outside ``sure`` (H, W) bool each pixel takes the colour of the nearest sure one, smoothed."""
    distance, label = cv2.distanceTransformWithLabels(
        (~sure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(label.max()) + 1, 3), np.uint8)
    colours[label[sure]] = rgb[sure]
    filled = colours[label]
    blurred = cv2.blur(filled, (5, 5))
    return np.asarray(np.where((distance > 2)[..., None], blurred, filled))


def _border(height: int, width: int, band: int) -> Array:
    inside = np.zeros((height, width), bool)
    inside[band:-band, band:-band] = True
    return ~inside


def _main_piece(mask: Array) -> Array:
    """The largest connected piece, pieces near the middle counting more."""
    count, label, stats, centre = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return np.zeros(mask.shape, bool)
    size = np.array(mask.shape[::-1])
    off = np.abs(centre[1:] / size - 0.5).max(axis=1)
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA] * (1.2 - off)))
    return np.asarray(label == best)


def _near_cloth_colour(rgb: Array, body: Array) -> Array:
    """Where the colour is one that the body of the garment has, too (straps are kept, hangers are not)."""
    coarse = (cv2.GaussianBlur(rgb, (3, 3), 0) >> 4).astype(np.int32)
    index = (coarse[..., 0] << 8) | (coarse[..., 1] << 4) | coarse[..., 2]
    histogram = np.bincount(index[body], minlength=4096).reshape(16, 16, 16).astype(np.float32)
    for axis in range(3):  # neighbouring colours count as the same
        histogram = histogram + np.roll(histogram, 1, axis) + np.roll(histogram, -1, axis)
    return np.asarray(histogram.reshape(-1)[index] > 0.01 * body.sum())


def _close_pinholes(mask: Array, rgb: Array) -> Array:
    """Fill the holes that are too small for a gap between sleeve and body, or whose colour is not the background's."""
    count, label, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    outer = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    outside = np.isin(label, outer[outer > 0]) & ~mask
    near = outside & cv2.dilate(mask.astype(np.uint8), np.ones((25, 25), np.uint8)).astype(bool)
    reference = np.median(lab[near if near.any() else outside], axis=0) if outside.any() else None
    filled = mask.copy()
    for piece in range(1, count):
        if piece in outer or mask[label == piece].any():
            continue
        like = reference is not None and np.linalg.norm(np.median(lab[label == piece], axis=0) - reference) < 14
        if stats[piece, cv2.CC_STAT_AREA] < 0.0008 * mask.size or not like:
            filled[label == piece] = True
    return filled


def _largest_soft(alpha: Array) -> Array:
    """Drop crumbs that refinement left beside the garment."""
    count, label, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.05).astype(np.uint8))
    if count > 2:
        alpha = np.where(label == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), alpha, 0)
    return np.asarray(alpha, np.float32)
