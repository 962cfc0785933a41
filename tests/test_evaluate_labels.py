"""The parser's measures: flicker against labels that change by design, time and IoU through the entrance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import fakes
from vtryon.evaluate import labels as measures
from vtryon.evaluate.__main__ import main
from vtryon.evaluate.labels import label_flicker, still_flicker
from vtryon.person.network import ParserNet, ParserSize
from vtryon.person.parser import save_network
from vtryon.person.regions import label_regions
from vtryon.types import CROP_SIZE, Array, Crop, Frame, Label, Person

HEIGHT, WIDTH = CROP_SIZE


def texture() -> Array:
    noise = np.random.default_rng(0).uniform(0, 255, (HEIGHT, WIDTH + 80, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)


def clip(pictures: Iterable[Array]) -> Iterator[Frame]:
    return (Frame(np.ascontiguousarray(rgb), i, Fraction(1, 25), i) for i, rgb in enumerate(pictures))


def seen(monkeypatch: pytest.MonkeyPatch, maps: list[Array], shots: list[int] | None = None) -> None:
    """Let the analysis of a clip find these label maps, in crops that are the frames."""

    def analyse(frames: Iterable[Frame], **_: Any) -> Iterator[tuple[Frame, Person | None]]:
        for frame in frames:
            share = np.zeros((len(Label), *CROP_SIZE), np.uint8)
            np.put_along_axis(share, maps[frame.index][None].astype(int), 255, axis=0)
            shot = 0 if shots is None else shots[frame.index]
            yield frame, replace(fakes.person(CROP_SIZE), crop=Crop(0, 0, HEIGHT), labels=share, shot=shot)

    monkeypatch.setattr(measures, "analyse", analyse)


def body() -> Array:
    labels = np.zeros(CROP_SIZE, np.uint8)
    labels[50:150, 50:150] = Label.TOP
    return labels


def test_what_changes_is_counted_in_the_persons_box(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, patched = body(), body()
    patched[50:60, 50:150] = Label.OUTER  # a tenth of the box
    seen(monkeypatch, [plain] * 9 + [patched, plain, plain])
    found = label_flicker(clip([texture()[:, :WIDTH]] * 12), label_regions, moving=False)
    assert found.frames == 4
    assert found.share == pytest.approx(0.1 * 2 / 4, abs=1e-4)
    assert next(iter(found.pairs)) == "TOP/OUTER"
    assert found.counted == 1


def test_labels_that_move_with_the_picture_do_not_flicker(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [texture()[:, 3 * i : 3 * i + WIDTH] for i in range(14)]
    maps = [np.roll(body(), -3 * i, axis=1) for i in range(14)]
    seen(monkeypatch, maps)
    assert label_flicker(clip(pictures), label_regions, moving=True).share < 0.003
    assert label_flicker(clip(pictures), label_regions, moving=False).share > 0.05


def test_a_new_shot_is_no_flicker(monkeypatch: pytest.MonkeyPatch) -> None:
    other = np.roll(body(), 30, axis=0)
    seen(monkeypatch, [body()] * 10 + [other] * 2, [0] * 10 + [1] * 2)
    assert label_flicker(clip([texture()[:, :WIDTH]] * 12), label_regions, moving=False).share == 0


def test_nobody_gives_no_number(tmp_path: Path) -> None:
    assert np.isnan(still_flicker(np.full((64, 64, 3), 90, np.uint8), label_regions, seconds=0.5).share)


def test_time_of_a_crop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    net = ParserNet(ParserSize(widths=(8, 12, 16), depths=(1, 1, 1))).eval()
    save_network(tmp_path / "parser.safetensors", net)
    monkeypatch.setenv("VTRYON_WEIGHTS", str(tmp_path))
    assert main(["crop-time", "--device", "cpu", "--batch", "1", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    times = report["cpu float32"]
    assert list(times) == ["batch 1", "batch 2"]
    assert all(0 < one["seconds"] < 5 for one in times.values())


def test_iou_without_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["iou", "--cache", str(tmp_path / "cache"), "--data", str(tmp_path / "nowhere")]) == 66
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_iou_of_both_validation_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stores:
        @staticmethod
        def validation() -> tuple[list[int], list[int]]:
            return [1, 2], [3]

    monkeypatch.setattr(measures, "is_prepared", lambda _cache: True)
    monkeypatch.setattr(measures, "open_crops", lambda _cache: Stores)
    monkeypatch.setattr(measures, "load_network", lambda _path: None)
    monkeypatch.setattr(measures, "evaluate", lambda _net, crops, _compute: {"mean": 1 / 3 * len(crops)})
    assert main(["iou", "--cache", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["photographs"] == {"crops": 2, "mean": 0.6667}
    assert report["rendered people"] == {"crops": 1, "mean": 0.3333}
