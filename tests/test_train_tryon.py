"""Examples and training of the renderer, on drawn people in scenes of two frames."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import scenes
from parsing import draw, landmarks
from vtryon.device import choose
from vtryon.errors import MissingInputError
from vtryon.render.flow import Flow
from vtryon.render.unet import RendererNet, RendererSize, load_renderer
from vtryon.train import disturb, tryon
from vtryon.train.loop import LoopConfig
from vtryon.train.pairs import PICTURE, PRODUCT
from vtryon.train.scene_store import HALF, TOPS, continued, open_scenes, others, prepare_scenes
from vtryon.train.tryon import PAPER, TryOnTraining, clip_batch, frame_batch, train_tryon, tryon_loss
from vtryon.train.tryon_data import ExampleMaker, open_examples
from vtryon.types import CROP_SIZE, Array, Garment, GarmentKind, Label
from vtryon.warp import fitter

_SHIFT = 4  # px that everybody moves to the right between the frames
_NUMBERS = np.zeros(len(Label), np.uint8)
_NUMBERS[[Label.HAIR, Label.FACE, Label.TOP, Label.LOWER, Label.LEFT_ARM, Label.RIGHT_ARM, Label.LEGS]] = range(1, 8)


def write_scene(folder: Path) -> None:
    """A drawn person in three grey tops that are longer one by one, and the tops' product pictures."""
    folder.mkdir(parents=True)
    images, tops = {}, []
    for top in range(TOPS):
        product = scenes.garment((200, 200, 200), kind=GarmentKind.SHORT_SLEEVE, longer=10 * top)
        tops.append({"kind": {"sleeve_kind": "short"}, "product_kp": _write_product(folder, top, product)})
        for frame in range(2):
            points = landmarks(1.1, (144.0 + _SHIFT * frame, 215.0))
            rgb, labels, _ = draw(points, PICTURE)
            hem = int(points[23, 1]) + 8 * top
            labels[hem - 30 : hem, 125:165][labels[hem - 30 : hem, 125:165] == Label.LOWER] = Label.TOP
            worn = labels == Label.TOP
            rgb[worn] = 180
            name = f"t{top}_f{frame}"
            Image.fromarray(np.dstack([rgb, np.where(labels > 0, 255, 0).astype(np.uint8)])).save(
                folder / f"{name}.webp", lossless=True
            )
            Image.fromarray(_NUMBERS[labels]).save(folder / f"{name}_lab.png")
            _write_origin(folder / f"{name}_cor.png", worn, points, 2 if frame else 1)
            if frame == 0:
                flow = np.zeros((*HALF, 3), np.uint8)
                flow[labels[::2, ::2] > 0] = (128 + 4 * _SHIFT, 128, 0)
                cv2.imwrite(str(folder / f"{name}_flow.png"), np.ascontiguousarray(flow[..., ::-1]))
            seen = np.concatenate([points, np.ones((33, 1))], 1)
            images[name] = {"mediapipe": seen.tolist(), "kp": {}}
    (folder / "meta.json").write_text(json.dumps({"yaw": 0.0, "tops": tops, "images": images}))


def _write_product(folder: Path, top: int, product: Garment) -> dict[str, list[float]]:
    sx, sy = PRODUCT[1] / product.rgb.shape[1], PRODUCT[0] / product.rgb.shape[0]
    size = PRODUCT[::-1]
    rgb, parts = (cv2.resize(p, size, interpolation=cv2.INTER_NEAREST) for p in (product.rgb, product.parts))
    Image.fromarray(np.dstack([rgb, np.where(parts > 0, 255, 0).astype(np.uint8)])).save(
        folder / f"product_{top}.webp", lossless=True
    )
    Image.fromarray(parts).save(folder / f"product_{top}_lab.png")
    return {name: [float(x * sx), float(y * sy)] for name, (x, y) in product.keypoints.items()}


def _write_origin(path: Path, worn: Array, points: Array, step: int) -> None:
    """Product places that grow evenly across and down the body."""
    y, x = np.mgrid[: PICTURE[0], : PICTURE[1]].astype(np.float32)
    u = 512 + 6 * (x - points[11:13, 0].mean())
    v = 150 + 5 * (y - points[11, 1])
    code = np.stack([u.clip(0, 1023), v.clip(0, 1023), worn * 1023.0], -1) * worn[..., None]
    cv2.imwrite(str(path), code[::step, ::step, ::-1].astype(np.uint16).copy())


def write_people(cache: Path) -> None:
    rows = []
    for i in range(3):
        points = landmarks(0.8, (100.0, 140.0))
        rows.append((points, *draw(points, (280, 200), seed=i)))
    points, rgb, labels, matte = (np.stack([row[i] for row in rows]) for i in range(4))
    pose = np.concatenate([points, np.ones((3, 33, 1), np.float32)], axis=2)
    np.savez(cache / "people.npz", pose=pose, ids=["0001", "0002", "0017"], ok=[True] * 3)
    for name, value in (("rgb", rgb), ("lab", labels), ("mat", (matte * 255).astype(np.uint8))):
        np.save(cache / f"people_{name}.npy", value)
    for name in ("pairs.npz", "pairs_rgba.npy", "pairs_lab.npy", "pairs_mat.npy"):  # the parser's, not looked at
        source = cache / name.replace("pairs", "people").replace("rgba", "rgb")
        (cache / name).write_bytes(source.read_bytes())
    rng = np.random.default_rng(0)
    np.save(cache / "back.npy", rng.integers(0, 255, (3, 256, 192, 3)).astype(np.uint8))
    np.save(cache / "cloth.npy", rng.integers(0, 255, (2, 256, 256, 3)).astype(np.uint8))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("renderer")
    for name in ("0001", "0007"):
        write_scene(folder / "pairs" / name)
    prepare_scenes(folder / "pairs", folder / "cache", fitter("anchored"))
    write_people(folder / "cache")
    return folder / "cache"


@pytest.fixture(scope="module")
def maker(cache: Path) -> ExampleMaker:
    return open_examples(cache)


def test_scenes_are_packed_with_both_frames_and_the_split(cache: Path) -> None:
    store = open_scenes(cache)
    assert (store.train.tolist(), store.validation.tolist()) == ([0], [1])
    assert store.picture.shape[1:3] == (3, 2)
    top = store.labels[0, 0, 0][::2, ::2] == Label.TOP
    assert np.array_equal(store.known[0, 0, 0] > 0, top)
    assert store.motion[0, 0][top].tolist() == [[4 * _SHIFT, 0]] * int(top.sum())
    moved = np.roll(store.known[0, 1, 0], _SHIFT // 2, axis=1)
    assert (moved == store.known[0, 1, 1]).mean() > 0.99


def test_the_warp_lies_on_the_body_and_knows_its_origin(cache: Path) -> None:
    store = open_scenes(cache)
    for new in range(TOPS):
        for n, old in enumerate(others(new)):
            torso = store.placed[0, new, n, 0, ..., 1] > 127
            assert torso.sum() > 800
            assert (store.labels[0, old, 0][::2, ::2][torso] > 0).mean() > 0.7
            across = store.placed_origin[0, new, n, 0, ..., 0][torso].astype(np.float32)
            columns = np.nonzero(torso)[1]
            assert np.corrcoef(across, columns)[0, 1] > 0.95


def test_missing_scenes_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no prepared scenes"):
        open_scenes(tmp_path)


def test_values_go_on_with_the_nearest_known_one() -> None:
    values, known = np.zeros((5, 6, 2), np.float32), np.zeros((5, 6), bool)
    values[1, 1], values[3, 5], known[1, 1], known[3, 5] = (1, 2), (3, 4), True, True
    found = continued(values, known)
    assert found[0, 0].tolist() == [1, 2]
    assert found[4, 4].tolist() == [3, 4]
    assert continued(values, known & False) is values


def test_the_same_seed_gives_the_same_example(maker: ExampleMaker) -> None:
    for seed in range(4):
        a, b = (maker.frame(np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(a.truth, b.truth)
        assert np.array_equal(a.view.garment, b.view.garment)
        assert np.array_equal(a.view.hole, b.view.hole)


@pytest.mark.parametrize("photographs", [0.0, 1.0])
def test_what_stays_is_as_it_was_and_the_old_top_is_gone(maker: ExampleMaker, photographs: float) -> None:
    for seed in range(6):
        example = replace(maker, photographs=photographs).frame(np.random.default_rng(seed))
        stays = example.keep > 0.5
        assert np.abs(example.view.rgb[stays].astype(int) - example.truth[stays]).max(initial=0) <= 10
        assert example.keep[example.view.hole > 0.5].max(initial=0) == 0
        assert example.keep[example.mask > 0.5].max(initial=0) == 0
        assert example.view.shares.shape[1:] == example.mask.shape == CROP_SIZE


def test_a_pair_is_the_same_person_in_another_top(maker: ExampleMaker) -> None:
    example = maker.pair(0, np.random.default_rng(3), clean=True)[0]
    region = np.maximum(example.view.hole, example.mask) > 0.5
    away = np.abs(example.view.rgb.astype(int) - example.truth).max(-1)
    assert away[~region].mean() < 3 < away[region].mean()


def test_what_is_painted_has_its_kind(maker: ExampleMaker) -> None:
    example = maker.pair(0, np.random.default_rng(3), clean=True)[0]
    painted = np.maximum(example.view.hole, example.mask) > 0.5
    assert set(np.unique(example.kind[~painted])) == {-1}
    assert (example.kind[example.mask > 0.9] == 4).all()
    assert set(np.unique(example.kind[painted])) <= {-1, 0, 1, 2, 3, 4}
    assert 0 in example.kind[painted]


def test_light_takes_the_garment_to_the_truth(maker: ExampleMaker) -> None:
    exact = replace(maker, placed=0.0)
    example = exact.pair(0, np.random.default_rng(0), clean=True)[0]
    inside = cv2.erode((example.mask > 0.99).astype(np.uint8), np.ones((7, 7))) > 0
    lit = example.view.garment * np.exp(example.gain)
    error = np.abs(lit[inside] - example.truth[inside] / 255.0)
    assert error.mean() < 0.04


def test_a_photograph_does_not_show_the_light_of_its_top(maker: ExampleMaker) -> None:
    example = maker.photograph(0, np.random.default_rng(0))
    assert not example.view.light.any()
    assert example.mask.sum() > 500


@pytest.mark.parametrize("photographs", [0.0, 1.0])
def test_the_flow_of_a_clip_is_exact(maker: ExampleMaker, photographs: float) -> None:
    for seed in range(3):
        clip = replace(maker, photographs=photographs).clip(np.random.default_rng(seed))
        carried = Flow(clip.moved, np.ones(CROP_SIZE, np.float32)).carry(clip.before.mask)
        inside = cv2.erode((clip.now.mask > 0.5).astype(np.uint8), np.ones((7, 7))) > 0
        assert inside.any()
        assert carried[inside].mean() > 0.97
        assert clip.valid.shape == CROP_SIZE


def test_labels_are_misread_but_cover_the_top_mostly() -> None:
    _, labels, _ = draw(landmarks())
    top = labels == Label.TOP
    shown = [float((disturb.misread(labels, np.random.default_rng(s))[0][top] < 0.5).mean()) for s in range(30)]
    assert 0 < np.mean(shown) < 0.2
    assert disturb.worn(labels)[top].min() == 1


def test_more_than_the_top_is_taken_now_and_then() -> None:
    points = landmarks(0.8, (96.0, 140.0))
    _, labels, _ = draw(points)
    taken = [disturb.more_taken(labels, points, np.random.default_rng(s)) > 0 for s in range(40)]
    for label in (Label.LEFT_ARM, Label.FACE, Label.LOWER):
        share = np.mean([t[labels == label].mean() for t in taken])
        assert 0.02 < share < 0.8
    face = labels == Label.FACE
    face[int(points[0, 1]) :] = False
    assert not any(t[face].any() for t in taken)


def test_batches_have_the_shapes_of_the_network(maker: ExampleMaker) -> None:
    rng = np.random.default_rng(0)
    small = replace(maker, size=(128, 96))
    frames = frame_batch([small.frame(rng) for _ in range(3)], 1.0, rng)
    assert frames["state"].shape == (3, 4, 128, 96)
    assert float(frames["valid"].max()) > 0
    assert not frame_batch([small.frame(rng)], 0.0, rng)["valid"].any()
    clips = clip_batch([small.clip(rng) for _ in range(2)])
    assert clips["flow"].shape == clips["moved"].shape == (2, 2, 128, 96)
    assert int(clips["still"]) == 0
    assert clips["before.image"].shape == clips["image"].shape
    assert clips["gain"].shape == (2, 3, 64, 48)


def tiny(cache: Path, folder: Path, steps: int) -> TryOnTraining:
    loop = LoopConfig(steps=steps, batch=2, warmup=2, validate_every=100, save_every=0.0, peak_rate=3e-3)
    return TryOnTraining(
        cache=cache, folder=folder, loop=loop, size=RendererSize((8, 8, 12), (1, 1, 1)), small_crop=(64, 64),
        small_steps=100, held_out=1, device="cpu",
    )  # fmt: skip


def test_training_goes_on_where_it_stopped(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # which number format is faster is measured anew each time; the same one is needed for the same bits
    monkeypatch.setattr(tryon, "fastest", lambda compute, *_args, **_options: compute)

    def stop(step: int, _terms: dict[str, float]) -> None:
        if step == 2:
            raise KeyboardInterrupt

    train_tryon(tiny(cache, tmp_path / "whole", 4))
    with pytest.raises(KeyboardInterrupt):
        train_tryon(tiny(cache, tmp_path / "parts", 4), stop)
    measures = train_tryon(tiny(cache, tmp_path / "parts", 4))
    whole, parts = (load_renderer(tmp_path / name / "tryon.safetensors") for name in ("whole", "parts"))
    wanted, got = whole.state_dict(), parts.state_dict()
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert set(measures) == {"pairs", "photographs", "motion"}
    report = json.loads((tmp_path / "parts" / "report.json").read_text())
    assert report["config"]["perceptual_used"] is False
    assert cv2.imread(str(tmp_path / "parts" / "sheet.png")) is not None


def test_the_loss_of_a_batch_can_be_lowered(cache: Path, maker: ExampleMaker, tmp_path: Path) -> None:
    config = tiny(cache, tmp_path, 1)
    small = replace(maker, size=(64, 64))
    batch = clip_batch([small.clip(np.random.default_rng(s)) for s in range(3)])
    torch.manual_seed(0)
    net = RendererNet(config.size)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    found = []
    for _ in range(25):
        terms = tryon_loss(net, batch, choose("cpu"), perceptual=None, config=config)
        assert {"l1", "mask", "gain", "flow"} <= set(terms)
        optimiser.zero_grad()
        total = torch.stack(list(terms.values())).sum()
        total.backward()
        optimiser.step()
        found.append(float(total.detach()))
    assert found[-1] < 0.7 * found[0]


def test_a_frame_before_that_stands_still_is_drawn_from_its_own_memory(
    cache: Path, maker: ExampleMaker, tmp_path: Path
) -> None:
    config = tiny(cache, tmp_path, 1)
    one = replace(maker, size=(64, 64)).clip(np.random.default_rng(0))
    torch.manual_seed(0)
    net = RendererNet(config.size).eval()
    with torch.no_grad():
        net.masks.weight.normal_(0, 0.5)  # so that what is remembered shows
        terms = [
            tryon_loss(net, clip_batch([one], still), choose("cpu"), perceptual=None, config=config)["l1"]
            for still in (0, 0, 2)
        ]
    assert float(terms[0]) == float(terms[1]) != float(terms[2])


def test_the_papers_settings_are_at_hand() -> None:
    assert (PAPER.betas, PAPER.batch, PAPER.peak_rate, PAPER.weight_decay) == ((0.5, 0.999), 32, 1e-5, 0.0)
    assert PAPER.rate(0) == PAPER.rate(PAPER.steps // 2 - 1) == 1e-5
    assert PAPER.rate(PAPER.steps - 1) < 1e-8
