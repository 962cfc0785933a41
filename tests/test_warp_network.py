"""The matching network and what it is shown: sizes, correlation, planes that are where the garment is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import scenes
from vtryon.errors import BadInputError
from vtryon.types import Label, Part
from vtryon.warp import garment_lattices
from vtryon.warp.network import MatchingNet, MatchingSize, correlation, load_matching, save_matching
from vtryon.warp.outline import RAYS, Silhouette, ray_lengths
from vtryon.warp.placing import BodyFrame, PlacingNet, save_placing, silhouette
from vtryon.warp.planes import BOTTOM, LEFT, RIGHT, TOP, garment_planes, person_planes, window_points

SMALL = MatchingSize(window=(64, 32), widths=(8, 8, 8, 8, 16), hidden=16)


def inputs(size: MatchingSize, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    person, garment = (torch.rand(count, c, *size.window, generator=generator) for c in (size.person, size.garment))
    return person, garment, torch.rand(count, size.points, 2, generator=generator)


def test_both_lattices_have_the_papers_hundred_numbers() -> None:
    for name in ("parts", "paper"):
        size = MatchingSize(lattice=name)
        assert size.points == 50
        assert MatchingNet(size)(*inputs(size, 1)).shape == (1, 50, 2)


@pytest.mark.parametrize(
    "wrong", [{"lattice": "none"}, {"window": (100, 96)}, {"widths": (8, 16, 32)}], ids=["lattice", "window", "widths"]
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")):
        MatchingSize(**wrong)  # type: ignore[arg-type]


def test_at_first_nothing_moves_and_then_everything_can() -> None:
    torch.manual_seed(0)
    net = MatchingNet(SMALL)
    assert not net(*inputs(SMALL)).any()
    torch.nn.init.normal_(net.head.weight, std=0.1)
    person, garment, start = inputs(SMALL)
    usual = net(person, garment, start)
    assert (net(person.flip(3), garment, start) - usual).abs().max() > 1e-6
    assert (net(person, garment.flip(3), start) - usual).abs().max() > 1e-6


def test_the_papers_regression_sees_the_correlation_alone() -> None:
    torch.manual_seed(0)
    net = MatchingNet(MatchingSize(lattice="paper", joined=False, window=(64, 32), widths=(8, 8, 8, 8, 16), hidden=16))
    torch.nn.init.normal_(net.head.weight, std=0.1)
    person, garment, start = inputs(net.size)
    assert torch.equal(net(person, garment, start), net(person, garment, start + 1))
    net.garment = torch.nn.Sequential(net.garment, Scale(3.0))  # longer features, the same directions
    assert torch.allclose(net(person, garment, start), net(person, garment, start))


class Scale(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_correlation_is_the_cosine_of_every_pair_of_places() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(1, 5, 2, 3, generator=generator) for _ in range(2))
    matched = correlation(a, b)
    assert matched.shape == (1, 6, 2, 3)
    for place in range(6):
        other = b[0, :, place // 3, place % 3]
        assert float(matched[0, place, 1, 2]) == pytest.approx(
            float(torch.cosine_similarity(a[0, :, 1, 2], other, dim=0)), abs=1e-6
        )
    assert torch.allclose(correlation(a * 7, b * 0.1), matched, atol=1e-6), "lengths do not matter"


def test_a_checkpoint_describes_its_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = MatchingNet(SMALL)
    torch.nn.init.normal_(net.head.weight)
    save_matching(tmp_path / "warp.safetensors", net, {"about": 1})
    again = load_matching(tmp_path / "warp.safetensors")
    assert again.size == SMALL
    assert (again(*inputs(SMALL)) - net.eval()(*inputs(SMALL))).abs().max() < 0.05  # half precision
    save_placing(tmp_path / "placing.safetensors", PlacingNet(16, 1), {})
    with pytest.raises(BadInputError, match="placing"):
        load_matching(tmp_path / "placing.safetensors")


# -- what it is shown --------------------------------------------------------------------------------------------------


def body() -> tuple[Silhouette, Tensor, Tensor, BodyFrame]:
    _, person, _ = scenes.scene()
    points = torch.from_numpy(person.pose.points)[None]
    visibility = torch.from_numpy(person.pose.visibility)[None]
    return silhouette(person), points, visibility, BodyFrame.of(points, visibility, torch.zeros(1))


def at(planes: Tensor, point: Tensor, frame: BodyFrame) -> Tensor:
    """(C,) values of planes (1, C, h, w) at a picture point (2,)."""
    x, y = frame.inward(point[None, None])[0, 0].tolist()
    h, w = planes.shape[2:]
    return planes[0, :, int((y - TOP) / (BOTTOM - TOP) * h), int((x - LEFT) / (RIGHT - LEFT) * w)]


def test_the_window_stands_on_the_torso() -> None:
    points = window_points((128, 96))
    assert points.shape == (128, 96, 2)
    assert torch.allclose(points.mean((0, 1)), torch.tensor([(LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2]), atol=1e-5)
    assert math.isclose((RIGHT - LEFT) / (BOTTOM - TOP), 96 / 128, abs_tol=1e-6), "pixels are square"


def test_person_planes_show_labels_and_bones_where_they_are() -> None:
    outline, points, visibility, frame = body()
    planes = person_planes(outline, points, visibility, frame, (128, 96))
    assert planes.shape == (1, MatchingSize().person, 128, 96)
    chest = points[0, [11, 12, 23, 24]].mean(0)
    matte, _, face, left, right, _, top = at(planes, chest, frame)[:7]
    assert (matte, top) == (1, 1)
    assert (face, left, right) == (0, 0, 0)
    elbow = at(planes, points[0, 13], frame)
    assert elbow[7] > 0.8, "on the left upper arm"
    assert elbow[9] < 0.1, "far from the right one"
    assert not planes[:, :7, :, 0].any(), "nobody at the window's edge"


def test_the_window_follows_the_body() -> None:
    outline, points, visibility, frame = body()
    usual = person_planes(outline, points, visibility, frame, (64, 48))
    shift = torch.tensor([13.0, -21.0])
    to_grid = outline.to_grid.clone()
    to_grid[:, :, 2] -= (outline.to_grid[:, :, :2] @ shift)[:, :]
    moved = Silhouette(outline.labels, to_grid)
    other = BodyFrame.of(points + shift, visibility, torch.zeros(1))
    planes = person_planes(moved, points + shift, visibility, other, (64, 48))
    assert (planes - usual).abs().mean() < 0.01


def test_garment_planes_show_the_parts_where_they_are_laid() -> None:
    garment = scenes.garment()
    lattices = {p: torch.from_numpy(at).reshape(1, -1, 2) for p, at in garment_lattices(garment).items()}
    laid = {p: (at - torch.tensor([180.0, 60.0])) / 200 for p, at in lattices.items()}
    parts = torch.from_numpy(garment.parts)[None]
    planes = garment_planes(laid, lattices[Part.TORSO], parts, 1.0, torch.ones(1), (128, 96))
    frame = BodyFrame(torch.tensor([[180.0, 60.0]]), torch.eye(2)[None], torch.tensor([200.0]))
    torso, across, down, left, _, right, _ = at(planes, torch.tensor([180.0, 240.0]), frame)
    assert (float(torso), float(left), float(right)) == (1.0, 0.0, 0.0)
    assert abs(float(across)) < 0.05
    assert 0 < float(down) < 0.5
    sleeve = at(planes, torch.tensor([290.0, 140.0]), frame)
    assert (float(sleeve[3]), float(sleeve[5])) == (1.0, 0.0)
    none = garment_planes(laid, lattices[Part.TORSO], parts, 1.0, torch.zeros(1), (128, 96))
    assert not none[:, 3:].any(), "a sleeveless top has no sleeves"
    whole = {Part.NONE: laid[Part.TORSO]}
    assert garment_planes(whole, lattices[Part.TORSO], parts, 1.0, torch.ones(1), (128, 96)).shape == planes.shape


# -- rays --------------------------------------------------------------------------------------------------------------


def rays(outline: Silhouette, points: Tensor, visibility: Tensor) -> Tensor:
    frame = BodyFrame.of(points, visibility, torch.zeros(1))
    return ray_lengths(outline, points, frame.origin, frame.axes, frame.size)


def test_rays_measure_the_outline() -> None:
    labels = torch.zeros(1, 200, 200, dtype=torch.uint8)
    labels[0, :, 60:150] = Label.TOP  # 40 px to the left of the axis, 50 to its right
    outline = Silhouette(labels, torch.eye(2, 3)[None])
    frame = BodyFrame(torch.tensor([[100.0, 60.0]]), torch.eye(2)[None], torch.tensor([100.0]))
    points = torch.full((1, 33, 2), 100.0)
    found = ray_lengths(outline, points, frame.origin, frame.axes, frame.size)
    assert found.shape == (1, RAYS)
    assert found[0, :9].tolist() == pytest.approx([0.4] * 9, abs=0.021)  # heights inside the picture, left
    assert found[0, 12:21].tolist() == pytest.approx([0.5] * 9, abs=0.021)


def test_rays_of_nobody_are_nothing() -> None:
    outline, points, visibility, _ = body()
    nobody = Silhouette(torch.zeros_like(outline.labels), outline.to_grid)
    assert not rays(nobody, points, visibility).any()
