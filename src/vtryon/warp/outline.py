"""Widths of the body that landmarks do not tell: rays cast in the person's outline, from the torso and along the arms.

What is measured is the person as they are now, old garment included: the regressor learns, from the same person in
other tops, how much of it to believe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vtryon.types import Label

_STEP = 0.02  # body sizes between the samples of a ray
_WIDTHS = tuple((-0.25 + 0.15 * i) for i in range(12))  # heights along the torso's axis, in body sizes
_NECK = (-0.2, -0.12, -0.04)
_WAIST = (0.3, 0.55, 0.8, 1.05)
_SHOULDER = (0.1, 0.2, 0.3, 0.4, 0.5)  # places across the torso from which rays go up
_SHOULDER_FROM = 0.3
_ARM = ((11, 13, 0.35), (11, 13, 0.75), (13, 15, 0.4), (12, 14, 0.35), (12, 14, 0.75), (14, 16, 0.4))
_REACH = 0.9, 0.6, 0.9, 0.8, 0.3  # of each group of rays, body sizes
_COUNTS = 2 * len(_WIDTHS), 2 * len(_NECK), 2 * len(_WAIST), 2 * len(_SHOULDER), 2 * len(_ARM)
RAYS = sum(_COUNTS)
"""Number of rays, in groups: widths, neck, torso without bare arms, shoulders, arms."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """Where a batch's people are: ``labels`` (B, h, w) uint8 of :class:`~vtryon.types.Label`, ``to_grid`` (B, 2, 3)
    takes picture px to their pixels."""

    labels: Tensor
    to_grid: Tensor


def ray_lengths(body: Silhouette, points: Tensor, origin: Tensor, axes: Tensor, size: Tensor) -> Tensor:
    """Lengths (B, RAYS) of the rays, in body sizes.

    ``points`` (B, 33, 2) picture px; ``origin`` (B, 2), ``axes`` (B, 2, 2) and ``size`` (B,) as in
    :class:`~vtryon.warp.placing.BodyFrame`. A ray that starts outside the person has length 0; within each group the
    rays to the picture's left (or up an arm's left side) come in order with those to the right.
    """
    matte = body.labels != Label.BACKGROUND
    no_hair = matte & (body.labels != Label.HAIR)
    no_arms = matte & (body.labels != Label.LEFT_ARM) & (body.labels != Label.RIGHT_ARM)
    across, down = axes[:, 0], axes[:, 1]
    unit = size[:, None, None]

    def at(x: Tensor, y: Tensor) -> Tensor:
        return origin[:, None] + unit * (x[None, :, None] * across[:, None] + y[None, :, None] * down[:, None])

    parts = []
    for mask, heights, reach in (
        (matte, _WIDTHS, _REACH[0]),
        (no_hair, _NECK, _REACH[1]),
        (no_arms, _WAIST, _REACH[2]),
    ):
        y = points.new_tensor(heights).repeat(2)
        start = at(torch.zeros_like(y), y)
        way = across[:, None] * torch.cat([-torch.ones(len(heights)), torch.ones(len(heights))]).to(y)[None, :, None]
        parts.append(_cast(mask, body.to_grid, start, way * unit, reach))
    x = points.new_tensor([-v for v in _SHOULDER] + list(_SHOULDER))
    start = at(x, torch.full_like(x, _SHOULDER_FROM))
    parts.append(_cast(no_hair, body.to_grid, start, -down[:, None].expand_as(start) * unit, _REACH[3]))
    a, b = points[:, [i for i, _, _ in _ARM]], points[:, [j for _, j, _ in _ARM]]
    t = points.new_tensor([t for _, _, t in _ARM])[None, :, None]
    along = (b - a) / (b - a).norm(dim=-1, keepdim=True).clamp_min(1.0)
    side = torch.stack([-along[..., 1], along[..., 0]], -1)
    start = (a + (b - a) * t).repeat(1, 2, 1)
    parts.append(_cast(matte, body.to_grid, start, torch.cat([side, -side], 1) * unit, _REACH[4]))
    return torch.cat(parts, 1)


def _cast(mask: Tensor, to_grid: Tensor, start: Tensor, way: Tensor, reach: float) -> Tensor:
    """Lengths (B, R) in [0, reach] of rays from ``start`` (B, R, 2) px along ``way`` (B, R, 2) px a body size."""
    steps = math.floor(reach / _STEP + 1e-6) + 1
    t = torch.arange(steps, dtype=start.dtype, device=start.device) * _STEP
    at = start[:, :, None] + t[None, None, :, None] * way[:, :, None]
    grid = torch.einsum("brsc,bdc->brsd", at, to_grid[:, :, :2]) + to_grid[:, None, None, :, 2]
    h, w = mask.shape[1:]
    x, y = grid[..., 0].floor().long(), grid[..., 1].floor().long()
    inside = (x >= 0) & (y >= 0) & (x < w) & (y < h)
    index = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).flatten(1)
    on = mask.flatten(1).gather(1, index).reshape(inside.shape) & inside
    return (on.cumprod(-1).sum(-1) - 1).clamp_min(0).to(start.dtype) * _STEP
