"""A dressed clip against a clip of its truth, or against itself where the garment is the one already worn."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vtryon.evaluate.similarity import Scores, changed_region, mean_scores, scores
from vtryon.garment import load_garment
from vtryon.person import Labeller
from vtryon.pipeline import TryOnFrame, TryOnOptions, try_on
from vtryon.render import Drawer
from vtryon.types import WORN_TOP, Array, Person
from vtryon.video import VideoReader


def measure_clip(
    video: Path,
    garment: Path,
    truth: Path | None,
    *,
    labeller: Labeller,
    warp: str = "auto",
    draw: Drawer | None = None,
    step: int = 6,
) -> dict[str, Any]:
    """Scores of the dressed ``video``, and of its plain copy, on every ``step``-th frame.

    The region is where ``truth`` and source differ. ``truth`` None says that ``garment`` is what the person wears
    already: the source is the truth then, and the region is the worn top and the new garment.

    Raises ValueError where the clips have not the same number of frames.
    """
    ours: list[Scores] = []
    copy: list[Scores] = []
    options = TryOnOptions(warp=warp)
    cloth = load_garment(garment)
    with VideoReader(video) as source, VideoReader(truth or video) as true_frames:
        results = try_on(source, cloth, labeller=labeller, options=options, draw=draw)
        for n, (shown, true) in enumerate(zip_longest(results, true_frames)):
            if shown is None or true is None:
                raise ValueError(f"{video} and {truth} have not the same number of frames")
            if n % step:
                continue
            before = shown.source.rgb
            region = garment_region(shown) if truth is None else changed_region(true.rgb, before)
            ours.append(scores(true.rgb, shown.frame.rgb, region))
            copy.append(scores(true.rgb, before, region))
    report: dict[str, Any] = {"frames": len(ours), "result": mean_scores(ours)}
    return report if truth is None else report | {"copy of the source": mean_scores(copy)}


def garment_region(shown: TryOnFrame) -> Array:
    """(H, W) bool: the old top and the new garment."""
    region = np.zeros(shown.source.rgb.shape[:2], bool)
    if shown.person is not None:
        region |= on_frame(shown.person, shown.person.probability(*WORN_TOP), region.shape) > 0.5
    if shown.warped is not None:
        region |= shown.warped[1] > 0.5
    return region


def on_frame(person: Person, mask: Array, size: tuple[int, ...]) -> Array:
    """A mask (256, 192) float32 of the person's crop on the frame (H, W), 0 outside the crop."""
    matrix = person.crop.matrix()
    matrix[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5  # OpenCV has the first pixel's centre at 0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(mask, matrix, (size[1], size[0]), flags=flags))
