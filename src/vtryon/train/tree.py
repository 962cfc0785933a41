"""Data sets of the field as training material: their clips analysed, their garments cut out, in a fixed order."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from vtryon.data.analysis import Analysis
from vtryon.data.shape import recognised
from vtryon.data.store import Clip
from vtryon.data.tree import Sample, open_tree
from vtryon.errors import BadInputError
from vtryon.garment.store import read_garment, save_garment
from vtryon.reuse import file_digest
from vtryon.train.parallel import ALONE, Ranks
from vtryon.train.prepare import Report
from vtryon.types import Array, Garment, Part

log = logging.getLogger(__name__)

CANVAS = (256, 192)
"""Height and width within which a garment is looked at: that of VITON and of VVT."""


@dataclass(frozen=True)
class SmallGarment:
    """A garment of at most ``CANVAS`` in the cache, and what it was made from."""

    path: Path
    key: str
    name: str

    def read(self) -> Garment:
        """It, from its file.

        Raises:
            MissingInputError, BadInputError: it has been removed or damaged.
        """
        return read_garment(self.path, key=self.key, name=self.name)


@dataclass(frozen=True, eq=False)
class Worn:
    """Somebody in the garment that they wear."""

    sample: Sample
    clip: Clip
    garment: SmallGarment

    @property
    def name(self) -> str:
        """Unique among the clips that are prepared alike."""
        return f"{self.clip.path.name}/{self.garment.key}"


@dataclass(frozen=True, eq=False)
class TreeData:
    """What is trained on, and ``held_out`` what is not; ``places`` (N, 2) clip and moment of every frame that is
    trained on."""

    analysis: Analysis
    train: tuple[Worn, ...]
    held_out: tuple[Worn, ...]
    places: Array

    def turn(self, seed: int, first: int, count: int) -> Array:
        """(count, 2) places number ``first`` and following of an endless training: every epoch all of them once, in an
        order of its own that ``seed`` decides."""
        at = np.arange(first, first + count)
        found = np.zeros((count, 2), np.int64)
        for epoch in np.unique(at // len(self.places)):
            order = np.random.default_rng([seed, 1, int(epoch)]).permutation(len(self.places))
            mine = at // len(self.places) == epoch
            found[mine] = self.places[order[at[mine] % len(self.places)]]
        return found

    def shown(self, count: int) -> list[tuple[Worn, int]]:
        """``count`` moments of what is held out, evenly spread over its clips."""
        every = [(worn, n) for worn in self.held_out for n in range(len(worn.clip))]
        return [every[i] for i in np.unique(np.linspace(0, len(every) - 1, count).astype(int))]


def is_tree(data: Path) -> bool:
    """Whether ``data`` is a data set of the field rather than our own folder of people, pairs and garments."""
    ours = any((data / name).is_dir() for name in ("people", "pairs"))
    return not ours and recognised(data) is not None


def open_training(
    path: Path, cache: Path, device: str, *, held_out: int = 4, report: Report | None = None, ranks: Ranks = ALONE
) -> TreeData:
    """The paired samples of a data set, analysed; of its tests the first ``held_out`` are for validation.

    Samples that cannot be used are left out, and the log says which. A data set without tests is validated on what it
    is trained on.

    Raises:
        MissingInputError: as :func:`~vtryon.data.open_tree`, or there is nothing to train on.
        BadInputError: nothing of it can be used; the message is that of the first sample.
    """
    tree = open_tree(path)
    for line in tree.broken:
        log.warning("left out: %s", line)
    analysis = Analysis.of(cache, device)
    samples = tree.select("train", paired=True)
    for sample in samples[ranks.rank :: ranks.count] if ranks.count > 1 else ():
        _usable(analysis, sample)  # each process its share, so that all find all of them done
    train = _worn(analysis, samples, report)
    tests = tree.select("test", paired=True)[:held_out] if "test" in tree.splits else samples[:held_out]
    places = [(i, n) for i, worn in enumerate(train) for n in range(len(worn.clip))]
    return TreeData(analysis, train, _worn(analysis, tests, None), np.array(places))


def _worn(analysis: Analysis, samples: tuple[Sample, ...], report: Report | None) -> tuple[Worn, ...]:
    found, problems = [], []
    for n, sample in enumerate(samples, 1):
        worn = _usable(analysis, sample)
        if isinstance(worn, Worn):
            found.append(worn)
        else:
            problems.append(worn)
            log.warning("left out: %s", worn)
        if report is not None:
            report("clips", n, len(samples))
    if not found:
        raise problems[0]
    return tuple(found)


def _usable(analysis: Analysis, sample: Sample) -> Worn | BadInputError:
    """A sample with its clip, or why it cannot be used."""
    try:
        garment = _small_garment(analysis, sample)
        clip = analysis.clip(sample)
    except BadInputError as problem:
        return problem
    return Worn(sample, clip, garment) if len(clip) else BadInputError(f"{sample.person.path}: nobody is found in it")


def _small_garment(analysis: Analysis, sample: Sample) -> SmallGarment:
    files = [path for path in (sample.garment, sample.garment_mask) if path is not None]
    made_from = ("small", *map(file_digest, files), *analysis.garments_by, CANVAS)
    key, name = hashlib.sha256(repr(made_from).encode()).hexdigest(), str(sample.garment)

    def make(path: Path) -> None:
        save_garment(path, reduced(analysis.garment(sample), CANVAS), key=key, name=name)

    def read(path: Path) -> SmallGarment:
        found = SmallGarment(path, key, name)
        found.read()
        return found

    return analysis.cache.get("laid", key, make=make, read=read)


def reduced(garment: Garment, size: tuple[int, int]) -> Garment:
    """The garment's picture no larger than ``size`` = (height, width), as it is where it is not."""
    h, w = garment.alpha.shape
    scale = min(size[0] / h, size[1] / w)
    if scale >= 1:
        return garment
    to = (max(1, round(w * scale)), max(1, round(h * scale)))
    rgb, alpha = (cv2.resize(plane, to, interpolation=cv2.INTER_AREA) for plane in (garment.rgb, garment.alpha))
    parts = cv2.resize(garment.parts, to, interpolation=cv2.INTER_NEAREST)
    by = np.array([to[0] / w, to[1] / h], np.float32)
    points = {name: (point * by).astype(np.float32) for name, point in garment.keypoints.items()}
    small = replace(garment, rgb=rgb, alpha=np.asarray(alpha, np.float32), parts=parts, keypoints=points)
    if not (small.parts != Part.NONE).any():
        raise BadInputError("nothing is left of the garment when it is made small")
    return small
