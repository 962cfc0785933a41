"""From a warp to pixels: sharp where nothing moves, turning with the body, without ghosts on bent arms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import scenes
from scenes import BLUE, GREEN, RED, WHITE
from vtryon.types import Array, GarmentKind, Part
from vtryon.warp import Spline, Texture, flatten, garment_lattices, layers
from vtryon.warp.anchored import fit
from vtryon.warp.sampler import backward_map, turned

WINDOW = (0.0, 0.0, 480.0, 640.0)


def own_picture(garment: scenes.Garment, turn: float = 0.0, back: Texture | None = None) -> tuple[Array, Array]:
    """The garment warped to where it already is: (H, W, 3) in [0, 1] and alpha, at 1:1."""
    h, w = garment.alpha.shape
    warp = scenes.flat(garment, turn)
    return flatten(warp, Texture.of(garment), (0.0, 0.0, float(w), float(h)), (h, w), back)


def test_identity_gives_the_garment_back() -> None:
    garment = scenes.garment(print_colour=WHITE)
    rgb, alpha = own_picture(garment)
    kernel = np.ones((7, 7), np.uint8)
    solid, empty = cv2.erode(garment.alpha, kernel) > 0, cv2.dilate(garment.alpha, kernel) == 0
    assert alpha[solid].min() > 0.98
    assert alpha[empty].max() < 0.02
    difference = np.abs(rgb * 255.0 - garment.rgb).max(-1)
    flat_colour = cv2.morphologyEx(garment.rgb, cv2.MORPH_GRADIENT, kernel).max(-1) == 0
    assert difference[solid & flat_colour].max() < 2
    assert difference[solid].mean() < 1.0


def test_sampling_is_as_sharp_as_the_garment() -> None:
    """A print of one-pixel detail survives a 1:1 warp: nothing is resampled twice or on a coarse grid."""
    garment = scenes.garment()
    rng = np.random.default_rng(0)
    garment.rgb[170:230, 150:210] = rng.integers(0, 255, (60, 60, 3), np.uint8)
    rgb, _ = own_picture(garment)
    inner = np.s_[175:225, 155:205]
    assert np.corrcoef(rgb[inner].ravel(), garment.rgb[inner].ravel())[0, 1] > 0.97


def test_two_resolutions_give_the_same_map() -> None:
    garment = scenes.garment()
    _, person, _ = scenes.scene()
    warp, _ = fit(person, garment)
    for part in warp.parts:
        coarse, near = backward_map(warp[part], WINDOW, (160, 120))
        fine, _ = backward_map(warp[part], WINDOW, (640, 480))
        centres = fine.reshape(160, 4, 120, 4, 2)[:, 1:3, :, 1:3].mean((1, 3))
        box = warp[part].points.reshape(-1, 2)
        y, x = np.mgrid[:160, :120] * 4 + 2
        inside = (x > box[:, 0].min()) & (x < box[:, 0].max()) & (y > box[:, 1].min()) & (y < box[:, 1].max())
        inside &= near.numpy() > 0.9
        error = (centres - coarse).norm(dim=-1).numpy()[inside]
        assert inside.sum() > 50
        assert np.median(error) < 0.5
        assert np.percentile(error, 95) < 3.0


def test_control_points_go_where_the_warp_says() -> None:
    garment = scenes.garment(kind=GarmentKind.LONG_SLEEVE)
    _, person, _ = scenes.scene()
    warp, _ = fit(person, garment)
    for part in warp.parts:
        back, _ = backward_map(warp[part], WINDOW, scenes.SIZE)
        at = warp[part].points.reshape(-1, 2)
        x, y = (np.clip(at[:, i], 1, limit - 1).astype(int) for i, limit in ((0, 480), (1, 640)))
        error = np.linalg.norm(back[y, x].numpy() - warp[part].lattice.reshape(-1, 2), axis=-1)
        assert np.median(error) < 3.0, part


def test_a_smaller_texture_shows_the_same_garment() -> None:
    garment = scenes.garment(print_colour=WHITE)
    warp = scenes.flat(garment)
    h, w = garment.alpha.shape
    window = (0.0, 0.0, float(w), float(h))
    (a, alpha_a), (b, alpha_b) = (
        flatten(warp, Texture.of(garment, scale), window, (h // 3, w // 3)) for scale in (1.0, 0.33)
    )
    both = (alpha_a > 0.99) & (alpha_b > 0.99)
    assert both.mean() > 0.2
    assert np.abs(a - b)[both].mean() < 0.02
    assert np.abs(alpha_a - alpha_b).mean() < 0.02


def test_no_turn_leaves_points_unchanged() -> None:
    texture = Texture.of(scenes.garment())
    at = torch.rand(30, 20, 2, generator=torch.Generator().manual_seed(0)) * 360
    points, _, behind = turned(at, texture.rows, 0.0)
    assert torch.allclose(points, at, atol=0.05)
    assert float(behind.max()) == 0.0


@pytest.mark.parametrize("turn", [np.pi, -np.pi, 0.9 * np.pi])
def test_the_print_is_not_painted_on_the_back(turn: float) -> None:
    garment = scenes.garment(BLUE, print_colour=WHITE)
    rgb, alpha = own_picture(garment, turn)
    assert (alpha > 0.5).sum() > 0.9 * (garment.alpha > 0.5).sum()
    assert scenes.near(rgb, WHITE)[alpha > 0.5].mean() < 0.002
    assert scenes.near(rgb, BLUE, 20)[alpha > 0.5].mean() > 0.97


def test_the_back_closes_the_neckline() -> None:
    garment = scenes.garment()
    throat = np.s_[56:68, 172:188]
    assert own_picture(garment)[1][throat].max() < 0.05
    assert own_picture(garment, np.pi)[1][throat].min() > 0.9


def test_a_picture_of_the_back_is_shown_there_and_only_there() -> None:
    garment, back = scenes.garment(BLUE), Texture.of(scenes.garment(GREEN))
    torso = garment.parts == Part.TORSO
    torso[:, :130] = torso[:, 230:] = False  # the middle, clear of edges and sleeves
    behind, _ = own_picture(garment, np.pi, back)
    assert scenes.near(behind, GREEN)[torso].mean() > 0.98
    before, _ = own_picture(garment, 0.0, back)
    assert scenes.near(before, BLUE)[torso].mean() > 0.98


def test_text_on_the_back_reads_from_left_to_right() -> None:
    """The picture of the back is not mirrored: what is on its left is on the left when the back is seen."""
    back = scenes.garment(GREEN)
    back.rgb[200:260, 130:160] = WHITE
    rgb, alpha = own_picture(scenes.garment(BLUE), np.pi, Texture.of(back))
    x = np.nonzero(scenes.near(rgb, WHITE) & (alpha > 0.5))[1]
    assert x.size > 500
    assert 125 < x.mean() < 165


def test_patterned_cloth_goes_on_round_the_back() -> None:
    garment = scenes.garment(BLUE, stripes=WHITE)
    rgb, alpha = own_picture(garment, np.pi)
    middle = np.zeros(alpha.shape, bool)
    middle[180:320, 150:210] = True
    share = scenes.near(rgb, WHITE)[middle & (alpha > 0.5)].mean()
    assert 0.3 < share < 0.7


def test_in_a_side_view_the_print_is_out_of_sight_not_a_strip() -> None:
    garment = scenes.garment(BLUE, print_colour=WHITE)

    def seen(yaw: float) -> tuple[float, float]:
        """Share of the torso that is print, and where its middle lies on the torso, -1 to 1."""
        _, person, _ = scenes.scene(yaw=yaw)
        warp, _ = fit(person, garment)
        torso = next(p for p in layers(warp, Texture.of(garment), WINDOW, scenes.SIZE) if p.part == Part.TORSO)
        white = scenes.near(torso.rgb.numpy().transpose(1, 2, 0), WHITE) & (torso.alpha.numpy() > 0.5)
        centre = float(torso.across.numpy()[white].mean()) if white.any() else 0.0
        return float(white.sum() / (torso.alpha.numpy() > 0.5).sum()), centre

    front, middle = seen(0.0)
    assert front > 0.05
    assert abs(middle) < 0.1
    for sign in (1, -1):
        half, centre = seen(sign * 45.0)
        assert sign * centre > 0.3, "goes round with the body"
        assert half < front
        assert seen(sign * 90.0)[0] < 0.35 * front
        assert seen(sign * 135.0)[0] < 0.05 * front


@pytest.mark.parametrize("wrist", [(330, 200), (300, 160), (230, 230), (330, 380)])
def test_a_sleeve_stays_on_a_bent_arm(wrist: tuple[int, int]) -> None:
    garment = scenes.garment(RED, kind=GarmentKind.LONG_SLEEVE)
    points = scenes.body()
    points[15], points[[17, 19, 21]] = wrist, wrist
    _, person, _ = scenes.scene(points)
    warp, _ = fit(person, garment)
    sleeve = next(p for p in layers(warp, Texture.of(garment), WINDOW, scenes.SIZE) if p.part == Part.LEFT_SLEEVE)
    painted = sleeve.alpha.numpy() > 0.5
    arm = np.full(scenes.SIZE, 1, np.uint8)
    chain = points[[11, 13, 15]].astype(np.int32)
    cv2.polylines(arm, [chain], False, (0,), 1)
    distance = cv2.distanceTransform(arm, cv2.DIST_L2, 5)
    assert distance[painted].max() < 0.35 * 150, "no ghosts far from the arm"
    a, b = points[[13, 15]] + 0.15 * (points[[15, 13]] - points[[13, 15]])
    for start, end in ((points[11] + 0.35 * (points[13] - points[11]), points[13]), (a, b)):
        line = np.zeros(scenes.SIZE, np.uint8)
        cv2.line(line, tuple(start.astype(int).tolist()), tuple(end.astype(int).tolist()), (1,), 1)
        assert painted[line > 0].mean() > 0.85, "the arm is covered"


def test_a_straight_sleeve_does_not_fold() -> None:
    garment = scenes.garment(kind=GarmentKind.LONG_SLEEVE)
    warp, _ = fit(scenes.scene()[1], garment)
    for part in warp.parts:
        back, near = backward_map(warp[part], WINDOW, scenes.SIZE)
        inside = near.numpy() > 0.99
        if part == Part.TORSO:
            inside = cv2.fillConvexPoly(
                np.zeros(scenes.SIZE, np.uint8), cv2.convexHull(warp[part].points.reshape(-1, 2)).astype(np.int32), (1,)
            )
            inside = cv2.erode(inside, np.ones((9, 9), np.uint8)) > 0
        dy, dx = (np.gradient(back.numpy(), axis=i) for i in (0, 1))
        determinant = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
        assert inside.sum() > 1000
        assert (determinant[inside] <= 0).mean() < 0.01, part


def test_sleeves_are_drawn_outside_the_picture_without_harm() -> None:
    garment = scenes.garment(kind=GarmentKind.LONG_SLEEVE)
    warp, _ = fit(scenes.scene(scenes.body() + np.float32([400, 0]))[1], garment)
    for layer in layers(warp, Texture.of(garment), WINDOW, scenes.SIZE):
        assert layer.alpha.shape == scenes.SIZE
        assert layer.rgb.isfinite().all()


def test_a_spline_refuses_points_that_do_not_match() -> None:
    lattice = garment_lattices(scenes.garment())[Part.TORSO]
    with pytest.raises(ValueError, match="rows, columns, 2"):
        Spline(Part.TORSO, lattice, lattice[:2])


def test_outside_the_picture_colours_go_on_and_nothing_is_covered() -> None:
    """A wider old garment is covered with what is sampled there: black would be seen."""
    texture = Texture.of(scenes.garment(scenes.BLUE))
    points = torch.tensor([[[-60.0, 200.0], [180.0, -40.0], [500.0, 200.0], [180.0, 200.0]]])
    planes = texture.sample(points)
    outside = planes[:, 0, :3]
    assert torch.allclose(outside[:3], torch.tensor(scenes.BLUE)[:, None] / 255, atol=1e-3)
    assert float(outside[3:].abs().max()) == 0.0
    assert float(planes[3, 0, 3]) == 1.0


def test_the_light_of_the_product_picture_is_taken_out_of_plain_sleeves_and_no_pattern_is() -> None:
    plain, striped = scenes.garment(kind=GarmentKind.LONG_SLEEVE), scenes.garment(stripes=WHITE)
    sleeve = plain.parts == Part.LEFT_SLEEVE
    rows = np.arange(plain.rgb.shape[0])[:, None]
    shade = sleeve & (rows > 180) & (rows < 230)
    plain.rgb[shade] = plain.rgb[shade] // 3
    middle = cv2.erode(sleeve.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    seen = Texture.of(plain).planes[0, 2].numpy() * 255
    assert seen[middle & shade].mean() > 0.6 * seen[middle & ~shade].mean()
    torso = plain.parts == Part.TORSO
    assert np.allclose(seen[cv2.erode(torso.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0], BLUE[2], atol=1)
    assert np.allclose(Texture.of(striped).planes[0, :3].numpy() * 255, striped.rgb.transpose(2, 0, 1), atol=1)
