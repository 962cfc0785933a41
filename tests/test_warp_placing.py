"""The placing stage's sleeves: told along and across the arm, so that they go with it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vtryon.types import Part
from vtryon.warp.placing import FEATURES, LANDMARKS_USED, PlacingNet, along_arm, split

HANGING = torch.tensor([[[0.3, 0.0], [0.3, 0.55], [0.3, 1.0]]])
BENT = torch.tensor([[[0.3, 0.0], [0.3, 0.55], [-0.1, 0.45]]])  # the hand before the belly
ON_IT = torch.zeros(1, 15, 2)


def sleeve(arm: Tensor, reach: float, offsets: Tensor = ON_IT, side: float = 1.0) -> Tensor:
    """(5, 3, 2)."""
    return along_arm(offsets, arm, torch.tensor([reach]), side).reshape(5, 3, 2)


def test_rows_go_down_the_arm_as_far_as_the_sleeve_reaches() -> None:
    rows = sleeve(HANGING, 1.0)[:, 1]
    assert rows[0].tolist() == pytest.approx([0.3, 0.0], abs=1e-6)
    assert rows[-1].tolist() == pytest.approx([0.3, 1.0], abs=1e-6)
    assert rows[:, 1].diff().min() > 0.2
    assert sleeve(HANGING, 0.55)[-1, 1].tolist() == pytest.approx([0.3, 0.55], abs=1e-6), "to the elbow"


def test_a_bent_arm_takes_its_sleeve_along() -> None:
    rows = sleeve(BENT, 1.0)[:, 1]
    assert rows[-1].tolist() == pytest.approx([-0.1, 0.45], abs=1e-6)
    assert rows[1, 0] == pytest.approx(0.3, abs=1e-6), "the upper arm hangs"
    short = sleeve(BENT, 0.3)
    assert torch.allclose(short, sleeve(HANGING, 0.3)), "a short sleeve does not care about the forearm"


def test_outwards_is_away_from_the_body_and_turns_with_the_arm() -> None:
    out = torch.tensor([0.0, 0.1]).expand(1, 15, 2)
    assert (sleeve(HANGING, 0.5, out) - sleeve(HANGING, 0.5))[..., 0].mean() == pytest.approx(0.1, abs=1e-5)
    mirrored = HANGING * torch.tensor([-1.0, 1.0])
    right = sleeve(mirrored, 0.5, out, side=-1.0)
    assert torch.allclose(right, sleeve(HANGING, 0.5, out) * torch.tensor([-1.0, 1.0]), atol=1e-6)
    level = torch.tensor([[[0.3, 0.0], [0.85, 0.0], [1.3, 0.0]]])  # stretched out: outwards is up
    moved = sleeve(level, 0.5, out) - sleeve(level, 0.5)
    assert moved[..., 1].mean() == pytest.approx(-0.1, abs=0.01)


def test_an_arm_that_points_at_the_camera_is_no_danger() -> None:
    point = torch.zeros(1, 3, 2).requires_grad_()
    found = along_arm(torch.full((1, 15, 2), 0.1), point, torch.tensor([0.8]), 1.0)
    found.sum().backward()
    assert found.abs().max() < 0.3
    assert point.grad is not None
    assert torch.isfinite(point.grad).all()


def test_the_network_lays_sleeves_where_the_arms_are() -> None:
    torch.manual_seed(0)
    net = PlacingNet(16, 1).eval()
    x = torch.zeros(1, FEATURES)
    at = {joint: LANDMARKS_USED.index(joint) for joint in (12, 14, 16)}
    for joint, y in ((12, 0.0), (14, 0.55), (16, 1.0)):
        x[0, 2 * at[joint]], x[0, 2 * at[joint] + 1] = -0.3, y
    bent = x.clone()
    bent[0, 2 * at[14]] = -0.8  # the elbow goes out
    with torch.no_grad():
        before, after = (split(net(each))[Part.RIGHT_SLEEVE] for each in (x, bent))
    assert (after - before)[0, -1, 0] < -0.2
