"""The refiner's examples: what the composition makes of people to be dressed, and the truth, on the network's grid.

Made once, by the whole way that ``vtryon run`` goes, and kept in small files, each of which depends on nothing but the
data, the seed and its own number: a run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vtryon.errors import MissingInputError, VtryonError
from vtryon.evaluate.scenes import Scene, every_scene
from vtryon.evaluate.single import person_in
from vtryon.person import Labeller
from vtryon.pipeline import default_labeller, try_on
from vtryon.render.compose import Composer
from vtryon.render.flow import Flow
from vtryon.render.layered import Layered, Window, reduced
from vtryon.render.refine import GRID, PLANES
from vtryon.render.refiner import Sketch, sketch
from vtryon.train.prepare import Report
from vtryon.train.refine_cases import Case, Wardrobe, misjudged, photograph_cases, scene_cases
from vtryon.train.store import Store, made, open_store, require
from vtryon.types import LANDMARKS, Array, Frame, Person
from vtryon.warp import Fitter, fitter

TRUTH = 6
"""Planes of truth: RGB, known, stays, told."""

_SHARD = 24  # sources in a file
_MISJUDGED = 0.6  # share of the dressings with labels that err more than they do
_WARDROBE = 30  # scenes whose garments are put on photographs


@dataclass(frozen=True, eq=False)
class Examples:
    """N compositions: ``planes`` (N, 128, 96, 18) uint8 of :meth:`Sketch.image`, ``truth`` (N, 128, 96, 6) uint8,
    ``pose`` (N, 33, 3) float32 grid px and visibility, ``rendered`` (N,) bool whether it is one of a scene."""

    planes: Array
    truth: Array
    pose: Array
    rendered: Array

    def __len__(self) -> int:
        return len(self.planes)


class _Recorder:
    """Looks on while a picture is composed."""

    def __init__(self) -> None:
        self.seen: Sketch | None = None

    def __call__(
        self, layered: Layered, picture: Array, person: Person, _flow: Flow | None, _memory: Array | None
    ) -> tuple[Layered, None]:
        self.seen = sketch(layered, picture, person)
        return layered, None


@dataclass(frozen=True, eq=False)
class Maker:
    """What dresses people: photographs, ``scenes``, garments and backgrounds for them, labels, and the warp."""

    people: Store
    scenes: Sequence[Scene]
    wardrobe: Wardrobe
    backgrounds: Array
    labeller: Labeller
    fit: Fitter

    @staticmethod
    def of(data: Path, cache: Path, device: str = "auto", seed: int = 0) -> Maker:
        """Over the pictures of ``data`` that were prepared in ``cache``.

        Raises:
            MissingInputError: scenes, prepared pictures or the parser's weights are missing.
        """
        require(data, "pairs")
        scenes = [scene for scene in every_scene(data) if scene.found]
        training = [scene for scene in scenes if not scene.validates]
        labeller = default_labeller(device)
        if labeller is None or not training:
            raise MissingInputError(f"{data / 'pairs'} or weights/parser.safetensors: not there; both are needed")
        some = np.random.default_rng(seed).permutation(len(training))[:_WARDROBE]
        people = open_store(cache, "people")
        backgrounds, cloths = (np.load(cache / f"{name}.npy", mmap_mode="r") for name in ("back", "cloth"))
        wardrobe = Wardrobe.of([training[n] for n in some], cloths)
        return Maker(people, scenes, wardrobe, backgrounds, labeller, fitter())

    def sources(self, validation: bool, seed: int) -> list[Scene | int]:
        """Scenes and photographs (by their number) in a random order, two photographs for each scene as long as there
        are any."""
        rng = np.random.default_rng([seed, validation])
        scenes = [scene for scene in self.scenes if scene.validates == validation]
        numbers = self.people.validation if validation else self.people.train
        photographs = [int(n) for n in rng.permutation(numbers)]
        scenes = [scenes[n] for n in rng.permutation(len(scenes))]
        mixed: list[list[Scene | int]] = [
            [*photographs[2 * n : 2 * n + 2], *scenes[n : n + 1]] for n in range(len(scenes) + len(photographs))
        ]
        return [source for group in mixed for source in group]

    def cases(self, source: Scene | int, rng: np.random.Generator) -> tuple[Array, list[Case]] | None:
        """A picture and who is to be dressed how; None where nothing is to be learned from it."""
        if isinstance(source, Scene):
            return scene_cases(source, self.backgrounds, self.wardrobe.cloths, rng)
        return photograph_cases(self.people, source, self.wardrobe, rng)

    def examples(self, source: Scene | int, rng: np.random.Generator) -> Iterator[tuple[Array, Array, Array, bool]]:
        """Planes, truth, pose of each case of a source and whether it is rendered."""
        found = self.cases(source, rng)
        person = None if found is None else person_in(found[0], self.labeller, frames=2)
        if found is None or person is None:
            return
        for case in found[1]:
            seen = self._composed(found[0], person, case, rng)
            if seen is not None:
                pose = np.concatenate([seen.points, seen.visibility[:, None]], -1)
                yield encoded(seen.image()), truth_on(case, person), pose, isinstance(source, Scene)

    def _composed(self, picture: Array, person: Person, case: Case, rng: np.random.Generator) -> Sketch | None:
        if rng.random() < _MISJUDGED:
            person = replace(person, labels=misjudged(person.labels, rng))
        recorder = _Recorder()
        frame = Frame(picture, 0, Fraction(1, 24), 0)
        for _ in try_on([frame], case.garment, people=[person], fit=self.fit, draw=Composer(recorder)):
            pass
        return recorder.seen


def truth_on(case: Case, person: Person) -> Array:
    """(128, 96, 6) uint8: the truth of a case on the grid of the person's crop, unknown outside of the picture."""
    h, w = case.known.shape
    window = Window(0, 0, w, h)
    colours = reduced(case.truth.astype(np.float32), person.crop, window, GRID)
    shares = np.dstack([case.known, case.stays * case.told, case.told]).astype(np.float32)
    shares = reduced(shares * np.float32(255), person.crop, window, GRID)
    return np.asarray(np.clip(np.rint(np.dstack([colours, shares])), 0, 255), np.uint8)


_SCALE = np.full(PLANES, 255, np.float32)
_SHIFT = np.zeros(PLANES, np.float32)
for _first in (0, 10, 13):  # colours
    _SCALE[_first : _first + 3] = _SHIFT[_first : _first + 3] = 127.5


def encoded(image: Array) -> Array:
    """(H, W, 18) uint8 of an image (18, H, W) float32."""
    return np.asarray(np.clip(np.rint(image.transpose(1, 2, 0) * _SCALE + _SHIFT), 0, 255), np.uint8)


def decoded(planes: Array) -> Array:
    """The inverse, of any number of them: (..., 18, H, W) float32 of (..., H, W, 18) uint8."""
    image = (planes.astype(np.float32) - _SHIFT) / _SCALE
    return np.ascontiguousarray(np.moveaxis(image, -1, -3))


def open_refine(
    data: Path | None, cache: Path, sources: int, held_out: int, *, seed: int = 0, device: str = "auto",
    report: Report | None = None,
) -> tuple[Examples, Examples]:  # fmt: skip
    """The examples of ``sources`` people to train on and of ``held_out`` to validate with, made where they are missing.

    Raises:
        MissingInputError: some are missing and there is no ``data`` to make them from.
    """
    made(cache)
    parts = [("validation", True, held_out), ("training", False, sources)]
    plan = [(kind, held, n, min(n + _SHARD, count)) for kind, held, count in parts for n in range(0, count, _SHARD)]
    paths = {(kind, first): cache / f"refine_{kind}_{seed}_{first:05}.npz" for kind, _, first, _ in plan}
    if not all(path.is_file() for path in paths.values()):
        if data is None:
            raise MissingInputError(f"no examples for the refiner in {cache}: give the data too")
        maker = Maker.of(data, cache, device, seed)
        mixed = {held: maker.sources(held, seed) for held in (False, True)}
        for kind, held, first, last in plan:
            path = paths[kind, first]
            if not path.is_file():
                _write(path, maker, mixed[held][first:last], np.random.default_rng([seed, held, first]))
            if report is not None:
                report(f"{kind} compositions", last, sources if kind == "training" else held_out)
    training, validation = (
        _read([path for (kind, _), path in paths.items() if kind == wanted]) for wanted in ("training", "validation")
    )
    return training, validation


def _write(path: Path, maker: Maker, sources: Sequence[Scene | int], rng: np.random.Generator) -> None:
    cv2.setNumThreads(1)
    rows: list[tuple[Array, Array, Array, bool]] = []
    for source in sources:
        try:
            rows += maker.examples(source, np.random.default_rng(rng.integers(2**62)))
        except VtryonError:  # a garment that cannot be laid, a picture that cannot be read: one of many
            continue
    planes, truth, pose, rendered = (
        np.stack([np.asarray(row[n]) for row in rows]) if rows else np.zeros((0, *shape), np.uint8)
        for n, shape in enumerate(((*GRID, PLANES), (*GRID, TRUTH), (LANDMARKS, 3), ()))
    )
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, planes=planes, truth=truth, pose=pose.astype(np.float32), rendered=rendered)
    partial.replace(path)


def _read(paths: Sequence[Path]) -> Examples:
    parts: dict[str, list[Any]] = {"planes": [], "truth": [], "pose": [], "rendered": []}
    for path in paths:
        with np.load(path) as arrays:
            for name, values in parts.items():
                values.append(arrays[name])
    whole = {name: np.concatenate(values) for name, values in parts.items()}
    return Examples(whole["planes"], whole["truth"], whole["pose"], whole["rendered"].astype(bool))
