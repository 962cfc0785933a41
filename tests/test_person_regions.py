"""Labels without a network, on drawn figures whose regions are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import bodies
from vtryon.person.regions import label_regions
from vtryon.types import Array, Label

AT = bodies.points(x=96, y=75, size=75)


def labels(*, sleeves: bool) -> Array:
    rgb, matte = bodies.drawing(AT, sleeves=sleeves)
    return label_regions(rgb, bodies.pose(AT), matte, None)[0]


def at(found: Array, x: float, y: float) -> Label:
    return Label(int(found[:, int(y), int(x)].argmax()))


def between(a: int, b: int, share: float = 0.5) -> Array:
    out: Array = AT[a] + share * (AT[b] - AT[a])
    return out


def test_probabilities_sum_to_one() -> None:
    found = labels(sleeves=False)
    assert found.shape == (11, 256, 192)
    assert found.dtype == np.uint8
    total = found.sum(axis=0, dtype=int)
    assert total.min() >= 250
    assert total.max() <= 260


@pytest.mark.parametrize("sleeves", [False, True])
def test_parts_are_told_apart(sleeves: bool) -> None:
    found = labels(sleeves=sleeves)
    assert at(found, *AT[0]) is Label.FACE
    assert at(found, *(AT[7:9].mean(axis=0) - (0, 21))) is Label.HAIR
    assert at(found, *between(11, 24)) is Label.TOP
    assert at(found, *between(23, 25, 0.6)) is Label.LOWER
    assert at(found, 5, 5) is Label.BACKGROUND
    assert at(found, *between(15, 19)) is Label.LEFT_ARM
    assert at(found, *between(16, 20)) is Label.RIGHT_ARM
    assert at(found, *between(13, 15)) is (Label.TOP if sleeves else Label.LEFT_ARM)
    assert at(found, *between(14, 16)) is (Label.TOP if sleeves else Label.RIGHT_ARM)


def test_hand_before_the_top_is_the_hand() -> None:
    where = AT.copy()
    where[[14, 16, 18, 20, 22]] = [[55, 115], [85, 110], [97, 108], [98, 110], [94, 106]]
    rgb, matte = bodies.drawing(where, sleeves=False)
    found = label_regions(rgb, bodies.pose(where), matte, None)[0]
    assert at(found, 92, 109) is Label.RIGHT_ARM
    assert at(found, 115, 115) is Label.TOP


def test_split_follows_the_colours_not_the_hip_joints() -> None:
    rgb, matte = bodies.drawing(AT, sleeves=True)
    rgb[135:150, 80:112] = bodies.TROUSERS  # high-waisted: trousers up to 15 px over the hips
    found = label_regions(rgb, bodies.pose(AT), matte, None)[0]
    assert at(found, 96, 141) is Label.LOWER
    assert at(found, 96, 125) is Label.TOP


def test_memory_steadies_a_still_picture_and_is_handed_on() -> None:
    rng = np.random.default_rng(0)
    rgb, matte = bodies.drawing(AT, sleeves=False)
    noisy = [np.clip(rgb + rng.normal(0, 4, rgb.shape), 0, 255).astype(np.uint8) for _ in range(8)]

    def flips(remember: bool) -> int:
        state, maps = None, []
        for picture in noisy:
            found, state = label_regions(picture, bodies.pose(AT), matte, state if remember else None)
            maps.append(found.argmax(axis=0))
        return sum(int((a != b).sum()) for a, b in pairwise(maps))

    assert flips(remember=True) < 0.8 * flips(remember=False)


def test_figure_outside_the_crop_and_empty_matte_do_no_harm() -> None:
    rgb, matte = bodies.drawing(AT, sleeves=True)
    found, state = label_regions(rgb, bodies.pose(AT + 1000), np.zeros_like(matte), None)
    assert (found[Label.BACKGROUND] == 255).all()
    found, _ = label_regions(rgb, bodies.pose(AT), matte, state)
    assert at(found, *between(11, 24)) is Label.TOP
