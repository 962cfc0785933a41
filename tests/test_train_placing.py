"""Training the placing stage: it reads rendered scenes right, knows the truth when it sees it, stops and goes on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import scenes
from paired import SCALE, SHIFT, scenes_in
from vtryon.errors import MissingInputError
from vtryon.train.correspondence import forward_turn
from vtryon.train.loop import LoopConfig
from vtryon.train.pairs import (
    PICTURE,
    PRODUCT,
    Pairs,
    load_pairs,
    read_correspondence,
    read_garment,
    read_pairs,
)
from vtryon.train.placing import PlacingTraining, terms_of, train_placing
from vtryon.train.placing_data import Disturbance, _mirrored, augment
from vtryon.types import KEYPOINTS, Array, GarmentKind, Label, Part
from vtryon.warp import Texture, garment_lattices
from vtryon.warp.placing import POINTS, BodyFrame, load_placing
from vtryon.warp.sampler import turned


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes_in(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def pairs(data: Path) -> Pairs:
    return read_pairs(data, validation=False)


def whole(pairs: Pairs) -> dict[str, Tensor]:
    """All rows, each with the first other top."""
    return pairs.take(torch.arange(len(pairs)), torch.zeros(len(pairs), dtype=torch.long), parts=True)


@pytest.fixture
def packed(pairs: Pairs) -> dict[str, Tensor]:
    return whole(pairs)


def config(data: Path, folder: Path, **changes: Any) -> PlacingTraining:
    loop = LoopConfig(steps=2, batch=6, warmup=1, validate_every=1, save_every=0.0, seed=1)
    return PlacingTraining(data, folder, loop=replace(loop, **changes), width=16, depth=1)


def test_a_product_picture_is_a_garment(data: Path) -> None:
    meta = json.loads((data / "0001" / "meta.json").read_text())
    garment = read_garment(data / "0001", 1, meta)
    assert garment.kind in (GarmentKind.SHORT_SLEEVE, GarmentKind.LONG_SLEEVE)
    assert garment.alpha.shape == PRODUCT
    assert garment.cloth.tolist() == [160, 160, 160]
    assert garment.keypoints["hem_l"].tolist() == [250, 370]
    assert set(np.unique(garment.parts)) == {0, Part.TORSO, Part.LEFT_SLEEVE, Part.RIGHT_SLEEVE}


def test_correspondence_is_what_was_drawn(data: Path) -> None:
    picture, product = read_correspondence(data / "0001", "t0_f0")
    assert len(picture) > 5000
    assert np.abs((picture - SHIFT) / SCALE - product).max() < 0.5


def test_validation_scenes_are_kept_apart(pairs: Pairs, data: Path) -> None:
    held_out = read_pairs(data, validation=True)
    assert (len(pairs), len(held_out)) == (9, 3)
    for marks in held_out.rows["marks"].flatten(0, 1):
        assert (pairs.rows["marks"].flatten(0, 1) - marks).abs().amax((1, 2)).min() > 0.1


def test_the_person_is_seen_in_another_top(pairs: Pairs, data: Path) -> None:
    meta = json.loads((data / "0001" / "meta.json").read_text())
    found = [np.asarray(meta["images"][f"t{top}_f0"]["mediapipe"], np.float32) for top in range(3)]
    for top, row in enumerate(range(3)):
        for variant in range(2):
            one = pairs.take(torch.tensor([row]), torch.tensor([variant]))
            points = one["points"][0].numpy()
            own, others = found[top], [m for n, m in enumerate(found) if n != top]
            assert not np.allclose(points, own[:, :2])
            which = [np.allclose(points, m[:, :2]) for m in others]
            assert which.count(True) == 1
            other = [n for n in range(3) if n != top][which.index(True)]
            labels = np.asarray(Image.open(data / "0001" / f"t{other}_f0_lab.png"))[1::2, 1::2]
            assert ((one["labels"][0].numpy() == Label.TOP) == (labels == 3)).all()


def test_what_was_read_is_kept(data: Path, tmp_path: Path) -> None:
    first = load_pairs(data, tmp_path, validation=True)
    again = load_pairs(tmp_path / "nothing here", tmp_path, validation=True)
    assert first.rows.keys() == again.rows.keys()
    assert all(torch.equal(first.rows[k], again.rows[k]) for k in first.rows)
    assert torch.equal(first.views, again.views)
    with pytest.raises(MissingInputError, match="nothing here"):
        load_pairs(tmp_path / "nothing here", tmp_path, validation=False)


class Knows(nn.Module):
    """Answers with given points, whatever it is asked."""

    def __init__(self, points: Tensor) -> None:
        super().__init__()
        self.points = points

    def forward(self, x: Tensor) -> Tensor:
        return self.points


def judged(packed: dict[str, Tensor], offset: float = 0.0) -> dict[str, Tensor]:
    """The loss of the true lattices, moved by ``offset`` body sizes."""
    batch = packed
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    lattices = torch.cat([batch[f"{p}_lattice"] for p in ("torso", "left_sleeve", "right_sleeve")], 1)
    true = frame.inward(lattices * SCALE + torch.from_numpy(SHIFT))
    assert true.shape[1:] == (POINTS, 2)
    return terms_of(Knows(true + torch.tensor([offset, 0.0])), batch)


def test_the_truth_costs_nothing_and_an_error_what_it_is(packed: dict[str, Tensor]) -> None:
    true, off = judged(packed), judged(packed, 0.1)
    for name in ("torso", "left_sleeve", "right_sleeve", "keypoints"):
        assert float(true[name]) < 0.008, name
        assert float(off[name]) == pytest.approx(0.1, abs=0.008), name


def test_mirrored_twice_is_the_same(packed: dict[str, Tensor]) -> None:
    batch = packed | {"yaw": torch.linspace(-1, 1, len(packed["yaw"]))}
    once = _mirrored(batch)
    assert torch.equal(once["yaw"], -batch["yaw"])
    assert not torch.equal(once["points"], batch["points"])
    twice = _mirrored(once)
    assert twice.keys() == batch.keys()
    for key, value in batch.items():
        assert torch.allclose(twice[key], value, atol=1e-3), key


def test_the_mirrored_truth_is_true_as_well(packed: dict[str, Tensor]) -> None:
    mirrored = _mirrored(packed)
    index = {n: i for i, n in enumerate(KEYPOINTS)}
    assert (mirrored["worn"][:, index["shoulder_l"], 0] > mirrored["worn"][:, index["shoulder_r"], 0]).all()
    assert (mirrored["points"][:, 11, 0] > mirrored["points"][:, 12, 0]).all()
    # in the mirror, a product pixel x lies where 384 - x did
    shift = torch.from_numpy(SHIFT) * torch.tensor([-1.0, 1.0]) + torch.tensor([PICTURE[1] - SCALE * PRODUCT[1], 0.0])
    for part in ("torso", "left_sleeve", "right_sleeve"):
        worn = mirrored[f"{part}_product"] * SCALE + shift
        assert (worn - mirrored[f"{part}_picture"]).abs().max() < 0.5, part
        lattice = mirrored[f"{part}_lattice"]
        spread = (mirrored[f"{part}_product"] - lattice.mean(1, keepdim=True)).norm(dim=-1)
        assert spread.max() < 250, part


def test_augmenting_disturbs_what_is_seen_and_not_the_truth(packed: dict[str, Tensor]) -> None:
    batch = {k: v.repeat_interleave(20, 0) for k, v in packed.items()}
    first, again = (augment(batch, Disturbance(), torch.Generator().manual_seed(5)) for _ in range(2))
    for key, value in first.items():
        assert torch.equal(value, again[key]), key
    flipped = (first["keypoints"] - batch["keypoints"]).abs().amax((1, 2)) > 1
    assert 0.2 < flipped.float().mean() < 0.8
    straight = ~flipped
    assert torch.equal(first["torso_picture"][straight], batch["torso_picture"][straight])
    assert 0.5 < (first["points"] - batch["points"])[straight].abs().mean() < 10
    assert (first["seen_keypoints"] - first["keypoints"]).abs().mean() > 0.5


@pytest.mark.parametrize("turn", [0.0, 0.5, -0.9, 1.3, 2.0])
def test_turning_forward_is_undone_by_the_sampler(turn: float) -> None:
    garment = scenes.garment()
    texture = Texture.of(garment)
    lattice = torch.from_numpy(garment_lattices(garment)[Part.TORSO])
    generator = torch.Generator().manual_seed(0)
    angle = (torch.rand(200, generator=generator) - 0.5) * 2.8
    angle = angle[(angle + turn).abs() < 1.45]  # what faces the camera after the turn
    assert len(angle) > 20
    y = 160 + 180 * torch.rand(len(angle), generator=generator)
    points = torch.stack([180 + 70 * torch.sin(angle), y], -1)
    seen = forward_turn(points[None], lattice.reshape(1, -1, 2), torch.tensor([turn]))
    back, across, behind = turned(seen, texture.rows, turn)
    assert (back[0] - points).abs().max() < 0.3
    assert behind.max() == 0.0
    # the edges of a row may lie a pixel off the straight line on which the points were made
    assert (across[0] - torch.sin(angle + turn)).abs().max() < 0.1
    if turn == 0.0:
        assert (seen[0] - points).abs().max() < 0.1


def weights(folder: Path) -> dict[str, Tensor]:
    return load_placing(folder / "placing.safetensors").state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_two_steps_run_and_are_told(data: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    measures = train_placing(config(data, tmp_path), lambda step, _mean: steps.append(step))
    assert steps == [0, 1]
    assert {"torso", "left_sleeve", "right_sleeve", "keypoints"} <= measures.keys()
    assert all(math.isfinite(v) and v > 0 for v in measures.values())
    assert json.loads((tmp_path / "report.json").read_text())["measures"] == measures
    assert str(data) not in (tmp_path / "report.json").read_text(), "no paths of this machine"
    load_placing(tmp_path / "placing.safetensors")


def test_it_learns(data: Path, tmp_path: Path) -> None:
    short = train_placing(config(data, tmp_path / "short", steps=1))
    long = train_placing(config(data, tmp_path / "long", steps=60, batch=12, peak_rate=1e-2, validate_every=60))
    assert long["torso"] < 0.7 * short["torso"]


def test_half_of_the_scenes_can_be_left_out(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    disturb = augment

    def noted(batch: Any, *rest: Any) -> Any:
        seen.update(batch["scene"].tolist())
        return disturb(batch, *rest)

    monkeypatch.setattr("vtryon.train.placing.augment", noted)
    train_placing(replace(config(data, tmp_path / "even"), without=0))
    assert seen == {1, 3}
    seen.clear()
    train_placing(replace(config(data, tmp_path / "odd"), without=1))
    assert seen == {2}


def test_training_is_deterministic(data: Path, tmp_path: Path) -> None:
    for name, changes in (("a", {}), ("b", {}), ("c", {"seed": 2})):
        train_placing(config(data, tmp_path / name, **changes))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(data: Path, tmp_path: Path) -> None:
    whole, stopped = config(data, tmp_path / "whole", steps=4), config(data, tmp_path / "stopped", steps=4)
    train_placing(whole)

    def stop(step: int, _mean: dict[str, float]) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_placing(stopped, stop)
    assert not (tmp_path / "stopped" / "placing.safetensors").exists()
    steps: list[int] = []
    train_placing(stopped, lambda step, _mean: steps.append(step))
    assert steps == [2, 3]
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


# -- what is shipped ---------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_the_shipped_weights_beat_the_anchored_fit() -> None:
    from vtryon.weights import folder

    pairs = Path(__file__).resolve().parents[2] / "shared" / "data" / "pairs"
    found = sorted(p for p in pairs.glob("[0-9]*7") if (p / "meta.json").is_file())
    if not found:
        pytest.skip(f"no rendered scenes at {pairs}")
    if not (folder() / "placing.safetensors").is_file():
        pytest.skip("no weights of the placing stage")
    errors = {method: texture_error(found[:10], method) for method in ("placed", "anchored")}
    assert errors["placed"] < 0.9 * errors["anchored"]


def texture_error(folders: list[Path], method: str) -> float:
    """Mean distance, in product px of 192 x 256, between the true and the used origin of the cloth's pixels."""
    from vtryon.warp import fitter
    from vtryon.warp.sampler import backward_map

    fit = fitter(method)
    window = (0.0, 0.0, float(PICTURE[1]), float(PICTURE[0]))
    means = []
    for scene in folders:
        meta = json.loads((scene / "meta.json").read_text())
        marks = meta["images"]["t1_f0"]["mediapipe"]
        if marks is None:
            continue
        garment = read_garment(scene, 0, meta)
        warp, _ = fit(person_of(scene, np.array(marks, np.float32), meta["yaw"]), garment)
        picture, product = read_correspondence(scene, "t0_f0")
        columns, rows = picture.astype(int).T
        owner = garment.parts[product[:, 1].astype(int).clip(0, 511), product[:, 0].astype(int).clip(0, 383)]
        away = [np.zeros(0)]
        for spline in warp.splines:
            points, _ = backward_map(spline, window, PICTURE)
            if spline.part == Part.TORSO:
                points, _, _ = turned(points, Texture.of(garment).rows, warp.turn)
            mine = owner == spline.part
            away.append(np.linalg.norm(points.numpy()[rows[mine], columns[mine]] - product[mine], axis=1) / 2)
        if sum(map(len, away)) > 200:
            means.append(float(np.concatenate(away).mean()))
    assert len(means) >= 3
    return float(np.mean(means))


def person_of(scene: Path, marks: Array, yaw: float) -> Any:
    """The person of a rendered scene in another top than the one that is to be put on."""
    labels = np.array(Image.open(scene / "t1_f0_lab.png"))
    ours = np.array([0, 1, 2, 3, 6, 7, 8, 9], np.uint8)[labels]
    person = scenes.person(marks[:, :2], ours, yaw=yaw)
    return replace(person, pose=replace(person.pose, visibility=marks[:, 2].copy()))
