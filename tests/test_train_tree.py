"""Training on data sets of the field: made trees of four tiny clips in each layout."""

from __future__ import annotations

import csv
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import scenes
import trees
from vtryon.cli.app import app
from vtryon.data.analysis import Analysis
from vtryon.data.store import Clip
from vtryon.device import choose
from vtryon.errors import BadInputError, UnavailableError
from vtryon.garment import load_garment
from vtryon.render.unet import RendererNet, RendererSize, load_renderer
from vtryon.train import tree as tree_room
from vtryon.train.lay import Lay, lay_clips
from vtryon.train.loop import LoopConfig
from vtryon.train.parallel import Ranks
from vtryon.train.tree import SmallGarment, TreeData, is_tree, open_training, reduced
from vtryon.train.tree_tryon import TreeExamples
from vtryon.train.tree_warp import TreeWarpTraining, train_warp_tree, tree_batch, tree_terms, warped
from vtryon.train.tryon import PAPER_TREE, TryOnTraining, clip_batch, forgetful, frame_batch, train_tryon, tryon_loss
from vtryon.train.warp import PRESETS
from vtryon.types import CROP_SIZE, WORN_TOP, Part
from vtryon.warp.network import MatchingNet, MatchingSize, load_matching
from vtryon.warp.single import lay_single, one_piece, single_lattice

WARP = MatchingSize(lattice="paper", joined=False, agnostic=True, window=(64, 64), widths=(8, 8, 8, 8, 8), hidden=16)
RENDERER = RendererSize((8, 8, 12), (1, 1, 1))
LOSS = PRESETS["paper"]["weights"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the competition's tree, and a cache beside it."""
    folder = tmp_path_factory.mktemp("trees")
    trees.competition(folder / "vvt")
    return folder


@pytest.fixture(scope="module")
def data(place: Path) -> TreeData:
    return open_training(place / "vvt", place / "cache", "cpu")


@pytest.fixture(scope="module")
def examples(data: TreeData) -> TreeExamples:
    return TreeExamples(data, lay_clips(data, Lay()), seed=0)


def warp_config(place: Path, out: Path, **loop: Any) -> TreeWarpTraining:
    asked = LoopConfig(**({"steps": 4, "batch": 2, "warmup": 0, "save_every": 0.0, "validate_every": 100} | loop))
    return TreeWarpTraining(place / "vvt", out, place / "cache", loop=asked, size=WARP, device="cpu")


def tryon_config(place: Path, out: Path, **options: Any) -> TryOnTraining:
    loop = LoopConfig(steps=4, batch=1, warmup=0, save_every=0.0, validate_every=100, peak_rate=3e-3)
    settings = dict(PAPER_TREE) | {"small_crop": (64, 64), "small_steps": 100, "held_out": 2} | options
    return TryOnTraining(
        cache=place / "cache", folder=out, tree=place / "vvt", loop=loop, size=RENDERER, device="cpu", **settings
    )


def test_our_own_data_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "garments").mkdir()
    assert is_tree(tmp_path)
    (tmp_path / "pairs").mkdir()
    assert not is_tree(tmp_path)
    assert not is_tree(tmp_path / "pairs")


def test_every_frame_comes_once_an_epoch_in_an_order_of_its_own(data: TreeData) -> None:
    count = len(data.places)
    assert count == 3 * trees.FRAMES
    whole = data.turn(0, 0, 3 * count)
    epochs = [whole[i * count : (i + 1) * count] for i in range(3)]
    assert all(sorted(map(tuple, epoch)) == sorted(map(tuple, data.places)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(data.turn(0, 7, 6), whole[7:13])
    assert not np.array_equal(data.turn(1, 0, count), epochs[0])


def test_tests_are_held_out(data: TreeData) -> None:
    assert [worn.sample.split for worn in data.train] == ["train"] * 3
    assert [worn.sample.id for worn in data.held_out] == [trees.NAMES[3]]
    assert [n for _, n in data.shown(2)] == [0, trees.FRAMES - 1]


def test_what_cannot_be_used_is_left_out_and_named(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("vtryon"), "propagate", True)
    root = trees.competition(tmp_path / "vvt")
    for name, picture in ((trees.NAMES[0], np.full((256, 192, 3), 255, np.uint8)), (trees.NAMES[1], None)):
        (garment,) = (root / "lip_clothes_person" / name).glob("*cloth*")
        if picture is None:
            garment.unlink()
            (root / "lip_clothes_person" / name / f"{name}@8=person_whole.png").unlink()
        else:
            trees.save(garment, picture)
    with caplog.at_level("WARNING", logger="vtryon"):
        found = open_training(root, place / "cache", "cpu")
    assert [worn.sample.id for worn in found.train] == [trees.NAMES[2]]
    assert "no garment found" in caplog.text
    assert f"{trees.NAMES[1]}/*cloth*.jpg is missing" in caplog.text


def test_a_tree_of_which_nothing_can_be_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.viton(tmp_path / "viton")
    monkeypatch.setattr(tree_room, "_small_garment", lambda *_: SmallGarment(Path(), "", ""))
    monkeypatch.setattr(Analysis, "clip", lambda *_: Clip(Path(), 1, np.zeros(0)))
    with pytest.raises(BadInputError, match=r"000000_0\.jpg: nobody is found in it"):
        open_training(root, tmp_path / "cache", "cpu")


def test_each_process_analyses_its_share_first(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    usable = tree_room._usable
    monkeypatch.setattr(tree_room, "_usable", lambda a, s: (seen.append(s.id), usable(a, s))[1])
    open_training(place / "vvt", place / "cache", "cpu", ranks=Ranks(1, 2))
    assert seen == [trees.NAMES[1], *trees.NAMES]


def test_garments_are_made_small_with_all_that_is_known_of_them() -> None:
    whole = scenes.garment(longer=80)
    small = reduced(whole, CROP_SIZE)
    scale = small.alpha.shape[0] / whole.alpha.shape[0]
    assert small.alpha.shape[0] == CROP_SIZE[0]
    assert np.allclose(small.keypoints["hem_l"], whole.keypoints["hem_l"] * scale, atol=1)
    assert abs(small.alpha.mean() - whole.alpha.mean()) < 0.01
    assert reduced(small, CROP_SIZE) is small


def test_the_network_does_not_see_what_the_worn_garment_decides(data: TreeData) -> None:
    worn = data.train[0]
    batch = tree_batch([(worn, 0), (worn, 1)], WARP)
    person = batch["person"]
    assert not person[:, 3:7].any()
    assert person[:, 1:3].any()
    inside = person[:, 0]
    assert ((inside > 0.05) & (inside < 0.95)).float().mean() > 0.2  # the outline is soft
    assert batch["garment"][:, 0].any()


@torch.no_grad()
def test_eq_3_is_nothing_where_the_garment_lies_as_it_is_worn(data: TreeData) -> None:
    batch = dict(tree_batch(data.shown(2), WARP))
    batch["worn"] = warped(batch["start"], batch, WARP)
    net = MatchingNet(WARP)  # its first answer is to move nothing
    terms = tree_terms(net, batch, WARP, LOSS, choose("cpu"))
    assert float(terms["colour"]) < 1e-6
    moved = dict(batch) | {"start": batch["start"] + 0.3}
    assert float(tree_terms(net, moved, WARP, LOSS, choose("cpu"))["colour"]) > 0.01
    hidden = moved | {"visible": torch.zeros_like(batch["visible"])}
    assert float(tree_terms(net, hidden, WARP, LOSS, choose("cpu"))["colour"]) == 0


def test_the_warp_learns_where_the_garment_is_worn(place: Path, tmp_path: Path) -> None:
    measures = train_warp_tree(warp_config(place, tmp_path, steps=20, peak_rate=5e-3))
    assert measures["moved"] < 0.9 * measures["start"]
    net = load_matching(tmp_path / "warp.safetensors")
    assert net.size == WARP
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["config"]["data"], report["config"]["frames"]) == ("vvt", 9)


def test_the_trained_warp_lays_whole_garments(data: TreeData) -> None:
    worn = data.train[0]
    garment = one_piece(load_garment(worn.sample.garment))
    assert set(np.unique(garment.parts)) == {Part.NONE, Part.TORSO}
    warp, _ = lay_single(MatchingNet(WARP), worn.clip[0].person(), garment)
    (spline,) = warp.splines
    assert spline.lattice.shape == (10, 5, 2)
    assert np.array_equal(spline.lattice, single_lattice(garment))
    with pytest.raises(ValueError, match="lattice 'paper'"):
        lay_single(MatchingNet(), worn.clip[0].person(), garment)


def test_a_stopped_warp_training_goes_on_exactly(place: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_warp_tree(warp_config(place, whole))
    train_warp_tree(warp_config(place, parts, stop=2))
    train_warp_tree(warp_config(place, parts))
    one, other = (load_matching(folder / "warp.safetensors").state_dict() for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows = list(csv.DictReader((parts / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2", "4"]


def test_epochs_decide_how_long_the_schedule_is(place: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    config = warp_config(place, tmp_path, steps=0, stop=1)
    train_warp_tree(config, lambda step, _loss: seen.append(step))
    assert seen == [0]
    assert json.loads((tmp_path / "report.json").read_text())["config"]["loop"]["steps"] == 100 * 9 // 2


def test_an_example_is_given_back_from_the_laid_garment_and_the_rest(examples: TreeExamples) -> None:
    worn = examples.data.train[0]
    moment, example = worn.clip[1], examples.example(worn, 1, np.random.default_rng(0), clean=True)
    top = np.isin(moment.labels, WORN_TOP)
    assert np.array_equal(example.truth, moment.rgb)
    assert example.view.hole[top].all()
    assert (example.view.cover[top] > 0.5).mean() > 0.8
    assert not example.keep[top].any()
    lit = example.view.garment * np.exp(example.gain) * 255
    sure = example.gain_known > 0.9
    assert sure.sum() > 1000
    before = np.abs(example.view.garment[sure] * 255 - moment.rgb[sure]).mean()
    assert np.abs(lit[sure] - moment.rgb[sure]).mean() < before


def test_more_is_taken_away_in_training(examples: TreeExamples) -> None:
    worn = examples.data.train[0]
    clean = examples.example(worn, 1, np.random.default_rng(0), clean=True)
    holes = [examples.example(worn, 1, np.random.default_rng(s)).view.hole.mean() for s in range(6)]
    assert max(holes) > 1.1 * clean.view.hole.mean()
    assert len(set(holes)) > 1


def test_a_clip_has_the_flow_of_the_source(examples: TreeExamples) -> None:
    worn = examples.data.train[0]
    clip = examples.clip(worn, 1, np.random.default_rng(0))
    assert np.array_equal(clip.before.truth, worn.clip[0].rgb)
    assert np.array_equal(clip.flow, worn.clip[1].flow)
    assert clip.flow is clip.moved
    far = replace(examples, strides=(2,)).clip(worn, 2, np.random.default_rng(0))
    assert np.array_equal(far.before.truth, worn.clip[0].rgb)
    assert far.valid.mean() > 0.8
    alone = examples.clip(worn, 0, np.random.default_rng(0))  # nothing before it: it is set in motion
    assert np.array_equal(alone.before.truth, worn.clip[0].rgb)
    assert not np.array_equal(alone.now.truth, alone.before.truth)


def test_pieces_of_examples_fit_together(examples: TreeExamples) -> None:
    small = replace(examples, size=(64, 96))
    (clip,) = small.clips(np.random.default_rng(3), 1, 4)
    batch = clip_batch([clip])
    assert batch["image"].shape[2:] == batch["flow"].shape[2:] == batch["region"].shape[2:] == (64, 96)
    assert batch["light"].shape[2:] == batch["gain"].shape[2:] == (32, 48)
    (frame,) = small.frames(np.random.default_rng(3), 1, 4)
    assert frame_batch([frame], 0.0, np.random.default_rng(0))["picture"].shape == (1, 3, 64, 96)
    again = small.clips(np.random.default_rng(3), 1, 4)[0]
    assert np.array_equal(clip.now.view.hole, again.now.view.hole)


def test_eq_7_and_8_can_be_lowered(place: Path, examples: TreeExamples, tmp_path: Path) -> None:
    config = tryon_config(place, tmp_path)
    small = replace(examples, size=(64, 64))
    batch = clip_batch(small.clips(np.random.default_rng(0), 2, 0))
    torch.manual_seed(0)
    net = RendererNet(RENDERER)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    found = []
    for _ in range(25):
        terms = tryon_loss(net, batch, choose("cpu"), perceptual=None, config=config)
        assert {"l1", "mask", "flow"} <= set(terms)
        optimiser.zero_grad()
        total = torch.stack(list(terms.values())).sum()
        total.backward()
        optimiser.step()
        found.append(float(total.detach()))
    assert found[-1] < 0.95 * found[0]
    without = tryon_loss(net, batch, choose("cpu"), perceptual=None, config=replace(config, flow_weight=0.0))
    assert "flow" not in without


@pytest.mark.parametrize("memory", ["conditioned", "blended"])
def test_what_is_forgotten_is_drawn_as_a_first_frame(examples: TreeExamples, memory: str) -> None:
    """Else nobody would ever teach the network to draw one (it sees nothing but clips on a data set)."""
    small = replace(examples, size=(64, 64))
    batch = clip_batch(small.clips(np.random.default_rng(0), 3, 1))
    torch.manual_seed(0)
    net = RendererNet(replace(RENDERER, memory=memory)).eval()
    state = torch.rand(3, 4, 64, 64)
    with torch.inference_mode():
        alone, told = net(batch)[0].result, net(batch, state)[0].result
        gone = forgetful(batch, 1.0, np.random.default_rng(0))
        assert torch.equal(net(gone, state)[0].result, alone)
    assert not torch.allclose(told, alone)
    assert not gone["region"].any(), "nor has its motion anything to be compared with"
    some = forgetful(batch, 0.5, np.random.default_rng(0))["valid"].flatten(1).any(1)
    assert some.any()
    assert not some.all()
    assert forgetful(batch, 0.0, np.random.default_rng(0)) is batch
    assert PAPER_TREE["forgotten"] > 0


def test_a_stopped_renderer_training_goes_on_exactly(place: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    measures = train_tryon(tryon_config(place, whole))
    assert set(measures) == {"worn", "motion"}
    config = tryon_config(place, parts)
    train_tryon(replace(config, loop=replace(config.loop, stop=2)))
    train_tryon(config)
    one, other = (load_renderer(folder / "tryon.safetensors").state_dict() for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    about = json.loads((parts / "report.json").read_text())["config"]
    assert (about["tree"], about["frames"], about["perceptual_used"]) == ("vvt", 9, False)


def test_garments_are_laid_by_the_network_that_is_given(place: Path, data: TreeData, tmp_path: Path) -> None:
    train_warp_tree(warp_config(place, tmp_path, steps=1))
    worn = data.train[0]
    shipped, single = (lay_clips(data, lay)[worn.name][0] for lay in (Lay(), Lay(tmp_path / "warp.safetensors")))
    assert shipped.sleeves.any()
    assert single.torso.any()
    assert not single.sleeves.any()  # one piece
    with pytest.raises(UnavailableError, match="no such weights"):
        train_tryon(tryon_config(place, tmp_path, warp=place / "nothing.safetensors"))


def train(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)], env={"NO_COLOR": "1"})


@pytest.mark.parametrize("layout", list(trees.LAYOUTS))
def test_the_papers_training_runs_on_every_layout(layout: str, tmp_path: Path) -> None:
    root = trees.LAYOUTS[layout](tmp_path / layout)
    common = ("--data", root, "--preset", "paper", "--max-steps", 2, "--batch", 2, "--cache", tmp_path / "cache")
    result = train("warp", *common, "--out", tmp_path / "warp", "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["steps"], set(record["measures"])) == (2, {"start", "moved", "regularity", "overlap"})
    weights = tmp_path / "warp" / "warp.safetensors"
    result = train("tryon", *common, "--out", tmp_path / "tryon", "--device", "cpu", "--warp", weights, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["steps"], set(record["measures"])) == (2, {"worn", "motion"})
    loop = json.loads((tmp_path / "tryon" / "report.json").read_text())["config"]["loop"]
    frames = 3 if layout == "viton" else 7 if layout == "clips" else 9
    assert loop["steps"] == 400 * frames // 2
    assert (tmp_path / "tryon" / "log.csv").is_file()


def test_what_is_left_out_is_told_where_nothing_more_is_asked_for(place: Path, tmp_path: Path) -> None:
    root = trees.clips(tmp_path / "own")
    trees.save(root / "garments" / f"{trees.NAMES[0]}.jpg", np.full((256, 192, 3), 255, np.uint8))
    words = ("--preset", "paper", "--max-steps", 1, "--batch", 1, "--cache", place / "cache", "--device", "cpu")
    result = train("warp", "--data", root, "--out", tmp_path / "warp", *words)
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if "warning" in line]
    assert len(told) == 1
    assert told[0].startswith(f"vtryon: warning: left out: no garment found in {root / 'garments' / trees.NAMES[0]}")


def test_our_recipe_for_the_warp_wants_true_correspondences(place: Path, tmp_path: Path) -> None:
    result = train("warp", "--data", place / "vvt", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "give --preset paper to train on" in result.stderr
    result = train("tryon", "--data", tmp_path, "--out", tmp_path / "run", "--warp", tmp_path / "warp.safetensors")
    assert result.exit_code == 2
    assert "--warp is for data sets" in result.stderr


def test_a_broken_tree_is_shown_as_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "lip_train_frames").mkdir()
    result = train("tryon", "--data", tmp_path, "--out", tmp_path / "run", "--preset", "paper")
    assert result.exit_code == 66
    assert result.stderr.startswith(f"vtryon: error: {tmp_path / 'lip_clothes_person'} is missing")
    assert "ROOT/lip_train_frames/<id>/*.png" in result.stderr
    assert not (tmp_path / "run").exists()
