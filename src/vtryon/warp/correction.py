"""The matching network at work: it looks at the garment as the placing stage has laid it, and moves its control points.

The placing stage sees numbers; the network sees outlines. What it says of a torso is followed, of a sleeve less and
less from the shoulder to the cuff: on rendered people that costs nothing, and arms in poses that are rare there are
followed better by what lays a sleeve along its arm. Its answer changes slowly for a body that moves as a whole,
because it is told in the torso's frame, and is followed with some inertia, so that it does not flicker with the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from vtryon.types import Array, Garment, Part, Person
from vtryon.warp.anchored import FitOptions
from vtryon.warp.lattice import Warp
from vtryon.warp.network import MatchingNet
from vtryon.warp.placing import SHAPES, Placed, PlaceState, PlacingNet, lay, silhouette, split
from vtryon.warp.planes import garment_planes, person_planes

_PACE = 0.35  # share of a new frame's offsets in those that are used
_ALONG = (1.0, 0.75, 0.5, 0.25, 0.0)  # share of its answer that is used in each row of a sleeve, from the shoulder on
_SHARES = np.concatenate(
    [
        np.repeat(np.ones(rows) if part == Part.TORSO else np.array(_ALONG), columns)
        for part, (rows, columns) in SHAPES.items()
    ]
).astype(np.float32)  # the same for each of the POINTS
_MASK = 128  # px: longer side of the part map that the network is shown


@dataclass(frozen=True, eq=False)
class CorrectState:
    """What the correction remembers: the placing stage's state, and the ``offsets`` (POINTS, 2) in body sizes."""

    place: PlaceState
    offsets: Array


@torch.inference_mode()
def correct(
    net: MatchingNet,
    placing: PlacingNet,
    person: Person,
    garment: Garment,
    options: FitOptions = FitOptions(),
    state: CorrectState | None = None,
) -> tuple[Warp, CorrectState]:
    """Lay ``garment`` on ``person`` by both stages: a :class:`Warp` in frame pixels, and the next state."""
    placed, place_state = lay(placing, person, garment, None if state is None else state.place)
    offsets = _offsets(net, placed, person, garment)
    if state is not None and state.place.shot == person.shot:
        offsets = state.offsets + _PACE * (offsets - state.offsets)
    points = placed.points + torch.from_numpy(offsets)[None]
    return replace(placed, points=points).warp(person, options), CorrectState(place_state, offsets)


def _offsets(net: MatchingNet, placed: Placed, person: Person, garment: Garment) -> Array:
    points = torch.from_numpy(person.pose.points)[None]
    visibility = torch.from_numpy(person.pose.visibility)[None]
    seen = person_planes(silhouette(person), points, visibility, placed.frame, net.size.window)
    step = max(1, max(garment.parts.shape) // _MASK)
    parts = torch.from_numpy(garment.parts[step // 2 :: step, step // 2 :: step].copy())[None]
    sleeved = torch.tensor([float(Part.LEFT_SLEEVE in placed.lattices)])
    lattice = torch.from_numpy(placed.lattices[Part.TORSO].reshape(1, -1, 2))
    drawn = garment_planes(split(placed.points), lattice, parts, step, sleeved, net.size.window)
    offsets: Array = net(seen, drawn, placed.points)[0].numpy()
    return np.asarray(offsets * _SHARES[:, None])
