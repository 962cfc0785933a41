"""A garment ready to be sampled: its colours, and what each of its parts covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vtryon.types import Array, Garment, Part
from vtryon.warp.lattice import garment_lattices, has_sleeves


@dataclass(frozen=True, eq=False)
class Texture:
    """A garment ready to be sampled.

    ``planes`` (1, 8, H, W) float32: colour in [0, 1], then the coverage of the torso, the torso seen from behind, the
    left and the right sleeve, and the torso with its side seams closed; ``scale`` texture px per garment px; ``rows``
    (R, 3) garment px of the torso's lattice: height, centre and half width; ``cloth`` (3,) plain colour in [0, 1];
    ``patterned`` 1 where the whole cloth has a pattern, 0 where it is plain but for a print.
    """

    planes: Tensor
    scale: float
    rows: Tensor
    cloth: Tensor
    patterned: float

    @classmethod
    def of(cls, garment: Garment, scale: float = 1.0, device: str | torch.device = "cpu") -> Texture:
        """``scale`` < 1 shrinks the picture first (by area), so that a large one does not alias in a small video."""
        import cv2

        alpha = garment.alpha
        # parts reach a little into each other, so that no gap opens along a seam where they bend apart
        overlap = max(3, round(0.012 * max(alpha.shape)) | 1)
        grow = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (overlap, overlap))
        sleeves = [_sleeve(garment, part, side) for part, side in ((Part.LEFT_SLEEVE, "l"), (Part.RIGHT_SLEEVE, "r"))]
        reach = [alpha * cv2.dilate(m.astype(np.uint8), grow) for m in sleeves]
        torso = alpha * ~(sleeves[0] | sleeves[1])
        lattice = garment_lattices(garment)[Part.TORSO]
        patterned = _patterned(garment, lattice)
        planes = np.concatenate(
            [
                _evened(garment, sleeves, 1.0 - patterned),
                np.stack([torso, _from_behind(garment, torso), *reach, _wrapped(garment, torso)], -1).astype(
                    np.float32
                ),
            ],
            -1,
        )
        if scale < 1.0:
            size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
            groups = (planes[..., :4], planes[..., 4:])  # OpenCV resizes at most four channels at a time
            planes = np.concatenate([cv2.resize(g, size, interpolation=cv2.INTER_AREA) for g in groups], -1)
            scale = size[0] / alpha.shape[1]
        else:
            scale = 1.0
        rows = np.stack(
            [lattice[:, 0, 1], lattice.mean(1)[:, 0], np.maximum(lattice[:, -1, 0] - lattice[:, 0, 0], 2.0) / 2], -1
        )
        return cls(
            torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))[None].to(device),
            scale,
            torch.from_numpy(rows).float().to(device),
            torch.from_numpy(garment.cloth.astype(np.float32) / 255.0).to(device),
            patterned,
        )

    def sample(self, points: Tensor, planes: slice = slice(None)) -> Tensor:
        """Some of the planes (C, h, w), the first three among them, at garment points (h, w, 2). Outside the picture
        nothing is covered, but colours go on: an old garment that is wider is covered with them."""
        h, w = self.planes.shape[-2:]
        size = torch.tensor([w, h], dtype=points.dtype, device=points.device)
        grid = points * self.scale / size * 2.0 - 1.0
        chosen = self.planes[:, planes]
        result = functional.grid_sample(chosen, grid[None], padding_mode="border", align_corners=False)[0]
        result[3:] *= (grid.abs() <= 1.0).all(-1)
        return result


def _sleeve(garment: Garment, part: Part, side: str) -> Array:
    """(H, W) bool: the sleeve beyond the straight line from shoulder to armpit, where its lattice begins. An armhole
    curves into the torso; what lies inside the line goes with the torso, or a gap would open there."""
    if not has_sleeves(garment):
        return np.zeros(garment.alpha.shape, bool)
    shoulder, armpit = (np.asarray(garment.keypoints[f"{n}_{side}"], np.float32) for n in ("shoulder", "armpit"))
    y, x = np.mgrid[: garment.alpha.shape[0], : garment.alpha.shape[1]].astype(np.float32) + 0.5
    d = armpit - shoulder
    beyond = (x - shoulder[0]) * d[1] - (y - shoulder[1]) * d[0]
    return np.asarray((garment.parts == part) & ((beyond if part == Part.LEFT_SLEEVE else -beyond) > 0))


_EVENED = 0.85  # share of a sleeve's own light and shade that is taken out of it
_SOFT = 0.012  # of the picture's longer side: what is larger is light


def _evened(garment: Garment, sleeves: Sequence[Array], plain: float) -> Array:
    """(H, W, 3) float32 colours in [0, 1], those of ``sleeves`` (H, W) bool freed from most of their picture's light,
    as far as the cloth is ``plain`` (0 to 1).

    In it they hang beside the torso, in its shade and in folds of their own; along a bent arm these would be dashes.
    The light of the scene comes from the person.
    """
    import cv2

    rgb = garment.rgb.astype(np.float32) / np.float32(255)
    light = rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    sigma = _SOFT * max(light.shape)
    for sleeve in sleeves:
        mask = (sleeve & (garment.alpha > 0.5)).astype(np.float32)
        if not mask.any():
            continue
        weight = cv2.GaussianBlur(mask, (0, 0), sigma)
        local = cv2.GaussianBlur(light * mask, (0, 0), sigma) / np.maximum(weight, 1e-3)
        usual = float(np.median(light[mask > 0]))
        gain = np.clip(((usual + 0.03) / (local + 0.03)) ** (_EVENED * plain), 0.75, 3.5)
        near = np.clip(2.0 * weight, 0.0, 1.0)
        rgb *= (1.0 + near * (gain - 1.0))[..., None]
    return np.minimum(rgb, 1.0)


def _patterned(garment: Garment, lattice: Array) -> float:
    """Whether the cloth at the torso's sides, where prints do not reach, is anything but plain: 0 to 1."""
    import cv2

    lab = cv2.cvtColor(garment.rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    top, bottom = int(lattice[1, 0, 1]), int(lattice[-1, 0, 1])
    y, x = np.mgrid[: lab.shape[0], : lab.shape[1]]
    middle, half = float(lattice[..., 0].mean()), float(lattice[1:, -1, 0].mean() - lattice[1:, 0, 0].mean()) / 2
    u = np.abs(x - middle) / max(half, 1.0)
    sides = (u > 0.6) & (u < 0.92) & (y > top) & (y < bottom) & (garment.alpha > 0.9) & (garment.parts == Part.TORSO)
    if sides.sum() < 50:
        return 0.0
    colours = lab[sides]
    # folds and light move the lightness by some twenty levels; patterns move it farther, or the colour
    away = np.abs(colours - np.median(colours, 0))
    share = float(((away[:, 0] > 34) | (away[:, 1:].max(1) > 12)).mean())
    return float(np.clip((share - 0.08) / 0.1, 0.0, 1.0))


def _wrapped(garment: Garment, torso: Array) -> Array:
    """The torso's coverage continued to either side: on a turned body a side seam is no edge, the cloth goes on."""
    import cv2

    reach = round(0.12 * float(np.abs(garment.keypoints["armpit_l"][0] - garment.keypoints["armpit_r"][0])))
    wide = cv2.dilate(torso, np.ones((1, 2 * max(reach, 1) + 1), np.uint8))
    armpit = int(max(garment.keypoints["armpit_l"][1], garment.keypoints["armpit_r"][1]))
    wide[:armpit] = torso[:armpit]  # above lie the armholes and the slope of the shoulders
    return np.asarray(wide)


def _from_behind(garment: Garment, torso: Array) -> Array:
    """The torso's coverage as seen from the back, where the cloth reaches up to the nape: the neckline is filled."""
    import cv2

    k = garment.keypoints
    outline: Array = np.stack([k["collar_r"], k["collar_l"], k["armpit_l"], k["armpit_r"]])
    filled: Array = torso.copy()
    cv2.fillConvexPoly(filled, np.round(outline).astype(np.int32), (1.0,), lineType=cv2.LINE_AA)
    return np.maximum(torso, filled)
