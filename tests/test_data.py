"""Data sets on disk: each layout is recognised and read, what is missing is named, what is computed is kept."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import media
import trees
from vtryon.cli.app import app
from vtryon.data import FootageKind, Layout, Sample, Tree, open_tree, read_frames
from vtryon.data.analysis import Analysis, prepare
from vtryon.data.check import check_tree
from vtryon.data.parts import read_flow, read_joints, read_lip
from vtryon.errors import BadInputError, MissingInputError
from vtryon.types import Label


@pytest.fixture(params=list(trees.LAYOUTS))
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return open_tree(trees.LAYOUTS[request.param](tmp_path / request.param))


def check(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, words)], env={"NO_COLOR": "1"})


def test_every_layout_is_recognised_with_its_splits_and_pairs(tree: Tree) -> None:
    assert tree.layout == tree.root.name
    assert tree.splits == ("train", "test")
    assert len(tree.select("train", paired=True)) == 3
    (own,), (other,) = tree.select("test", paired=True), tree.select("test", paired=False)
    assert own.person == other.person
    assert own.person_id == other.person_id != other.id
    assert own.garment != other.garment
    assert tree.broken == ()
    assert all(s.garment.is_file() and s.person.path.exists() for s in tree.samples)
    assert len({(s.split, s.id) for s in tree.samples}) == len(tree.samples)


def test_frames_come_in_order(tree: Tree) -> None:
    sample = tree.select("test", paired=True)[0]
    frames = list(read_frames(sample.person))
    count = 1 if tree.layout == Layout.VITON else trees.FRAMES
    assert [f.index for f in frames] == list(range(count))
    for frame, truth in zip(frames, trees.clip(3), strict=False):
        assert np.abs(frame.rgb.astype(int) - truth).mean() < (3 if tree.layout == Layout.VITON else 1e-9)


def test_a_garment_is_the_one_that_is_worn_and_never_the_person(tmp_path: Path) -> None:
    for make in (trees.fw_gan, trees.competition):
        for sample in open_tree(make(tmp_path / make.__name__)).select(paired=True):
            assert sample.garment.name.lower().startswith(sample.id)
            assert "cloth_front" in sample.garment.name


def test_clips_may_be_videos_and_names_need_not_match(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in ("ann", "bob"):
        media.make(tmp_path / "clips" / f"{name}.mp4", media.Spec(count=4))
        trees.save(tmp_path / "garments" / f"red {name}.jpg", trees.garment())
    tree = open_tree(tmp_path)
    assert [(s.id, s.paired) for s in tree.samples] == [("ann__red ann", False), ("bob__red ann", False)]
    assert tree.samples[0].person.kind == FootageKind.VIDEO
    assert len(list(read_frames(tree.samples[0].person))) == 4
    (tmp_path / "pairs.txt").write_text("bob.mp4,red bob.jpg\n")
    assert [s.id for s in open_tree(tmp_path).samples] == ["bob__red bob"]
    with pytest.raises(MissingInputError, match="no paired samples in its train split"):
        tree.select("train", paired=True)


def test_another_list_of_pairs_may_be_given(tmp_path: Path) -> None:
    root = trees.viton(tmp_path / "viton")
    listed = tmp_path / "mine.txt"
    listed.write_text("000003_0.jpg 000003_1.jpg\n\n000003_0.jpg 000008_1.jpg\n")
    tree = open_tree(root, pairs=listed)
    assert [s.id for s in tree.select("test")] == ["000003_0"]
    assert tree.broken == (f"{root / 'test' / 'cloth' / '000008_1.jpg'} is missing",)
    listed.write_text("000003_0.jpg\n")
    with pytest.raises(BadInputError, match=r"mine\.txt, line 1: 2 names are wanted, found 1"):
        open_tree(root, pairs=listed)


@pytest.mark.parametrize(
    ("layout", "gone", "first"),
    [
        ("viton", "train/cloth", "train/cloth"),
        ("viton", "*_pairs.txt", "train_pairs.txt"),
        ("fw_gan_vvt", "clothes_person/img", "clothes_person/img"),
        ("fw_gan_vvt", "t*/*_frames", "train/train_frames"),
        ("vvt_competition", "lip_clothes_person", "lip_clothes_person"),
        ("vvt_competition", "lip_t*_frames", "lip_train_frames"),
        ("clips", "garments", "garments"),
        ("clips", "clips/*", "clips/*"),
    ],
)
def test_a_wrong_tree_names_the_first_thing_missing_and_shows_the_right_one(
    tmp_path: Path, layout: str, gone: str, first: str
) -> None:
    root = trees.LAYOUTS[layout](tmp_path / "data")
    for path in list(root.glob(gone)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    result = check(root)
    assert result.exit_code == 66
    line, _, *expected = result.stderr.splitlines()
    assert line == f"vtryon: error: {root / first} is missing; {root} is taken for {layout}"
    assert expected[0] == layout
    assert expected[1].startswith("ROOT/")


def test_a_folder_of_anything_is_refused_with_all_trees(tmp_path: Path) -> None:
    result = check(tmp_path)
    assert result.exit_code == 65
    assert "none of the data sets that are known" in result.stderr
    assert all(f"\n{layout}\nROOT/" in result.stderr for layout in Layout)
    assert check(tmp_path / "nowhere").exit_code == 66


def test_check_counts_what_is_there_and_what_would_be_computed(tmp_path: Path) -> None:
    root = trees.fw_gan(tmp_path / "vvt")
    for name in trees.NAMES[:2]:
        (root / "train" / "train_frames_keypoint" / name).mkdir(parents=True)
    result = check(root, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["layout"], found["faults"]) == ("fw_gan_vvt", 0)
    assert found["splits"]["train"] == {
        "clips": 3, "frames": 9, "paired": 3, "unpaired": 0, "garments": 3,
        "given": {"pose": 2, "parsing": 0, "flow": 0},
    }  # fmt: skip
    assert (found["splits"]["test"]["paired"], found["splits"]["test"]["unpaired"]) == (1, 1)
    text = check(root).stdout
    assert "pose: 2 given, 1 to be computed" in text
    assert "flow: none given, to be computed" in text


def test_check_names_the_first_faults_and_counts_the_rest(tmp_path: Path) -> None:
    root = trees.competition(tmp_path / "vvt")
    for n in range(trees.FRAMES):
        (root / "lip_train_frames" / trees.NAMES[0] / f"{n:03d}.png").write_bytes(b"no picture")
        (root / "lip_train_frames" / trees.NAMES[2] / f"{n:03d}.png").unlink()
    shutil.rmtree(root / "lip_clothes_person" / trees.NAMES[1])
    trees.save(root / "lip_test_frames" / trees.NAMES[3] / "009.png", np.zeros((10, 10, 3), np.uint8))
    found = check_tree(open_tree(root), first=2)
    assert found.faults == 1 + trees.FRAMES + 1 + 1
    assert found.first[0] == f"{root / 'lip_clothes_person' / trees.NAMES[1] / '*cloth*.jpg'} is missing"
    assert found.first[1].endswith("000.png: not a picture")
    result = check(root)
    assert result.exit_code == 65
    assert f"broken: {found.faults}" in result.stdout
    assert "... and 1 more" in result.stdout


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return Analysis.of(tmp_path_factory.mktemp("cache"), "cpu")


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return open_tree(trees.competition(tmp_path / "vvt")).select("test", paired=True)[0]


def test_a_clip_is_analysed_once_and_kept(analysis: Analysis, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    (clip,) = prepare(analysis, (sample,))
    assert (len(clip), clip.frames) == (trees.FRAMES, trees.FRAMES)
    assert [clip.follows(n) for n in range(3)] == [False, True, True]
    first, second = clip[0], clip[1]
    assert first.rgb.shape == (256, 192, 3)
    assert (first.labels == Label.TOP).mean() > 0.08
    assert not first.flow.any()
    assert not first.valid.any()
    assert second.valid.mean() > 0.9
    monkeypatch.setattr("vtryon.data.analysis.analyse", None)
    again = analysis.clip(sample)
    assert np.array_equal(again[1].flow, second.flow)
    assert np.array_equal(analysis.garment(sample).alpha, analysis.garment(sample).alpha)


def test_what_is_kept_is_what_was_seen(analysis: Analysis, sample: Sample) -> None:
    from vtryon.render.flow import SourceFlow

    clip = analysis.clip(sample)
    flow = SourceFlow()(clip[0].rgb, clip[1].rgb)
    assert np.abs(clip[1].flow - flow.backward).mean() < 0.02
    assert np.abs(clip[1].flow - flow.backward).max() < 0.3
    assert np.abs(clip[1].valid - flow.valid).max() <= 0.5 / 255 + 1e-6
    assert clip.path.stat().st_size < 3 * 110_000


def test_a_damaged_clip_is_made_anew(analysis: Analysis, sample: Sample) -> None:
    clip = analysis.clip(sample)
    clip.path.write_bytes(clip.path.read_bytes()[:1000])
    with pytest.raises(BadInputError, match="not a whole prepared clip"):
        clip[0]
    assert len(analysis.clip(sample)) == trees.FRAMES


def test_a_clip_without_anybody_has_no_moments(
    analysis: Analysis, sample: Sample, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("vtryon"), "propagate", True)  # a command may have had it to itself
    for path in sample.person.pictures():
        trees.save(path, np.full((256, 192, 3), 90, np.uint8))
    with caplog.at_level("WARNING", logger="vtryon"):
        (clip,) = prepare(analysis, (sample,))
    assert (len(clip), clip.frames) == (0, trees.FRAMES)
    assert "nobody is found in it" in caplog.text


def test_parts_that_are_given_are_used(analysis: Analysis, sample: Sample, tmp_path: Path) -> None:
    parts = {part: tmp_path / part for part in ("pose", "parsing", "flow")}
    for path in sample.person.pictures():
        trees.write_openpose(parts["pose"] / f"{path.stem}_keypoints.json")
        trees.write_lip(parts["parsing"] / f"{path.stem}_label.png")
        parts["flow"].mkdir(exist_ok=True)
        cv2.writeOpticalFlow(str(parts["flow"] / f"{path.stem}.flo"), np.full((256, 192, 2), (3.0, 0.0), np.float32))
    plain, given = analysis.clip(sample), analysis.clip(replace(sample, **parts))
    ours, theirs = plain[1], given[1]
    assert np.abs(ours.points[11] - theirs.points[11]).max() > 10
    assert np.allclose(theirs.points[11], theirs.points[12], atol=1e-3)  # both shoulders where the file says
    assert np.array_equal(ours.points[25], theirs.points[25])  # a joint that was not seen
    assert abs(float(np.median(theirs.flow[..., 0])) - 3.0) < 1.0  # the crop is about as large as the picture
    assert np.abs(ours.flow).mean() < 1.5
    assert (theirs.labels == Label.LOWER).any()
    assert not (theirs.labels == Label.HAIR).any()
    assert (theirs.labels == Label.FACE).any()  # LIP calls the neck background: there ours count


def test_a_garments_outline_is_the_data_sets_own_where_it_has_one(analysis: Analysis, tmp_path: Path) -> None:
    root = trees.viton(tmp_path / "viton")
    plain = analysis.garment(open_tree(root).select("train")[0])
    mask = np.where(plain.alpha > 0.5, 200, 100).astype(np.uint8)  # 128 and above is garment
    mask[: int(plain.keypoints["collar_c"][1]) + 40] = 0
    trees.save(root / "train" / "cloth-mask" / "000000_1.jpg", mask)
    trees.write_openpose(root / "train" / "pose" / "000000_0_keypoints.json")
    trees.write_lip(root / "train" / "image-parse" / "000000_0.png")
    first, second, *_ = open_tree(root).select("train")
    assert (second.garment_mask, second.pose, second.parsing) == (None, None, None)
    given = analysis.garment(first).alpha
    assert not given[: int(plain.keypoints["collar_c"][1]) + 30].any()
    below = int(plain.keypoints["hem_c"][1]) - 20
    assert abs(float((given[below - 40 : below] > 0.5).mean() - (plain.alpha[below - 40 : below] > 0.5).mean())) < 0.03
    assert not (analysis.clip(first)[0].labels == Label.HAIR).any()  # the map given knows no hair
    assert check_tree(open_tree(root)).splits["train"].given == {"pose": 1, "parsing": 1, "flow": 0}
    trees.save(root / "train" / "cloth-mask" / "000000_1.jpg", mask[:100])
    with pytest.raises(BadInputError, match="not of the size of"):
        analysis.garment(first)


def test_changed_footage_is_analysed_again(analysis: Analysis, sample: Sample) -> None:
    before = analysis.clip(sample)
    trees.save(sample.person.path / "000.png", trees.clip(0)[0])
    after = analysis.clip(sample)
    assert before.path != after.path
    assert not np.array_equal(before[0].rgb, after[0].rgb)


def test_frames_of_a_folder_have_one_size(sample: Sample) -> None:
    trees.save(sample.person.path / "009.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(BadInputError, match=r"009\.png: 20 x 20 px, the frames before it have another size"):
        list(read_frames(sample.person))
    for path in sample.person.pictures():
        path.unlink()
    with pytest.raises(BadInputError, match="no frames in this folder"):
        list(read_frames(sample.person))


def test_formats_of_the_field_are_read_and_others_refused(tmp_path: Path) -> None:
    trees.write_lip(tmp_path / "lip.png")
    labels = read_lip(tmp_path / "lip.png")
    assert labels[100, 90] == Label.TOP
    assert labels[200, 90] == Label.LOWER
    trees.save(tmp_path / "rgb.png", trees.garment())
    with pytest.raises(BadInputError, match="not a LIP label map"):
        read_lip(tmp_path / "rgb.png")
    trees.write_openpose(tmp_path / "a_keypoints.json")
    points, sure = read_joints(tmp_path / "a_keypoints.json")
    assert points[0].tolist() == [96.0, 20.0]
    assert (sure[25], round(float(sure[11]), 3)) == (0.0, 0.9)
    (tmp_path / "b.json").write_text('{"people": [{"pose_keypoints": [1, 2, 3]}]}')
    with pytest.raises(BadInputError, match="1 joints, 18 are wanted"):
        read_joints(tmp_path / "b.json")
    (tmp_path / "nobody.json").write_text('{"people": []}')
    assert not read_joints(tmp_path / "nobody.json")[1].any()
    cv2.writeOpticalFlow(str(tmp_path / "a.flo"), np.ones((20, 10, 2), np.float32))
    assert read_flow(tmp_path / "a.flo", (40, 20)).mean() == 2.0
    (tmp_path / "b.flo").write_bytes(b"PIEH")
    with pytest.raises(BadInputError, match="not a whole"):
        read_flow(tmp_path / "b.flo", (40, 20))
