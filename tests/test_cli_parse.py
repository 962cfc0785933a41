"""``vtryon parse`` with a stand-in for the analysis: colours where the labels are, and all that is kept or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import fakes
import media
from vtryon.cli.app import app
from vtryon.parseview import frame_labels
from vtryon.sheet import LABEL_COLOURS, with_labels, with_legend
from vtryon.types import CROP_SIZE, Crop, Frame, Label, Person
from vtryon.video import VideoReader, probe


def dressed(frame: Frame) -> Person:
    """Somebody whose crop, half as high as the frame, is at its left, and shows a top in its upper half."""
    person = fakes.person(frame.rgb.shape)
    labels = np.zeros((len(Label), *CROP_SIZE), np.uint8)
    labels[Label.BACKGROUND, 128:] = 255
    labels[Label.TOP, :128] = 255
    return replace(person, crop=Crop(0.0, 0.0, frame.rgb.shape[0] / 2), labels=labels)


def analyse(frames: Iterable[Frame], **_: Any) -> Iterator[tuple[Frame, Person | None]]:
    """Nobody is seen in frames darker than 10."""
    for frame in frames:
        yield frame, dressed(frame) if frame.rgb.max() > 10 else None


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media.make(tmp_path / "person.mp4", media.Spec(count=30, sound=media.Sound()))
    Image.new("RGB", (90, 60), (100, 100, 100)).save(tmp_path / "person.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vtryon.parseview.analyse", analyse)
    monkeypatch.setattr("vtryon.parseview.default_labeller", lambda _device: None)


def parse(*words: str) -> Result:
    return CliRunner().invoke(app, ["parse", *words])


def test_a_clip_keeps_size_timing_and_sound() -> None:
    result = parse("person.mp4", "--json", "--opacity", "0", "--no-legend")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["output"], record["frames"], record["audio"]) == ("person.parse.mp4", 30, "copied")
    with VideoReader(Path("person.mp4")) as before, VideoReader(Path("person.parse.mp4")) as after:
        pairs = list(zip(before, after, strict=True))
    assert all(a.rgb.shape == b.rgb.shape and a.seconds == pytest.approx(b.seconds) for a, b in pairs)
    assert all(media.read_count(a.rgb) == media.read_count(b.rgb) for a, b in pairs[::7])


def test_part_of_a_clip_without_sound() -> None:
    result = parse("person.mp4", "-o", "out.mkv", "--start", "0.5", "--no-audio")
    assert result.exit_code == 0, result.output
    assert probe(Path("out.mkv")).audio_codec is None
    with VideoReader(Path("out.mkv")) as frames:
        assert len(list(frames)) == 15


def test_labels_alone_on_a_picture() -> None:
    result = parse("person.jpg", "--opacity", "1", "--no-legend")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("person.parse.png: 1 frame in ")
    with Image.open("person.parse.png") as opened:
        shown = np.asarray(opened.convert("RGB"))
    assert shown.shape == (60, 90, 3)
    assert (shown[2:13, 2:20] == LABEL_COLOURS[Label.TOP]).all()
    assert not shown[17:].any()
    assert not shown[:, 25:].any()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nobody.mp4",), 66, "nobody.mp4"),
        (("nobody.png",), 66, "nobody.png"),
        (("text.mp4",), 65, "text.mp4"),
        (("text.png",), 65, "text.png"),
        (("person.mp4", "-o", "out.png"), 2, "out.png"),
        (("person.jpg", "-o", "out.mp4"), 2, "out.mp4"),
        (("person.jpg", "--start", "1"), 2, "person.jpg"),
        (("person.mp4", "-o", "person.mp4", "-y"), 73, "person.mp4"),
        (("person.mp4", "-o", "text.mp4"), 73, "text.mp4"),
        (("person.jpg", "--max-pixels", "64x64"), 65, "person.jpg"),
        (("dark.png",), 65, "dark.png: no person"),
        (("person.mp4", "-y", "-n"), 2, "-y"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(words: tuple[str, ...], code: int, says: str) -> None:
    for name in ("text.mp4", "text.png"):
        Path(name).write_text("no picture")
    Image.new("RGB", (90, 60)).save("dark.png")
    before = {path.name for path in Path().iterdir()}
    result = parse(*words)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("vtryon: error: ")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert {path.name for path in Path().iterdir()} == before


def test_frames_without_a_person_stay_and_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(frames: Iterable[Frame], **_: Any) -> Iterator[tuple[Frame, Person | None]]:
        for frame in frames:
            yield frame, dressed(frame) if frame.index == 0 else None

    monkeypatch.setattr("vtryon.parseview.analyse", first_only)
    result = parse("person.mp4", "-o", "out.mkv", "--no-legend", "--json")
    assert json.loads(result.stdout)["frames_without_person"] == 29


def test_labels_lie_where_the_crop_is() -> None:
    person = dressed(Frame(np.zeros((100, 80, 3), np.uint8), 0, media.Spec().time_base, 0))
    moved = frame_labels(replace(person, crop=Crop(10.0, 20.0, 64.0)), (100, 80))
    ys, xs = np.nonzero(moved == Label.TOP)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (10, 58, 20, 52)
    outside = frame_labels(replace(person, crop=Crop(-30.0, -10.0, 64.0)), (100, 80))
    ys, xs = np.nonzero(outside == Label.TOP)
    assert (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1) == (0, 18, 0, 22)


@pytest.mark.parametrize("size", [(40, 30), (64, 96), (720, 1280)])
def test_a_legend_fits_and_names_every_label(size: tuple[int, int]) -> None:
    blank = np.full((*size, 3), 90, np.uint8)
    drawn = with_legend(blank)
    assert drawn.shape == blank.shape
    assert (blank == 90).all()
    if size[0] >= 200:
        colours = {tuple(c) for c in drawn.reshape(-1, 3)}
        assert all(tuple(c) in colours for c in LABEL_COLOURS[1:])


def test_opacity_mixes() -> None:
    grey = np.full((2, 2, 3), 100, np.uint8)
    labels = np.array([[0, 0], [Label.CARRIED] * 2], np.uint8)
    assert with_labels(grey, labels, 0.5)[:, 0].tolist() == [[50, 50, 50], [178, 50, 50]]
    assert (with_labels(grey, labels, 0.0) == grey).all()
