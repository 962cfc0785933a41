"""From a picture to a garment, on drawn garments whose truth is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vtryon.errors import BadInputError, MissingInputError
from vtryon.garment import load_garment, prepare
from vtryon.types import KEYPOINTS, Garment, GarmentKind, Part

Array = NDArray[np.generic]
EXAMPLES = Path(__file__).parents[1] / "examples"

# half of a T-shirt's outline, seen from its axis: (x, y) in units of half the torso's width, the wearer's left side
OUTLINE = {
    "collar": (0.42, -1.25), "shoulder": (1.0, -1.08), "cuff_out": (1.75, -0.45), "cuff_in": (1.42, -0.1),
    "armpit": (1.0, -0.5), "hem": (1.02, 1.55),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Drawn:
    rgb: Array
    mask: Array
    points: dict[str, Array]


def draw(
    cloth: tuple[int, int, int] = (190, 50, 60), back: tuple[int, int, int] = (235, 232, 228), *, size: int = 480,
    unit: float = 110.0, shadow: float = 0.35, noise: float = 2.0, long: bool = False,
) -> Drawn:  # fmt: skip
    """A T-shirt on a background that darkens to one side, with a shadow below it and a little sensor noise.

    ``long``: with long sleeves that leave the body and come back to it at the hips.
    """
    centre = np.array([size / 2, size / 2])
    points = {f"{k}_l": centre + unit * np.array(v) for k, v in OUTLINE.items()}
    points |= {f"{k}_r": centre + unit * np.array([-v[0], v[1]]) for k, v in OUTLINE.items()}
    points |= {"collar_c": centre + unit * np.array([0, -0.95]), "hem_c": centre + unit * np.array([0, 1.55])}
    order = ["collar_c", *(f"{k}_l" for k in OUTLINE), *(f"{k}_r" for k in reversed(OUTLINE))]
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [np.round([points[k] for k in order]).astype(np.int32)], 1.0)
    for side in (-1, 1) if long else ():
        arm = centre + unit * np.array([[side * 0.9, -0.85], [side * 1.55, 0.3], [side * 1.1, 1.3]])
        cv2.polylines(mask, [np.round(arm).astype(np.int32)], False, 1.0, round(0.42 * unit))
    mask = cv2.GaussianBlur(mask, (0, 0), 0.7)
    light = np.linspace(1.0, 0.85, size)[None, :, None]
    fall = cv2.GaussianBlur(np.roll(mask, (10, 6), (0, 1)), (0, 0), 8)[..., None]
    rng = np.random.default_rng(0)
    folds = cv2.resize(rng.normal(1, 0.04, (9, 9)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    picture = np.array(back) * light * (1 - shadow * fall)
    picture = picture + mask[..., None] * (np.array(cloth) * folds[..., None] - picture)
    picture = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    return Drawn(picture, mask > 0.5, points)


def overlap(garment: Garment, mask: Array) -> float:
    found = garment.alpha > 0.5
    return float((found & mask).sum() / (found | mask).sum())


@pytest.fixture(scope="module")
def shirt() -> Garment:
    return prepare(draw().rgb)


@pytest.mark.parametrize(
    ("cloth", "back"),
    [
        ((190, 50, 60), (235, 232, 228)),
        ((245, 245, 243), (205, 208, 212)),
        ((18, 18, 20), (52, 46, 42)),
        ((60, 90, 160), (150, 110, 70)),
    ],
    ids=["red on white", "white on light grey", "black on dark", "blue on wood"],
)
def test_cut_out_finds_the_garment(cloth: tuple[int, int, int], back: tuple[int, int, int]) -> None:
    drawn = draw(cloth, back)
    assert overlap(prepare(drawn.rgb), drawn.mask) > 0.96


def test_shadow_and_gaps_stay_outside(shirt: Garment) -> None:
    drawn = draw()
    far = cv2.dilate(drawn.mask.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert (shirt.alpha[far] > 0.1).mean() < 0.002


@pytest.mark.parametrize("back", [(235, 232, 228), (60, 110, 70)], ids=["on white", "on green"])
def test_gap_that_a_sleeve_closes_all_around_is_open(back: tuple[int, int, int]) -> None:
    drawn = draw((70, 80, 140), back, unit=95, long=True)
    holes = cv2.connectedComponentsWithStats((~drawn.mask).astype(np.uint8), connectivity=4)[2]
    assert (holes[1:, cv2.CC_STAT_AREA] > 500).sum() == 3  # around the garment, and one on each side
    assert overlap(prepare(drawn.rgb), drawn.mask) > 0.97


def test_no_rim_of_the_old_background(shirt: Garment) -> None:
    """Wherever anything is painted, and well beyond it, the colour is the cloth's."""
    around = cv2.dilate((shirt.alpha > 0).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert np.abs(shirt.rgb[around].astype(int) - [190, 50, 60]).max() < 60


def test_edge_is_soft_and_narrow(shirt: Garment) -> None:
    partial = (shirt.alpha > 0.02) & (shirt.alpha < 0.98)
    inner = cv2.dilate((shirt.alpha >= 0.98).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert partial.any()
    assert (partial & ~inner).mean() < 0.001


def test_key_points_are_where_they_are(shirt: Garment) -> None:
    truth = draw().points
    for name in KEYPOINTS:
        assert np.linalg.norm(shirt.keypoints[name] - truth[name]) < 0.06 * 300, name


def test_left_is_the_wearers(shirt: Garment) -> None:
    assert shirt.keypoints["shoulder_l"][0] > shirt.keypoints["shoulder_r"][0]
    columns = np.arange(shirt.parts.shape[1])
    centre = {p: (columns * (shirt.parts == p).sum(axis=0)).sum() / (shirt.parts == p).sum() for p in Part if p}
    assert centre[Part.LEFT_SLEEVE] > centre[Part.TORSO] > centre[Part.RIGHT_SLEEVE]


def test_parts_cover_the_alpha(shirt: Garment) -> None:
    assert (shirt.parts[shirt.alpha > 0] != Part.NONE).all()
    assert shirt.parts[shirt.alpha.shape[0] // 2, shirt.alpha.shape[1] // 2] == Part.TORSO


def test_kind_and_colour(shirt: Garment) -> None:
    assert shirt.kind is GarmentKind.SHORT_SLEEVE
    assert np.abs(shirt.cloth.astype(int) - [190, 50, 60]).max() < 15
    assert shirt.warnings == ()


def test_cloth_colour_is_not_the_prints() -> None:
    drawn = draw()
    rgb = drawn.rgb.copy()
    cv2.circle(rgb, (240, 260), 70, (250, 240, 60), -1)
    assert np.abs(prepare(rgb).cloth.astype(int) - [190, 50, 60]).max() < 15


def test_given_alpha_is_used_as_it_is() -> None:
    drawn = draw((190, 50, 60), (190, 52, 60))  # the photograph alone would not show it
    garment = prepare(drawn.rgb, drawn.mask.astype(np.float32))
    assert overlap(garment, drawn.mask) > 0.97


def test_same_picture_gives_the_same_garment() -> None:
    first, second = prepare(draw().rgb), prepare(draw().rgb)
    assert (first.alpha == second.alpha).all()
    assert (first.rgb == second.rgb).all()


@pytest.mark.parametrize("degrees", [-20, 20])
def test_turned_garment_is_set_upright(degrees: float) -> None:
    drawn = draw(unit=95)
    turn = cv2.getRotationMatrix2D((240, 240), degrees, 1)
    rgb = cv2.warpAffine(drawn.rgb, turn, (480, 480), borderMode=cv2.BORDER_REPLICATE)
    k = prepare(rgb).keypoints
    across = k["armpit_l"] - k["armpit_r"]
    assert abs(np.degrees(np.arctan2(across[1], across[0]))) < 7


def test_upside_down_is_turned_and_said() -> None:
    garment = prepare(np.ascontiguousarray(draw().rgb[::-1, ::-1]), name="a.jpg")
    assert any("upside down" in w and "a.jpg" in w for w in garment.warnings)
    assert garment.keypoints["hem_c"][1] > garment.keypoints["collar_c"][1]


def test_garment_cut_off_by_the_edge_is_said() -> None:
    rgb = np.ascontiguousarray(draw().rgb[:, 150:])
    assert any("edge" in w for w in prepare(rgb).warnings)


def test_very_small_garment_is_said() -> None:
    small = cv2.resize(draw().rgb, (170, 170), interpolation=cv2.INTER_AREA)
    assert any("pixels" in w for w in prepare(small).warnings)


def test_two_garments_are_said() -> None:
    one = draw(unit=80, size=360).rgb
    assert any("more than one" in w for w in prepare(np.concatenate([one, one], axis=1)).warnings)


def test_halves_of_one_garment_are_not_two() -> None:
    drawn = draw(shadow=0)
    rgb = drawn.rgb.copy()
    rgb[:, 215:265] = np.random.default_rng(0).normal((235, 232, 228), 2, (480, 50, 3)).astype(np.uint8)
    garment = prepare(rgb)
    assert not any("more than one" in w for w in garment.warnings)
    assert garment.keypoints["shoulder_l"][0] - garment.keypoints["shoulder_r"][0] > 150


@pytest.mark.parametrize("turn", [0, 1], ids=["upright", "on the side"])
def test_trousers_are_refused(turn: int) -> None:
    half = [[0, -200], [70, -200], [115, 200], [25, 200], [5, -90], [0, -90]]
    outline = np.array(half + [[-x, y] for x, y in reversed(half)], np.int32) + 240
    mask = np.zeros((480, 480), np.float32)
    cv2.fillPoly(mask, [outline], 1.0)
    rgb = np.where(mask[..., None] > 0, (40, 60, 110), (230, 228, 225))
    rgb = np.clip(rgb + np.random.default_rng(0).normal(0, 2, rgb.shape), 0, 255).astype(np.uint8)
    with pytest.raises(BadInputError, match=r"jeans\.jpg shows trousers"):
        prepare(np.ascontiguousarray(np.rot90(rgb, turn)), name="jeans.jpg")


def test_nothing_in_the_picture() -> None:
    blank = np.random.default_rng(0).normal(200, 2, (300, 300, 3)).astype(np.uint8)
    with pytest.raises(BadInputError, match=r"no garment found in wall\.jpg"):
        prepare(blank, name="wall.jpg")


def test_nothing_but_transparency() -> None:
    with pytest.raises(BadInputError, match="no garment found"):
        prepare(draw().rgb, np.zeros((480, 480), np.float32))


def test_load_garment_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"shirt\.png"):
        load_garment(tmp_path / "shirt.png")
    drawn = draw()
    rgba = np.dstack([drawn.rgb, (drawn.mask * 255).astype(np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "shirt.png")
    assert overlap(load_garment(tmp_path / "shirt.png"), drawn.mask) > 0.97


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tshirt_red.jpg", GarmentKind.SHORT_SLEEVE),
        ("tshirt_green.jpg", GarmentKind.SHORT_SLEEVE),
        ("longsleeve_striped.jpg", GarmentKind.LONG_SLEEVE),
        ("worn_by_person.jpg", GarmentKind.SHORT_SLEEVE),
        ("worn_by_turning.jpg", GarmentKind.LONG_SLEEVE),
    ],
)
def test_examples(name: str, kind: GarmentKind) -> None:
    garment = load_garment(EXAMPLES / name)
    assert garment.kind is kind
    assert garment.warnings == ()
    k = garment.keypoints
    throat = (k["collar_l"] + k["collar_r"]) / 2  # the back panel seen through the neckline is not painted
    x, y = (throat + 0.55 * (k["collar_c"] - throat)).astype(int)
    assert garment.alpha[y, x] < 0.1
    pit = (k["armpit_l"] + k["cuff_in_l"]) / 2  # between sleeve and body
    span = np.ptp(list(k.values()), axis=0)
    below = (pit + span * np.array([-0.02, 0.12])).astype(int)
    assert garment.alpha[below[1], below[0]] < 0.1


PAIRS = Path(__file__).parents[2] / "shared" / "data" / "pairs"


@pytest.mark.data
@pytest.mark.skipif(not PAIRS.is_dir(), reason="../shared/data/pairs is not here")
def test_key_points_of_unseen_products() -> None:
    """Rendered product pictures of validation scenes on a plain grey: mean error in px at 192 x 256."""
    errors = []
    for folder in sorted(PAIRS.glob("???7"))[:8]:
        product = np.asarray(Image.open(folder / "product_0.webp").convert("RGBA"), np.float32)
        alpha = product[..., 3:] / 255
        truth = json.loads((folder / "meta.json").read_text())["tops"][0]["product_kp"]
        shade = product[..., :3] * np.array([0.4, 0.6, 1.0])
        garment = prepare((shade * alpha + 225 * (1 - alpha)).astype(np.uint8))
        errors += [np.linalg.norm(garment.keypoints[name] - truth[name]) / 2 for name in KEYPOINTS]
    assert np.median(errors) < 3
    assert np.mean(errors) < 7
