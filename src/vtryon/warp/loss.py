"""The terms of the paper's loss for the warping module, eq. (1) to (3), as METHOD.md section 1 reads them.

Eq. (4) is their sum: :func:`vtryon.train.warp.warp_terms` weighs each.
"""

from __future__ import annotations

from torch import Tensor


def regularity(points: Tensor, length_weight: float = 1.0, slope_weight: float = 1.0) -> Tensor:
    """Eq. (1)(2), mean over the batch: neighbouring cells of a lattice should be as long and point the same way.

    ``points`` (B, rows, columns, 2). For each control point p with neighbours above and below (left and right)::

        length_weight * | |pp0| - |pp1| |  +  slope_weight * | pp0 x pp1 |

    summed over the points that have both. The cross product replaces the printed difference of slopes, which is
    infinite for vertical neighbours: it is zero for the same lattices and has a gradient everywhere else.
    """
    total = points.new_zeros(())
    for axis in (1, 2):
        steps = points.diff(dim=axis)
        n = steps.shape[axis]
        if n < 2:
            continue
        before, after = -steps.narrow(axis, 0, n - 1), steps.narrow(axis, 1, n - 1)
        lengths = _length(before) - _length(after)
        cross = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
        total = total + length_weight * lengths.abs().sum() + slope_weight * cross.abs().sum()
    return total / len(points)


def photometric(warped: Tensor, worn: Tensor, visible: Tensor) -> Tensor:
    """Eq. (3): mean absolute difference of the warped garment and the garment as worn, over what can be seen of it.

    ``warped`` and ``worn`` (B, C, ...) in [0, 1], ``visible`` (B, ...) weights in [0, 1]. 0 where nothing is visible.
    """
    weight = visible.unsqueeze(1)
    return ((warped - worn).abs() * weight).sum() / (weight.sum() * warped.shape[1]).clamp_min(1e-6)


def _length(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(-1) + 1e-12).sqrt()
