"""Thin-plate splines: through their points, exact for affine maps, batched, differentiable, never in half precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vtryon.warp.tps import ThinPlate


def points(*shape: int, seed: int = 0, spread: float = 300.0) -> Tensor:
    return torch.rand(*shape, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread


def test_passes_through_its_points() -> None:
    source, target = points(20), points(20, seed=1)
    assert torch.allclose(ThinPlate.fit(source, target)(source), target, atol=1e-8)


def test_single_precision_is_good_to_a_tenth_of_a_pixel_in_a_4k_frame() -> None:
    source, target = points(20, spread=2000.0).float(), points(20, seed=1, spread=4000.0).float()
    assert (ThinPlate.fit(source, target)(source) - target).abs().max() < 0.1


def test_affine_maps_are_reproduced_everywhere() -> None:
    matrix, shift = torch.tensor([[1.2, -0.4], [0.3, 0.7]], dtype=torch.float64), torch.tensor([50.0, -20.0])
    source = points(12)
    plate = ThinPlate.fit(source, source @ matrix.T + shift)
    far = points(100, seed=2, spread=2000.0) - 800
    assert torch.allclose(plate(far), far @ matrix.T + shift, atol=1e-6)


def test_bends_between_points_and_not_where_nothing_moved() -> None:
    ys, xs = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    source = torch.stack([xs, ys], -1).reshape(-1, 2).double() * 50
    target = source.clone()
    target[7] += torch.tensor([20.0, 0.0])  # the point at (50, 50)
    plate = ThinPlate.fit(source, target)
    at = torch.tensor([[60.0, 60.0], [225.0, 225.0]], dtype=torch.float64)
    moved = (plate(at) - at).norm(dim=-1)
    assert moved[0] > 10
    assert moved[1] < 0.5


def test_a_batch_is_its_members() -> None:
    source, target, at = points(2, 3, 9), points(2, 3, 9, seed=1), points(2, 3, 5, seed=2)
    together = ThinPlate.fit(source, target)(at)
    for i in range(2):
        for j in range(3):
            alone = ThinPlate.fit(source[i, j], target[i, j])(at[i, j])
            assert torch.allclose(together[i, j], alone, atol=1e-8)


def test_stiffness_gives_up_exactness_for_smoothness() -> None:
    source = points(16)
    target = source + 5 * torch.randn(16, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    misses = [float((ThinPlate.fit(source, target, stiffness=s)(source) - target).norm()) for s in (0.0, 0.1, 10.0)]
    assert misses[0] < 1e-6 < misses[1] < misses[2]


def test_gradients_flow_to_sources_targets_and_queries() -> None:
    source, target, at = (points(n, seed=n, spread=3.0).requires_grad_() for n in (6, 7, 4))
    target = target[:6].detach().requires_grad_()

    def run(source: Tensor, target: Tensor, at: Tensor) -> Tensor:
        return ThinPlate.fit(source, target)(at)

    assert torch.autograd.gradcheck(run, (source, target, at))


def test_gradient_at_a_control_point_is_finite() -> None:
    source = points(8).requires_grad_()
    ThinPlate.fit(source, points(8, seed=1))(source).sum().backward()
    assert source.grad is not None
    assert source.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="float32 or float64"):
        ThinPlate.fit(points(8).to(dtype), points(8).to(dtype))


@pytest.mark.parametrize("shapes", [((2, 2), (2, 2)), ((8, 2), (7, 2)), ((8, 3), (8, 3))])
def test_wrong_shapes_are_refused(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="expected two"):
        ThinPlate.fit(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
