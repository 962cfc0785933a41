"""What is given back of the source after the composition: by networks that have learned nothing, or one thing, and by
the one that ships."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import scenes
from conftest import ROOT
from vtryon.errors import BadInputError, UnavailableError
from vtryon.evaluate.clip import on_frame
from vtryon.evaluate.single import person_in
from vtryon.person.parser import ParserLabeller
from vtryon.pipeline import default_drawer
from vtryon.render.compose import Composer, RenderState
from vtryon.render.flow import Flow
from vtryon.render.layered import Layered, Window, enlarged, reduced
from vtryon.render.refine import (
    COVER,
    GRID,
    KINDS,
    LABELS,
    PLANES,
    RefineNet,
    RefineSize,
    load_refine,
    opened,
    refined,
    save_refine,
)
from vtryon.render.refiner import Refiner
from vtryon.types import CROP_SIZE, WORN_TOP, Array, Crop, Label, Person
from vtryon.video import VideoReader
from vtryon.warp import Texture
from vtryon.warp.anchored import fit

SIZE = RefineSize(widths=(8, 8, 12), depths=(1, 1, 1), fine=8)
SHIRT = scenes.garment(scenes.BLUE)
ARM = (Label.LEFT_ARM, Label.RIGHT_ARM)


def network(given: float = -30.0, share: float = -30.0) -> RefineNet:
    """A network that always says the same two logits."""
    torch.manual_seed(0)
    net = RefineNet(SIZE)
    with torch.no_grad():
        net.heads.weight.zero_()
        assert net.heads.bias is not None
        net.heads.bias[0], net.heads.bias[1] = given, share
    return net.eval()


def remembering() -> RefineNet:
    """A network that gives back what the memory says was not covered, and nothing where nothing is remembered."""
    net = network(-6.0, -6.0)
    with torch.no_grad():
        for module in (net.spread, net.detail):
            for parameter in module.parameters():
                parameter.zero_()
        taught, norm = net.detail[0], net.detail[1]
        taught.weight[0, PLANES + 3, 1, 1] = -1.0  # the mask of the frame before, in [-1, 1]
        norm.weight.fill_(1.0)
        net.heads.weight[:, 0, 1, 1] = 12.0
    return net.eval()


def unsure(person: Person, share: float = 0.5) -> Person:
    """The same, with arms that are taken for the old top in part, and nothing that tells of arms nearby."""
    labels = person.labels.astype(np.float32)
    for label in ARM:
        labels[Label.TOP] += (1 - share) * labels[label]
        labels[label] *= share
    return replace(person, labels=np.rint(labels).astype(np.uint8))


def dress(net: RefineNet | None, rgb: Array, person: Person) -> Array:
    warp, _ = fit(person, SHIRT)
    return Composer(None if net is None else Refiner(net))(rgb, person, warp, Texture.of(SHIRT), None, None)[0]


def off(a: Array, b: Array) -> Array:
    return np.asarray(np.abs(a.astype(int) - b).max(-1))


@pytest.fixture(scope="module")
def hand() -> tuple[Array, Person, Array]:
    """Somebody with a hand before the belly of which the labels are not sure, and where it is, (H, W) bool."""
    points = scenes.hand_on_belly()
    rgb, person, labels = scenes.scene(points, seed=1)
    y, x = np.mgrid[:640, :480]
    near = np.hypot(x - points[15, 0], y - points[15, 1]) < 40
    arm = cv2.erode(np.isin(labels, ARM).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return rgb, unsure(person), near & arm


def test_who_gives_nothing_back_leaves_the_composition_as_it_is(hand: tuple[Array, Person, Array]) -> None:
    rgb, person, _ = hand
    assert np.array_equal(dress(network(), rgb, person), dress(None, rgb, person))


def test_a_hand_that_was_painted_over_comes_back_and_the_new_top_stays(hand: tuple[Array, Person, Array]) -> None:
    rgb, person, where = hand
    plain, given = dress(None, rgb, person), dress(network(30, 30), rgb, person)
    assert where.sum() > 300
    assert off(plain, rgb)[where].mean() > 20
    assert off(given, rgb)[where].mean() < 4
    front = person_share(person, *ARM, Label.FACE, Label.HAIR) > 0.02
    far = cv2.dilate(front.astype(np.uint8), np.ones((41, 41), np.uint8)) == 0
    blue = scenes.near(plain, scenes.BLUE, 80) & far
    assert blue.sum() > 5000
    assert np.array_equal(given[far], plain[far])


def person_share(person: Person, *labels: Label) -> Array:
    """(640, 480): what the labels say, at the picture's size."""
    return cv2.resize(person.probability(*labels), scenes.SIZE[::-1])


def test_what_is_surely_the_old_top_is_never_shown(hand: tuple[Array, Person, Array]) -> None:
    rgb, person, _ = hand
    plain, given = dress(None, rgb, person), dress(network(30, 30), rgb, person)
    sure = cv2.erode((person_share(person, *WORN_TOP) > 0.97).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert sure.sum() > 3000
    assert off(given, plain)[sure].max() == 0


def test_a_cuff_beside_a_hand_is_no_hand(hand: tuple[Array, Person, Array]) -> None:
    """The old top's colour is not given back, though the network would and labels see a hand there."""
    rgb, person, where = hand
    rgb, cuff = rgb.copy(), where & (np.mgrid[:640, :480][1] > 255)
    rgb[cuff] = scenes.RED
    given = dress(network(30, 30), rgb, person)
    inner = cv2.erode(cuff.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    skin = cv2.erode((where & ~cuff).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert inner.sum() > 60
    assert scenes.near(given, scenes.RED, 60)[inner].mean() < 0.05
    assert off(given, rgb)[skin].mean() < 4


def test_a_badge_is_not_given_back() -> None:
    """It hung on the old top, and went with it; what is held in a hand is another matter."""
    points = scenes.body()
    rgb, _, labels = scenes.scene(points)
    labels[230:300, 230:250] = Label.CARRIED
    rgb[labels == Label.CARRIED] = scenes.WHITE
    person = scenes.person(points, labels)
    plain, given = dress(None, rgb, person), dress(network(30, 30), rgb, person)
    assert scenes.near(plain, scenes.BLUE, 80)[235:295, 232:248].mean() > 0.95
    assert np.array_equal(given[225:305, 225:255], plain[225:305, 225:255])


def test_the_gate_wants_some_skin_hair_or_a_thing_carried_and_no_sure_top() -> None:
    image = torch.zeros(1, PLANES, 2, 4)
    share = {kind: LABELS + n for n, kind in enumerate(KINDS)}
    image[0, share[ARM], 0] = torch.tensor([0.0, 0.1, 0.5, 1.0])
    image[0, share[(Label.HAIR,)], 1, 0], image[0, share[(Label.CARRIED,)], 1, 1] = 1.0, 1.0
    image[0, share[(Label.BACKGROUND,)], 1, 2] = 1.0
    image[0, share[WORN_TOP], 1, 3], image[0, share[ARM], 1, 3] = 0.8, 0.4
    assert opened(image)[0, 0].tolist() == opened(image)[0, 1].tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]
    neck = torch.zeros(1, PLANES, 1, 1)
    neck[0, share[(Label.FACE,)]] = 1.0
    assert opened(neck).flatten().tolist() == [0, 1], "a collar may lie over it"


def test_cloth_is_only_taken_away_and_only_the_source_is_shown() -> None:
    """Eq. (5) with any answer: m is no larger than the cover, p lies between what it was and the source."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.uniform(-1, 1, (2, PLANES, *GRID)).astype(np.float32))
    image[:, LABELS : LABELS + len(KINDS)] = image[:, LABELS : LABELS + len(KINDS)].abs()
    image[:, COVER] = image[:, COVER].abs()
    logits = torch.from_numpy(rng.normal(0, 4, (2, 2, *GRID)).astype(np.float32))
    answer = refined(image, logits)
    assert bool((answer.mask <= image[:, COVER : COVER + 1]).all())
    source, under = (image[:, :3] + 1) / 2, (image[:, LABELS + len(KINDS) :][:, :3] + 1) / 2
    low, high = torch.minimum(source, under), torch.maximum(source, under)
    assert bool(((answer.person >= low - 1e-5) & (answer.person <= high + 1e-5)).all())
    assert answer.state.shape == (2, 4, *GRID)


def test_the_memory_goes_where_the_source_went() -> None:
    """What was not covered in the frame before is given back where the flow has carried it, as far as that is valid."""
    size = (2 * CROP_SIZE[0], 2 * CROP_SIZE[1])
    labels = np.zeros((len(Label), *CROP_SIZE), np.uint8)
    labels[Label.LEFT_ARM] = 255
    person = replace(scenes.scene()[1], labels=labels, crop=Crop(0, 0, float(size[0])))
    whole = np.ones((*size, 3), np.float32)
    cover = whole[..., 0]
    layered = Layered(Window(0, 0, size[1], size[0]), 0.2 * whole, 0.4 * whole, cover, 0 * cover, 0.8 * whole)
    memory = np.ones((*GRID, 4), np.float32)
    memory[40:60, 30:50, 3] = 0
    backward = np.full((*CROP_SIZE, 2), (-24, -16), np.float32)  # 12 and 8 px of the grid to the right and down
    flow = Flow(backward, np.ones(CROP_SIZE, np.float32))
    picture = np.full((*CROP_SIZE, 3), 51, np.uint8)
    refine = Refiner(remembering())
    out, after = refine(layered, picture, person, flow, memory)
    gone = 1 - reduced(out.cover, person.crop, out.window, GRID)
    assert gone[50:66, 44:60].min() > 0.9
    assert gone[:46].max() < 0.02
    assert gone[:, :40].max() < 0.02
    assert after[56, 52, 3] < 0.1
    assert after[44, 34, 3] > 0.9
    assert np.allclose(out.under[226, 210], 0.2, atol=0.02), "the source shows there"
    for lost in (refine(layered, picture, person, None, memory), refine(layered, picture, person, flow, None)):
        assert np.array_equal(lost[0].cover, layered.cover)
    torn = Flow(backward, np.zeros(CROP_SIZE, np.float32))
    assert np.array_equal(refine(layered, picture, person, torn, memory)[0].cover, layered.cover)


def test_the_frame_before_is_remembered_within_a_shot(hand: tuple[Array, Person, Array]) -> None:
    net = network(0, 0)
    with torch.no_grad():
        net.heads.weight.normal_(0, 0.5)  # so that what is remembered shows
    rgb, person, _ = hand
    warp, _ = fit(person, SHIRT)
    composer, texture = Composer(Refiner(net)), Texture.of(SHIRT)

    def again(shot: int, state: RenderState | None) -> tuple[Array, RenderState]:
        return composer(rgb, replace(person, shot=shot), warp, texture, None, state)

    first, state = again(0, None)
    assert state.refined is not None
    assert not np.array_equal(first, again(0, state)[0])
    assert np.array_equal(first, again(1, state)[0])


def test_planes_go_to_the_grid_and_back() -> None:
    crop, window = Crop(20.0, -10.0, 600.0), Window(60, 30, 400, 500)
    y, x = np.mgrid[window.top : window.bottom, window.left : window.right].astype(np.float32)
    ramp = np.dstack([x, y]) / np.float32(600)
    small = reduced(ramp, crop, window, GRID, border=-1.0)
    assert small[0, 0].tolist() == [-1, -1]
    back = enlarged(small, crop, window, GRID)
    assert np.abs(back - ramp)[20:-20, 20:-20].max() < 0.004


def test_weights_are_loaded_from_a_file_and_their_absence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "refine.safetensors"
    monkeypatch.setenv("VTRYON_WEIGHTS", str(tmp_path))
    with pytest.raises(UnavailableError, match="refine"):
        Refiner.load(device="cpu")
    save_refine(path, network())
    assert Refiner.load(device="cpu").net.size == SIZE
    other = RefineNet(replace(SIZE, fine=12))
    other.size = SIZE
    save_refine(path, other)
    with pytest.raises(BadInputError, match="do not fit"):
        Refiner.load(device="cpu")


def test_without_weights_the_composition_is_that_of_geometry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hand: tuple[Array, Person, Array]
) -> None:
    rgb, person, where = hand
    warp, _ = fit(person, SHIRT)
    plain = dress(None, rgb, person)

    def drawn() -> Array:
        return default_drawer("cpu")(rgb, person, warp, Texture.of(SHIRT), None, None)[0]

    monkeypatch.setenv("VTRYON_WEIGHTS", str(tmp_path))
    assert np.array_equal(drawn(), plain)
    save_refine(tmp_path / "refine.safetensors", network(30, 30))
    assert off(drawn(), plain)[where].mean() > 20
    (tmp_path / "refine.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match=r"refine\.safetensors"):
        drawn()


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        RefineSize(widths=(8, 8, 8), depths=(1, 1))
    assert RefineSize.from_dict(SIZE.to_dict()) == SIZE


@pytest.mark.parametrize(("clip", "moment"), [("person", 40), ("turning", 5)])
def test_the_shipped_network_gives_hands_back_and_keeps_the_new_top(clip: str, moment: int) -> None:
    """Hands that the labels take for the old top nearly as much as for hands."""
    with VideoReader(ROOT / "examples" / f"{clip}.mp4") as frames:
        rgb = next(islice(frames, moment, None)).rgb
    person = person_in(rgb, ParserLabeller.load(device="cpu"), frames=2)
    assert person is not None
    points = person.crop.to_crop(person.pose.points)
    y, x = np.mgrid[: CROP_SIZE[0], : CROP_SIZE[1]]
    reach = 0.3 * float(np.linalg.norm(points[[11, 12]].mean(0) - points[[23, 24]].mean(0)))
    near = np.minimum(*(np.hypot(x - points[wrist, 0], y - points[wrist, 1]) for wrist in (15, 16))) < reach
    doubted = replace(person, labels=np.where(near, unsure(person, 0.55).labels, person.labels))
    net = load_refine(ROOT / "weights" / "refine.safetensors")
    plain, given = dress(None, rgb, doubted), dress(net, rgb, doubted)
    hand = on_frame(person, (near & (person.probability(*ARM) > 0.9)).astype(np.float32), rgb.shape) > 0.5
    assert hand.sum() > 500
    assert off(given, rgb)[hand].mean() < 0.7 * off(plain, rgb)[hand].mean()
    away = on_frame(person, cv2.dilate(near.astype(np.float32), np.ones((15, 15))), rgb.shape) < 0.01
    cloth = scenes.near(plain, scenes.BLUE, 90) & away
    assert cloth.sum() > 3000
    assert (off(given, plain)[cloth] > 12).mean() < 0.02
