"""Rivals of the paper and its ablations, as configurations of our own networks: what is compared is what they say about
warp and time; everything else, data and budget included, is the same.

They are trained by the commands that train the paper's (``vtryon train warp|tryon --preset NAME``) and scored by
``vtryon evaluate``. Who works on pixels in another way, such as the appearance flow of PF-AFN, brings a
:class:`~vtryon.warp.Fitter` or a :class:`~vtryon.render.Drawer` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vtryon.train.tree_warp import TreeWarpTraining
from vtryon.train.tryon import TryOnTraining
from vtryon.train.warp import PRESETS


@dataclass(frozen=True)
class Baseline:
    """How one differs from the paper.

    ``lattice`` of the warp (:data:`~vtryon.warp.lattice.LATTICES`); ``regular`` whether eq. (1) is in its loss;
    ``memory`` of the renderer (:data:`~vtryon.render.unet.MEMORIES`); ``flow`` whether eq. (8) is in its loss.
    """

    lattice: str = "paper"
    regular: bool = True
    memory: str = "conditioned"
    flow: bool = True

    def warp(self) -> dict[str, Any]:
        """What :class:`~vtryon.train.warp.WarpTraining` is given on rendered pairs: the paper's recipe, changed."""
        paper = PRESETS["paper"]
        weights = paper["weights"] if self.regular else replace(paper["weights"], length=0.0, slope=0.0)
        return paper | {"size": replace(paper["size"], lattice=self.lattice), "weights": weights}

    def tree_warp(self, paper: TreeWarpTraining) -> TreeWarpTraining:
        """The paper's training of the warp on a data set, changed."""
        return replace(paper, size=replace(paper.size, lattice=self.lattice), weights=self.warp()["weights"])

    def tryon(self, paper: TryOnTraining) -> TryOnTraining:
        """The paper's training of the renderer, changed; what has no memory learns from single frames."""
        changed = replace(paper, size=replace(paper.size, memory=self.memory))
        if not self.flow:
            changed = replace(changed, flow_weight=0.0)
        return replace(changed, clip_every=0, remembered=0.0) if self.memory == "none" else changed


BASELINES: Mapping[str, Baseline] = {
    "paper": Baseline(),
    "without-eq1": Baseline(regular=False),
    "without-flow": Baseline(flow=False),
    # CP-VTON (2018): 5 x 5 points, nothing that keeps them even, every frame by itself
    "cp-vton": Baseline(lattice="cp-vton", regular=False, memory="none", flow=False),
    # ShineOn (2021): the same warp; a learned mask blends the coarse person with the last output, moved by the flow
    "shineon": Baseline(lattice="cp-vton", regular=False, memory="blended", flow=False),
}
