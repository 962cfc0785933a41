"""Seating: sides and hem go to the outlines nearby, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scenes
from vtryon.types import Array, Garment, Label, Part, Person
from vtryon.warp import FitOptions, Spline, Warp, garment_lattices
from vtryon.warp.seat import Seated

TOP, HEM = 200.0, 340.0  # of the laid torso in the picture


class Laid:
    """A fit that lays every torso on one rectangle, ``half`` px to either side of the body's middle."""

    def __init__(self, half: float, hem: float = HEM) -> None:
        self.half, self.hem = half, hem

    def __call__(self, person: Person, garment: Garment, *, state: object = None) -> tuple[Warp, object]:
        splines = []
        for part, lattice in garment_lattices(garment).items():
            rows, columns, _ = lattice.shape
            if part == Part.TORSO:
                x, y = np.linspace(-self.half, self.half, columns) + 240, np.linspace(TOP, self.hem, rows)
            else:
                sign = 1 if part == Part.LEFT_SLEEVE else -1
                x, y = 240 + sign * np.linspace(self.half + 36, self.half, columns), np.linspace(TOP, TOP + 60, rows)
            grid = np.stack(np.meshgrid(x, y), -1)
            splines.append(Spline(part, lattice, grid.astype(np.float32)))
        return Warp(tuple(splines), 0.0), "inner"


LEFT, RIGHT, END = 180, 300, 340  # of the old top in the picture
SHOULDERS = 203  # where those of the laid garment are, and of the person


def standing(left: int = LEFT) -> Person:
    """Somebody whose old top is a plain rectangle above plain trousers."""
    labels = np.zeros(scenes.SIZE, np.uint8)
    labels[SHOULDERS:END, left:RIGHT] = Label.TOP
    labels[END:600, 190:290] = Label.LOWER
    return scenes.person(scenes.body(), labels)


def torso(person: Person, fit: Laid, options: FitOptions = FitOptions()) -> Array:
    warp, _ = Seated(fit, options)(person, scenes.garment())
    return warp[Part.TORSO].points


def test_sides_nearby_go_to_the_outline() -> None:
    row = torso(standing(), Laid(54.0))[2]
    assert row[0, 0] == pytest.approx(LEFT, abs=3)
    assert row[-1, 0] == pytest.approx(RIGHT, abs=3)
    assert row[2, 0] - row[1, 0] == pytest.approx(36.0, rel=0.05)  # a print in the middle keeps its size


def test_an_outline_far_away_is_somebody_elses() -> None:
    row = torso(standing(), Laid(30.0))[2]
    assert row[-1, 0] - row[0, 0] == pytest.approx(60.0)


def test_an_arm_in_a_sleeve_is_no_part_of_the_torso() -> None:
    """Where a clad arm hangs beside the body its outline is not the torso's: chest and shoulders stay as wide as they
    were laid, and only the sleeve goes out."""
    points = scenes.body()
    points[[11, 13, 15], 0], points[[12, 14, 16], 0] = 309, 171
    labels = np.zeros(scenes.SIZE, np.uint8)
    labels[SHOULDERS:END, LEFT - 20 : RIGHT + 20] = Label.TOP
    labels[END:600, 190:290] = Label.LOWER
    person, laid, garment = scenes.person(points, labels), Laid(64.0), scenes.garment()
    own = laid(person, garment)[0][Part.TORSO].points
    assert np.allclose(torso(person, laid)[:4, :, 0], own[:4, :, 0], atol=0.5)  # the last row lies on the trousers
    points[[13, 15, 14, 16], 1] = 150  # raised: what is seen beside the chest is the chest
    raised = torso(scenes.person(points, labels), laid)
    assert raised[2, -1, 0] - raised[2, 0, 0] == pytest.approx(RIGHT - LEFT + 40, abs=4)


def test_shoulders_go_to_those_that_are_seen() -> None:
    """Each to its own; not where hair hides them, and not as far as a hood."""
    labels = np.zeros(scenes.SIZE, np.uint8)
    labels[SHOULDERS:END, LEFT:RIGHT] = Label.TOP
    labels[SHOULDERS - 9 : SHOULDERS, 240:RIGHT] = Label.TOP  # the left one is higher
    own = torso(scenes.person(scenes.body(), labels), Laid(60.0), FitOptions("slim"))
    seen = torso(scenes.person(scenes.body(), labels), Laid(60.0))
    assert own[0, -1, 1] - seen[0, -1, 1] == pytest.approx(9, abs=2.5)  # crop px are 2.5
    assert seen[0, 0, 1] == pytest.approx(own[0, 0, 1], abs=1.5)
    assert np.allclose(seen[2:, :, 1], own[2:, :, 1], atol=1.0)
    hidden = labels.copy()
    hidden[SHOULDERS - 60 : SHOULDERS - 9, 240:RIGHT] = Label.HAIR
    assert torso(scenes.person(scenes.body(), hidden), Laid(60.0))[0, -1, 1] == pytest.approx(TOP, abs=1.5)
    labels[SHOULDERS - 22 : SHOULDERS, 240:RIGHT] = Label.TOP
    hood = torso(scenes.person(scenes.body(), labels), Laid(60.0))
    assert own[0, -1, 1] - hood[0, -1, 1] == pytest.approx(12, abs=1.0)  # .08 of 150 px


def test_what_the_user_asks_for_is_left_alone() -> None:
    laid = Laid(54.0)
    own = laid(standing(), scenes.garment())[0][Part.TORSO].points
    assert np.array_equal(torso(standing(), laid, FitOptions("slim", 1.2)), own)
    longer = torso(standing(), laid, FitOptions("regular", 1.2))
    assert np.allclose(longer[..., 1], own[..., 1], atol=1.0)
    assert not np.array_equal(longer, own)


def test_a_hem_nearby_meets_the_old_one_and_a_far_one_does_not() -> None:
    near, far = (torso(standing(), Laid(60.0, END + off)) for off in (-9, -45))
    assert near[-1, :, 1].mean() == pytest.approx(END, abs=3)
    assert far[-1, :, 1].mean() == pytest.approx(END - 45, abs=1)
    own = Laid(60.0, END - 9)(standing(), scenes.garment())[0][Part.TORSO].points
    assert np.allclose(near[:2, :, 1], own[:2, :, 1], atol=1.0)  # nothing above the armpits moves


def to_the_hip(trousers: int = 0) -> Person:
    """Somebody in a long top whom the picture's edge cuts off ``trousers`` px below its hem."""
    labels = np.zeros(scenes.SIZE, np.uint8)
    labels[SHOULDERS:LONG, LEFT:RIGHT] = Label.TOP
    labels[LONG : LONG + trousers, LEFT:RIGHT] = Label.LOWER
    return scenes.person(scenes.body(), labels)


LONG = 395  # where the long old top ends in the picture; the hem of the laid one is 55 px above that


def test_where_no_trousers_are_seen_the_hem_goes_down_to_the_old_one() -> None:
    own, unseen, rim, seen = (torso(p, Laid(60.0)) for p in (standing(), to_the_hip(), to_the_hip(6), to_the_hip(60)))
    assert unseen[-1, :, 1].mean() > LONG + 5  # past the edge, for hems are seldom straight
    assert rim[-1, :, 1].mean() > LONG + 5
    assert np.allclose(unseen[:2], own[:2], atol=1.0)  # longer from the armpits down only
    assert seen[-1, :, 1].mean() == pytest.approx(HEM, abs=1)  # enough of them is seen to go on with


def test_trousers_that_were_seen_are_not_forgotten_at_once() -> None:
    seated, garment = Seated(Laid(60.0), FitOptions()), scenes.garment()
    _, state = seated(to_the_hip(60), garment)
    for _ in range(10):
        warp, state = seated(to_the_hip(), garment, state=state)
    assert warp[Part.TORSO].points[-1, :, 1].mean() == pytest.approx(HEM, abs=1)


def test_black_trousers_below_a_black_top_are_told_by_knees() -> None:
    labels = np.zeros(scenes.SIZE, np.uint8)
    labels[SHOULDERS:600, LEFT:RIGHT] = Label.TOP
    person = scenes.person(scenes.body(), labels)
    assert torso(person, Laid(60.0))[-1, :, 1].mean() == pytest.approx(HEM, abs=1)


def test_a_sleeve_follows_the_wide_one_that_it_replaces() -> None:
    """Its outer edge goes out; the inner one and the shoulder's corner stay."""
    person = standing(left=134)  # where the right sleeve is laid, the old one reaches a little farther out
    own = Laid(66.0)(person, scenes.garment())[0][Part.RIGHT_SLEEVE].points
    seated = Seated(Laid(66.0), FitOptions())(person, scenes.garment())[0][Part.RIGHT_SLEEVE].points
    assert seated[-1, 0, 0] == pytest.approx(134, abs=3)
    assert np.allclose(seated[-1, -1], own[-1, -1])


def test_outlines_that_flicker_move_it_slowly() -> None:
    seated = Seated(Laid(54.0), FitOptions())
    garment = scenes.garment()
    first, state = seated(standing(), garment)
    cut = standing(left=LEFT + 12)  # a strip of the left side lost for one frame
    lost, _ = seated(cut, garment, state=state)
    anew, _ = seated(replace(cut, shot=1), garment, state=state)
    edges = [w[Part.TORSO].points[2, 0, 0] for w in (first, lost, anew)]
    assert 0.2 < edges[1] - edges[0] < 2.0
    assert edges[2] - edges[0] > 6  # another shot starts afresh


def test_a_sleeve_goes_round_a_bare_arm_and_no_farther() -> None:
    """Beside the body the arm is seen from both sides; the laid sleeve is thinner and lies a little off it."""
    bare = standing()
    labels = np.zeros(scenes.SIZE, np.uint8)
    labels[SHOULDERS:END, LEFT:RIGHT], labels[END:600, 190:290] = Label.TOP, Label.LOWER
    labels[TOP_OF_ARM:END, ARM[0] : ARM[1]] = Label.RIGHT_ARM
    person = scenes.person(scenes.body(), labels)
    laid = Thin(66.0)
    own = laid(person, scenes.garment())[0][Part.RIGHT_SLEEVE].points
    seated = Seated(laid, FitOptions())(person, scenes.garment())[0][Part.RIGHT_SLEEVE].points
    assert seated[-1, 0, 0] == pytest.approx(ARM[0], abs=4)
    assert seated[-1, -1, 0] == pytest.approx(ARM[1], abs=4)
    assert np.allclose(seated[0, :, 1], own[0, :, 1], atol=1.0)
    without = Seated(laid, FitOptions())(bare, scenes.garment())[0][Part.RIGHT_SLEEVE].points
    assert np.allclose(without[-1], own[-1], atol=1.0)  # nothing is seen there: it stays as it was laid
    loose = Seated(laid, FitOptions(fit="loose"))(person, scenes.garment())[0][Part.RIGHT_SLEEVE].points
    assert np.allclose(loose[-1], own[-1], atol=1.0)


TOP_OF_ARM, ARM = 196, (136, 170)  # of the bare arm in the picture


class Thin(Laid):
    """Sleeves of a third of their width."""

    def __call__(self, person: Person, garment: Garment, *, state: object = None) -> tuple[Warp, object]:
        warp, inner = super().__call__(person, garment, state=state)
        thin = []
        for spline in warp.splines:
            middle = spline.points.mean(1, keepdims=True)
            width = 1.0 if spline.part == Part.TORSO else 0.33
            thin.append(replace(spline, points=(middle + width * (spline.points - middle)).astype(np.float32)))
        return Warp(tuple(thin), 0.0), inner
