"""Warping: where the garment lies in each frame, and sampling it there.

Two ways to find that out, behind one call: ``anchored``, plain geometry, and ``placed``, a small regressor. The paper's
image network (issue 5) joins them here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from vtryon.types import WARP_METHODS, Garment, Person
from vtryon.warp.anchored import FitOptions, fit
from vtryon.warp.lattice import Spline, Warp, garment_lattices
from vtryon.warp.sampler import Layer, Texture, flatten, layers


class Fitter(Protocol):
    """Lays a garment on a person; its memory is handed in and out (None at the start of a shot)."""

    def __call__(self, person: Person, garment: Garment, *, state: Any = None) -> tuple[Warp, Any]: ...


def fitter(method: str = "auto", options: FitOptions = FitOptions()) -> Fitter:
    """The way to lay garments called ``method``: ``anchored``, ``placed``, or ``auto`` for the better of those whose
    weights are here. Raises :class:`ValueError` for another name, :class:`~vtryon.errors.UnavailableError` where the
    weights of ``placed`` are asked for and missing."""
    from vtryon import weights
    from vtryon.errors import UnavailableError
    from vtryon.warp.placing import load_placing, place

    if method not in WARP_METHODS:
        raise ValueError(f"warp must be one of {', '.join(WARP_METHODS)}, got {method!r}")
    anchored: Callable[..., tuple[Warp, Any]] = partial(fit, options=options)
    if method == "anchored":
        return anchored
    try:
        path = weights.find("placing")
    except UnavailableError:
        if method == "placed":
            raise
        return anchored
    return partial(place, load_placing(path), options=options)


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
