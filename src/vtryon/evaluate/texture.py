"""Where the cloth lies: distance between the true and the used origin of every visible pixel (rendered scenes).

Placing alone is judged: key points, parts and yaw are the truth's, landmarks are MediaPipe's. Landmarks, labels and
matte come from the picture in *another* top, as in use: the new garment's outline is not known to anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vtryon.evaluate.scenes import Scene, validation_scenes
from vtryon.train.pairs import PICTURE, PRODUCT
from vtryon.types import CROP_SIZE, Array, Crop, Garment, Label, Part, Person, Pose
from vtryon.warp import Fitter, Texture, Warp, fitter, flatten
from vtryon.warp.sampler import backward_map, turned

YAW_BINS = (0, 20, 45, 75, 110, 181)
WINDOW = (0.0, 0.0, float(PICTURE[1]), float(PICTURE[0]))
_SHRINK = 192 / PRODUCT[1]  # lengths are told in px of a product picture of 192 x 256
_LEAST = 200  # pixels that must have a known origin
_BEFORE_CLOTH = (Label.HAIR, Label.LEFT_ARM, Label.RIGHT_ARM)


@dataclass(frozen=True, eq=False)
class Placed:
    """One garment on one person: ``torso`` and ``sleeves`` distances (N,) in product px of 192 x 256; ``sized`` (N,)
    the same of both had each part its true width and length; ``iou`` of the outline where nothing hides it."""

    kind: str
    yaw: float
    torso: Array
    sleeves: Array
    sized: Array
    iou: float


def yaw_group(yaw: float) -> str:
    """The group of ``YAW_BINS`` (degrees, either way) that a torso's yaw falls into."""
    low, high = next((a, b) for a, b in pairwise(YAW_BINS) if abs(yaw) < b)
    return f"yaw {low}-{high - (high == 181)}"


def measure_texture(data: Path, *, warp: str = "auto", seated: bool = True) -> dict[str, Any]:
    """Every top of every validation scene, laid on its person; by yaw, and those facing the camera by kind."""
    fit = fitter(warp, seated=seated)
    found: dict[str, list[Placed]] = defaultdict(list)
    for scene in validation_scenes(data):
        for top in range(3):
            placed = place_top(scene, top, fit)
            if placed is None:
                continue
            for group in ("all", yaw_group(placed.yaw)):
                found[group].append(placed)
            if abs(placed.yaw) < 45:
                found[f"yaw under 45, {placed.kind}"].append(placed)
    return {group: summary(found[group]) for group in sorted(found)}


def summary(many: Sequence[Placed]) -> dict[str, float | None]:
    """Distances over all pixels of each garment, then the mean over garments; the sleeves apart."""
    known = [p for p in many if len(p.torso) + len(p.sleeves) >= _LEAST]
    every = [np.concatenate([p.torso, p.sleeves]) for p in known]
    return {
        "garments": len(many),
        "with known origin": len(known),
        "mean": _mean([float(e.mean()) for e in every]),
        "95 %": _mean([float(np.percentile(e, 95)) for e in every]),
        "torso": _mean([float(p.torso.mean()) for p in known if p.torso.size]),
        "sleeves": _mean([float(p.sleeves.mean()) for p in known if p.sleeves.size]),
        "sized": _mean([float(p.sized.mean()) for p in known]),
        "iou": _mean([p.iou for p in many], 3),
    }


def _mean(values: Sequence[float], digits: int = 2) -> float | None:
    return round(float(np.mean(values)), digits) if values else None


def place_top(scene: Scene, top: int, fit: Fitter) -> Placed | None:
    """Lay ``top`` on the person of ``scene``; None where MediaPipe sees nobody."""
    old = other_top(scene, top)
    if old is None:
        return None
    garment = scene.garment(top)
    warp, _ = fit(person_of(scene, old), garment)
    texture = Texture.of(garment)
    used, true, sleeve = origins(scene, top, garment, warp, texture)
    distance, left = (np.linalg.norm(at - true, axis=1) * _SHRINK for at in (used, sized(used, true, sleeve, garment)))
    _, alpha = flatten(warp, texture, WINDOW, PICTURE)
    labels = scene.labels(top)
    seen = ~np.isin(labels, _BEFORE_CLOTH)
    ours, true = (alpha > 0.5) & seen, (labels == Label.TOP) & seen
    iou = float((ours & true).sum() / max(int((ours | true).sum()), 1))
    return Placed(garment.kind, scene.yaw, distance[sleeve == 0], distance[sleeve > 0], left, iou)


def other_top(scene: Scene, top: int) -> int | None:
    """Another top of the scene, in which MediaPipe sees the person."""
    return next((j for j in ((top + 1) % 3, (top + 2) % 3) if scene.landmarks(j) is not None), None)


def origins(scene: Scene, top: int, garment: Garment, warp: Warp, texture: Texture) -> tuple[Array, Array, Array]:
    """Used and true origin (N, 2) in product px of the pixels whose origin is known, and (N,) which sleeve they are of:
    its :class:`~vtryon.types.Part`, 0 for none."""
    picture, product = scene.correspondence(top)
    columns, rows = picture.astype(int).T
    at = np.minimum(product.astype(int), (PRODUCT[1] - 1, PRODUCT[0] - 1))
    owner = garment.parts[at[:, 1], at[:, 0]]
    used = np.full(product.shape, np.nan)
    for spline in warp.splines:
        points, _ = backward_map(spline, WINDOW, PICTURE)
        if spline.part == Part.TORSO:
            points, _, _ = turned(points, texture.rows, warp.turn)
            mine = ~np.isin(owner, [p for p in warp.parts if p != Part.TORSO])
        else:
            mine = owner == spline.part
        used[mine] = points.numpy()[rows[mine], columns[mine]]
    return used, product, np.where(np.isin(owner, (Part.LEFT_SLEEVE, Part.RIGHT_SLEEVE)), owner, 0)


def sized(used: Array, true: Array, sleeve: Array, garment: Garment) -> Array:
    """``used`` origins (N, 2) as they would be had torso and sleeves been laid in their true width and length: each
    part scaled about the collar or its shoulder, along and across itself, as is best for the ``true`` ones."""
    points = garment.keypoints
    ends = {0: ((points["collar_l"] + points["collar_r"]) / 2, points["hem_c"])}
    for part, side in ((Part.LEFT_SLEEVE, "l"), (Part.RIGHT_SLEEVE, "r")):
        cuff = (points[f"cuff_out_{side}"] + points[f"cuff_in_{side}"]) / 2
        ends[int(part)] = points[f"shoulder_{side}"], cuff
    result = used.copy()
    for owner, (origin, end) in ends.items():
        mine = sleeve == owner
        along = (end - origin) / max(float(np.linalg.norm(end - origin)), 1e-6)
        axes = np.stack([along, (-along[1], along[0])])
        have, want = (used[mine] - origin) @ axes.T, (true[mine] - origin) @ axes.T
        scale = (have * want).sum(0) / np.maximum((have * have).sum(0), 1e-6)
        result[mine] = (have * scale) @ axes + origin
    return result


def person_of(scene: Scene, top: int) -> Person:
    """The person in the picture in ``top``: MediaPipe's landmarks, true labels, matte and yaw."""
    marks = scene.landmarks(top)
    assert marks is not None
    labels = cv2.resize(scene.labels(top), CROP_SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    shares = (labels[None] == np.arange(len(Label))[:, None, None]).astype(np.uint8) * 255
    nothing = np.zeros(len(marks), np.float32)
    pose = Pose(marks[:, :2].copy(), nothing, marks[:, 2].copy(), np.zeros((len(marks), 3), np.float32))
    return Person(pose, Crop(0.0, 0.0, PICTURE[0]), (labels > 0).astype(np.float32), shares, scene.yaw, 0)
