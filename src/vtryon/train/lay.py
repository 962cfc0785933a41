"""Garments laid on the people of a data set before the renderer is trained: by the warp that ships, or by a network of
``vtryon train warp``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vtryon.errors import BadInputError
from vtryon.render.learned import Cloth, laid
from vtryon.reuse import file_digest, garment_version, warp_version
from vtryon.train.laid import LaidClip, open_laid, save_laid
from vtryon.train.parallel import ALONE, Ranks
from vtryon.train.prepare import Report
from vtryon.train.tree import TreeData, Worn
from vtryon.types import CROP_SIZE, Garment
from vtryon.warp import Fitter, Texture, fitter
from vtryon.warp.lattice import SINGLE
from vtryon.warp.network import load_matching
from vtryon.warp.single import lay_single, one_piece

_CROP = (0.0, 0.0, float(CROP_SIZE[1]), float(CROP_SIZE[0]))


@dataclass(frozen=True, eq=False)
class Lay:
    """What lays the garments: the network of ``vtryon train warp`` at ``weights``, or None for the shipped warp."""

    weights: Path | None = None

    def version(self) -> tuple[object, ...]:
        """What its work depends on."""
        return (*warp_version(), None if self.weights is None else file_digest(self.weights))

    def fitter(self) -> Fitter:
        """Ready to lay.

        Raises:
            UnavailableError, BadInputError: there are no such weights, or not of the paper's lattice.
        """
        if self.weights is None:
            return fitter()
        net = load_matching(self.weights)
        if net.size.lattice not in SINGLE:
            raise BadInputError(f"{self.weights}: not a network of the paper's lattice; train one with --preset paper")
        return partial(lay_single, net)

    def garment(self, garment: Garment) -> Garment:
        """As it must be for the fitter."""
        return garment if self.weights is None else one_piece(garment)


def lay_clips(data: TreeData, lay: Lay, report: Report | None = None, ranks: Ranks = ALONE) -> Mapping[str, LaidClip]:
    """Every garment of a data set laid on its clip, by the clip's name; made once and kept.

    Each process does its share first.

    Raises:
        VtryonError: as :meth:`Lay.fitter`, or the cache cannot be written.
    """
    fit, version = lay.fitter(), (*garment_version(), *lay.version())
    every = [*data.train, *data.held_out]
    for worn in every[ranks.rank :: ranks.count] if ranks.count > 1 else ():
        _laid(data, worn, lay, fit, version)
    found = {}
    for n, worn in enumerate(every, 1):
        found[worn.name] = _laid(data, worn, lay, fit, version)
        if report is not None:
            report("garments", n, len(every))
    return found


def _laid(data: TreeData, worn: Worn, lay: Lay, fit: Fitter, version: tuple[object, ...]) -> LaidClip:
    made_from = ("laid", worn.clip.path.name, worn.garment.key, version)
    key = hashlib.sha256(repr(made_from).encode()).hexdigest()

    def make(path: Path) -> None:
        save_laid(path, _cloths(worn, lay.garment(data.analysis.garment(worn.sample)), fit))

    return data.analysis.cache.get("laid", key, make=make, read=partial(open_laid, count=len(worn.clip)))


def _cloths(worn: Worn, garment: Garment, fit: Fitter) -> Iterator[Cloth]:
    """The garment as it lies in every moment of a clip."""
    texture, state, shot = None, None, -1
    for n in range(len(worn.clip)):
        moment = worn.clip[n]
        if moment.shot != shot:
            state, shot = None, moment.shot
        warp, state = fit(moment.person(), garment, state=state)
        if texture is None:
            spline = warp.splines[0]
            spread = [float(np.linalg.norm(p[-1].mean(0) - p[0].mean(0))) for p in (spline.points, spline.lattice)]
            texture = Texture.of(garment, 1.4 * spread[0] / max(spread[1], 1e-6))
        yield laid(warp, texture, _CROP, CROP_SIZE, None)
