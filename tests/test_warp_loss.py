"""The paper's warping loss: hand-computed values, the same zero set as the printed equations, finite gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vtryon.warp.loss import photometric, regularity


def lattice(rows: int = 4, columns: int = 3) -> Tensor:
    """(1, rows, columns, 2), a regular grid of steps 2 across and 3 down."""
    y, x = torch.meshgrid(torch.arange(rows) * 3.0, torch.arange(columns) * 2.0, indexing="ij")
    return torch.stack([x, y], -1)[None].double()


def test_an_even_lattice_costs_nothing_however_it_is_turned_and_sheared() -> None:
    shear = torch.tensor([[0.8, -0.6], [0.9, 0.7]], dtype=torch.float64)
    for points in (lattice(), lattice() @ shear, lattice() * -3 + 7):
        assert float(regularity(points)) == pytest.approx(0.0, abs=1e-5)


def test_lengths_by_hand() -> None:
    # one row of three points: steps of 1 and 4 on a line differ by 3; nothing turns
    points = torch.tensor([[[[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]]])
    assert float(regularity(points, 1.0, 0.0)) == pytest.approx(3.0)
    assert float(regularity(points, 0.5, 0.0)) == pytest.approx(1.5)
    assert float(regularity(points, 0.0, 1.0)) == pytest.approx(0.0)


def test_slopes_by_hand() -> None:
    # a right angle with legs 2 and 3: the cross product of the neighbours' vectors is 6, the legs differ by 1
    points = torch.tensor([[[[0.0, 0.0]], [[0.0, 2.0]], [[3.0, 2.0]]]])
    assert float(regularity(points, 0.0, 1.0)) == pytest.approx(6.0)
    assert float(regularity(points, 1.0, 1.0)) == pytest.approx(7.0)


def test_every_point_counts_with_the_pairs_it_has() -> None:
    points = lattice(3, 3)
    points[0, 1, 1, 0] += 0.5  # the middle: uneven with its own two, and it skews those of nobody else
    # across: steps 2.5 and 1.5 on a line; down: (0.5, 3) and (-0.5, 3), as long as each other, not on a line
    assert float(regularity(points, 1.0, 0.0)) == pytest.approx(1.0)
    assert float(regularity(points, 0.0, 1.0)) == pytest.approx(3.0)
    assert float(regularity(points.repeat(5, 1, 1, 1), 0.0, 1.0)) == pytest.approx(3.0), "a mean over the batch"


def test_vertical_neighbours_have_a_finite_gradient() -> None:
    points = lattice().requires_grad_()
    regularity(points).backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_gradients_are_those_of_the_values() -> None:
    generator = torch.Generator().manual_seed(0)
    points = (lattice() + 0.4 * torch.randn(1, 4, 3, 2, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: regularity(p, 0.7, 0.3), (points,))
    a, b = (torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    seen = (torch.rand(2, 4, 5, generator=generator, dtype=torch.float64) > 0.4).double()
    assert torch.autograd.gradcheck(lambda p: photometric(p, b, seen), (a.requires_grad_(),))


def test_colours_count_where_the_garment_is_seen() -> None:
    warped, worn = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    worn[0, :, 0, 0] = torch.tensor([0.3, 0.0, 0.6])
    worn[0, :, 1, 1] = 1.0
    seen = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])  # an arm hides the last
    assert float(photometric(warped, worn, seen)) == pytest.approx(0.9 / 9)
    assert float(photometric(warped, worn, torch.zeros(1, 2, 2))) == 0.0
