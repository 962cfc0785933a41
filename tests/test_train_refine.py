"""Examples and training of the refiner: truths that are known part by part, files that are made once, exact resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scenes
from parsing import draw, landmarks
from squares import BOX, square_scene
from vtryon.device import choose
from vtryon.errors import MissingInputError
from vtryon.evaluate.scenes import Scene
from vtryon.render.refine import COVER, GRID, KINDS, LABELS, PLANES, RefineNet, RefineSize, load_refine
from vtryon.train import refine_data
from vtryon.train.loop import LoopConfig
from vtryon.train.refine import RefineTraining, measure, refine_loss, train_refine
from vtryon.train.refine_batches import BEFORE, Batches, augmented, tensors, wanted
from vtryon.train.refine_cases import Case, Wardrobe, misjudged, photograph_cases, scene_cases
from vtryon.train.refine_data import Examples, Maker, decoded, encoded, open_refine, truth_on
from vtryon.train.store import Store
from vtryon.types import WORN_TOP, Array, Label
from vtryon.warp import fitter

SIZE = RefineSize(widths=(8, 8, 12), depths=(1, 1, 1), fine=8)
BACKGROUNDS = np.full((2, 256, 192, 3), 90, np.uint8)
CLOTHS = np.random.default_rng(0).integers(0, 255, (2, 256, 256, 3)).astype(np.uint8)
ARMS = (Label.LEFT_ARM, Label.RIGHT_ARM)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two scenes, one of them for validation."""
    root = tmp_path_factory.mktemp("data")
    for name in ("0016", "0017"):
        square_scene(root / "pairs" / name)
    return root


@pytest.fixture(scope="module")
def people() -> Store:
    """Two drawn photographs of people with bare forearms, one of them held out."""
    rows = []
    for seed in range(2):
        points = landmarks(1.2, (150.0, 230.0))
        rows.append((points, *draw(points, (420, 300), seed=seed)))
    points, rgb, labels, matte = (np.stack([row[n] for row in rows]) for n in range(4))
    pose = np.concatenate([points, np.ones((2, 33, 1), np.float32)], 2)
    ids = np.array(["0001", "0007"])
    return Store(rgb, labels, (matte * 255).astype(np.uint8), None, pose, ids, np.array([0]), np.array([1]))


@pytest.fixture(scope="module")
def wardrobe(data: Path) -> Wardrobe:
    return Wardrobe.of([Scene(data / "pairs" / "0016")], CLOTHS)


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Made-up compositions: the cloth covers a band, of which a part is a hand, told by its labels in part."""
    rng = np.random.default_rng(0)
    rows: list[tuple[Array, Array]] = []
    for _ in range(6):
        image = np.zeros((PLANES, *GRID), np.float32)
        left = int(rng.integers(20, 50))
        hand, cloth = np.zeros(GRID, bool), np.zeros(GRID, bool)
        cloth[30:90], hand[50:70, left : left + 20] = True, True
        image[:3] = np.where(hand, 0.5, -0.5)
        image[LABELS + KINDS.index(WORN_TOP)] = np.where(cloth, np.where(hand, 0.4, 1.0), 0)
        image[LABELS + KINDS.index(ARMS)] = np.where(hand, 0.6, 0)
        image[COVER - 6 : COVER - 3], image[COVER - 3 : COVER] = -0.9, rng.uniform(-0.4, 0.4, (3, 1, 1))
        image[COVER] = cloth
        colours = np.where(hand, image[:3], np.where(cloth, image[COVER - 3 : COVER], image[:3]))
        stays = (~cloth | hand).astype(np.float32)
        truth = np.concatenate([(colours + 1) / 2, np.stack([np.ones(GRID), stays, np.ones(GRID)])])
        rows.append((encoded(image), np.rint(truth * 255).astype(np.uint8).transpose(1, 2, 0)))
    pose = np.concatenate([landmarks(0.4, (48.0, 70.0)), np.ones((33, 1), np.float32)], 1)
    planes, truths = (np.stack([row[n] for row in rows]) for n in range(2))
    return Examples(planes, truths, np.stack([pose] * 6), np.array([True, False] * 3))


def test_of_a_scene_all_is_known_and_what_is_not_the_new_top_stays(data: Path) -> None:
    source, cases = scene_cases(Scene(data / "pairs" / "0016"), BACKGROUNDS, CLOTHS, np.random.default_rng(1))
    left, top = BOX
    assert source.shape == (384, 288, 3)
    assert len(cases) == 2
    for case in cases:
        assert case.stays[top + 10 : top + 150, left + 10 : left + 110].max() == 0
        assert case.stays[:50].min() == 1
        assert case.told.min() == case.known.min() == 1
    assert not np.array_equal(cases[0].garment.rgb, cases[1].garment.rgb), "each is of a cloth of its own"


def test_of_a_photograph_hands_stay_and_what_was_painted_never_does(people: Store, wardrobe: Wardrobe) -> None:
    labels = people.labels[0]
    found = [photograph_cases(people, 0, wardrobe, np.random.default_rng(seed)) for seed in range(6)]
    kept = [one for one in found if one is not None]
    assert kept
    for source, cases in kept:
        another: Case = cases[0]
        painted = np.abs(source.astype(int) - people.picture[0]).max(-1) > 40
        assert (another.stays * painted).mean() < 0.001
        assert another.told[painted].mean() > 0.9
        assert another.told[labels == Label.BACKGROUND].mean() < 0.2
        assert (another.stays <= another.told).all()
    middle = people.pose[0, [13, 15], 1::-1].mean(0)  # of a forearm
    bare = (np.hypot(*(np.mgrid[:420, :300] - middle[:, None, None])) < 10) & np.isin(labels, ARMS)
    shares = [float(cases[0].stays[bare].mean()) for _, cases in kept]
    assert max(shares) == 1, "at times no sleeve reaches it"
    assert min(shares) < 0.1, "at times one does"


def test_labels_err_only_between_the_old_top_and_what_lies_before_it() -> None:
    labels = scenes.scene(scenes.hand_on_belly())[1].labels
    changed = [misjudged(labels, np.random.default_rng(seed)) for seed in range(8)]
    for after in changed:
        total = after.astype(int).sum(0) - labels.astype(int).sum(0)
        assert np.abs(total).max() <= 6
        others = [Label.BACKGROUND, Label.LOWER, Label.LEGS]
        assert np.array_equal(after[others], labels[others])
    lost = [float((labels[list(ARMS)].astype(int) - after[list(ARMS)]).clip(0).sum()) for after in changed]
    assert max(lost) > 0.05 * labels[list(ARMS)].sum()


def test_truth_lies_where_the_crop_is(wardrobe: Wardrobe) -> None:
    _, person, labels = scenes.scene()
    rgb = np.full((*scenes.SIZE, 3), 100, np.uint8)
    rgb[:, 240:] = 200
    stays = (labels == Label.TOP).astype(np.float32)
    everywhere = np.ones(scenes.SIZE, np.float32)
    truth = truth_on(Case(wardrobe.garments[0], rgb, everywhere, stays, everywhere), person)
    assert truth.shape == (*GRID, 6)
    assert (truth[64, 10, :3] == 100).all()
    assert (truth[64, 90, :3] == 200).all()
    shares = np.asarray(person.probability(Label.TOP).reshape(128, 2, 96, 2).mean((1, 3)))
    assert np.abs(truth[..., 4] / 255 - shares).mean() < 0.02


def test_planes_survive_being_stored() -> None:
    image = np.random.default_rng(0).uniform(0, 1, (PLANES, *GRID)).astype(np.float32)
    image[:3] = image[:3] * 2 - 1
    assert np.abs(decoded(encoded(image)) - image).max() < 0.005


def test_files_of_examples_are_made_once_and_alike(
    tmp_path: Path, data: Path, people: Store, wardrobe: Wardrobe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is made again, to the last bit; what is there is not."""
    asked: list[int] = []

    def looked(picture: Array, *_: Any, **__: Any) -> Any:
        asked.append(len(picture))
        return scenes.scene(landmarks(1.0, (144.0, 210.0)), size=(384, 288))[1]

    garments = [scenes.garment((160, 160, 160))]
    monkeypatch.setattr(Wardrobe, "any", lambda _self, _rng: garments[0])
    maker = Maker(people, [], wardrobe, BACKGROUNDS, lambda *_: [], fitter("anchored"))
    monkeypatch.setattr(refine_data, "person_in", looked)
    monkeypatch.setattr(Maker, "of", lambda *_: maker)
    monkeypatch.setattr(Maker, "sources", lambda _self, held, _seed: [1] if held else [0, 0, 0])
    monkeypatch.setattr(refine_data, "_SHARD", 2)
    training, held_out = open_refine(data, tmp_path, 3, 1)
    assert len(asked) >= 3
    assert len(training) >= 3 and len(held_out) >= 1  # noqa: PT018
    assert not training.rendered.any()
    assert (training.planes[..., COVER] > 200).mean() > 0.02
    first = tmp_path / "refine_training_0_00000.npz"
    first.unlink()
    again, _ = open_refine(data, tmp_path, 3, 1)
    assert np.array_equal(again.planes, training.planes)
    count = len(asked)
    open_refine(None, tmp_path, 3, 1)
    assert len(asked) == count
    first.unlink()
    with pytest.raises(MissingInputError, match="give the data"):
        open_refine(None, tmp_path, 3, 1)


def test_a_mirror_keeps_the_truth_with_the_picture(examples: Examples) -> None:
    batch = augmented(tensors(examples, range(6)), np.random.default_rng(3))
    hand = batch["image"][:, LABELS + KINDS.index(ARMS)] > 0.5
    covered = batch["image"][:, COVER] > 0.9
    assert bool((batch["stays"][:, 0][hand & covered] > 0.5).float().mean() > 0.98)
    assert bool((batch["stays"][:, 0][~hand & covered] < 0.5).float().mean() > 0.97)
    assert float(wanted(batch)[:, 0][hand & covered].mean()) > 0.95


def test_batches_depend_on_nothing_but_their_generator(examples: Examples) -> None:
    maker = Batches(examples)
    for make in (maker.frames, maker.clips):
        one, two = (make(np.random.default_rng(5), 3) for _ in range(2))
        assert all(torch.equal(one[name], two[name]) for name in one)
    frames, clips = maker.frames(np.random.default_rng(5), 40), maker.clips(np.random.default_rng(5), 3)
    remembered = (frames["valid"].flatten(1).amax(1) > 0).float().mean()
    assert 0.1 < float(remembered) < 0.6
    assert {BEFORE + "image", BEFORE + "pose", "flow", "moved", "still"} <= clips.keys()


def test_the_loss_knows_the_truth_when_it_sees_it(examples: Examples) -> None:
    """Lower for a network that gives back what stays than for those that give back nothing, or everything."""
    batch = tensors(examples, range(6))

    def found(logit: float) -> dict[str, float]:
        net = RefineNet(SIZE).eval()
        with torch.no_grad():
            net.heads.weight.zero_()
            assert net.heads.bias is not None
            net.heads.bias.fill_(logit)
        return {name: float(term.detach()) for name, term in refine_loss(net, batch, choose("cpu")).items()}

    right, wrong = found(8.0), found(-8.0)  # within the gate everything is the hand
    assert right["mask"] < 0.1 * wrong["mask"]
    assert right["l1"] < 0.5 * wrong["l1"]
    report = measure(RefineNet(SIZE).eval(), examples, choose("cpu"))
    assert report["scenes"]["before"]["missed"] == 1.0
    assert report["scenes"]["before"]["shown"] == 0.0


def test_clips_are_judged_by_their_motion_too(examples: Examples) -> None:
    batch = Batches(examples).clips(np.random.default_rng(0), 2)
    torch.manual_seed(0)
    net = RefineNet(SIZE).train()
    terms = refine_loss(net, batch, choose("cpu"), flow_weight=0.5)
    assert terms.keys() == {"mask", "l1", "flow"}
    assert refine_loss(net, batch, choose("cpu")).keys() == {"mask", "l1"}
    torch.stack([*terms.values()]).sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())


@pytest.fixture
def config(tmp_path: Path, examples: Examples, monkeypatch: pytest.MonkeyPatch) -> RefineTraining:
    """A training of a few steps on examples that are there already, in one format: which is the fastest depends on what
    else the machine does."""
    monkeypatch.setattr("vtryon.train.refine.fastest", lambda compute, work, repeats=2: compute)
    cache = tmp_path / "cache"
    cache.mkdir()
    for kind in ("training", "validation"):
        arrays = {name: getattr(examples, name) for name in ("planes", "truth", "pose", "rendered")}
        np.savez_compressed(cache / f"refine_{kind}_0_00000.npz", **arrays)
    loop = LoopConfig(steps=4, batch=4, warmup=1, peak_rate=2e-3, average=0.5, validate_every=2, seed=3)
    return RefineTraining(
        cache=cache, folder=tmp_path / "run", loop=loop, size=SIZE, device="cpu", sources=1, held_out=1
    )


def test_training_stops_and_goes_on_as_if_it_had_not(config: RefineTraining) -> None:
    whole = train_refine(replace(config, folder=config.folder / "whole"))
    stopped = replace(config, folder=config.folder / "stopped")
    train_refine(replace(stopped, loop=replace(config.loop, stop=2)))
    assert train_refine(stopped) == whole
    one, two = (load_refine(config.folder / name / "refine.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert one.size == SIZE
    report = json.loads((config.folder / "whole" / "report.json").read_text())
    assert report["scenes"] == whole["scenes"]
    assert report["config"]["examples"] == 6
    assert (config.folder / "whole" / "sheet.png").stat().st_size > 0
    assert not list((config.folder / "whole").glob("*.partial"))


def test_a_few_steps_teach_it_something(config: RefineTraining) -> None:
    after = train_refine(replace(config, loop=replace(config.loop, steps=60, validate_every=60, average=0.9)))
    for name in ("scenes", "photographs"):
        assert after[name]["after"]["missed"] < 0.5 < after[name]["before"]["missed"]
        assert after[name]["after"]["l1"] < after[name]["before"]["l1"]


def test_without_data_and_examples_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no examples for the refiner"):
        train_refine(RefineTraining(cache=tmp_path / "nothing", folder=tmp_path / "run"))
