"""What may be wrong with a garment's picture, each as one line for the user."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from vtryon.garment.cutout import WORK_SIDE, background_residual
from vtryon.types import Array

_SMALL = 150
"""Pixels; a garment whose longer side is below shows blurred on a person."""

UNCERTAIN = 0.8
"""A :func:`certainty` below this deserves a warning, and is no garment at all where nothing stands out.

Measured: nearly all photographs of garments 0.84 and more, empty walls and photographs of people below 0.8."""

_VISIBLE = 2.5
"""Difference in Lab that is more than noise."""

_LEGS = 0.5
"""Share of the rows below the waist that show two legs, in trousers. Measured: in 1897 tops and dresses 0.4 at most."""

_FACE_SIDE = 640

_SURE_FACE = 0.7
"""Measured: 57 of 60 photographs of people have a surer face, prints and folds of 1897 garments none above 0.68."""


def picture_warnings(rgb: Array, alpha: Array, points: Mapping[str, Array], name: str) -> list[str]:
    """Look for a person, a garment that is cut off, and one that is very small.

    ``rgb`` (H, W, 3) uint8 and ``alpha`` (H, W) of the upright garment, ``points`` its key points; ``name`` the file.
    """
    found = []
    collar = float(points["collar_c"][1])
    if any(y < collar or alpha[int(y), int(x)] < 0.5 for x, y in face_centres(rgb)):
        found.append(f"there is a person in {name}; a picture of the garment alone gives a clean result")
    ys, xs = np.flatnonzero((alpha > 0.5).any(axis=1)), np.flatnonzero((alpha > 0.5).any(axis=0))
    height, width = int(ys[-1] - ys[0]) + 1, int(xs[-1] - xs[0]) + 1
    edge = np.concatenate([alpha[1], alpha[-2], alpha[:, 1], alpha[:, -2]]) > 0.5
    if edge.mean() > 0.02:
        found.append(f"the garment touches the edge of {name}; what is cut off there is missing in the result")
    if max(height, width) < _SMALL:
        found.append(f"the garment in {name} is only {width} x {height} pixels; it will look blurred")
    return found


def has_legs(alpha: Array) -> bool:
    """Whether what was cut out, ``alpha`` (H, W), parts into two legs: trousers, whichever way they lie."""
    ys, xs = np.flatnonzero((alpha > 0.5).any(axis=1)), np.flatnonzero((alpha > 0.5).any(axis=0))
    if not ys.size:
        return False
    mask = (alpha[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] > 0.5).astype(np.int8)
    return any(_parted(np.rot90(mask, turn)) > _LEGS for turn in range(4))


def _parted(mask: Array) -> float:
    """Share of the lower rows of ``mask`` (H, W) that are two runs, like in width, on both sides of the middle."""
    height, width = mask.shape
    rows = mask[int(0.3 * height) : int(0.97 * height)]
    edges = np.diff(rows, axis=1, prepend=0, append=0)
    found = 0
    for row in edges:
        ends = np.flatnonzero(row)
        if len(ends) == 4:
            left, right = ends[1] - ends[0], ends[3] - ends[2]
            middle = (ends[1] + ends[2]) / 2
            found += bool(0.6 < left / right < 1.67 and abs(middle / width - 0.5) < 0.15)
    return found / max(1, len(rows))


def certainty(share: Array, alpha: Array) -> float:
    """How far what was cut out, ``alpha`` (H, W), is what the reader took for garment at first sight, ``share`` (H, W).

    Intersection over union, times the reader's mean share inside the cut.
    """
    seen, cut = share > 0.5, alpha > 0.5
    overlap = float((seen & cut).sum() / max(1, int((seen | cut).sum())))
    return overlap * float(share[cut].mean()) if cut.any() else 0.0


def stands_out(rgb: Array, alpha: Array) -> bool:
    """Whether what was cut out differs from a background of one smoothly changing colour at all."""
    scale = min(1.0, WORK_SIDE / max(alpha.shape))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cut = cv2.resize(alpha, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.5
    return bool(cut.any() and np.median(np.linalg.norm(background_residual(small)[cut], axis=1)) > _VISIBLE)


def face_centres(rgb: Array) -> list[tuple[float, float]]:
    """(x, y) px of the faces in a picture, from MediaPipe's detector (its model is part of the wheel)."""
    import mediapipe

    from vtryon.person.pose import quiet

    scale = min(1.0, _FACE_SIDE / max(rgb.shape[:2]))
    small = np.ascontiguousarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    faces = mediapipe.solutions.face_detection
    with quiet(), faces.FaceDetection(model_selection=1, min_detection_confidence=0.6) as detector:
        detections = detector.process(small).detections or []
    # the detector's own threshold stays at 0.6 whatever it is told (mediapipe 0.10.21)
    boxes = [d.location_data.relative_bounding_box for d in detections if d.score[0] >= _SURE_FACE]
    height, width = rgb.shape[:2]
    centres = [((b.xmin + b.width / 2) * width, (b.ymin + b.height / 2) * height) for b in boxes]
    return [(x, y) for x, y in centres if 0 <= x < width and 0 <= y < height]
