"""Warping: where the garment lies in each frame, and sampling it there.

Three ways to find that out, behind one call: ``anchored``, plain geometry; ``placed``, a small regressor; ``network``,
the paper's image network as a correction of ``placed``. Each can be trained and measured apart (issue 5).
"""

from __future__ import annotations

from contextlib import suppress
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


def fitter(method: str = "auto", options: FitOptions = FitOptions(), *, seated: bool = True) -> Fitter:
    """The way to lay garments called ``method``: ``anchored``, ``placed``, ``network``, or ``auto`` for the best, the
    last of them whose weights are here. What the learned ones lay is ``seated`` on the outlines nearby, unless that is
    to be measured apart. Raises :class:`ValueError` for another name, :class:`~vtryon.errors.UnavailableError` where
    weights are asked for and missing."""
    from vtryon.errors import UnavailableError

    if method not in WARP_METHODS:
        raise ValueError(f"warp must be one of {', '.join(WARP_METHODS)}, got {method!r}")
    if method in ("auto", "anchored"):
        for name in ("network", "placed") if method == "auto" else ():
            with suppress(UnavailableError):
                return fitter(name, options, seated=seated)
        return partial(fit, options=options)
    laid = _placed(options) if method == "placed" else _network(options)
    return Seated(laid, options) if seated else laid


def _placed(options: FitOptions) -> Fitter:
    from vtryon import weights
    from vtryon.warp.placing import load_placing, place

    return partial(place, load_placing(weights.find("placing")), options=options)


def _network(options: FitOptions) -> Fitter:
    from vtryon import weights
    from vtryon.warp.correction import correct
    from vtryon.warp.network import load_matching
    from vtryon.warp.placing import load_placing

    placing = load_placing(weights.find("placing"))
    return partial(correct, load_matching(weights.find("warp")), placing, options=options)


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
