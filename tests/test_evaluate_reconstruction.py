"""Self-reconstruction: the truth is the photograph; who is put back scores well, who is left painted does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import scenes
from vtryon.evaluate import reconstruction
from vtryon.evaluate.damage import Photograph
from vtryon.evaluate.reconstruction import measure_reconstruction
from vtryon.person.regions import label_regions
from vtryon.types import Array, Garment, Label, Person

RGB, WEARER, LABELS = scenes.scene(seed=1)
NOWHERE = Path("nowhere")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """A drawn photograph in place of those of the data; returns the list of what is looked at for people."""
    looked: list[Array] = []

    def person_in(picture: Array, _labeller: Any) -> Person:
        looked.append(picture)
        return WEARER

    monkeypatch.setattr(reconstruction, "person_in", person_in)
    monkeypatch.setattr(reconstruction, "people_labels", lambda raw, _points, _names: raw)
    photographs = [Photograph(str(n), RGB, LABELS, []) for n in range(3)]
    monkeypatch.setattr(reconstruction, "validation_photographs", lambda _data: iter(photographs))
    return looked


def test_whoever_gets_the_own_top_back_scores_above_the_copy(drawn: list[Array]) -> None:
    found = measure_reconstruction(NOWHERE, labeller=label_regions, warp="anchored", every=2)
    assert found["photographs"] == 2
    assert found["skipped"] == []
    assert found["result"]["region_l1"] < 0.65 * found["copy"]["region_l1"]
    assert found["result"]["region_ssim"] > found["copy"]["region_ssim"]
    assert found["copy"]["region_l1"] > 10, "the own top was painted over"
    painted = np.abs(drawn[1].astype(int) - RGB).max(-1) > 40
    assert (painted & (LABELS != Label.TOP)).sum() > 300, "and more than it"
    assert (painted & (LABELS == Label.HAIR)).sum() == 0


def test_the_truth_is_the_photograph(drawn: list[Array], monkeypatch: pytest.MonkeyPatch) -> None:
    garments: list[Garment] = []

    def restored(_source: Array, _person: Person, garment: Garment, *_: Any) -> SimpleNamespace:
        garments.append(garment)
        return SimpleNamespace(frame=SimpleNamespace(rgb=RGB))

    monkeypatch.setattr(reconstruction, "dressed", restored)
    found = measure_reconstruction(NOWHERE, labeller=label_regions)
    assert found["result"]["region_ssim"] == pytest.approx(1)
    assert found["result"]["l1"] == 0
    assert np.abs(garments[0].cloth.astype(int) - scenes.RED).max() < 8, "it is the own top that is put on"


def test_the_same_seed_paints_the_same(drawn: list[Array]) -> None:
    one, two, other = (measure_reconstruction(NOWHERE, labeller=label_regions, seed=s, every=3) for s in (0, 0, 1))
    assert one == two
    assert one["copy"] != other["copy"]


def test_coats_and_pictures_without_a_top_are_left_out(drawn: list[Array], monkeypatch: pytest.MonkeyPatch) -> None:
    photo = Photograph("a", RGB, LABELS, [])
    coat = replace(photo, name="b", raw=np.where(LABELS == Label.TOP, Label.OUTER, LABELS).astype(np.uint8))
    bare = replace(photo, name="c", raw=np.where(LABELS == Label.TOP, 0, LABELS).astype(np.uint8))
    monkeypatch.setattr(reconstruction, "validation_photographs", lambda _data: iter([coat, bare]))
    found = measure_reconstruction(NOWHERE, labeller=label_regions)
    assert found["skipped"] == ["b", "c"]
    assert found["photographs"] == 0
