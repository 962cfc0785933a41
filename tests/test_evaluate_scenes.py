"""Rendered scenes with made prints, on a small scene made here: a square of grey cloth before any background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from squares import BOX, GREY, STEP, halves, square_scene
from vtryon.errors import MissingInputError
from vtryon.evaluate.pairs import make_pair
from vtryon.evaluate.scenes import Scene, dyed, main_colour, make_background, make_print, validation_scenes
from vtryon.evaluate.texture import origins, person_of, sized
from vtryon.types import Garment, Label
from vtryon.warp import Spline, Texture, Warp, garment_lattices


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one validation scene, in the first picture of which nobody is found."""
    root = tmp_path_factory.mktemp("data")
    square_scene(root / "pairs" / "0017", unseen=("t0_f0",))
    (root / "pairs" / "0018").mkdir()
    return root


@pytest.fixture
def scene(data: Path) -> Scene:
    (only,) = validation_scenes(data)
    return only


def test_no_scenes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no validation scenes"):
        list(validation_scenes(tmp_path))


def test_grey_in_full_light_takes_the_colour_of_its_dye() -> None:
    cloth = halves()[:, :288]
    assert np.abs(dyed(np.full(cloth.shape, GREY, np.uint8), cloth).astype(int) - cloth).max() <= 1
    dark = dyed(np.full(cloth.shape, GREY // 2, np.uint8), cloth)
    assert (dark.astype(int) < cloth).all()


def test_cloth_is_worn_where_it_comes_from(scene: Scene) -> None:
    behind = np.full((384, 288, 3), 77, np.float32)
    worn = scene.worn(0, halves(), behind)
    left, top = BOX
    assert (worn[10, 10] == 77).all()
    assert np.abs(worn[top + 70, left + 60].astype(int) - (30, 140, 60)).max() <= 2  # row 231 of the product
    assert np.abs(worn[top + 90, left + 60].astype(int) - (180, 40, 40)).max() <= 2  # row 271
    # where its origin is not known the cloth has its main colour
    assert (main_colour(halves()) == (180, 40, 40)).all()
    assert np.abs(worn[top + 20, left + 10].astype(int) - (180, 40, 40)).max() <= 2
    product = scene.product(0, halves(), np.full((512, 384, 3), 244, np.float32))
    assert scene.brightness(0) == pytest.approx(1, abs=0.01)
    assert (product[5, 5] == 244).all()
    assert np.abs(product[200, 200].astype(int) - (30, 140, 60)).max() <= 2


def test_cloth_moves_on_with_the_person(scene: Scene) -> None:
    """Origins of second moments are stored at every second pixel; the print's edge lies true all the same."""
    behind = np.full((384, 288, 3), 77, np.float32)
    worn = scene.worn(0, halves(), behind, 1)
    left, top = BOX[0] + STEP[0], BOX[1] + STEP[1]
    assert (worn[top - 1, left + 60] == 77).all()
    column = worn[:, left + 60].astype(int)
    assert np.abs(column[top : top + 79] - (30, 140, 60)).max() <= 2
    assert np.abs(column[top + 82 : top + 160] - (180, 40, 40)).max() <= 2
    assert np.abs(worn[top + 20, left + 10].astype(int) - (180, 40, 40)).max() <= 2, "of unknown origin: main colour"
    assert (scene.labels(0, 1) == Label.TOP).sum() == 120 * 160


def test_prints_and_backgrounds_follow_their_seed() -> None:
    one, again, other = (make_print(np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()
    assert make_background(np.random.default_rng(1)).shape == (384, 288, 3)


def test_a_pair_differs_only_in_its_tops(scene: Scene) -> None:
    pair = make_pair(scene, 0, 1, seed=0)
    assert pair.kinds == "sleeveless on sleeveless"
    assert pair.region.sum() == 120 * 160
    assert (pair.source != pair.truth).any()
    assert (pair.source == pair.truth)[~pair.region].all()


def laid(garment: Garment, scale: float = 1.0, shift: float = 0.0) -> Warp:
    """The scene's garment where it truly lies, so much larger about its collar, or px to the side."""
    collar = (garment.keypoints["collar_l"] + garment.keypoints["collar_r"]) / 2
    splines = []
    for part, lattice in garment_lattices(garment).items():
        at = collar + (lattice - collar) * scale
        splines.append(Spline(part, lattice, ((at - (70, 90)) / 2 + BOX + (shift, 0)).astype(np.float32)))
    return Warp(tuple(splines), 0.0)


def test_distance_of_a_known_shift(scene: Scene) -> None:
    """A garment laid where it truly lies is 0 away; one laid 3 px to the side is 6 product px away."""
    garment, texture = scene.garment(0), Texture.of(scene.garment(0))
    for shift in (0.0, 3.0):
        used, true, sleeve = origins(scene, 0, garment, laid(garment, shift=shift), texture)
        assert len(used) == 100 * 160
        assert not sleeve.any()
        assert np.linalg.norm(used - true, axis=1).mean() == pytest.approx(2 * shift, abs=0.3)


def test_what_is_left_when_the_size_is_given(scene: Scene) -> None:
    """A garment laid too large is right once its true size is known; one laid to the side is not."""
    garment, texture = scene.garment(0), Texture.of(scene.garment(0))
    large, aside = (
        origins(scene, 0, garment, warp, texture) for warp in (laid(garment, 1.15), laid(garment, shift=4.0))
    )
    assert np.linalg.norm(large[0] - large[1], axis=1).mean() > 8
    assert np.linalg.norm(sized(*large, garment) - large[1], axis=1).mean() < 0.5
    assert np.linalg.norm(sized(*aside, garment) - aside[1], axis=1).mean() > 6


def test_the_person_is_known_as_in_use(scene: Scene) -> None:
    assert scene.landmarks(0) is None
    person = person_of(scene, 1)
    assert person.crop.width == 288
    assert person.labels[Label.TOP].mean() / 255 == pytest.approx(120 * 160 / (384 * 288), rel=0.05)
