"""Where a garment lies on a body: it follows the body, keeps its own proportions, and is steady over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import scenes
from vtryon.errors import BadInputError, UnavailableError
from vtryon.types import WARP_METHODS, Array, Crop, Garment, GarmentKind, Part, Person
from vtryon.warp import FitOptions, Texture, Warp, fitter, flatten, garment_lattices
from vtryon.warp.anchored import fit
from vtryon.warp.placing import PlacingNet, load_placing, place, save_placing
from vtryon.warp.seat import Seated

SHIRT = scenes.garment(kind=GarmentKind.LONG_SLEEVE)


def network(seed: int = 0) -> PlacingNet:
    """A small one that has learned nothing, but listens to every input."""
    torch.manual_seed(seed)
    net = PlacingNet(width=16, depth=2)
    with torch.no_grad():
        net.base.copy_(torch.randn_like(net.base))
        net.head.weight.mul_(20)
        net.skip.weight.mul_(5)
    return net.eval()


METHOD = pytest.mark.parametrize("lay", [fit, partial(place, network())], ids=["anchored", "placed"])
Lay = Callable[..., tuple[Warp, object]]


def moved(person: Person, matrix: Array, shift: Array) -> Person:
    """The same person, scaled and shifted (``matrix`` a multiple of 1), or without outline where it is rotated."""
    scale = float(np.sqrt(np.linalg.det(matrix)))
    points = (person.pose.points @ matrix.T + shift).astype(np.float32)
    left, top = matrix @ (person.crop.left, person.crop.top) + shift
    crop = Crop(float(left), float(top), person.crop.height * scale)
    depth = (person.pose.depth * scale).astype(np.float32)
    return replace(person, pose=replace(person.pose, points=points, depth=depth), crop=crop)


def without_outline(person: Person) -> Person:
    return replace(person, matte=np.zeros_like(person.matte), labels=np.zeros_like(person.labels))


def all_points(warp: Warp) -> Array:
    return np.concatenate([s.points.reshape(-1, 2) for s in sorted(warp.splines, key=lambda s: s.part)])


@METHOD
@pytest.mark.parametrize("points", [scenes.body(), scenes.hand_on_belly()], ids=["standing", "hand on belly"])
def test_it_follows_a_body_that_moves_and_grows(lay: Lay, points: Array) -> None:
    _, person, _ = scenes.scene(points)
    before = all_points(lay(person, SHIRT)[0])
    for scale, shift in ((1.0, (35.0, -20.0)), (2.0, (0.0, 0.0)), (0.5, (100.0, 7.0))):
        matrix, vector = np.eye(2) * scale, np.array(shift)
        after = all_points(lay(moved(person, matrix, vector), SHIRT)[0])
        assert np.abs(after - (before @ matrix.T + vector)).max() < 0.2 * scale + 0.1


@METHOD
def test_it_leans_with_the_body(lay: Lay) -> None:
    person = without_outline(scenes.scene()[1])
    before = all_points(lay(person, SHIRT)[0])
    for degrees in (-25.0, 40.0):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        matrix, vector = np.array([[c, -s], [s, c]]), np.array([30.0, 60.0])
        after = all_points(lay(moved(person, matrix, vector), SHIRT)[0])
        assert np.abs(after - (before @ matrix.T + vector)).max() < 0.2


@METHOD
def test_it_does_not_depend_on_the_size_of_the_garments_picture(lay: Lay) -> None:
    _, person, _ = scenes.scene()
    double = replace(
        SHIRT,
        rgb=SHIRT.rgb.repeat(2, 0).repeat(2, 1),
        alpha=SHIRT.alpha.repeat(2, 0).repeat(2, 1),
        parts=SHIRT.parts.repeat(2, 0).repeat(2, 1),
        keypoints={n: 2 * p for n, p in SHIRT.keypoints.items()},
    )
    assert np.abs(all_points(lay(person, SHIRT)[0]) - all_points(lay(person, double)[0])).max() < 1.5


def width(warp: Warp, row: int) -> float:
    points = warp[Part.TORSO].points[row]
    return float(np.linalg.norm(points[-1] - points[0]))


def height(warp: Warp) -> float:
    """How far down the hem lies."""
    return float(warp[Part.TORSO].points[-1, :, 1].mean())


@METHOD
def test_fit_widens_and_length_lengthens(lay: Lay) -> None:
    person = without_outline(scenes.scene()[1])
    slim, regular, loose = (lay(person, SHIRT, FitOptions(fit))[0] for fit in ("slim", "regular", "loose"))
    assert width(slim, -1) < 0.97 * width(regular, -1) < 0.97 * 0.97 * width(loose, -1)
    short, long = (lay(person, SHIRT, FitOptions(length=length))[0] for length in (0.8, 1.3))

    def torso_length(warp: Warp) -> float:
        points = warp[Part.TORSO].points
        return float(np.linalg.norm(points[-1].mean(0) - points[1].mean(0)))

    assert torso_length(short) < 0.85 * torso_length(regular)
    assert torso_length(long) > 1.25 * torso_length(regular)
    assert np.abs(long[Part.TORSO].points[0] - regular[Part.TORSO].points[0]).max() < 1.0, "shoulders stay"


@pytest.mark.parametrize(("options", "message"), [({"fit": "tight"}, "fit must be"), ({"length": 3.0}, "length must")])
def test_bad_options_are_refused(options: dict[str, str | float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitOptions(**options)  # type: ignore[arg-type]


def test_it_lies_on_the_body() -> None:
    points = scenes.body()
    warp, _ = fit(scenes.scene(points)[1], SHIRT)
    torso = warp[Part.TORSO].points
    assert points[0, 1] < torso[0, :, 1].min() < points[11, 1] + 5, "collar between nose and shoulders"
    assert abs(torso[..., 0].mean() - 240) < 3
    assert torso[1:, 0, 0].max() < points[12, 0] + 10
    assert torso[1:, -1, 0].min() > points[11, 0] - 10
    for part, (shoulder, elbow, wrist) in ((Part.LEFT_SLEEVE, (11, 13, 15)), (Part.RIGHT_SLEEVE, (12, 14, 16))):
        sleeve = warp[part].points
        middle = sleeve[:, 1]
        assert np.linalg.norm(sleeve[-1].mean(0) - points[wrist]) < 20, "a long sleeve ends at the wrist"
        assert np.linalg.norm(sleeve[0].mean(0) - points[shoulder]) < 60
        assert np.linalg.norm(middle - points[elbow], axis=-1).min() < 25


def test_its_length_is_its_own() -> None:
    person = without_outline(scenes.scene()[1])
    short, long = (fit(person, scenes.garment(longer=n))[0] for n in (0, 100))
    per_pixel = width(short, 1) / 140  # of the garment
    assert height(long) - height(short) == pytest.approx(100 * per_pixel, rel=0.35)


def test_short_sleeves_end_above_the_elbow_and_sleeveless_has_none() -> None:
    points = scenes.body()
    _, person, _ = scenes.scene(points)
    short, _ = fit(person, scenes.garment())
    assert short[Part.LEFT_SLEEVE].points[-1].mean(0)[1] < points[13, 1] + 5
    bare, _ = fit(person, scenes.garment(kind=GarmentKind.SLEEVELESS))
    assert bare.parts == (Part.TORSO,)
    assert tuple(garment_lattices(scenes.garment(kind=GarmentKind.SLEEVELESS))) == (Part.TORSO,)


@METHOD
def test_an_arm_behind_the_body_is_drawn_first(lay: Lay) -> None:
    _, person, _ = scenes.scene()
    for behind, part in ((11, Part.LEFT_SLEEVE), (12, Part.RIGHT_SLEEVE)):
        depth = np.zeros(33, np.float32)
        depth[[behind + 2, behind + 4]] = 300.0
        warp, _ = lay(replace(person, pose=replace(person.pose, depth=depth)), SHIRT)
        assert warp.parts[0] == part
        assert warp.parts.index(Part.TORSO) == 1


def test_a_turned_body_is_narrower_and_the_warp_knows_the_turn() -> None:
    front, side, back = (fit(scenes.scene(yaw=yaw)[1], SHIRT)[0] for yaw in (0.0, 80.0, 180.0))
    assert width(side, 2) < 0.85 * width(front, 2)
    assert front.turn == pytest.approx(0.0, abs=1e-6)
    assert 0.8 < side.turn < np.pi / 2 + 0.1
    assert abs(back.turn) == pytest.approx(np.pi, abs=1e-6)


def flickering(person: Person, index: int) -> Person:
    """The matte breathes by 3 crop px from frame to frame."""
    shift = 3 * (index % 2)
    matte = np.maximum(np.roll(person.matte, shift, 1), np.roll(person.matte, -shift, 1))
    return replace(person, matte=matte, labels=np.zeros_like(person.labels))


@METHOD
def test_memory_calms_a_flickering_outline(lay: Lay) -> None:
    _, person, _ = scenes.scene()
    with_memory, without, state = [], [], None
    for i in range(12):
        seen = flickering(person, i)
        warp, state = lay(seen, SHIRT, state=state)
        with_memory.append(all_points(warp))
        without.append(all_points(lay(seen, SHIRT)[0]))
    calm, wild = (np.abs(np.diff(p[2:], axis=0)).mean() for p in (with_memory, without))
    assert wild > 0.05
    assert calm < 0.4 * wild


@METHOD
def test_memory_ends_with_the_shot(lay: Lay) -> None:
    _, person, _ = scenes.scene()
    _, state = lay(flickering(person, 1), SHIRT)
    same, _ = lay(person, SHIRT, state=state)
    cut = replace(person, shot=1)
    after, _ = lay(cut, SHIRT, state=state)
    fresh, _ = lay(cut, SHIRT)
    assert np.abs(all_points(after) - all_points(fresh)).max() == 0.0
    assert np.abs(all_points(same) - all_points(fresh)).max() > 0.01, "within the shot it remembers"


@METHOD
def test_it_survives_landmarks_that_say_nothing(lay: Lay) -> None:
    """Shoulders in one place, or everything far outside: nothing useful to see, but numbers and no error."""
    _, person, _ = scenes.scene()
    no_shoulders = scenes.body()
    no_shoulders[[11, 12], 0] = 240
    for points in (no_shoulders, np.full((33, 2), 5000.0, np.float32) + scenes.body()):
        warp, _ = lay(replace(person, pose=replace(person.pose, points=points)), SHIRT)
        assert np.isfinite(all_points(warp)).all()
        rgb, alpha = flatten(warp, Texture.of(SHIRT), (0.0, 0.0, 480.0, 640.0), (160, 120))
        assert np.isfinite(rgb).all()
        assert np.isfinite(alpha).all()


# -- choosing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of weights."""
    monkeypatch.setenv("VTRYON_WEIGHTS", str(tmp_path))
    return tmp_path


def points_of(method: str, person: Person, garment: Garment = SHIRT) -> Array:
    return all_points(fitter(method)(person, garment)[0])


def test_without_weights_auto_is_anchored_and_placed_is_refused(folder: Path) -> None:
    _, person, _ = scenes.scene()
    assert np.array_equal(points_of("auto", person), points_of("anchored", person))
    with pytest.raises(UnavailableError, match="placing"):
        fitter("placed")


def test_with_weights_placed_is_what_they_say(folder: Path) -> None:
    save_placing(folder / "placing.safetensors", network(), {})
    _, person, _ = scenes.scene()
    placed = points_of("placed", person)
    seated, _ = Seated(partial(place, network()), FitOptions())(person, SHIRT)
    direct = all_points(seated)
    assert np.abs(placed - direct).max() < 1.5, "half precision on disk costs no more"
    assert np.abs(placed - points_of("anchored", person)).max() > 5


def test_an_unknown_way_is_refused() -> None:
    assert set(WARP_METHODS) == {"auto", "anchored", "placed", "network"}
    with pytest.raises(ValueError, match="warp must be one of"):
        fitter("magic")


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "placing.safetensors"
    net = network(3)
    save_placing(path, net, {"measured": 1})
    back = load_placing(path)
    assert not back.training
    x = torch.randn(4, net.mean.numel(), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (net(x) - back(x)).abs().max() < 0.02


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from vtryon import weights

    path = tmp_path / "placing.safetensors"
    state = network().state_dict()
    weights.save(path, weights.Checkpoint("placing", {"width": 8, "depth": 2}, (), state))
    with pytest.raises(BadInputError, match="do not fit"):
        load_placing(path)
    weights.save(path, weights.Checkpoint("parser", {"width": 16, "depth": 2}, (), state))
    with pytest.raises(BadInputError, match="parser"):
        load_placing(path)
