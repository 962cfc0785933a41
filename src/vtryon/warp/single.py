"""The paper's warp as it stands (1.1): one spline of 10 x 5 points over the whole garment, from the matching network
alone, frame by frame; no parts, no stage before it. CP-VTON's is the same with 5 x 5 points.

What ``vtryon train warp --preset paper`` makes of a data set is used here. The garment has to be made
:func:`one_piece` first, so that the one spline carries its sleeves too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vtryon.types import KEYPOINTS, Array, Garment, Part, Person
from vtryon.warp.lattice import LATTICES, SINGLE, Spline, Warp
from vtryon.warp.network import MatchingNet
from vtryon.warp.placing import BodyFrame, GarmentFrame, silhouette
from vtryon.warp.planes import agnostic, garment_planes, person_planes

SHAPE = LATTICES["paper"][Part.NONE]

_FLAT_SCALE, _FLAT_DOWN = 0.66, -0.15
"""Where a garment is laid flat, before it is moved: body sizes per distance of its armpits, and of its collar."""

_MASK = 128  # px: longer side of the part map that the network is shown


def one_piece(garment: Garment) -> Garment:
    """The same garment without parts: all of it is torso."""
    parts = np.where(garment.parts != Part.NONE, np.uint8(Part.TORSO), np.uint8(Part.NONE))
    return replace(garment, parts=parts)


def single_lattice(garment: Garment, shape: tuple[int, int] = SHAPE) -> Array:
    """(rows, columns, 2) float32 garment px: even points of ``shape`` over the box of the whole garment.

    Raises:
        ValueError: nothing of the garment is to be seen.
    """
    rows, columns = (np.flatnonzero((garment.parts > 0).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("the garment is empty")
    y, x = np.linspace(rows[0], rows[-1] + 1, shape[0]), np.linspace(columns[0], columns[-1] + 1, shape[1])
    return np.asarray(np.stack(np.meshgrid(x, y), -1), np.float32)


def flat_start(lattice: Tensor, keypoints: Tensor) -> Tensor:
    """(B, N, 2) in the torso's frame: the lattice (B, N, 2) garment px laid flat at a fixed place, by the garment's
    ``keypoints`` (B, 14, 2)."""
    return GarmentFrame.of(keypoints).inward(lattice) * _FLAT_SCALE + torch.tensor([0.0, _FLAT_DOWN])


@torch.inference_mode()
def lay_single(net: MatchingNet, person: Person, garment: Garment, state: Any = None) -> tuple[Warp, None]:
    """Lay a :func:`one_piece` garment on a person: a :class:`~vtryon.warp.Fitter` without memory.

    Raises:
        ValueError: the network is not of a single lattice.
    """
    if net.size.lattice not in SINGLE:
        raise ValueError(f"a network of a single lattice is needed, as the lattice 'paper', not {net.size.lattice!r}")
    points, visibility = torch.from_numpy(person.pose.points)[None], torch.from_numpy(person.pose.visibility)[None]
    yaw = torch.tensor([np.radians(person.yaw)], dtype=torch.float32)
    frame = BodyFrame.of(points, visibility, yaw)
    seen = person_planes(silhouette(person), points, visibility, frame, net.size.window)
    grid = single_lattice(garment, net.size.shapes[Part.NONE])
    lattice = torch.from_numpy(grid.reshape(1, -1, 2))
    keypoints = torch.from_numpy(np.stack([garment.keypoints[n] for n in KEYPOINTS]).astype(np.float32))[None]
    start = flat_start(lattice, keypoints)
    step = max(1, max(garment.parts.shape) // _MASK)
    parts = torch.from_numpy(garment.parts[step // 2 :: step, step // 2 :: step].copy())[None]
    drawn = garment_planes({Part.NONE: start}, lattice, parts, step, torch.ones(1), net.size.window)
    placed = frame.outward(start + net(agnostic(seen) if net.size.agnostic else seen, drawn, start))
    return Warp((Spline(Part.TORSO, grid, placed[0].reshape(grid.shape).numpy()),), 0.0), None
