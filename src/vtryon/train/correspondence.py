"""Where a garment's points really lie: true correspondences under predicted splines, as training losses.

The lattice is fixed on the garment, so where the spline puts a garment point is differentiable in the predicted
points, and the loss is the distance to where that point really is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vtryon.train.loop import Batch
from vtryon.types import KEYPOINTS, Part
from vtryon.warp.placing import SHAPES, BodyFrame
from vtryon.warp.tps import ThinPlate


def forward_turn(points: Tensor, lattice: Tensor, turn: Tensor) -> Tensor:
    """Garment points (B, N, 2) of the torso carried round by ``turn`` (B,) into the torso's outline frame: the inverse,
    for what can be seen, of :func:`vtryon.warp.sampler.turned`. ``lattice`` (B, 20, 2)."""
    rows, columns = SHAPES[Part.TORSO]
    grid = lattice.reshape(-1, rows, columns, 2)
    heights, centres = grid[:, :, 0, 1], grid[..., 0].mean(2)
    halves = ((grid[:, :, -1, 0] - grid[:, :, 0, 0]) / 2).clamp_min(1.0)
    i = torch.searchsorted(heights.contiguous(), points[..., 1].contiguous()).clamp(1, rows - 1)
    low, high = heights.gather(1, i - 1), heights.gather(1, i)
    t = ((points[..., 1] - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
    centre = centres.gather(1, i - 1) * (1 - t) + centres.gather(1, i) * t
    half = halves.gather(1, i - 1) * (1 - t) + halves.gather(1, i) * t
    u = (points[..., 0] - centre) / half
    inside = u.clamp(-0.999, 0.999)
    x = torch.sin(torch.asin(inside) + turn[:, None]) + (u - inside) * turn.cos().sign()[:, None]
    return torch.stack([centre + half * x, points[..., 1]], -1)


_PART_KEYPOINTS = {
    Part.NONE: list(range(len(KEYPOINTS))),  # one spline over the whole garment
    Part.TORSO: [KEYPOINTS.index(n) for n in KEYPOINTS if not n.startswith("cuff")],
    Part.LEFT_SLEEVE: [KEYPOINTS.index(f"{n}_l") for n in ("shoulder", "armpit", "cuff_out", "cuff_in")],
    Part.RIGHT_SLEEVE: [KEYPOINTS.index(f"{n}_r") for n in ("shoulder", "armpit", "cuff_out", "cuff_in")],
}


def distances(placed: dict[Part, Tensor], frame: BodyFrame, turn: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Distances in body sizes between where garment points lie and where ``placed`` puts them: means by part, and of
    the key points.

    ``placed`` part -> (B, rows * columns, 2) lattice points in ``frame``; ``turn`` (B,) radians carries the torso's
    points round first; ``batch`` as :class:`~vtryon.train.pairs.Pairs` has it.
    """
    terms: dict[str, Tensor] = {}
    worn = frame.inward(batch["worn"])
    keypoint_errors = []
    for part, points in placed.items():
        key = part.name.lower()
        lattice = batch[f"{key}_lattice"]
        plate = ThinPlate.fit(lattice, points, stiffness=1e-3)
        product = batch[f"{key}_product"]
        names = _PART_KEYPOINTS[part]
        own = batch["keypoints"][:, names]
        if part == Part.TORSO:
            product, own = (forward_turn(p, lattice, turn) for p in (product, own))
        known = batch[f"{key}_known"]
        error = length(plate(product) - frame.inward(batch[f"{key}_picture"])).mean(1)
        terms[key] = (error * known).sum() / known.sum().clamp_min(1)
        there = torch.ones_like(batch["sleeved"]) if part in (Part.NONE, Part.TORSO) else batch["sleeved"]
        keypoint_errors.append((length(plate(own) - worn[:, names]).mean(1) * there).sum() / there.sum().clamp_min(1))
    terms["keypoints"] = torch.stack(keypoint_errors).mean()
    return terms


def length(difference: Tensor) -> Tensor:
    """Lengths (...,) of differences (..., 2), smooth at 0."""
    return (difference.square().sum(-1) + 1e-6).sqrt()
