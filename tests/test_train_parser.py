"""Data, augmentation and training of the parser, on drawn people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from parsing import draw, landmarks
from vtryon.device import choose
from vtryon.errors import MissingInputError
from vtryon.person.network import ParserSize
from vtryon.person.parser import load_network
from vtryon.train import augment
from vtryon.train.augment import Crops, frame_crop, mirrored, random_crop
from vtryon.train.crops import CropMaker, open_crops
from vtryon.train.loop import LoopConfig
from vtryon.train.parser import ParserTraining, train_parser
from vtryon.train.parser_measures import evaluate
from vtryon.train.people import label_table, people_labels, read_names, skin_owner
from vtryon.types import Array, Label


def write_store(cache: Path, name: str, size: tuple[int, int], scale: float) -> None:
    """Three people, one of them (id ending in 7) held out, and one in whom nobody was found."""
    rows = []
    for i, dx in enumerate((-12.0, 0.0, 9.0, 0.0)):
        points = landmarks(scale, (size[1] / 2 + dx, size[0] / 2))
        rows.append((points, *draw(points, size, seed=i)))
    points, rgb, labels, matte = (np.stack([row[i] for row in rows]) for i in range(4))
    pose = np.concatenate([points, np.ones((4, 33, 1), np.float32)], axis=2)
    np.savez(cache / f"{name}.npz", pose=pose, ids=["0001", "0002", "0017", "0004"], ok=[True, True, True, False])
    alpha = ((labels > 0) * 255).astype(np.uint8)[..., None]
    picture = rgb if name == "people" else np.concatenate([rgb, alpha], axis=3)
    np.save(cache / f"{name}_{'rgb' if name == 'people' else 'rgba'}.npy", picture)
    np.save(cache / f"{name}_lab.npy", labels)
    np.save(cache / f"{name}_mat.npy", (matte * 255).astype(np.uint8))
    if name == "pairs":
        u, v = np.meshgrid(np.linspace(0, 255, size[1]), np.linspace(0, 255, size[0]))
        place = np.stack([u, v, np.full_like(u, 255)], axis=2).astype(np.uint8)
        np.save(cache / "pairs_cor.npy", np.repeat(place[None], 4, axis=0))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    write_store(folder, "people", (280, 200), 0.8)
    write_store(folder, "pairs", (192, 144), 0.55)
    np.save(folder / "back.npy", rng.integers(0, 255, (3, 256, 192, 3)).astype(np.uint8))
    np.save(folder / "cloth.npy", rng.integers(0, 255, (2, 256, 256, 3)).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def maker(cache: Path) -> CropMaker:
    return open_crops(cache)


def test_names_become_labels() -> None:
    names = read_names("0 null\n2 t-shirt\n1 skin\n3 hair\n")
    assert names == ["null", "skin", "t-shirt", "hair"]
    assert label_table(names).tolist() == [Label.BACKGROUND, 255, Label.TOP, Label.HAIR]
    with pytest.raises(KeyError):
        label_table(["spaceship"])


def test_skin_goes_to_the_nearest_limb_of_the_right_side() -> None:
    points = landmarks()
    where = points[[0, 13, 19, 14, 20, 25, 28]] + np.array([4, 2], np.float32)
    left, right = Label.LEFT_ARM, Label.RIGHT_ARM
    wanted = [Label.FACE, left, left, right, right, Label.LEGS, Label.LEGS]
    assert skin_owner(where, points).tolist() == wanted
    throat = points[[11, 12]].mean(axis=0)[None] + (0, 10)
    assert skin_owner(throat.astype(np.float32), points).tolist() == [Label.FACE]


def test_a_suit_ends_at_the_hips_and_a_lone_vest_is_a_top() -> None:
    names = ["null", "suit", "vest", "belt", "dress", "skin"]
    points = landmarks()
    raw = np.zeros((256, 192), np.uint8)
    raw[40:200, 80:110] = 1
    labels = people_labels(raw, points, names)
    assert labels[60, 90] == Label.OUTER
    assert labels[180, 90] == Label.LOWER
    raw[40:200, 80:110] = 2
    assert people_labels(raw, points, names)[60, 90] == Label.TOP


def test_a_dress_that_starts_at_the_waist_is_a_skirt_and_jeans_on_the_chest_are_a_shirt() -> None:
    names = ["null", "suit", "vest", "belt", "dress", "skin", "blouse", "coat", "jeans"]
    points = landmarks()
    shoulders, hips = (int(points[[i, i + 1], 1].mean()) for i in (11, 23))
    waist = int(shoulders + 0.8 * (hips - shoulders))

    def labels(chest: int, below: int) -> tuple[int, int]:
        raw = np.zeros((256, 192), np.uint8)
        raw[shoulders:waist, 70:120] = chest
        raw[waist:240, 70:120] = below
        found = people_labels(raw, points, names)
        return found[shoulders + 20, 90], found[hips + 20, 90]

    dress, blouse, coat, jeans = 4, 6, 7, 8
    assert labels(dress, dress) == (Label.DRESS, Label.DRESS)
    assert labels(blouse, dress) == (Label.TOP, Label.LOWER)
    assert labels(coat, dress) == (Label.OUTER, Label.LOWER)
    assert labels(jeans, jeans) == (Label.TOP, Label.LOWER)
    assert labels(blouse, jeans) == (Label.TOP, Label.LOWER)


def test_the_split_keeps_ids_ending_in_7_for_validation(maker: CropMaker) -> None:
    assert maker.people.train.tolist() == [0, 1]
    assert maker.people.validation.tolist() == [2]


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=str(tmp_path)):
        open_crops(tmp_path)


def test_the_same_generator_gives_the_same_crop(maker: CropMaker) -> None:
    a, b = (maker.training(np.random.default_rng(5)) for _ in range(2))
    other = maker.training(np.random.default_rng(6))
    assert np.array_equal(a.rgb, b.rgb)
    assert np.array_equal(a.points, b.points)
    assert not np.array_equal(a.rgb, other.rgb)
    assert a.rgb.shape == (256, 192, 3)
    assert a.labels.shape == a.matte.shape == (256, 192)
    assert 0 <= a.matte.min() <= a.matte.max() <= 1


def test_labels_stay_on_the_person_through_framing(maker: CropMaker) -> None:
    """Whatever the window, bare wrists inside it carry their arm's label."""
    people, store, hits = 0, maker.people, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        points, trust = store.pose[people, :, :2], store.pose[people, :, 2]
        crop = random_crop(points, trust, store.matte[people], rng)
        matrix = augment.shaken_matrix(crop, (256, 192), rng)
        labels = augment.sample(store.labels[people], matrix, (256, 192), nearest=True)
        for wrist, label in ((15, Label.LEFT_ARM), (16, Label.RIGHT_ARM)):
            x, y = (matrix[:, :2] @ points[wrist] + matrix[:, 2]).astype(int)
            if 2 < x < 190 and 2 < y < 254:
                hits.append(labels[y, x] == label)
    assert len(hits) > 20
    assert np.mean(hits) > 0.95


def test_mirroring_exchanges_the_arms(maker: CropMaker) -> None:
    crop = maker.validation()[0][0]
    flipped = mirrored(crop)
    assert np.array_equal(flipped.labels[:, ::-1] == Label.LEFT_ARM, crop.labels == Label.RIGHT_ARM)
    assert np.allclose(flipped.points[15], (192 - crop.points[16, 0], crop.points[16, 1]))
    again = mirrored(flipped)
    assert np.array_equal(again.rgb, crop.rgb)
    assert np.allclose(again.points, crop.points)


def test_recolouring_leaves_skin_and_background_alone() -> None:
    rgb, labels, _ = draw(landmarks(0.75))
    before = rgb.astype(np.float32)
    after = augment.recolour(before.copy(), labels, np.random.default_rng(1), share=1.0)
    inside = {label: np.abs(after - before)[labels == label].mean() for label in (Label.FACE, Label.BACKGROUND)}
    assert inside[Label.BACKGROUND] < 1
    assert inside[Label.FACE] < 3
    assert np.abs(after - before)[labels == Label.TOP].mean() > 15


def test_a_back_has_hair_for_a_face_and_its_sides_exchanged() -> None:
    rgb, labels, _ = draw(landmarks(0.75))
    points, trust = landmarks(0.75), np.ones(33, np.float32)
    face = (labels == Label.FACE) & (np.arange(256)[:, None] < points[9, 1])
    picture, back = augment.from_behind(rgb.astype(np.float32), labels, points, np.random.default_rng(2))
    assert (back[face] == Label.HAIR).all()
    assert np.abs(picture - rgb)[face].mean() > 20
    assert (back[labels == Label.LEFT_ARM] == Label.RIGHT_ARM).all()
    assert np.array_equal(augment.turned(points, trust)[0][15], points[16])


def test_things_in_front_are_labelled_carried() -> None:
    rgb, labels, _ = draw(landmarks(0.75))
    changed = [
        augment.occlude(rgb.astype(np.float32), labels, landmarks(0.75), np.random.default_rng(s)) for s in range(8)
    ]
    share = [(new == Label.CARRIED).mean() for _, new in changed]
    assert np.median(share) > 0.002
    picture, new = changed[int(np.argmax(share))]
    assert np.abs(picture - rgb)[new == Label.CARRIED].mean() > 5
    assert np.array_equal(new[new != Label.CARRIED], labels[new != Label.CARRIED])


def test_the_run_time_window_holds_head_and_hands() -> None:
    points = landmarks(0.8, (100, 140))
    _, _, matte = draw(points, (280, 200))
    crop = frame_crop(points, np.ones(33, np.float32), (matte * 255).astype(np.uint8))
    inside = crop.to_crop(points[[0, 7, 8, 15, 16, 19, 20, 23, 24]])
    assert (inside > 2).all()
    assert (inside < np.array([190, 254])).all()


class Reader(nn.Module):
    """A network that reads the labels off the picture's red channel, as the test wrote them there."""

    def __init__(self, mistake: dict[int, int] | None = None) -> None:
        super().__init__()
        self.mistake = mistake or {}

    def forward(self, image: Tensor, _pose: Tensor) -> Tensor:
        labels = torch.round((image[:, 0] + 1) * 127.5 / 20).long()
        for true, found in self.mistake.items():
            labels = torch.where(labels == true, found, labels)
        return 20.0 * nn.functional.one_hot(labels, len(Label)).permute(0, 3, 1, 2).float()


def written(labels: Array) -> Crops:
    rgb = np.repeat((labels * 20)[..., None], 3, axis=2).astype(np.uint8)
    return Crops(rgb, labels, np.ones(labels.shape, np.float32), landmarks(0.75), np.ones(33, np.float32))


def test_iou_counts_regions_and_labels() -> None:
    labels = draw(landmarks(0.75))[1]
    labels[:20, :20] = Label.OUTER
    crops = [written(labels)]
    perfect = evaluate(Reader(), crops, choose("cpu"))
    assert perfect["mean"] == 1
    assert perfect["OUTER"] == perfect["arms_sided"] == 1
    confused = evaluate(Reader({Label.OUTER: Label.TOP, Label.LEFT_ARM: Label.RIGHT_ARM}), crops, choose("cpu"))
    assert confused["top"] == confused["arms"] == 1
    assert confused["OUTER"] == confused["LEFT_ARM"] == 0
    bald = evaluate(Reader({Label.HAIR: Label.FACE}), crops, choose("cpu"))
    hair, face = (labels == Label.HAIR).sum(), (labels == Label.FACE).sum()
    assert bald["hair"] == 0
    assert bald["face"] == pytest.approx(face / (face + hair))


def test_training_learns_writes_weights_and_goes_on(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # which format is faster may change between the two runs on a busy machine, and their last digits with it
    monkeypatch.setattr("vtryon.train.parser.fastest", lambda compute, work, repeats=2: compute)
    losses: list[float] = []
    loop = LoopConfig(steps=24, batch=4, peak_rate=5e-3, warmup=3, validate_every=24)
    size = ParserSize(widths=(8, 12, 16), depths=(1, 1, 1))
    config = ParserTraining(
        cache=cache, folder=tmp_path, loop=loop, size=size, device="cpu", small_crop=(64, 48), small_steps=20
    )
    report = train_parser(config, lambda _step, mean: losses.append(mean["entropy"]))
    assert losses[-1] < losses[0]
    assert 0 <= report["people"]["mean"] <= 1
    assert json.loads((tmp_path / "report.json").read_text())["people"] == report["people"]
    assert load_network(tmp_path / "parser.safetensors").size == size
    assert (tmp_path / "sheet.png").stat().st_size > 0
    again = train_parser(config)
    assert again["people"]["mean"] == pytest.approx(report["people"]["mean"], abs=1e-6)
