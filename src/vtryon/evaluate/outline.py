"""Where a garment ends on real people: its outline against that of the top worn, on photographs with label maps.

Product pictures of what the people wear do not exist, so garments of the same kind are laid on them, and how long and
wide each is for this body is its own affair: even a faultless warp stays well below 1. What counts is one way of laying
them against another, and first of all above the waist, which every top covers (issue 5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vtryon.evaluate.damage import validation_photographs
from vtryon.evaluate.single import person_in
from vtryon.garment import load_garment
from vtryon.person import Labeller
from vtryon.train.people import people_labels
from vtryon.types import WORN_TOP, Array, GarmentKind, Label, Person, Pose
from vtryon.warp import FitOptions, Texture, fitter, flatten

_ARMS = (Label.LEFT_ARM, Label.RIGHT_ARM)
_BEFORE = (Label.HAIR, Label.FACE, Label.CARRIED, *_ARMS)
_LIMBS = ((11, 13, 15), (12, 14, 16))  # shoulder, elbow, wrist
_BARE = {GarmentKind.SLEEVELESS: (0.85, 1.0), GarmentKind.SHORT_SLEEVE: (0.4, 0.8), GarmentKind.LONG_SLEEVE: (0, 0.12)}
_FACING = 20.0  # degrees of yaw
_WAIST = 0.6  # torso lengths below the shoulders: what is worn ends lower, however short it is
_COAT = 0.2  # share of outer garments in what is worn


def measure_outline(
    data: Path, garments: Sequence[Path], *, labeller: Labeller, warp: str = "auto", seated: bool = True, every: int = 1
) -> dict[str, Any]:
    """Every ``every``-th validation photograph in a top of a known kind, in all ``garments`` of that kind: mean
    intersection over union with the worn top, ``iou``, and of what lies above the waist, ``upper``; of all, by kind, by
    view and without coats, and how many ``outlines`` each is the mean of."""
    fit = fitter(warp, FitOptions(), seated=seated)
    clothes = [(garment, Texture.of(garment)) for garment in map(load_garment, garments)]
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for photo in list(validation_photographs(data))[::every]:
        person = person_in(photo.rgb, labeller)
        if person is None:
            continue
        labels = people_labels(photo.raw, person.pose.points, photo.names)
        kind = worn_kind(labels, person.pose)
        above = above_waist(person.pose, labels.shape)
        for garment, texture in clothes:
            if garment.kind != kind:
                continue
            laid, _ = fit(person, garment)
            h, w = labels.shape
            _, alpha = flatten(laid, texture, (0.0, 0.0, float(w), float(h)), (h, w))
            both = overlap(alpha, labels), overlap(alpha, labels, above)
            for group in ("all", kind.value, view(person), *(() if coat(labels) else ("no coat",))):
                found[group].append(both)
    return {
        group: {
            "outlines": len(values),
            "iou": round(float(np.mean([whole for whole, _ in values])), 3),
            "upper": round(float(np.mean([upper for _, upper in values])), 3),
        }
        for group, values in sorted(found.items())
    }


def overlap(alpha: Array, labels: Array, within: Array | None = None) -> float:
    """Intersection over union of what a garment covers, ``alpha`` (H, W), and the worn top, where nothing that stays
    lies before it, and ``within`` (H, W) bool, if that is given."""
    seen = ~np.isin(labels, _BEFORE)
    if within is not None:
        seen &= within
    ours, worn = (alpha > 0.5) & seen, np.isin(labels, WORN_TOP) & seen
    return float((ours & worn).sum() / max(int((ours | worn).sum()), 1))


def above_waist(pose: Pose, shape: tuple[int, ...]) -> Array:
    """(H, W) bool: the part of a picture of ``shape`` that is above the waist along the torso."""
    shoulders, hips = pose.points[[11, 12]].mean(0), pose.points[[23, 24]].mean(0)
    spine = hips - shoulders
    y, x = np.mgrid[: shape[0], : shape[1]]
    down = (x - shoulders[0]) * spine[0] + (y - shoulders[1]) * spine[1]
    return np.asarray(down < _WAIST * max(float(spine @ spine), 1.0))


def coat(labels: Array) -> bool:
    """Whether an outer garment is a good part of what is worn."""
    return bool((labels == Label.OUTER).sum() > _COAT * max(int(np.isin(labels, WORN_TOP).sum()), 1))


def worn_kind(labels: Array, pose: Pose) -> GarmentKind | None:
    """The kind of top by how much of the arms, from shoulder to wrist, is bare in ``labels`` (H, W); None where neither
    arm is seen, the share is between kinds, or a dress is worn."""
    if (labels == Label.DRESS).sum() > 0.2 * max(int(np.isin(labels, WORN_TOP).sum()), 1):
        return None
    shares = []
    for limb in _LIMBS:
        shoulder, elbow, wrist = pose.points[list(limb)]
        t = np.linspace(0.1, 0.9, 24)[:, None]
        places = np.concatenate([shoulder + t * (elbow - shoulder), elbow + t * (wrist - elbow)]).astype(int)
        inside = ((places >= 0) & (places < labels.shape[::-1])).all(1)
        there = labels[places[inside, 1], places[inside, 0]]
        bare, clad = int(np.isin(there, _ARMS).sum()), int(np.isin(there, WORN_TOP).sum())
        if bare + clad > 0.6 * len(places):
            shares.append(bare / (bare + clad))
    if not shares:
        return None
    share = float(np.mean(shares))
    return next((kind for kind, (low, high) in _BARE.items() if low <= share <= high), None)


def view(person: Person) -> str:
    """``arm across`` where a wrist lies before the torso, else ``facing`` or ``turned``."""
    torso = person.pose.points[[11, 12, 24, 23]].astype(np.float32)
    if any(cv2.pointPolygonTest(torso, tuple(map(float, person.pose.points[w])), False) > 0 for w in (15, 16)):
        return "arm across"
    return "facing" if abs(person.yaw) < _FACING else "turned"
