"""Thin-plate splines: solved once, evaluated anywhere (METHOD.md section 1, the sampler of paper 1.1).

Everything is batched over leading dimensions, runs where its tensors are, and is differentiable in the points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def _radial(squared: Tensor) -> Tensor:
    """U(r) = r^2 log r^2, with U(0) = 0 and a finite gradient there."""
    return squared * torch.log(squared.clamp_min(1e-9))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """(..., M, 2) and (..., N, 2) to the radial terms (..., M, N)."""
    return _radial((a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(-1))


def _with_affine(points: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(points[..., :1]), points], -1)


@dataclass(frozen=True, eq=False)
class ThinPlate:
    """A map of the plane that takes control points to their targets and bends as little as possible in between.

    Coordinates are normalised inside (centre and scale of the control points), so that pixels of any size are well
    conditioned. ``control`` (..., N, 2) normalised; ``weights`` (..., N + 3, 2): N radial terms, then 1, x, y.
    """

    control: Tensor
    weights: Tensor
    centre: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, source: Tensor, target: Tensor, stiffness: float = 0.0) -> ThinPlate:
        """Spline through ``source`` (..., N, 2) to ``target`` (..., N, 2), N >= 3, not all on a line.

        ``stiffness`` >= 0 trades exactness for smoothness (0 passes through every target). Float32 or float64;
        half precision is refused, because its grids are visibly wrong.
        """
        if source.shape != target.shape or source.shape[-1] != 2 or source.shape[-2] < 3:
            raise ValueError(f"expected two (..., N >= 3, 2) tensors, got {tuple(source.shape)} {tuple(target.shape)}")
        if source.dtype not in (torch.float32, torch.float64) or target.dtype != source.dtype:
            raise ValueError(f"splines need float32 or float64 points, got {source.dtype} and {target.dtype}")
        centre = source.mean(-2, keepdim=True)
        scale = (source - centre).abs().amax((-2, -1), keepdim=True).clamp_min(1e-6)
        control = (source - centre) / scale
        n = source.shape[-2]
        radial = _kernel(control, control) + stiffness * torch.eye(n, dtype=source.dtype, device=source.device)
        affine = _with_affine(control)
        corner = torch.zeros(*affine.shape[:-2], 3, 3, dtype=source.dtype, device=source.device)
        system = torch.cat([torch.cat([radial, affine], -1), torch.cat([affine.mT, corner], -1)], -2)
        right = torch.cat([target, torch.zeros_like(target[..., :3, :])], -2)
        return cls(control, torch.linalg.solve(system, right), centre, scale)

    def __call__(self, points: Tensor) -> Tensor:
        """Where ``points`` (..., M, 2) go: (..., M, 2)."""
        x = (points - self.centre) / self.scale
        basis = torch.cat([_kernel(x, self.control), _with_affine(x)], -1)
        return basis @ self.weights
