"""True pairs: a person in one top, the picture of another, and the same person in that one (rendered scenes).

Everything goes the way a user's files go: the person is analysed from the picture, the garment is cut out of its own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtryon.errors import BadInputError
from vtryon.evaluate.scenes import Scene, make_background, make_print, validation_scenes
from vtryon.evaluate.similarity import Scores, mean_scores, scores
from vtryon.evaluate.single import dressed, person_in
from vtryon.garment import prepare
from vtryon.person import Labeller
from vtryon.render import Drawer
from vtryon.train.pairs import PRODUCT
from vtryon.types import Array, Label

_NEAR_WHITE = 244


@dataclass(frozen=True, eq=False)
class Pair:
    """One try-on with its truth: ``kinds`` "new on old"; pictures (384, 288, 3) uint8; ``region`` (384, 288) bool, both
    tops; ``product`` (512, 384, 3) uint8."""

    name: str
    kinds: str
    yaw: float
    source: Array
    product: Array
    truth: Array
    region: Array


def make_pair(scene: Scene, old: int, new: int, seed: int) -> Pair:
    """The person of ``scene`` in top ``old``, to be dressed in ``new``, each with a print of its own."""
    rng = np.random.default_rng([seed, int(scene.folder.name), old, new])
    prints = make_print(rng), make_print(rng)
    background = scene.brightness(old) * make_background(rng)  # in the same light as the person
    studio = np.full((*PRODUCT, 3), _NEAR_WHITE, np.float32) + rng.normal(0, 1, (*PRODUCT, 3))
    region = (scene.labels(old) == Label.TOP) | (scene.labels(new) == Label.TOP)
    return Pair(
        name=f"{scene.folder.name} {old}>{new}",
        kinds=f"{scene.garment(new).kind} on {scene.garment(old).kind}",
        yaw=scene.yaw,
        source=scene.worn(old, prints[0], background),
        product=scene.product(new, prints[1], studio),
        truth=scene.worn(new, prints[1], background),
        region=region,
    )


def try_pair(pair: Pair, labeller: Labeller, warp: str = "auto", draw: Drawer | None = None) -> Array | None:
    """(384, 288, 3) uint8: what the user gets; None where the person or the garment was not found."""
    person = person_in(pair.source, labeller)
    if person is None:
        return None
    try:
        garment = prepare(pair.product, None, name=pair.name)
    except BadInputError:
        return None
    return dressed(pair.source, person, garment, warp, draw).frame.rgb


def measure_pairs(
    data: Path, *, labeller: Labeller, warp: str = "auto", draw: Drawer | None = None, every: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Scores over three pairs of every ``every``-th validation scene; what was not found counts as its source."""
    ours: dict[str, list[Scores]] = defaultdict(list)
    copy: dict[str, list[Scores]] = defaultdict(list)
    missed = []
    for scene in list(validation_scenes(data))[::every]:
        for old in range(3):
            pair = make_pair(scene, old, (old + 1) % 3, seed)
            result = try_pair(pair, labeller, warp, draw)
            if result is None:
                missed.append(pair.name)
            for group in ("all", "facing" if abs(pair.yaw) < 45 else "turned", pair.kinds):
                ours[group].append(scores(pair.truth, pair.source if result is None else result, pair.region))
                copy[group].append(scores(pair.truth, pair.source, pair.region))
    groups = {
        group: {"pairs": len(ours[group]), "result": mean_scores(ours[group]), "copy": mean_scores(copy[group])}
        for group in sorted(ours, key=lambda g: -len(ours[g]))
    }
    return {"seed": seed, "missed": missed, "groups": groups}
