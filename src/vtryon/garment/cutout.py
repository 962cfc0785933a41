"""Cutting a garment out of its photograph without a trained network.

The background is modelled from the picture's border: a smooth colour field in Lab (light falls off, walls shade), then
GrabCut's colour mixtures on what is left (Rother et al., SIGGRAPH 2004) at reduced size. The outline is refined at full
size by placing each pixel of a narrow band between the nearest sure cloth and the nearest sure background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vtryon.nearest import nearest
from vtryon.types import Array

WORK_SIDE = 288
"""Long side of the reduced picture that is segmented."""


_SECOND = 0.35
"""Share of the largest thing's area from which another thing counts as a second garment."""

_LEAST_GAP = 0.0008
"""Share of the picture from which a hole in the garment may be a gap between sleeve and body."""

_LEAST_WALL = 0.003
"""Share of the picture from which what looks like background in the neckline is the wall there, and not a print."""

_RIM = 0.03
"""How thick a hanger or a strap is at most that parts the background in the neckline from that outside."""

_DEEP = 0.02  # of the longer side: how deep in the cloth its colour is surely its outer side's
_LOST = 0.02
"""Share of a confidently seen garment that colours may take away before they are distrusted."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What is known about a picture before its colours are compared; each (H, W) float32 in [0, 1].

    ``cloth`` how likely each pixel is garment; ``seams`` where background may show between a sleeve and the torso,
    ``neck`` where it may show in the neckline.
    """

    cloth: Array
    seams: Array
    neck: Array

    def resized(self, size: tuple[int, int]) -> Sight:
        """At another ``size`` = (width, height)."""
        maps = (self.cloth, self.seams, self.neck)
        return Sight(*(np.asarray(cv2.resize(m, size, interpolation=cv2.INTER_AREA)) for m in maps))

    def within(self, box: Array) -> Sight:
        """With no garment outside ``box`` (H, W) bool."""
        return replace(self, cloth=np.where(box, self.cloth, 0).astype(np.float32))


def cut_out(rgb: Array, sight: Sight) -> Array:
    """Alpha (H, W) float32 of the garment in a photograph (H, W, 3) uint8; all 0 where nothing stands out."""
    height, width = rgb.shape[:2]
    small = _reduced(rgb)
    raw, alike = segment(small, sight.resized((small.shape[1], small.shape[0])))
    mask = clean_mask(raw, small)
    if not mask.any():
        return np.zeros((height, width), np.float32)
    soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return refine(rgb, soft, open_gaps=not alike)


def largest_of_several(rgb: Array) -> tuple[Array, Array] | None:
    """The largest thing, where several of like size lie on a plain background, and a box around it: (H, W) bool."""
    small = _reduced(rgb)
    difference = np.linalg.norm(background_residual(small), axis=2)
    if np.percentile(difference[_border(difference.shape[0], difference.shape[1], 4)], 90) > 6:
        return None
    count, label, stats, _ = cv2.connectedComponentsWithStats(_opened(difference > 12))
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA])
    areas = stats[order, cv2.CC_STAT_AREA]
    if count < 3 or areas[1] < max(_SECOND * areas[0], 0.03 * difference.size):
        return None
    x, y, w, h = (int(v) for v in stats[order[0], :4])
    thing = (label == order[0]).astype(np.uint8)
    box = np.zeros_like(thing)
    box[max(0, y - 4) : y + h + 4, max(0, x - 4) : x + w + 4] = 1
    thing, box = (cv2.resize(m, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0 for m in (thing, box))
    return thing, box


def _reduced(rgb: Array) -> Array:
    scale = min(1.0, WORK_SIDE / max(rgb.shape[:2]))
    return np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def segment(rgb: Array, sight: Sight | None = None) -> tuple[Array, bool]:
    """(H, W) bool: what does not look like the border, from a small picture (H, W, 3) uint8.

    ``sight`` fixes what is garment and what is not, away from its outline, its seams and its neck; colours decide
    there. Where they would undo much of the garment and it has the background's colour in its midst (white stripes on
    white), they are not trusted, and ``sight`` has the last word. The second result says whether some of the garment
    looks much like the background (dark stripes on black).
    """
    residual = background_residual(rgb)
    # chroma counts twice: shadows and folds change lightness, seldom hue
    flat = np.clip(residual * [0.9, 2.0, 2.0] + 128, 0, 255).astype(np.uint8)
    if sight is None or not 0.02 < float((sight.cloth > 0.5).mean()) < 0.95:
        band = max(3, round(0.03 * min(rgb.shape[:2])))
        start = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
        start[band:-band, band:-band] = cv2.GC_PR_FGD
        return _grab_cut(flat, start, 5), False
    share = sight.cloth
    seen = share > 0.5
    margin = max(2, round(0.025 * max(seen.shape)))
    core, outside = _erode(share > 0.85, margin), _erode(share < 0.15, margin)
    start = np.where(seen, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    start[core], start[outside] = cv2.GC_FGD, cv2.GC_BGD
    mask = _grab_cut(flat, start, 3)
    lost = float((~mask & (share > 0.85)).sum() / seen.sum())
    away = np.linalg.norm(flat - 128.0, axis=2)[core]
    if lost < _LOST or (away < 10).mean() < 0.1:
        return mask & ~_gaps(flat, mask, core, outside, sight), bool((away < 25).mean() > 0.05)
    # the ends of the stripes that can be seen say where the others end
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin - 1, 2 * margin - 1))
    whole = cv2.morphologyEx((mask & (share > 0.15)).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    return (whole > 0) & (mask | (share > 0.4)), True


def _gaps(flat: Array, mask: Array, core: Array, outside: Array, sight: Sight) -> Array:
    """(H, W) bool: background that shows between sleeves and torso or in the neckline, though it was taken for cloth.

    ``flat`` (H, W, 3) uint8 colours; ``mask`` the garment so far, ``core`` sure cloth, ``outside`` sure background,
    all (H, W) bool; ``sight`` says where to look.
    """
    found = np.zeros(mask.shape, bool)
    seams, neck = sight.seams > 0.5, sight.neck > 0.5
    core = core & ~seams & ~neck
    if not core.any() or not outside.any():
        return found
    start = np.where(mask, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    where = mask & (seams | neck)
    start[where & (_commonness(flat, outside) > _commonness(flat, core))] = cv2.GC_PR_BGD
    start[core], start[outside] = cv2.GC_FGD, cv2.GC_BGD
    changed = where & ~_grab_cut(flat, start, 3)
    count, label, stats, _ = cv2.connectedComponentsWithStats(changed.astype(np.uint8), connectivity=4)
    least = 0.02 * mask.sum()
    rim = ~_erode(mask, round(_RIM * max(mask.shape)))
    for number in range(1, count):
        piece = label == number
        beside = seams[piece].mean() > 0.5
        if stats[number, cv2.CC_STAT_AREA] < (_LEAST_GAP if beside else _LEAST_WALL) * mask.size:
            continue
        if not beside and not (piece & rim).any():
            continue  # a print, not the wall under a hanger
        rest = (mask & ~piece).astype(np.uint8)
        pieces = cv2.connectedComponentsWithStats(rest, connectivity=4)[2][1:, cv2.CC_STAT_AREA]
        if (pieces > least).sum() == 1:  # a gap does not cut a sleeve off; a stripe of the background's colour would
            found |= piece
    return found


def _grab_cut(flat: Array, start: Array, rounds: int) -> Array:
    """(H, W) bool garment, from GrabCut's classes ``start`` (H, W) uint8, which are overwritten."""
    if not ((start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD)).any() or (start & 1).all():
        return np.zeros(start.shape, bool)
    background, cloth = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # GrabCut's k-means draws from OpenCV's generator: the same picture gives the same mask
    cv2.grabCut(flat, start, (0, 0, 1, 1), background, cloth, rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray((start == cv2.GC_PR_FGD) | (start == cv2.GC_FGD))


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
    body = _main_piece(_opened(mask))
    if not body.any():
        return body
    thin = mask & ~body & _near_cloth_colour(rgb, body)
    body = _main_piece((body | thin).astype(np.uint8))
    return _close_pinholes(body, rgb)


def _opened(mask: Array) -> Array:
    """(H, W) uint8 without what is thinner than a hanger."""
    size = max(3, round(0.012 * max(mask.shape)) * 2 + 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc))


def refine(rgb: Array, soft: Array, open_gaps: bool = True) -> Array:
    """(H, W) float32 alpha: ``soft`` (H, W) in [0, 1], an enlarged small mask, brought to the picture's own outline.

    ``open_gaps``: whether cloth and background differ enough to find the tips of narrow gaps by colour.
    """
    radius = max(2, round(1.2 * max(rgb.shape[:2]) / WORK_SIDE))
    mask = _open_gaps(rgb, soft > 0.5, radius) if open_gaps else soft > 0.5
    soft = np.where(mask, soft, 0).astype(np.float32)
    core, outside = _erode(mask, radius), _erode(~mask, radius)
    if not core.any() or not outside.any():
        return soft
    band = ~core & ~outside
    alpha = core.astype(np.float32)
    along, trust = _mixture(rgb, core, outside, band)
    alpha[band] = trust * np.clip(along, 0, 1) + (1 - trust) * soft[band]
    smooth = cv2.ximgproc.guidedFilter(rgb, alpha, radius, (0.02 * 255) ** 2)
    alpha = np.clip((smooth - 0.3) / 0.5, 0, 1)
    alpha[outside] = 0
    alpha[core] = 1
    return _largest_soft(alpha)


def _open_gaps(rgb: Array, mask: Array, radius: int) -> Array:
    """``mask`` without the tips of gaps that the small picture is too coarse for: background's colour, joined to it."""
    deep, outside = _erode(mask, 4 * radius), _erode(~mask, radius)
    if not deep.any() or not outside.any():
        return mask
    rim = mask & ~deep
    along, trust = _mixture(rgb, deep, outside, rim)
    like = np.zeros(mask.shape, bool)
    like[rim] = (along < 0.2) & (trust > 0.99)
    like = cv2.morphologyEx((like | ~mask).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)) > 0
    label = cv2.connectedComponents(like.astype(np.uint8), connectivity=4)[1]
    joined = np.isin(label, np.unique(label[outside])) & like
    return np.asarray(mask & ~joined)


def _mixture(rgb: Array, cloth: Array, background: Array, where: Array) -> tuple[Array, Array]:
    """How much of each pixel ``where`` (H, W) bool is cloth, between the nearest sure colours of both, and how far
    that can be trusted: both (N,) float32, the share unclipped, the trust 0 where the two look alike."""
    near, far = (fill_from(rgb, sure)[where].astype(np.float32) for sure in (cloth, background))
    axis = near - far
    length = (axis**2).sum(axis=1)
    along = ((rgb[where].astype(np.float32) - far) * axis).sum(axis=1) / np.maximum(length, 1)
    return along, np.clip(length / 40**2, 0, 1)


def _erode(mask: Array, radius: int) -> Array:
    """Pixels of ``mask`` (H, W) bool that are further than ``radius`` from the rest."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5) > radius)


def fill_from(rgb: Array, sure: Array) -> Array:
    """(H, W, 3) uint8: outside ``sure`` (H, W) bool each pixel takes the colour of the nearest sure one, smoothed."""
    index, distance = nearest(sure)
    filled = rgb.reshape(-1, 3)[index]
    blurred = cv2.blur(filled, (5, 5))
    return np.asarray(np.where((distance > 2)[..., None], blurred, filled))


def continued(rgb: Array, sure: Array) -> Array:
    """(H, W, 3) uint8: the cloth's colours carried on past its outline, where a wider old garment is to be covered.

    Near the outline as :func:`fill_from`; farther out from what lies deeper in the cloth, because the very rim shows
    the dark inside of cuffs and hems, which would come out as black wedges.
    """
    size = max(sure.shape)
    deep = _erode(sure, round(_DEEP * size))
    near = fill_from(rgb, sure)
    if not deep.any():
        return near
    side = 2 * round(2 * _DEEP * size) + 1
    weight = cv2.blur(sure.astype(np.float32), (side, side))
    known = rgb.astype(np.float32) * sure[..., None].astype(np.float32)
    mean = cv2.blur(known, (side, side)) / np.maximum(weight, 1e-3)[..., None]
    far = fill_from(np.clip(mean, 0, 255).astype(np.uint8), deep)  # means: a single fold would become a dark band
    away = cv2.distanceTransform((~sure).astype(np.uint8), cv2.DIST_L2, 5)
    share = np.clip(away / (_DEEP * size), 0.0, 1.0)[..., None]
    return np.asarray(np.rint(near * (1 - share) + far * share), np.uint8)


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
    return np.asarray(_commonness(rgb, body) > 0.01)


def _commonness(rgb: Array, where: Array) -> Array:
    """(H, W) float32: the share of the pixels ``where`` (H, W) bool that have about the colour of each pixel."""
    coarse = np.asarray(cv2.GaussianBlur(rgb, (3, 3), 0), np.int32) >> 4
    index = (coarse[..., 0] << 8) | (coarse[..., 1] << 4) | coarse[..., 2]
    histogram = np.bincount(index[where], minlength=4096).reshape(16, 16, 16).astype(np.float32)
    for axis in range(3):  # neighbouring colours count as the same
        histogram = histogram + np.roll(histogram, 1, axis) + np.roll(histogram, -1, axis)
    return np.asarray(histogram.reshape(-1)[index] / where.sum(), np.float32)


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
        if stats[piece, cv2.CC_STAT_AREA] < _LEAST_GAP * mask.size or not like:
            filled[label == piece] = True
    return filled


def _largest_soft(alpha: Array) -> Array:
    """Drop crumbs that refinement left beside the garment."""
    count, label, stats, _ = cv2.connectedComponentsWithStats((alpha > 0.05).astype(np.uint8))
    if count > 2:
        alpha = np.where(label == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), alpha, 0)
    return np.asarray(alpha, np.float32)
