"""Each measure moves the right way for each way to spoil a clip, and people are looked for where they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import fakes
from moving import HEIGHT, WIDTH, flickering, noisy, save_frames, sliding
from vtryon.data import Footage, FootageKind
from vtryon.errors import BadInputError
from vtryon.evaluate.footage import Item, View
from vtryon.evaluate.score import ClipScore, Scorers, score, watch
from vtryon.types import CROP_SIZE, Array, Frame, Label, Person

STEP = (3.0, 1.0)
TRUTH = noisy(sliding(8, STEP), 1)
ALL = Scorers(vmaf=torch.device("cpu"), kept=False)


def scored(folder: Path, result: list[Array], scorers: Scorers = ALL, truth: list[Array] = TRUTH) -> ClipScore:
    footage = {
        name: Footage(FootageKind.FRAMES, save_frames(folder / name, frames))
        for name, frames in (("result", result), ("truth", truth))
    }
    item = Item("clip", footage["result"], footage["truth"], footage["truth"])
    view = View()
    return score(item, watch(item, view.read(footage["result"]), view, scorers.labeller), scorers)


SPOILT: Mapping[str, Callable[[list[Array]], list[Array]]] = {
    "noise": lambda clip: noisy(clip, 20),
    "flicker": lambda clip: flickering(clip, 40),
    "shifted in the picture": lambda clip: noisy(sliding(len(clip), STEP, aside=2.0), 1),
    "shifted in time": lambda clip: [clip[0], *clip[:-1]],
    "swapped frames": lambda clip: [clip[n] for n in (0, 2, 1, 3, 5, 4, 6, 7)],
    "frozen": lambda clip: [clip[0]] * len(clip),
}


def test_an_identical_clip_is_perfect(tmp_path: Path) -> None:
    values = scored(tmp_path, TRUTH).values
    assert values["ssim"] == 1
    assert (values["vmaf"] or 0) > 97
    assert values["warp_ratio"] == pytest.approx(1)


@pytest.mark.parametrize("way", SPOILT)
def test_each_measure_moves_the_right_way(way: str, tmp_path: Path) -> None:
    values = scored(tmp_path, SPOILT[way](TRUTH)).values
    assert (values["ssim"] or 0) < 0.98
    ratio = values["warp_ratio"] or 0
    if way == "shifted in the picture":  # it moves as the source does: steady, but in the wrong place
        assert ratio < 1.5
    else:
        assert ratio > 1.5
    if way != "flicker":  # VMAF is about detail, and hardly sees brightness
        assert (values["vmaf"] or 0) < 95


def test_twice_as_bad_is_worse(tmp_path: Path) -> None:
    for spoil, measures in ((noisy, ("ssim", "vmaf", "warp_ratio")), (flickering, ("ssim", "warp_ratio"))):
        some, more = (scored(tmp_path, spoil(TRUTH, by)).values for by in (12, 24))
        for name in measures:
            worse = (more[name] or 0) - (some[name] or 0)
            assert worse > 0 if name == "warp_ratio" else worse < 0


def test_frames_tell_when(tmp_path: Path) -> None:
    result = [f.copy() for f in TRUTH]
    result[5] = np.clip(result[5].astype(int) + 60, 0, 255).astype(np.uint8)
    found = scored(tmp_path, result)
    assert found.count == 8
    likeness, errors = found.frames["ssim"], found.frames["warp_error"]
    assert np.argmin([v or 0 for v in likeness]) == 5
    assert set(np.argsort([v or 0 for v in errors])[-2:]) == {5, 6}
    assert errors[0] is None
    assert len(found.frames["vmaf"]) == len(errors) == 8


def test_footage_that_ends_early_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="clip: result has 7 frames, source has more; --frames 7"):
        scored(tmp_path, TRUTH[:7])


def analyse(frames: Iterable[Frame], **_: object) -> Iterator[tuple[Frame, Person | None]]:
    """Somebody whose top fills the middle of the picture; nobody from the fifth frame on; a cut before the third."""
    labels = np.zeros((len(Label), *CROP_SIZE), np.uint8)
    labels[Label.BACKGROUND] = 255
    labels[Label.BACKGROUND, 64:192, 48:144], labels[Label.TOP, 64:192, 48:144] = 0, 255
    for frame in frames:
        seen = replace(fakes.person(frame.rgb.shape), labels=labels, shot=int(frame.index > 2))
        yield frame, seen if frame.index < 5 else None


def test_people_decide_where_and_when_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtryon.evaluate.score.analyse", analyse)
    spoilt = [f.copy() for f in TRUTH]
    for frame in spoilt[1::2]:
        frame[:, WIDTH - 20 :] = 255  # beside the person, whose crop is 72 px wide
    worn = Scorers(kept=True, labeller=fakes.analyse)  # type: ignore[arg-type]
    found = scored(tmp_path, spoilt, worn)
    assert found.values["warp_ratio"] == pytest.approx(1)
    assert found.without_person == 3
    steps = found.frames["warp_error"]
    assert [v is None for v in steps] == [True, False, False, True, False, True, True, True]
    assert found.values["leftover"] is None, "truth and source are one"
    assert (scored(tmp_path, spoilt, replace(worn, labeller=None)).values["warp_ratio"] or 0) > 2
    assert HEIGHT * 3 // 4 < WIDTH - 20
