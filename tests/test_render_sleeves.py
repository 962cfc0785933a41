"""Sleeves on arms: how far they reach, and that the arm is in cloth up to there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import parsing
import scenes
from vtryon.render.compose import Composer
from vtryon.render.sleeves import reach
from vtryon.types import Array, GarmentKind, Label, Part
from vtryon.warp import FitOptions, Texture, Warp, fitter

fit = fitter("anchored", FitOptions())
ARM = np.array([(100, 100), (80, 200), (150, 260)], np.float32)


def on_arm(shares: Array, arm: Array) -> Array:
    """A lattice (rows, 3, 2) whose rows lie ``shares`` down the arm, 0.5 the elbow."""
    f = shares[:, None]
    middle = arm[0] + np.minimum(2 * f, 1) * (arm[1] - arm[0]) + np.maximum(2 * f - 1, 0) * (arm[2] - arm[1])
    across = np.array([(-8, 0), (0, 0), (8, 0)], np.float32)
    return np.asarray(middle[:, None] + across, np.float32)


@pytest.mark.parametrize("end", [0.2, 0.5, 0.8, 1.0])
def test_reach_is_where_the_last_row_lies(end: float) -> None:
    assert reach(on_arm(np.linspace(0, end, 5), ARM), ARM) == pytest.approx(end, abs=0.03)


def test_a_forearm_beside_its_upper_arm_is_not_taken_for_it() -> None:
    folded = np.array([(100, 100), (100, 200), (112, 110)], np.float32)
    assert reach(on_arm(np.linspace(0, 0.95, 5), folded), folded) == pytest.approx(0.95, abs=0.05)


def test_a_short_sleeve_behind_a_raised_forearm_does_not_reach_down_it() -> None:
    folded = np.array([(100, 100), (100, 200), (106, 110)], np.float32)
    beside = np.array([5, 0], np.float32)  # where it lies, the forearm is nearer than its own upper arm
    assert reach(on_arm(np.linspace(0, 0.35, 5), folded) + beside, folded) == pytest.approx(0.35, abs=0.08)


@pytest.mark.parametrize("kind", [GarmentKind.LONG_SLEEVE, GarmentKind.SHORT_SLEEVE])
def test_a_hand_raised_before_its_upper_arm_is_before_the_sleeve(kind: GarmentKind) -> None:
    points = scenes.body()
    points[15], points[[17, 19, 21]] = points[11] + (16, 32), points[11] + (10, 16)
    rgb, _, labels = scenes.scene(points, top=scenes.GREEN)
    y, x = np.mgrid[: scenes.SIZE[0], : scenes.SIZE[1]]
    hand = np.hypot(x - points[19, 0], y - points[19, 1]) < 12
    rgb[hand], labels[hand] = parsing.SKIN, Label.LEFT_ARM
    person = scenes.person(points, labels)
    depth = person.pose.depth.copy()
    depth[[15, 17, 19, 21]] -= 100
    person = replace(person, pose=replace(person.pose, depth=depth))
    garment = scenes.garment(scenes.BLUE, kind=kind)
    warp, _ = fit(person, garment)
    out, _ = Composer()(rgb, person, warp, Texture.of(garment), None, None)
    assert (np.abs(out[hand].astype(int) - parsing.SKIN).max(-1) < 50).mean() > 0.8


@pytest.mark.parametrize("kind", [GarmentKind.LONG_SLEEVE, GarmentKind.SHORT_SLEEVE])
def test_an_elbow_that_the_warp_leaves_out_is_in_cloth(kind: GarmentKind) -> None:
    """A bare arm, bent; the sleeve laid on it is thin and lies beside it."""
    points = scenes.body()
    points[15], points[[17, 19, 21]] = (250, 300), (240, 296)
    rgb, person, labels = scenes.scene(points, top=scenes.GREEN)
    garment = scenes.garment(scenes.BLUE, kind=kind)
    warp, _ = fit(person, garment)
    thin = []
    for spline in warp.splines:
        middle = spline.points[:, 1:2]
        narrow = middle + np.float32(0.3) * (spline.points - middle) - np.array([6, 0], np.float32)
        thin.append(spline if spline.part == Part.TORSO else replace(spline, points=narrow))
    out, _ = Composer()(rgb, person, Warp(tuple(thin), 0.0), Texture.of(garment), None, None)
    elbow, wrist = points[13], points[15]
    arm = labels == Label.LEFT_ARM

    def skin(at: Array) -> float:
        x, y = at.astype(int)
        box = (slice(y - 10, y + 11), slice(x - 10, x + 11))
        patch = out[box][arm[box]].astype(int)
        return float((np.abs(patch - parsing.SKIN).max(-1) < 50).mean())

    assert skin(wrist + 0.2 * (wrist - elbow)) > 0.7, "the hand stays"
    if kind is GarmentKind.LONG_SLEEVE:
        assert skin(elbow + 0.2 * (wrist - elbow)) < 0.1
    else:
        assert skin(elbow + 0.4 * (wrist - elbow)) > 0.8, "a short sleeve covers no forearm"


def test_a_bare_upper_arm_beside_a_sleeve_that_starts_too_low_is_in_cloth() -> None:
    rgb, person, labels = scenes.scene(scenes.body(), top=scenes.GREEN)
    arm = labels == Label.LEFT_ARM
    points = person.pose.points
    y, x = np.mgrid[: scenes.SIZE[0], : scenes.SIZE[1]]
    bone = points[13] - points[11]
    near = np.hypot(x - points[11, 0] - 0.45 * bone[0], y - points[11, 1] - 0.45 * bone[1]) < 16
    rgb[near & (labels == Label.TOP)], labels[near] = parsing.SKIN, Label.LEFT_ARM  # a cap sleeve
    person = scenes.person(points, labels)
    garment = scenes.garment(scenes.BLUE, kind=GarmentKind.LONG_SLEEVE)
    warp, _ = fit(person, garment)
    low = [
        s if s.part == Part.TORSO else replace(s, points=s.points[3:4] + 0.3 * (s.points - s.points[3:4]))
        for s in warp.splines
    ]
    out, _ = Composer()(rgb, person, Warp(tuple(low), 0.0), Texture.of(garment), None, None)
    seen = near & (labels == Label.LEFT_ARM) & ~arm
    assert (np.abs(out[seen].astype(int) - parsing.SKIN).max(-1) < 50).mean() < 0.2


def test_a_sleeve_goes_to_the_outline_of_a_wide_old_one_at_the_elbow() -> None:
    points = scenes.body()
    rgb, _, labels = scenes.scene(points, top=scenes.GREEN)
    y, x = np.mgrid[: scenes.SIZE[0], : scenes.SIZE[1]]
    away = np.hypot(x - points[13, 0], y - points[13, 1])
    stands_off = (away < 24) & (x > points[13, 0]) & (labels == Label.BACKGROUND)
    rgb[away < 24], labels[away < 24] = scenes.GREEN, Label.TOP
    person, garment = scenes.person(points, labels), scenes.garment(scenes.BLUE, kind=GarmentKind.LONG_SLEEVE)
    thin = []
    for spline in fit(person, garment)[0].splines:
        middle = spline.points[:, 1:2]
        narrow = middle + np.float32(0.3) * (spline.points - middle)
        thin.append(spline if spline.part == Part.TORSO else replace(spline, points=narrow))
    out, _ = Composer()(rgb, person, Warp(tuple(thin), 0.0), Texture.of(garment), None, None)
    assert scenes.near(out[stands_off], scenes.BLUE).mean() > 0.8
