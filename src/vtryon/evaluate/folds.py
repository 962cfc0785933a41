"""Folds of the warp, and how even its lattices are (rendered validation scenes): what eq. (1) of the paper is about.

A fold is where the map from picture to garment turns over: its Jacobian determinant is not positive (not negative on
sleeves seen from behind, whose picture is a mirror's). Evenness compares
neighbouring steps along the rows and columns of a lattice: how their lengths differ, and how far they turn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtryon.evaluate.scenes import Scene, validation_scenes
from vtryon.evaluate.texture import WINDOW, other_top, person_of, yaw_group
from vtryon.train.pairs import PICTURE
from vtryon.types import Array, Part
from vtryon.warp import Fitter, Spline, Texture, Warp, fitter, layers
from vtryon.warp.sampler import backward_map


@dataclass(frozen=True)
class Folds:
    """Of one laid garment: pixels, and folded ones, of torso and sleeves; ``lengths`` mean difference of neighbouring
    steps as a share of their mean; ``angles`` degrees between them, mean."""

    yaw: float
    torso: int
    torso_folded: int
    sleeves: int
    sleeves_folded: int
    lengths: float
    angles: float


def measure_folds(data: Path, *, warp: str = "auto", seated: bool = True) -> dict[str, Any]:
    """Every top of every validation scene, laid on the person in another top; by yaw."""
    fit = fitter(warp, seated=seated)
    found: dict[str, list[Folds]] = defaultdict(list)
    for scene in validation_scenes(data):
        for top in range(3):
            one = _folds_of(scene, top, fit)
            if one is None:
                continue
            for group in ("all", yaw_group(one.yaw)):
                found[group].append(one)
    return {group: _summary(found[group]) for group in sorted(found)}


def _summary(many: Sequence[Folds]) -> dict[str, float]:
    def share(folded: int, all_of_it: int) -> float:
        return round(100 * folded / max(all_of_it, 1), 3)

    return {
        "garments": len(many),
        "torso folded %": share(sum(f.torso_folded for f in many), sum(f.torso for f in many)),
        "sleeves folded %": share(sum(f.sleeves_folded for f in many), sum(f.sleeves for f in many)),
        "lengths differ": round(float(np.mean([f.lengths for f in many])), 3),
        "steps turn": round(float(np.mean([f.angles for f in many])), 2),
    }


def _folds_of(scene: Scene, top: int, fit: Fitter) -> Folds | None:
    old = other_top(scene, top)
    if old is None:
        return None
    garment = scene.garment(top)
    warp, _ = fit(person_of(scene, old), garment)
    count = dict.fromkeys(Part, (0, 0))
    for spline, layer in zip(warp.splines, layers(warp, Texture.of(garment), WINDOW, PICTURE), strict=True):
        behind = spline.part != Part.TORSO and np.cos(warp.turn) < 0
        count[spline.part] = folded(spline, layer.alpha.numpy() > 0.5, mirrored=behind)
    torso, torso_folded = count[Part.TORSO]
    sleeves, sleeves_folded = (
        sum(pair) for pair in zip(count[Part.LEFT_SLEEVE], count[Part.RIGHT_SLEEVE], strict=True)
    )
    return Folds(scene.yaw, torso, torso_folded, sleeves, sleeves_folded, *unevenness(warp))


def folded(spline: Spline, mask: Array, *, mirrored: bool = False) -> tuple[int, int]:
    """Pixels of a picture's ``mask`` (384, 288) bool, and those at which the spline's map turns over; ``mirrored``
    where it is to be a mirror's."""
    at = backward_map(spline, WINDOW, PICTURE)[0].numpy()
    right, down = at[:-1, 1:] - at[:-1, :-1], at[1:, :-1] - at[:-1, :-1]
    determinant = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    turns_over = (-determinant if mirrored else determinant) <= 0
    return int(mask.sum()), int((turns_over & mask[:-1, :-1]).sum())


def unevenness(warp: Warp) -> tuple[float, float]:
    """Mean difference of the lengths of neighbouring steps, as a share of their mean, and mean angle between them."""
    lengths, angles = [], []
    for spline in warp.splines:
        for points in (*spline.points, *spline.points.transpose(1, 0, 2)):
            steps = np.diff(points.astype(np.float64), axis=0)
            size = np.maximum(np.linalg.norm(steps, axis=-1), 1e-6)
            lengths += (2 * np.abs(np.diff(size)) / (size[1:] + size[:-1])).tolist()
            cosine = (steps[1:] * steps[:-1]).sum(-1) / (size[1:] * size[:-1])
            angles += np.degrees(np.arccos(np.clip(cosine, -1, 1))).tolist()
    return float(np.mean(lengths)), float(np.mean(angles))
