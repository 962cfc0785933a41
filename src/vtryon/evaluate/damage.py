"""What the composition leaves and what it harms, by true labels: photographs of dressed people with label maps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vtryon.errors import MissingInputError
from vtryon.evaluate.similarity import difference
from vtryon.evaluate.single import dressed, person_in
from vtryon.garment import load_garment
from vtryon.person import Labeller
from vtryon.render import Drawer
from vtryon.train.people import people_labels, read_names
from vtryon.types import WORN_TOP, Array, Label, Pose

CHANGED = 12
"""A pixel is changed where any channel is by more than this, of 255."""

_ALIKE = 40
"""Old and new cloth this close in every channel cannot be told apart."""

_ARMS = (Label.LEFT_ARM, Label.RIGHT_ARM)
_SURE = 5  # px: labels are not trusted nearer to their edges than half of this
_SOFT = 7  # px: the new garment reaches half of this past its outline


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph (H, W, 3) uint8 and its own label map (H, W), numbers of ``names``."""

    name: str
    rgb: Array
    raw: Array
    names: list[str]


def validation_photographs(data: Path) -> Iterator[Photograph]:
    """The labelled photographs of ``data/people`` that are never trained on; :class:`MissingInputError` if none."""
    folder = data / "people"
    files = sorted((folder / "labels").glob("*7.png"))
    if not files:
        raise MissingInputError(f"{folder}: no validation photographs there; give the data folder with --data")
    names = read_names((folder / "labels.txt").read_text())
    for file in files:
        rgb = np.asarray(Image.open(folder / "photos" / f"{file.stem}.jpg").convert("RGB"))
        raw = np.asarray(Image.open(file))
        if raw.shape != rgb.shape[:2]:
            raw = cv2.resize(raw, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        yield Photograph(file.stem, rgb, raw, names)


@dataclass(frozen=True)
class Tally:
    """Pixels that count and those of them that are wrong, by class name."""

    of: Counter[str]
    wrong: Counter[str]

    def shares(self) -> dict[str, float]:
        """Wrong over counted pixels; ``all`` over every class."""
        table = {name: self.wrong[name] / count for name, count in sorted(self.of.items()) if count}
        return {k: round(v, 4) for k, v in ({"all": self.wrong.total() / max(self.of.total(), 1)} | table).items()}


def leftover(before: Array, after: Array, new: Array, alpha: Array, labels: Array) -> Tally:
    """Pixels of the worn top, by label, that are as they were, though not under new cloth of the same colour.

    ``before``, ``after`` and the warped garment ``new`` are (H, W, 3) uint8, ``alpha`` (H, W) is what it covers,
    ``labels`` (H, W) of :class:`Label` the truth. A dress below a top's hem stays by design and is counted here.
    """
    same = (alpha > 0.5) & (difference(new, before) <= _ALIKE)
    left = (difference(after, before) <= CHANGED) & ~same
    return _count({label.name.lower(): _inner(labels == label) & ~same for label in WORN_TOP}, left)


def damage(before: Array, after: Array, alpha: Array, labels: Array, pose: Pose) -> Tally:
    """Pixels of what is to stay that are changed; arguments as of :func:`leftover`, ``pose`` in px.

    Hair, things carried, hands and the face down to the chin always stay; bare arms, the neck, what is worn below and
    the background where the new garment does not lie.
    """
    free = cv2.dilate(alpha, np.ones((_SOFT, _SOFT))) < 0.1
    hand, chin = hands(pose, labels), above_chin(pose, labels.shape)
    arms = np.isin(labels, _ARMS) & ~hand
    face = labels == Label.FACE
    lower = np.isin(labels, (Label.LOWER, Label.LEGS))
    regions = {
        "hair": _inner(labels == Label.HAIR),
        "face": _inner(face & chin),
        "neck": _inner(face & ~chin) & free,
        "hands": _inner(hand),
        "bare arms": _inner(arms) & free,
        "carried": _inner(labels == Label.CARRIED),
        "lower body": _inner(lower) & free,
        "background": _inner(labels == Label.BACKGROUND) & free,
    }
    return _count(regions, difference(after, before) > CHANGED)


def _inner(region: Array) -> Array:
    return np.asarray(cv2.erode(region.astype(np.uint8), np.ones((_SURE, _SURE))) > 0)


def _count(regions: dict[str, Array], wrong: Array) -> Tally:
    return Tally(
        Counter({name: int(r.sum()) for name, r in regions.items()}),
        Counter({name: int((r & wrong).sum()) for name, r in regions.items()}),
    )


def hands(pose: Pose, labels: Array) -> Array:
    """(H, W) bool: bare arm beyond the wrist."""
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    found = np.zeros(labels.shape, bool)
    for label, elbow, wrist in ((Label.LEFT_ARM, 13, 15), (Label.RIGHT_ARM, 14, 16)):
        at, along = pose.points[wrist], pose.points[wrist] - pose.points[elbow]
        found |= (labels == label) & ((x - at[0]) * along[0] + (y - at[1]) * along[1] > 0)
    return found


def above_chin(pose: Pose, size: tuple[int, ...]) -> Array:
    """(H, W) bool: above the chin, which lies as far below the mouth as the nose above it."""
    mouth = pose.points[[9, 10]].mean(axis=0)
    up = pose.points[0] - mouth
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return np.asarray((x - mouth[0]) * up[0] + (y - mouth[1]) * up[1] > -float(up @ up))


def measure_damage(
    data: Path,
    garments: Sequence[Path],
    *,
    labeller: Labeller,
    warp: str = "auto",
    draw: Drawer | None = None,
    every: int = 1,
) -> dict[str, Any]:
    """Every ``every``-th validation photograph in every garment: shares over all pixels, by class, for each garment.

    ``worst`` names the pictures with the most harm and the most left.
    """
    tallies: dict[str, list[tuple[str, Tally, Tally]]] = defaultdict(list)
    clothes = {path.stem: load_garment(path) for path in garments}
    missed = []
    for photo in list(validation_photographs(data))[::every]:
        person = person_in(photo.rgb, labeller)
        if person is None:
            missed.append(photo.name)
            continue
        labels = people_labels(photo.raw, person.pose.points, photo.names)
        for name, garment in clothes.items():
            shown = dressed(photo.rgb, person, garment, warp, draw)
            assert shown.warped is not None  # there is a person and a garment
            (new, alpha), after = shown.warped, shown.frame.rgb
            left = leftover(photo.rgb, after, new, alpha, labels)
            harm = damage(photo.rgb, after, alpha, labels, person.pose)
            tallies[name].append((f"{photo.name} in {name}", left, harm))
    tallies["all"] = list(chain.from_iterable(tallies.values()))
    report = {name: _report(found) for name, found in tallies.items()}
    return {"photographs": len(tallies["all"]) // max(len(clothes), 1), "missed": missed, "garments": report}


def _report(found: Sequence[tuple[str, Tally, Tally]]) -> dict[str, Any]:
    report: dict[str, Any] = {}
    for which, kind in ((1, "leftover"), (2, "damage")):
        each: list[tuple[str, Tally]] = [(one[0], one[which]) for one in found]  # type: ignore[misc]
        of = sum((t.of for _, t in each), Counter[str]())
        wrong = sum((t.wrong for _, t in each), Counter[str]())
        share = {name: tally.shares()["all"] for name, tally in each}
        worst = sorted(share, key=lambda n: -share[n])[:6]
        report[kind] = Tally(of, wrong).shares() | {"median picture": float(np.median([*share.values()]))}
        report[f"{kind}, worst"] = {n: share[n] for n in worst}
    return report
