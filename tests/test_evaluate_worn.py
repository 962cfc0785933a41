"""What is worn, left and harmed is told from what the parser sees in source and result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import bodies
from vtryon.evaluate.worn import Kept, coverage, garment_region, labels_on_frame
from vtryon.types import CROP_SIZE, Array, Crop, Label, Person

SIZE = (512, 384)  # twice the crop
TORSO = np.s_[200:360, 120:260]
FACE = np.s_[60:150, 150:230]


def wearing(places: Mapping[Label, tuple[slice, slice]]) -> Person:
    """Somebody whose crop is the whole frame, with labels at places of the frame."""
    labels = np.zeros((len(Label), *CROP_SIZE), np.uint8)
    labels[Label.BACKGROUND] = 255
    for label, (rows, columns) in places.items():
        at = np.s_[rows.start // 2 : rows.stop // 2, columns.start // 2 : columns.stop // 2]
        labels[(slice(None), *at)] = 0
        labels[(label, *at)] = 255
    pose = bodies.pose(bodies.points(190, 180, 110))
    return Person(pose, Crop(0.0, 0.0, SIZE[0]), np.ones(CROP_SIZE, np.float32), labels, 0.0, 0)


PERSON = wearing({Label.TOP: TORSO, Label.FACE: FACE})


def picture() -> Array:
    return np.random.default_rng(0).integers(60, 190, (*SIZE, 3)).astype(np.uint8)


def kept(result: Array, truth: Array | None = None, wearer: Person = PERSON) -> Kept:
    found = Kept()
    found.add(picture(), result, truth, PERSON, wearer)
    return found


def test_labels_and_coverage_lie_where_they_are_seen() -> None:
    labels = labels_on_frame(PERSON, SIZE)
    assert (labels[210:350, 130:250] == Label.TOP).all()
    assert (labels[70:140, 160:220] == Label.FACE).all()
    assert (labels == Label.TOP).sum() == pytest.approx(160 * 140, rel=0.03)
    assert coverage(PERSON, SIZE)[TORSO].mean() > 0.97
    small = Person(PERSON.pose, Crop(0.0, 0.0, 100.0), PERSON.matte, PERSON.labels, 0.0, 0)
    assert (labels_on_frame(small, SIZE)[110:] == Label.BACKGROUND).all(), "outside the crop"


def test_the_region_is_old_and_new_top_and_a_little_more() -> None:
    longer = wearing({Label.DRESS: np.s_[300:440, 120:260]})
    region = garment_region(PERSON, longer, SIZE)
    assert region[205:435, 125:255].all()
    assert region[197, 190]
    assert not region[:190].any()
    assert not garment_region(None, None, SIZE).any()


def test_nothing_changed_leaves_all_and_harms_nothing() -> None:
    found = kept(picture())
    assert found.leftover() == 1
    assert found.damage() == 0


def test_half_of_the_top_left_and_the_face_harmed() -> None:
    result = picture()
    result[200:280, 120:260] = 255 - result[200:280, 120:260]
    result[200:280, 120:260, 0] = 255
    assert kept(result).leftover() == pytest.approx(0.5, abs=0.02)
    assert kept(result).damage() == 0
    result[FACE] = 0
    harmed = kept(result).damage()
    assert harmed is not None
    assert harmed > 0.01


def test_new_cloth_over_the_background_is_no_harm() -> None:
    result = picture()
    wide = np.s_[200:360, 60:320]
    result[wide] = 0
    alone, worn = (kept(result, wearer=w).damage() for w in (PERSON, wearing({Label.TOP: wide, Label.FACE: FACE})))
    assert alone is not None
    assert alone > 0.05
    assert worn == 0


def test_cloth_that_the_truth_shows_alike_is_not_left_over() -> None:
    truth = picture()
    truth[280:360, 120:260] = 0  # below, another cloth; above, the same
    assert kept(picture(), truth).leftover() == pytest.approx(1, abs=0.01)
    assert kept(truth, truth).leftover() == 0
    assert kept(picture(), picture()).leftover() is None, "the garment is the one that is worn"


def test_shares_are_of_all_frames() -> None:
    found = kept(picture())
    other = picture()
    other[TORSO] = 0
    found.add(picture(), other, None, PERSON, PERSON)
    assert found.leftover() == pytest.approx(0.5, abs=0.02)
    assert Kept().leftover() is None
    assert Kept().damage() is None
