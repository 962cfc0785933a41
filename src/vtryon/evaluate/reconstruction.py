"""Self-reconstruction: people on photographs lose the top they wear and get it back, so that the truth is known.

Another top is painted over the own one and over arms, hips or neck, and the own one, cut out, is the garment to put on:
neither the place of the own top nor what lay beside it can be copied from the source (issue 6).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from vtryon.errors import BadInputError
from vtryon.evaluate.damage import Photograph, validation_photographs
from vtryon.evaluate.scenes import make_print
from vtryon.evaluate.similarity import Scores, mean_scores, scores
from vtryon.evaluate.single import dressed, person_in
from vtryon.person import Labeller
from vtryon.person.crop import picture_on
from vtryon.render import Drawer
from vtryon.train.people import people_labels
from vtryon.train.refine_cases import Over, cut_out, painted
from vtryon.types import Array

_MARGIN = 0.1  # torso lengths around a top that is cut out


def measure_reconstruction(
    data: Path, *, labeller: Labeller, warp: str = "auto", draw: Drawer | None = None, every: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Scores of every ``every``-th validation photograph of ``data`` inside the person's crop at 256 x 192 px, and in
    its part that either top covers: of the result and of a copy of the source; ``seed`` decides what is painted.

    ``skipped`` names the pictures with nobody, no top, or a coat, under which nobody sees where the top ends; who is
    not found in the painted picture counts as it is.
    """
    kept: dict[str, list[Scores]] = defaultdict(list)
    skipped = []
    for number, photo in enumerate(validation_photographs(data)):
        if number % every:
            continue
        both = _reconstructed(photo, np.random.default_rng([seed, number]), labeller, warp, draw)
        if both is None:
            skipped.append(photo.name)
            continue
        for name, one in zip(("result", "copy"), both, strict=True):
            kept[name].append(one)
    return {
        "seed": seed, "photographs": len(kept["result"]), "skipped": skipped,
        **{name: mean_scores(found) for name, found in sorted(kept.items(), reverse=True)},
    }  # fmt: skip


def _reconstructed(
    photo: Photograph, rng: np.random.Generator, labeller: Labeller, warp: str, draw: Drawer | None
) -> tuple[Scores, Scores] | None:
    """Of the result and of the painted source."""
    wearer = person_in(photo.rgb, labeller)
    if wearer is None:
        return None
    points = wearer.pose.points
    labels = people_labels(photo.raw, points, photo.names)
    over = Over.some(labels, points, rng)
    if over is None or not over.own_ends:
        return None
    try:
        garment = cut_out(photo.rgb, over.own, _MARGIN * over.size)
    except BadInputError:
        return None
    source = painted(photo.rgb, labels, over.old, points, over.size, make_print(rng), rng)
    result = dressed(source, person_in(source, labeller), garment, warp, draw).frame.rgb

    def seen(picture: Array) -> Array:
        return picture_on(wearer.crop, picture)

    region = seen(np.repeat(((over.old | over.own) * np.uint8(255))[..., None], 3, axis=2))[..., 0] > 127
    inside = seen(np.full_like(photo.rgb, 255))[..., 0] > 200  # outside of the picture a crop is grey
    truth = seen(photo.rgb)
    made, copy = (scores(truth, seen(picture), region & inside) for picture in (result, source))
    return made, copy
