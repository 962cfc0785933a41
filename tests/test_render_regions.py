"""What lies before the cloth and what it may cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scenes
from vtryon.render.regions import Regions, regions
from vtryon.types import CROP_SIZE, Array, Label


def on_crop(points: Array) -> tuple[Array, Array]:
    """Columns and rows of the crop grid for points of the picture."""
    grid = np.floor(points / 2.5).astype(int)
    return grid[..., 1], grid[..., 0]


def read(points: Array | None = None, **changes: float) -> tuple[Regions, Array]:
    _, person, labels = scenes.scene(points, **changes)  # type: ignore[arg-type]
    return regions(person), labels[1::2, 1::2][: CROP_SIZE[0] * 5 // 4]


def test_masks_are_masks() -> None:
    where, _ = read()
    for name in ("worn", "front", "left_arm", "right_arm", "arm_shape", "neck", "throat", "body"):
        mask = getattr(where, name)
        assert mask.shape == CROP_SIZE, name
        assert mask.dtype == np.float32, name
        assert 0.0 <= mask.min() < 0.01, name
        assert 0.99 < mask.max() <= 1.0, name


def test_the_old_top_is_what_is_worn() -> None:
    where, _ = read()
    chest = on_crop(scenes.body()[[11, 12, 23, 24]].mean(0))
    assert where.worn[chest] == pytest.approx(1.0)
    assert where.worn[on_crop(scenes.body()[0])] == 0.0
    assert where.worn[on_crop(scenes.body()[25])] == 0.0


def test_a_hand_before_the_body_is_before_the_cloth() -> None:
    where, _ = read(scenes.hand_on_belly())
    hand = on_crop(scenes.hand_on_belly()[15])
    assert where.left_arm[hand] > 0.95
    assert where.right_arm[hand] < 0.05 or where.left_arm[hand] > 0.95
    middle = on_crop(scenes.hand_on_belly()[[13, 15]].mean(0))
    assert where.left_arm[middle] > 0.95, "and so is the forearm"


def test_a_hand_that_is_taken_for_a_neck_is_still_a_hand() -> None:
    """Labels waver where a hand lies before the throat; below the chin skin near the wrist is the hand's."""
    points = scenes.hand_on_belly()
    _, _, labels = scenes.scene(points)
    y, x = np.mgrid[:640, :480]
    palm = (np.hypot(x - points[15, 0], y - points[15, 1]) < 22) & (labels == Label.LEFT_ARM)
    labels[palm] = Label.FACE
    where = regions(scenes.person(points, labels))
    assert where.left_arm[on_crop(points[15])] > 0.95


def test_a_bare_shoulder_is_under_the_cloth() -> None:
    _, _, labels = scenes.scene()
    points = scenes.body()
    near_joint = points[11] + 0.15 * (points[13] - points[11])
    y, x = np.mgrid[:640, :480]
    bare = (np.hypot(x - near_joint[0], y - near_joint[1]) < 14) & (labels == Label.TOP)
    assert bare.any()
    labels[bare] = Label.LEFT_ARM
    where = regions(scenes.person(points, labels))
    assert where.left_arm[on_crop(near_joint)] < 0.3
    assert where.left_arm[on_crop(points[15])] > 0.95, "the hand is not"


def test_a_collar_may_cover_the_neck_but_never_the_face() -> None:
    where, _ = read()
    points = scenes.body()
    for landmark in (0, 9, 10):
        assert where.front[on_crop(points[landmark])] > 0.95
    neck = points[[11, 12]].mean(0) - np.float32([0, 16])
    assert where.front[on_crop(neck)] < 0.05
    assert where.neck[on_crop(neck)] == 1.0


def test_hair_is_before_everything_even_on_the_chest() -> None:
    points = scenes.body()
    _, _, labels = scenes.scene(points)
    labels[int(points[11, 1]) : int(points[11, 1]) + 60, 205:225] = Label.HAIR  # a strand over the shoulder
    where = regions(scenes.person(points, labels))
    assert where.front[on_crop(np.float32([215, points[11, 1] + 30]))] > 0.95


def test_things_carried_are_before_the_cloth() -> None:
    points = scenes.body()
    _, _, labels = scenes.scene(points)
    labels[230:300, 215:265] = Label.CARRIED  # a camera
    where = regions(scenes.person(points, labels))
    assert where.front[on_crop(np.float32([240, 265]))] > 0.95


def test_a_card_on_the_chest_goes_with_the_top() -> None:
    points = scenes.body()
    _, _, labels = scenes.scene(points)
    labels[230:300, 230:250] = Label.CARRIED  # a badge and some of its strap
    where = regions(scenes.person(points, labels))
    card = on_crop(np.float32([240, 265]))
    assert where.front[card] == 0.0
    assert where.worn[card] == pytest.approx(1.0)
    assert where.lit[card] == 0.0  # it is no fold of the cloth
    assert where.lit[on_crop(np.float32([212, 265]))] == pytest.approx(1.0)


def test_a_card_in_a_hand_stays() -> None:
    points = scenes.hand_on_belly()
    _, _, labels = scenes.scene(points)
    x, y = points[15].astype(int)
    labels[y - 40 : y - 4, x - 10 : x + 10] = Label.CARRIED
    where = regions(scenes.person(points, labels))
    assert where.front[on_crop(np.float32([x, y - 18]))] > 0.95


@pytest.mark.parametrize(("share", "kept"), [(0.45, False), (0.9, True)])
def test_of_what_lies_beside_a_hand_on_the_top_only_what_is_sure_is_no_print(share: float, kept: bool) -> None:
    points = scenes.hand_on_belly()
    _, _, labels = scenes.scene(points)
    x, y = points[15].astype(int)
    labels[y - 50 : y - 4, x - 20 : x + 20] = Label.CARRIED
    person = scenes.person(points, labels)
    planes = person.labels.astype(np.float32)
    planes[Label.TOP] += (1 - share) * planes[Label.CARRIED]
    planes[Label.CARRIED] *= share
    where = regions(replace(person, labels=np.rint(planes).astype(np.uint8)))
    at = on_crop(np.float32([x, y - 30]))
    assert (where.front[at] > 0.3) == kept
    assert (where.worn[at] > 0.7) != kept


def test_a_pinhole_in_the_labels_is_no_hole_in_the_garment() -> None:
    points = scenes.body()
    _, _, labels = scenes.scene(points)
    labels[260:265, 240:245] = Label.BACKGROUND
    where = regions(scenes.person(points, labels))
    assert where.worn[104:106, 96:98].min() > 0.9


def test_the_axis_runs_from_shoulders_to_hips_however_one_leans() -> None:
    points = scenes.body()
    c, s = np.cos(0.4), np.sin(0.4)
    leaning = ((points - (240, 300)) @ np.array([[c, s], [-s, c]]) + (240, 300)).astype(np.float32)
    for at in (points, leaning):
        where, _ = read(at)
        assert where.axis_y[on_crop(at[[11, 12]].mean(0))] == pytest.approx(0.0, abs=0.02)
        assert where.axis_y[on_crop(at[[23, 24]].mean(0))] == pytest.approx(1.0, abs=0.02)
        assert where.size == pytest.approx(150 / 2.5, abs=1)


def test_from_behind_the_neck_is_still_free_for_a_collar() -> None:
    where, _ = read(yaw=180.0)
    points = scenes.body(180.0)
    assert where.front[on_crop(points[[11, 12]].mean(0) - np.float32([0, 4]))] < 0.5
    assert where.front[on_crop(points[7:9].mean(0))] > 0.95


def test_a_forearm_with_its_sleeve_pushed_up_is_before_the_cloth() -> None:
    """Half of it is bare, so that only half is in the old sleeve; it is as surely there as in a whole one."""
    points = scenes.hand_on_belly()
    _, _, labels = scenes.scene(points)
    y, x = np.mgrid[:640, :480]
    along = (
        (x - points[13, 0]) * (points[15] - points[13])[0] + (y - points[13, 1]) * (points[15] - points[13])[1]
    ) / (np.linalg.norm(points[15] - points[13]) ** 2)
    sleeve = (labels == Label.LEFT_ARM) & (along < 0.45)
    depth = np.zeros(33, np.float32)
    depth[[13, 15]] = -60.0
    pushed_up = scenes.person(points, np.where(sleeve, Label.TOP, labels).astype(np.uint8))
    where = regions(replace(pushed_up, pose=replace(pushed_up.pose, depth=depth)))
    assert where.left_covered[on_crop(points[13] + 0.35 * (points[15] - points[13]))] > 0.9


def test_light_is_not_read_beside_hair() -> None:
    """Single hairs on the cloth there are neither labelled as hair nor light."""
    _, _, labels = scenes.scene()
    labels[190:300, 225:255] = Label.HAIR
    where = regions(scenes.person(scenes.body(), labels))
    row = 100  # crop px are 2.5 of the picture's
    assert where.worn[row, 104] > 0.9
    assert where.lit[row, 104] < 0.1
    assert where.lit[row, 109] > 0.9
