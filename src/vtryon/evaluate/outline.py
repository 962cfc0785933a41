"""Where a garment ends on real people: its outline against that of the top worn, on photographs with label maps.

Product pictures of what the people wear do not exist, so garments of the same kind are laid on them, and how long and
wide each is for this body is its own affair: even a faultless warp stays well below 1. What counts is one way of laying
them against another (issue 5).
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


def measure_outline(
    data: Path, garments: Sequence[Path], *, labeller: Labeller, warp: str = "auto", seated: bool = True, every: int = 1
) -> dict[str, Any]:
    """Every ``every``-th validation photograph in a top of a known kind, in all ``garments`` of that kind: mean
    intersection over union with the worn top, of all, by kind and by view, and how many outlines each is the mean
    of."""
    fit = fitter(warp, FitOptions(), seated=seated)
    clothes = [(garment, Texture.of(garment)) for garment in map(load_garment, garments)]
    found: dict[str, list[float]] = defaultdict(list)
    for photo in list(validation_photographs(data))[::every]:
        person = person_in(photo.rgb, labeller)
        if person is None:
            continue
        labels = people_labels(photo.raw, person.pose.points, photo.names)
        kind = worn_kind(labels, person.pose)
        for garment, texture in clothes:
            if garment.kind != kind:
                continue
            laid, _ = fit(person, garment)
            h, w = labels.shape
            _, alpha = flatten(laid, texture, (0.0, 0.0, float(w), float(h)), (h, w))
            for group in ("all", kind.value, view(person)):
                found[group].append(overlap(alpha, labels))
    return {
        group: {"outlines": len(values), "iou": round(float(np.mean(values)), 3)}
        for group, values in sorted(found.items())
    }


def overlap(alpha: Array, labels: Array) -> float:
    """Intersection over union of what a garment covers, ``alpha`` (H, W), and the worn top, where nothing that stays
    lies before it."""
    seen = ~np.isin(labels, _BEFORE)
    ours, worn = (alpha > 0.5) & seen, np.isin(labels, WORN_TOP)
    return float((ours & worn).sum() / max(int((ours | worn).sum()), 1))


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
