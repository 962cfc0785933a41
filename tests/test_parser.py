"""The labeller: what the network is told, what it gives, and that it is steady."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from parsing import draw, landmarks, pose
from vtryon import weights
from vtryon.errors import BadInputError
from vtryon.person import analyse
from vtryon.person import parser as parsing_room
from vtryon.person.colours import by_colour
from vtryon.person.heatmaps import BONES, POSE_CHANNELS, pose_maps, skin_map
from vtryon.person.network import ParserNet, ParserSize, fold
from vtryon.person.outfit import DRESS, dress_share, settle
from vtryon.person.parser import LabelState, ParserLabeller, load_network, save_network
from vtryon.person.steady import carry
from vtryon.types import WORN_TOP, Array, Label
from vtryon.video import VideoReader

TINY = ParserSize(widths=(8, 8, 8), depths=(1, 1, 1))


def tiny_net(seed: int = 0) -> ParserNet:
    torch.manual_seed(seed)
    net = ParserNet(TINY)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.eval()


def test_a_bone_map_is_highest_on_its_bone() -> None:
    points = landmarks(0.75)
    maps = pose_maps(points, np.ones(33, np.float32))
    assert maps.shape == (POSE_CHANNELS, 64, 48)
    forearm = BONES.index(((13, 15),))
    peak = np.unravel_index(maps[forearm].argmax(), maps[forearm].shape)
    middle = points[[13, 15]].mean(axis=0)
    assert abs(peak[1] * 4 + 2 - middle[0]) < 6
    assert points[13, 1] - 6 < peak[0] * 4 + 2 < points[15, 1] + 6


def test_torso_coordinates_are_the_wearers() -> None:
    points = landmarks(0.75)
    u, v = pose_maps(points, np.ones(33, np.float32))[-2:]
    left, hips = (points[11] / 4).astype(int), (points[[23, 24]].mean(axis=0) / 4).astype(int)
    assert u[left[1], left[0]] > 0.05
    assert v[hips[1], hips[0]] == pytest.approx(0.5, abs=0.05)


def test_an_unseen_pose_is_all_zero_and_a_hidden_limb_has_no_map() -> None:
    points, visible = landmarks(0.75), np.ones(33, np.float32)
    assert not pose_maps(points, 0 * visible).any()
    visible[15] = 0
    maps = pose_maps(points, visible)
    assert not maps[BONES.index(((13, 15),))].any()
    assert maps[BONES.index(((14, 16),))].max() > 0.8


def test_hands_have_the_colour_of_the_face_and_the_shirt_has_not() -> None:
    points = landmarks(0.75)
    rgb, labels, _ = draw(points, seed=1)
    skin = skin_map(rgb, points, np.ones(33, np.float32))
    assert skin[labels == Label.LEFT_ARM].mean() > 0.7
    assert skin[labels == Label.TOP].mean() < 0.05
    assert not skin_map(rgb, points - (0, 400), np.ones(33, np.float32)).any()


def test_the_network_gives_logits_at_the_crops_size() -> None:
    net = tiny_net()
    logits = net(torch.randn(2, 5, 128, 96), torch.rand(2, POSE_CHANNELS, 32, 24))
    assert logits.shape == (2, len(Label), 128, 96)


def test_folding_does_not_change_the_result() -> None:
    net, image, maps = tiny_net(), torch.randn(1, 5, 64, 64), torch.rand(1, POSE_CHANNELS, 16, 16)
    folded = fold(net)
    with torch.inference_mode():
        assert torch.allclose(net(image, maps), folded(image, maps), atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_weights_describe_their_network(tmp_path: Path) -> None:
    net, path = tiny_net(), tmp_path / "parser.safetensors"
    save_network(path, net, {"steps": 7})
    again = load_network(path)
    assert again.size == TINY
    image, maps = torch.randn(1, 5, 64, 64), torch.rand(1, POSE_CHANNELS, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(net(image, maps), again(image, maps), atol=0.05)


def test_weights_for_other_labels_or_another_size_are_refused(tmp_path: Path) -> None:
    net, path = tiny_net(), tmp_path / "parser.safetensors"
    names = tuple(label.name for label in Label)
    weights.save(path, weights.Checkpoint("parser", TINY.to_dict(), names[:-1], net.state_dict()))
    with pytest.raises(BadInputError, match="other labels"):
        load_network(path)
    wrong = ParserSize(widths=(8, 8, 16), depths=(1, 1, 1))
    weights.save(path, weights.Checkpoint("parser", wrong.to_dict(), names, net.state_dict()))
    with pytest.raises(BadInputError, match="do not fit"):
        load_network(path)


def test_labels_are_probabilities_and_the_state_is_a_value() -> None:
    rgb, _, matte = draw(landmarks(0.75))
    labeller = ParserLabeller(tiny_net())
    labels, state = labeller(rgb, pose(), matte, None)
    assert labels.shape == (11, 256, 192)
    assert labels.dtype == np.uint8
    assert np.abs(labels.astype(int).sum(axis=0) - 255).max() <= 6
    first, _ = labeller(rgb, pose(), matte, state)
    second, _ = labeller(rgb, pose(), matte, state)
    assert np.array_equal(first, second)


def test_noise_on_a_still_person_moves_few_labels() -> None:
    def flicker(steadiness: float) -> float:
        labeller = ParserLabeller(tiny_net(3), steadiness=steadiness)
        state, before, changed = None, None, []
        for seed in range(6):
            rgb, _, matte = draw(landmarks(0.75), seed=seed)
            labels, state = labeller(rgb, pose(), matte, state)
            now = labels.argmax(axis=0)
            changed.append(0.0 if before is None else float((now != before)[matte > 0.5].mean()))
            before = now
        return float(np.mean(changed[2:]))

    alone = flicker(0.0)
    assert alone > 0
    assert flicker(0.75) < 0.6 * alone


def test_carried_labels_follow_the_motion_and_new_things_are_not_trusted() -> None:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (256, 192)).astype(np.float32), (0, 0), 3)
    before = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    now = np.roll(before, 4, axis=1)
    now[60:110, 60:110] = 255 - now[60:110, 60:110]
    share = np.zeros((11, 256, 192), np.float32)
    share[3, 140:220, 80:120] = 1
    moved, trust = carry(before, now, share)
    assert moved[3, 150:210, 86:122].mean() > 0.95
    assert moved[3, 150:210, 76:82].mean() < 0.1
    assert trust[140:230, 40:150].mean() > 0.7
    assert trust[70:100, 70:100].mean() < 0.2


def test_the_network_runs_on_every_nth_frame_and_when_the_picture_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    real = parsing_room._run
    monkeypatch.setattr(parsing_room, "_run", lambda *a: runs.append(frame) or real(*a))
    labeller = ParserLabeller(tiny_net(), every=3)
    state: object = None
    for frame in range(7):
        rgb, _, matte = draw(landmarks(0.75), seed=frame)
        _, state = labeller(rgb, pose(), matte, state)
    assert runs == [0, 3, 6]
    assert isinstance(state, LabelState)
    frame = 7
    _, state = labeller(255 - rgb, pose(), matte, state)
    assert runs[-1] == 7


def one_label(label: Label) -> Array:
    share = np.zeros((len(Label), 256, 192), np.float32)
    share[label] = 1
    return share


def test_what_motion_made_unsure_is_not_held_on_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand that has gone leaves the picture as it was before, and labels that no longer belong there."""
    seen = iter([one_label(Label.LEFT_ARM), one_label(Label.TOP)])
    lost, whole = np.ones((256, 192), np.float32), np.ones((256, 192), np.float32)
    lost[100:110, 90:100] = 0  # too little to look again at once
    trusts = iter([lost, whole])
    monkeypatch.setattr(parsing_room, "_run", lambda *_: next(seen)[None])
    monkeypatch.setattr(parsing_room, "decided", lambda share, *_: share)
    monkeypatch.setattr(parsing_room, "carry", lambda _before, _now, planes: (planes, next(trusts)))
    labeller = ParserLabeller(tiny_net(), every=2, steadiness=0.75)
    rgb, _, matte = draw(landmarks(0.75))
    state: object = None
    for _ in range(3):
        labels, state = labeller(rgb, pose(), matte, state)
    assert labels[Label.TOP, 100:110, 90:100].min() == 255
    assert labels[Label.LEFT_ARM, 20, 20] == pytest.approx(0.75 * 255, abs=1)


@pytest.mark.parametrize(("label", "again"), [(Label.LEFT_ARM, True), (Label.TOP, False)])
def test_arms_in_fast_motion_are_looked_at_again_at_once(
    label: Label, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = one_label(Label.BACKGROUND)
    share[:, 100:140, 80:120] = one_label(label)[:, 100:140, 80:120]
    trust = np.ones((256, 192), np.float32)
    trust[100:120, 80:120] = 0
    runs: list[int] = []
    monkeypatch.setattr(parsing_room, "_run", lambda *_: runs.append(1) or share[None])
    monkeypatch.setattr(parsing_room, "decided", lambda share, *_: share)
    monkeypatch.setattr(parsing_room, "carry", lambda _before, _now, planes: (planes, trust))
    labeller = ParserLabeller(tiny_net(), every=2)
    rgb, _, _ = draw(landmarks(0.75))
    state: object = None
    for _ in range(2):
        _, state = labeller(rgb, pose(), np.ones((256, 192), np.float32), state)
    assert len(runs) == 1 + again


@pytest.mark.parametrize("bad", [{"every": 0}, {"steadiness": 1.0}])
def test_impossible_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="every must be"):
        ParserLabeller(tiny_net(), **bad)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_shipped_weights_know_the_man_in_our_example(examples: Path) -> None:
    labeller = ParserLabeller.load(device="cpu")
    with VideoReader(examples / "person.mp4", end=0.3) as reader:
        seen = [person for _, person in analyse(reader, labeller=labeller) if person is not None]
    found = seen[-1].labels.argmax(axis=0)
    points = seen[-1].crop.to_crop(seen[-1].pose.points)

    def at(point: Array) -> int:
        x, y = point.astype(int)
        return int(found[y, x])

    chest, hips = (points[list(pair)].mean(axis=0) for pair in ((11, 12), (23, 24)))
    assert at(0.7 * chest + 0.3 * hips) in WORN_TOP
    assert at(0.5 * (points[23] + points[25])) == Label.LOWER
    assert at(points[0]) == Label.FACE
    assert at(0.5 * (points[13] + points[15])) == Label.LEFT_ARM
    assert at(0.5 * (points[14] + points[16])) == Label.RIGHT_ARM
    assert (found == Label.HAIR).mean() > 0.003
    assert found[:8].max() == Label.BACKGROUND


def clothes(upper: dict[Label, float], lower: dict[Label, float]) -> tuple[Array, Array]:
    """Shares (11, 256, 192) of a body whose hips are at row 128, and its down coordinate."""
    down = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32)[:, None], (256, 192)).copy()
    share = np.zeros((11, 256, 192), np.float32)
    for rows, part in ((slice(0, 128), upper), (slice(128, 256), lower)):
        for label, value in part.items():
            share[label, rows] = value
    return share, down


def test_trousers_with_patches_of_dress_become_trousers() -> None:
    share, down = clothes({Label.TOP: 0.8, Label.DRESS: 0.2}, {Label.LOWER: 0.4, Label.DRESS: 0.6})
    assert dress_share(share, down) < DRESS
    settled = settle(share, down, dress=False)
    assert settled.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert not settled[Label.DRESS].any()
    assert settled[Label.LOWER, 160:].min() > 0.85
    assert settled[Label.TOP, :100].min() > 0.95


def test_a_dress_keeps_no_patches_of_trousers() -> None:
    share, down = clothes({Label.TOP: 0.2, Label.DRESS: 0.8}, {Label.LOWER: 0.4, Label.DRESS: 0.6})
    assert dress_share(share, down) > DRESS
    settled = settle(share, down, dress=True)
    assert settled[Label.DRESS, 160:].min() == pytest.approx(1)
    assert not settled[Label.LOWER].any()


def hoodie_and_jeans(hoodie: tuple[int, int, int], jeans: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    """Shares, picture and down coordinate: hoodie to the hips (row 128), jeans below, all taken for a top but the
    lowest rows, where the network is in doubt."""
    share, down = clothes({Label.TOP: 0.9, Label.LOWER: 0.1}, {Label.TOP: 0.8, Label.LOWER: 0.2})
    share[Label.TOP, 150:], share[Label.LOWER, 150:] = 0.55, 0.45
    rgb = np.full((256, 192, 3), hoodie, np.float32)
    rgb[128:] = jeans
    rgb += np.random.default_rng(0).normal(0, 3, rgb.shape)
    return share, np.clip(rgb, 0, 255).astype(np.uint8), down


def test_colour_tells_jeans_from_a_hoodie_where_the_network_does_not() -> None:
    share, rgb, down = hoodie_and_jeans((30, 30, 32), (70, 95, 140))
    found = by_colour(share, rgb, down)
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert (found[Label.LOWER, 134:] > 0.5).all()
    assert (found[Label.TOP, :122] > 0.5).all()
    assert np.abs(found - share)[:, :90].max() < 1e-5


def test_clothes_of_one_colour_stay_as_the_network_saw_them() -> None:
    share, rgb, down = hoodie_and_jeans((30, 30, 32), (30, 30, 32))
    assert np.abs(by_colour(share, rgb, down) - share).max() < 0.15


def test_half_figures_that_end_at_the_waist_and_dresses_are_left_alone() -> None:
    share, rgb, down = hoodie_and_jeans((30, 30, 32), (70, 95, 140))
    share[:, 100:] = 0
    share[Label.BACKGROUND, 100:] = 1
    assert np.array_equal(by_colour(share, rgb, down), share)
    dress, down = clothes({Label.DRESS: 1.0}, {Label.DRESS: 1.0})
    assert np.array_equal(by_colour(dress, rgb, down), dress)


@pytest.mark.parametrize(("cloth", "told"), [((200, 150, 60), True), ((40, 30, 25), False)])
def test_a_braid_over_cloth_of_another_colour_is_hair(cloth: tuple[int, int, int], told: bool) -> None:
    """The network saw hair only above row 60; the braid goes on to row 100, a dark badge hangs apart from it."""
    share = np.zeros((11, 256, 192), np.float32)
    rgb = np.full((256, 192, 3), cloth, np.uint8)
    share[Label.TOP, 20:160, 40:150] = 1
    for label, there in ((Label.HAIR, np.s_[20:60, 85:105]), (Label.TOP, np.s_[20:60, 85:105])):
        share[label][there] = 1.0 if label == Label.HAIR else 0.0
    share[:, 60:110, 80:110] = 0
    share[Label.TOP, 60:110, 80:110], share[Label.HAIR, 60:110, 80:110] = 0.9, 0.1
    rgb[20:100, 85:105] = rgb[130:140, 60:70] = (35, 28, 25)
    share[Label.BACKGROUND] = 1 - share.sum(axis=0)
    found = by_colour(share, rgb, np.zeros((256, 192), np.float32))
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    braid = found[Label.HAIR, 64:96, 88:102].mean()
    assert braid > 0.5 if told else braid < 0.3
    assert found[Label.HAIR, 130:140, 60:70].max() < 0.1
    assert found[Label.HAIR, 102:].max() < 0.2


@pytest.mark.parametrize(("cloth", "told"), [((225, 150, 20), True), ((40, 33, 30), False)])
def test_a_hood_beside_hair_is_no_hair(cloth: tuple[int, int, int], told: bool) -> None:
    """The network takes a piece of the hood for hair; what is as dark as the hair stays so, and so does a fringe."""
    share = np.zeros((11, 256, 192), np.float32)
    rgb = np.full((256, 192, 3), cloth, np.uint8)
    share[Label.TOP, 70:200, 40:150] = 1
    hair, hood = np.s_[20:110, 60:85], np.s_[70:90, 85:105]
    for there in (hair, hood):
        share[Label.TOP][there], share[Label.HAIR][there] = 0.0, 1.0
    share[Label.TOP][hood], share[Label.HAIR][hood] = 0.3, 0.7
    rgb[hair] = (35, 28, 25)
    rgb[20:28, 60:85] = cloth  # lit, above the chin
    share[Label.BACKGROUND] = 1 - share.sum(axis=0)
    down = np.where(np.arange(256)[:, None] < 60, -0.5, 0.0).astype(np.float32).repeat(192, 1)
    found = by_colour(share, rgb, down)
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    piece = found[Label.HAIR, 74:86, 90:102].mean()
    assert piece < 0.3 if told else piece > 0.6
    assert found[Label.HAIR, 60:105, 65:80].min() > 0.9
    assert found[Label.HAIR, 22:26, 65:80].min() > 0.9


@pytest.mark.parametrize(("cloth", "told"), [((40, 60, 110), True), ((203, 160, 132), False)])
def test_a_print_beside_a_hand_is_no_hand(cloth: tuple[int, int, int], told: bool) -> None:
    """The network, not sure, takes a strip of cloth below the hand for hand; cloth of the skin's colour stays so."""
    share = np.zeros((11, 256, 192), np.float32)
    rgb = np.full((256, 192, 3), cloth, np.uint8)
    share[Label.TOP, 40:200, 30:160] = 1
    share[:, 100:130, 80:120] = 0
    share[Label.LEFT_ARM, 100:120, 80:120] = 1
    share[Label.LEFT_ARM, 120:130, 80:120], share[Label.TOP, 120:130, 80:120] = 0.6, 0.4
    rgb[100:120, 80:120] = (205, 160, 130)
    share[Label.BACKGROUND] = 1 - share.sum(axis=0)
    found = by_colour(share, rgb, np.zeros((256, 192), np.float32))
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    strip = found[Label.LEFT_ARM, 123:129, 84:116].mean()
    assert strip < 0.4 if told else strip > 0.5
    assert found[Label.LEFT_ARM, 101:118, 82:118].mean() > 0.95, "what is sure stays"
    assert np.array_equal(found[:, 40:90], share[:, 40:90])


def test_cloth_between_the_straps_of_a_lanyard_is_cloth() -> None:
    """The network takes the whole wedge for carried; its straps are dark, what shows between them is as the top."""
    share = np.zeros((11, 256, 192), np.float32)
    rgb = np.full((256, 192, 3), (230, 150, 20), np.uint8)
    share[Label.TOP, 40:200, 30:160] = 1
    wedge = np.s_[60:120, 84:104]
    share[(slice(None), *wedge)] = 0
    share[(Label.CARRIED, *wedge)], share[(Label.TOP, *wedge)] = 0.75, 0.25
    share[Label.CARRIED, 120:150, 84:104], share[Label.TOP, 120:150, 84:104] = 1, 0
    rgb[120:150, 84:104] = (235, 235, 240)
    rgb[60:120, 84:90] = rgb[60:120, 98:104] = (25, 30, 60)
    share[Label.BACKGROUND] = 1 - share.sum(axis=0)
    found = by_colour(share, rgb, np.zeros((256, 192), np.float32))
    assert found.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert found[Label.CARRIED, 64:116, 93:96].mean() < 0.5
    assert found[Label.CARRIED, 64:116, 85:88].mean() > 0.7
    assert found[Label.CARRIED, 122:148, 86:102].mean() > 0.95
