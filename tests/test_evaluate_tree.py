"""Rendered scenes as a data set: what is trained on, what is tested, and the truth of another top."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from squares import BOX, STEP, square_scene
from vtryon.cli.app import app
from vtryon.data import open_tree
from vtryon.data.tree import Layout
from vtryon.errors import CannotCreateError, MissingInputError
from vtryon.evaluate.footage import collection, of_samples
from vtryon.evaluate.tree import Made, make_tree
from vtryon.progress import Progress
from vtryon.types import Array


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes to train on, one to test, one whose person is turned away and one in which nobody is found."""
    root = tmp_path_factory.mktemp("data")
    for name in ("0001", "0002", "0007"):
        square_scene(root / "pairs" / name)
    square_scene(root / "pairs" / "0003", yaw=-75.0)
    square_scene(root / "pairs" / "0017", unseen=("t2_f1",))
    return root


@pytest.fixture(scope="module")
def tree(data: Path) -> Path:
    out = data.parent / f"{data.name}-tree"
    assert make_tree(data, out) == Made(train=2, test=1, unpaired=1, left_out=2)
    return out


def pixels(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_scenes_are_a_data_set(tree: Path) -> None:
    found = open_tree(tree)
    assert (found.layout, found.broken) == (Layout.CLIPS, ())
    assert [s.person_id[:4] for s in found.select("train")] == ["0001", "0002"]
    paired, unpaired = (found.select("test", paired=paired)[0] for paired in (True, False))
    assert paired.person == unpaired.person
    assert paired.id[:4] == "0007"
    assert unpaired.garment != paired.garment
    (item,) = of_samples((unpaired,), None, collection(tree / "truth"))
    assert item.truth is not None
    assert item.truth.path == tree / "truth" / unpaired.id
    assert len(item.truth.pictures()) == len(paired.person.pictures()) == 2


def test_only_the_top_is_another_one(tree: Path) -> None:
    unpaired = open_tree(tree).select("test", paired=False)[0]
    for frame in range(2):
        source, truth = (
            pixels(path / f"00{frame}.png") for path in (unpaired.person.path, tree / "truth" / unpaired.id)
        )
        changed = (source != truth).any(axis=2)
        left, top = BOX[0] + frame * STEP[0], BOX[1] + frame * STEP[1]
        assert changed[top : top + 160, left : left + 120].mean() > 0.9
        changed[top : top + 160, left : left + 120] = False
        assert not changed.any()
    garment = pixels(unpaired.garment)
    assert garment.shape == (512, 384, 4)
    assert (garment[..., 3] > 0).sum() == 240 * 320
    worn, product = truth[top + 80, left + 60], garment[250, 190, :3]
    assert np.abs(worn - product).max() <= 3, "the cloth that is worn is that of its product"


def test_the_seed_decides_everything(data: Path, tree: Path, tmp_path: Path) -> None:
    def content(root: Path) -> dict[str, bytes]:
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    make_tree(data, tmp_path / "again")
    make_tree(data, tmp_path / "other", seed=1)
    assert content(tmp_path / "again") == content(tree)
    assert content(tmp_path / "other") != content(tree)


def test_it_is_whole_or_not_there(data: Path, tree: Path, tmp_path: Path) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_tree(data, tmp_path / "out", report=stop)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CannotCreateError, match="exists"):
        make_tree(data, tree)
    with pytest.raises(MissingInputError, match="no rendered scenes"):
        make_tree(tmp_path, tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError, match="cannot be made"):
        make_tree(data, tmp_path / "file" / "out")


def test_a_sample_without_its_truth_is_named(tree: Path) -> None:
    samples = open_tree(tree).select("test")
    with pytest.raises(MissingInputError, match=rf"--truth: {samples[1].id} missing"):
        of_samples(samples, None, {})
    (left,) = of_samples(samples, None, {}, partial=True)
    assert left.truth == samples[0].person


def test_made_and_scored_by_commands(data: Path, tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 0, result.output
        return result.stdout

    tree = tmp_path / "tree"
    assert "2 clips to train on, 1 tests" in run("data", "make", data, tree)
    assert json.loads(run("data", "make", data, tmp_path / "second", "--json"))["left_out"] == 2
    unpaired = open_tree(tree).select("test", paired=False)[0]
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / unpaired.id).symlink_to(unpaired.person.path)
    (tmp_path / "perfect").symlink_to(tree / "truth")
    words = (
        "--data",
        tree,
        "--unpaired",
        "--truth",
        tree / "truth",
        "--region",
        "frame",
        "--measures",
        "ssim",
        "--json",
    )
    found = json.loads(run("evaluate", tmp_path / "perfect", tmp_path / "copy", *words))
    assert found["protocol"]["protocol"].startswith("unpaired samples, against the truth")
    perfect, copy = (method["values"]["ssim"] for method in found["methods"])
    assert perfect == 1
    assert copy < 1
