"""The dressed picture: the old top is gone, the new one is there, and everything else is as it was."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

import parsing
import scenes
from scenes import BLUE, GREEN, RED, WHITE
from vtryon.render.compose import Composer
from vtryon.types import Array, Garment, GarmentKind, Label, Part, Person
from vtryon.warp import Texture, Warp, flatten
from vtryon.warp.anchored import FitOptions, FitState, fit

WINDOW = (0.0, 0.0, 480.0, 640.0)
SHIRT = scenes.garment(BLUE)


def dress(rgb: Array, person: Person, garment: Garment = SHIRT) -> Array:
    warp, _ = fit(person, garment)
    return Composer()(rgb, person, warp, Texture.of(garment), None, None)[0]


def grown(mask: Array, by: int) -> Array:
    """Larger by so many px, or smaller where negative."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(by) + 1, 2 * abs(by) + 1))
    return np.asarray((cv2.dilate if by > 0 else cv2.erode)(mask.astype(np.uint8), kernel) > 0)


def covered(person: Person, garment: Garment = SHIRT) -> Array:
    """(H, W) bool: where the warped garment lies."""
    warp, _ = fit(person, garment)
    return flatten(warp, Texture.of(garment), WINDOW, scenes.SIZE)[1] > 0.5


def difference(a: Array, b: Array) -> Array:
    return np.asarray(np.abs(a.astype(int) - b).max(-1))


def test_the_new_top_replaces_the_old_one() -> None:
    rgb, person, labels = scenes.scene(top=RED, seed=0)
    before = rgb.copy()
    out = dress(rgb, person)
    assert np.array_equal(rgb, before), "the source is not written to"
    assert out.shape == rgb.shape
    assert out.dtype == np.uint8
    old = labels == Label.TOP
    assert scenes.near(rgb, RED)[old].mean() > 0.95
    assert scenes.near(out, RED)[grown(old, 6)].mean() < 0.01
    blue = (out[..., 2].astype(int) > out[..., 0] + 40) & (out[..., 2].astype(int) > out[..., 1] + 25)
    assert blue[grown(old & covered(person), -4)].mean() > 0.97


def test_pixels_away_from_both_tops_are_the_sources_own_bits() -> None:
    rgb, person, labels = scenes.scene(seed=0)
    out = dress(rgb, person)
    changed = difference(out, rgb) > 0
    assert changed.any()
    rows, columns = np.nonzero((labels == Label.TOP) | covered(person))
    margin = 60  # px, a tenth of the picture
    far = np.ones(scenes.SIZE, bool)
    far[max(rows.min() - margin, 0) : rows.max() + margin, max(columns.min() - margin, 0) : columns.max() + margin] = 0
    assert far.mean() > 0.2
    assert not changed[far].any()
    visibly = difference(out, rgb) > 12
    assert not visibly[~grown((labels == Label.TOP) | covered(person), 25)].any()


@pytest.mark.parametrize("points", [scenes.body(), scenes.hand_on_belly()], ids=["standing", "hand on belly"])
def test_face_hair_and_hands_stay(points: Array) -> None:
    rgb, person, labels = scenes.scene(points, seed=1)
    out = dress(rgb, person)
    face = (labels == Label.FACE) & (np.mgrid[:640, :480][0] < points[9, 1] + 5)
    y, x = np.mgrid[:640, :480]
    hand = np.hypot(x - points[15, 0], y - points[15, 1]) < 20
    for region in (face, labels == Label.HAIR, hand & (labels == Label.LEFT_ARM)):
        inner = grown(region, -4)
        assert inner.sum() > 60
        assert np.percentile(difference(out, rgb)[inner], 99) <= 12


def test_a_forearm_before_the_body_is_before_the_new_top() -> None:
    points = scenes.hand_on_belly()
    rgb, person, labels = scenes.scene(points, seed=1)
    belly = grown(labels == Label.LEFT_ARM, -3) & covered(person)
    assert belly.sum() > 300
    out = dress(rgb, person)
    assert scenes.near(out, parsing.SKIN, 30)[belly].mean() > 0.9
    around = grown(belly, 30) & (labels == Label.TOP) & ~grown(labels == Label.LEFT_ARM, 6)
    assert scenes.near(out, parsing.SKIN, 30)[around].mean() < 0.05


def test_bare_arms_appear_where_long_sleeves_were() -> None:
    points = scenes.body()
    rgb, _, labels = scenes.scene(points)
    sleeve = np.zeros(scenes.SIZE, np.uint8)
    for chain in ((11, 13, 15), (12, 14, 16)):
        cv2.polylines(sleeve, [points[list(chain)].astype(np.int32)], False, (1,), 26)
    long = (sleeve > 0) & ((labels == Label.LEFT_ARM) | (labels == Label.RIGHT_ARM) | (labels == Label.BACKGROUND))
    labels[long], rgb[long] = Label.TOP, RED
    person = scenes.person(points, labels)
    out = dress(scenes.with_noise(rgb, 0), person, scenes.garment(BLUE, kind=GarmentKind.SLEEVELESS))
    for elbow, wrist in ((13, 15), (14, 16)):
        x, y = (points[elbow] + 0.6 * (points[wrist] - points[elbow])).astype(int)
        patch = out[y - 4 : y + 5, x - 3 : x + 4].reshape(-1, 3).mean(0)
        assert np.abs(patch - RED).max() > 80, "no red is left"
        assert np.abs(patch - parsing.SKIN).max() < 60, "it looks like skin"


def test_no_skin_shows_beside_a_sleeve_before_its_cuff() -> None:
    """A wide long sleeve is replaced by a thin one that lies a little beside the arm that is guessed in it."""
    points = scenes.body()
    rgb, _, labels = scenes.scene(points)
    sleeve = np.zeros(scenes.SIZE, np.uint8)
    for chain in ((11, 13, 15), (12, 14, 16)):
        cv2.polylines(sleeve, [points[list(chain)].astype(np.int32)], False, (1,), 60)
    wide = (sleeve > 0) & ((labels == Label.LEFT_ARM) | (labels == Label.RIGHT_ARM) | (labels == Label.BACKGROUND))
    labels[wide], rgb[wide] = Label.TOP, RED
    person = scenes.person(points, labels)
    garment = scenes.garment(BLUE, kind=GarmentKind.LONG_SLEEVE)
    warp, _ = fit(person, garment)
    thin = []
    for spline in warp.splines:
        middle = spline.points[:, 1:2]
        beside = np.array([{Part.LEFT_SLEEVE: 18, Part.RIGHT_SLEEVE: -18}.get(spline.part, 0), 0])
        narrow = spline.points if spline.part == Part.TORSO else middle + beside + 0.4 * (spline.points - middle)
        thin.append(replace(spline, points=narrow.astype(np.float32)))
    out, _ = Composer()(scenes.with_noise(rgb, 0), person, Warp(tuple(thin), 0.0), Texture.of(garment), None, None)
    for elbow, wrist in ((13, 15), (14, 16)):
        x, y = (points[elbow] + 0.4 * (points[wrist] - points[elbow])).astype(int)
        across = out[y, x - 9 : x + 10].astype(int)
        assert not (np.abs(across - parsing.SKIN).max(-1) < 50).any()
        assert (across[:, 2] > across[:, 0] + 40).all(), "it looks like the sleeve"


def test_trousers_and_wall_appear_below_a_shorter_top() -> None:
    points = scenes.body()
    rgb, _, labels = scenes.scene(points)
    x0, x1, hips = int(points[24, 0]) - 14, int(points[23, 0]) + 14, int(points[23, 1])
    longer = np.s_[hips - 5 : hips + 45, x0:x1]
    labels[longer], rgb[longer] = Label.TOP, RED
    person = scenes.person(points, labels)
    out = dress(rgb, person, scenes.garment(BLUE, longer=-60))
    new = covered(person, scenes.garment(BLUE, longer=-60))
    bare = np.zeros(scenes.SIZE, bool)
    bare[longer] = True
    bare &= ~grown(new, 14)
    assert bare.sum() > 500
    assert scenes.near(out, RED)[bare].mean() < 0.03
    trousers = np.abs(out[bare].astype(int) - parsing.TROUSERS).max(-1) < 45
    assert trousers.mean() > 0.6


def test_the_print_is_on_the_chest_and_sharp() -> None:
    garment = scenes.garment(BLUE, print_colour=WHITE)
    rgb, person, _ = scenes.scene(top=RED)
    out = dress(rgb, person, garment)
    light = out.min(-1) > 140
    light &= grown(covered(person, garment), -12)
    rows, columns = np.nonzero(light)
    assert rows.size > 300
    assert abs(columns.mean() - 240) < 6
    edge = np.abs(np.diff(out[int(rows.mean())].astype(int).min(-1)))
    assert edge[200:280].max() > 60, "from print to cloth within a pixel or two"


def test_it_is_deterministic() -> None:
    rgb, person, _ = scenes.scene(seed=0)
    assert np.array_equal(dress(rgb, person), dress(rgb, person))


def test_what_is_drawn_does_not_depend_on_what_the_old_top_was() -> None:
    """The same body in a red and in a green old top looks the same in the new one, where the new one is."""
    outs = []
    for colour in (RED, GREEN):
        rgb, person, _ = scenes.scene(top=colour)
        outs.append(dress(rgb, person))
    inner = grown(covered(person), -6)
    assert np.percentile(difference(outs[0], outs[1])[inner], 95) < 40
    assert not scenes.near(outs[1], GREEN, 40)[inner].any()


def test_stripes_of_the_old_top_do_not_show_through() -> None:
    stripes = np.empty((*scenes.SIZE, 3), np.uint8)
    stripes[:] = WHITE
    stripes[(np.arange(640) // 12) % 2 == 0] = (20, 20, 20)
    rgb, person, labels = scenes.scene(top=stripes)
    out = dress(rgb, person)
    inner = grown((labels == Label.TOP) & covered(person), -10)
    inner[:, :200] = inner[:, 280:] = False
    rows = [out[y][inner[y]].mean(0) for y in np.flatnonzero(inner.sum(1) > 20)]
    assert len(rows) > 60
    assert np.abs(np.diff(np.stack(rows), axis=0)).max() < 6


def test_letters_nearly_of_the_colour_of_skin_go_with_the_top_they_are_on() -> None:
    printed = np.full((*scenes.SIZE, 3), 30, np.uint8)
    upper = scenes.body()[[11, 13]].mean(0).astype(int)  # the middle of a sleeve
    letter = np.s_[upper[1] - 7 : upper[1] + 7, upper[0] - 7 : upper[0] + 7]
    printed[letter] = np.array(parsing.SKIN) + 14
    rgb, person, _ = scenes.scene(top=printed)
    out = dress(rgb, person, scenes.garment(BLUE, kind=GarmentKind.SLEEVELESS)).astype(int)
    around = out[upper[1] - 12 : upper[1] + 12, upper[0] - 12 : upper[0] + 12].reshape(-1, 3)
    bare = np.median(around, axis=0)
    assert np.abs(bare - parsing.SKIN).max() < 60, "the arm is bare"
    assert np.abs(out[letter].reshape(-1, 3).mean(0) - bare).max() < 6


def test_shadow_on_the_old_top_lies_on_the_new_one() -> None:
    grey = np.full((*scenes.SIZE, 3), 170, np.uint8)
    grey[:, :240] = 100
    rgb, person, labels = scenes.scene(top=grey)
    out = dress(rgb, person, scenes.garment((150, 150, 150)))
    inner = grown((labels == Label.TOP) & covered(person), -10)
    left, right = (out[inner & side].mean() for side in (np.arange(480) < 225, np.arange(480) > 255))
    assert left < 0.85 * right


def test_a_still_person_with_noise_wears_a_still_garment() -> None:
    rgb, person, _ = scenes.scene()
    garment = scenes.garment(BLUE, print_colour=WHITE)
    texture, composer = Texture.of(garment), Composer()
    fit_state: FitState | None = None
    state, results, sources = None, [], []
    for i in range(10):
        noisy = scenes.with_noise(rgb, i)
        warp, fit_state = fit(person, garment, state=fit_state)
        out, state = composer(noisy, person, warp, texture, None, state)
        results.append(out.astype(np.float32))
        sources.append(noisy.astype(np.float32))
    inner = grown(covered(person, garment), -4)
    steps, noise = (np.abs(np.diff(np.stack(f)[3:, inner], axis=0)).mean() for f in (results, sources))
    assert noise > 1.5
    assert steps < 0.6 * noise
    edge = grown(covered(person, garment), 3) & ~inner
    shimmer = np.abs(np.diff(np.stack(results)[3:, edge], axis=0))
    assert shimmer.mean() < 1.5 * noise
    assert np.percentile(shimmer, 99) < 25


def test_memory_ends_with_the_shot() -> None:
    rgb, person, _ = scenes.scene(seed=0)
    other = rgb // 2  # a darker scene before the cut
    warp, _ = fit(person, SHIRT)
    texture, composer = Texture.of(SHIRT), Composer()
    _, state = composer(other, person, warp, texture, None, None)
    cut = replace(person, shot=1)
    after, _ = composer(rgb, cut, warp, texture, None, state)
    fresh, _ = composer(rgb, cut, warp, texture, None, None)
    assert np.array_equal(after, fresh)
    remembered, _ = composer(rgb, person, warp, texture, None, state)
    assert not np.array_equal(remembered, fresh)


def test_memory_is_only_what_is_handed_in() -> None:
    """One composer for two people in turn gives each what a composer of its own would."""
    rgb, person, _ = scenes.scene(seed=0)
    warp, _ = fit(person, SHIRT)
    texture, shared = Texture.of(SHIRT), Composer()
    first, _ = shared(rgb, person, warp, texture, None, None)
    shared(255 - rgb, person, warp, texture, None, None)
    again, _ = shared(rgb, person, warp, texture, None, None)
    assert np.array_equal(first, again)


@pytest.mark.parametrize("shift", [(-230, 0), (230, 0), (0, 330), (0, -330), (900, 0)])
def test_people_half_outside_the_picture_are_no_error(shift: tuple[int, int]) -> None:
    points = scenes.body() + np.float32(shift)
    rgb, person, _ = scenes.scene(points)
    out = dress(rgb, person)
    assert out.shape == rgb.shape
    if shift == (900, 0):
        assert np.array_equal(out, rgb), "nobody is in the picture: nothing is changed"


@pytest.mark.parametrize("yaw", [60.0, 90.0, 180.0, -120.0])
def test_turned_people_wear_it_too(yaw: float) -> None:
    rgb, person, labels = scenes.scene(yaw=yaw)
    out = dress(rgb, person, scenes.garment(BLUE, print_colour=WHITE))
    old = grown(labels == Label.TOP, -2)
    assert old.sum() > 1000
    assert scenes.near(out, RED)[old].mean() < 0.02
    if abs(yaw) > 100:
        assert (out[old].min(-1) > 140).mean() < 0.01, "no print from behind"


@pytest.mark.parametrize(("down", "shown"), [(0.0, False), (160.0, True)])
def test_the_hem_of_a_top_ends_with_the_body_and_a_skirt_may_stand_off(down: float, shown: bool) -> None:
    rgb, person, labels = scenes.scene()
    warp, _ = fit(person, SHIRT)
    points = warp[Part.TORSO].points.copy()
    middle = points[-1].mean(0)
    points[-1] = middle + 1.8 * (points[-1] - middle) + (0.0, down)
    flared = replace(
        warp, splines=tuple(replace(s, points=points) if s.part == Part.TORSO else s for s in warp.splines)
    )
    out = Composer()(rgb, person, flared, Texture.of(SHIRT), None, None)[0]
    hips = person.pose.points[[23, 24], 1].mean()
    beside = grown(labels != Label.BACKGROUND, 16) ^ True
    beside[: int(hips)] = False
    assert scenes.near(out, BLUE)[beside].any() == shown


def test_what_is_called_top_below_the_new_hem_is_not_dressed() -> None:
    rgb, person, labels = scenes.scene()
    hips = int(person.pose.points[[23, 24], 1].mean())
    lower = labels == Label.LOWER
    called = lower & (np.arange(labels.shape[0]) < hips + 100)[:, None]
    mistaken = scenes.person(person.pose.points, np.where(called, Label.TOP, labels).astype(np.uint8))
    warp, _ = fit(mistaken, SHIRT, FitOptions(length=0.9))
    out = Composer()(rgb, mistaken, warp, Texture.of(SHIRT), None, None)[0]
    _, alpha = flatten(warp, Texture.of(SHIRT), WINDOW, scenes.SIZE)
    hem = np.flatnonzero((alpha > 0.5).any(1)).max()
    below = called.copy()
    below[: hem + 8] = False
    assert below.sum() > 300
    assert scenes.near(out, BLUE)[below].mean() < 0.02


def test_bare_arms_of_somebody_whose_skin_is_not_seen_are_not_black() -> None:
    """From behind, under long hair and sleeves."""
    rgb, person, labels = scenes.scene()
    skin = np.isin(labels, (Label.FACE, Label.LEFT_ARM, Label.RIGHT_ARM))
    arms = np.isin(labels, (Label.LEFT_ARM, Label.RIGHT_ARM))
    rgb = np.where(skin[..., None], np.uint8([60, 40, 30]), rgb).astype(np.uint8)
    covered_up = np.where(arms, Label.TOP, np.where(labels == Label.FACE, Label.HAIR, labels)).astype(np.uint8)
    rgb[arms] = RED
    hidden = scenes.person(person.pose.points, covered_up)
    out = dress(rgb, hidden, scenes.garment(kind=GarmentKind.SLEEVELESS))
    bare = grown(arms, -4) & (difference(out, rgb) > 12)
    assert bare.sum() > 500
    assert np.median(out[bare].max(-1)) > 110


def test_no_cloth_lies_above_the_new_neckline_though_the_old_collar_did() -> None:
    points = scenes.body()
    rgb, _, labels = scenes.scene(points)
    x, y = points[[11, 12]].mean(0).astype(int)
    collar = np.zeros(scenes.SIZE, bool)
    collar[y - 30 : y + 4, x - 26 : x + 26] = True  # of an old turtleneck
    collar &= labels != Label.HAIR
    rgb[collar], labels[collar] = RED, Label.TOP
    out = dress(rgb, scenes.person(points, labels))
    above = collar & ~covered(scenes.person(points, labels))
    above[y - 12 :] = False
    assert scenes.near(out[above], BLUE).mean() < 0.02
    assert scenes.near(out[above], RED).mean() < 0.1
