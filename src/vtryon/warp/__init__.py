"""Warping: where the garment lies in each frame, and sampling it there.

Three ways to find that out, behind one call: ``anchored``, plain geometry; ``placed``, a small regressor; ``network``,
the paper's image network as a correction of ``placed``. No weights of the last are shipped yet: what
``vtryon train warp`` makes is first measured against the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from vtryon.types import WARP_METHODS, Garment, Person
from vtryon.warp.anchored import FitOptions, fit
from vtryon.warp.lattice import Spline, Warp, garment_lattices
from vtryon.warp.sampler import Layer, flatten, layers
from vtryon.warp.seat import Seated
from vtryon.warp.texture import Texture


class Fitter(Protocol):
    """Lays a garment on a person; its memory is handed in and out (None at the start of a shot)."""

    def __call__(self, person: Person, garment: Garment, *, state: Any = None) -> tuple[Warp, Any]: ...


def fitter(method: str = "auto", options: FitOptions = FitOptions()) -> Fitter:
    """The way to lay garments called ``method``: ``anchored``, ``placed``, ``network``, or ``auto`` for the better of
    the first two whose weights are here. Raises :class:`ValueError` for another name,
    :class:`~vtryon.errors.UnavailableError` where weights are asked for and missing."""
    from vtryon import weights
    from vtryon.errors import UnavailableError
    from vtryon.warp.placing import load_placing, place

    if method not in (*WARP_METHODS, "network"):
        raise ValueError(f"warp must be one of {', '.join(WARP_METHODS)} or network, got {method!r}")
    anchored: Callable[..., tuple[Warp, Any]] = partial(fit, options=options)
    if method == "anchored":
        return anchored
    try:
        path = weights.find("placing")
    except UnavailableError:
        if method != "auto":
            raise
        return anchored
    if method == "network":
        from vtryon.warp.correction import correct
        from vtryon.warp.network import load_matching

        net = load_matching(weights.find("warp"))
        return Seated(partial(correct, net, load_placing(path), options=options), options)
    return Seated(partial(place, load_placing(path), options=options), options)


__all__ = [
    "FitOptions",
    "Fitter",
    "Layer",
    "Spline",
    "Texture",
    "Warp",
    "fitter",
    "flatten",
    "garment_lattices",
    "layers",
]
