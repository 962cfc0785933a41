"""The whole thing, nothing replaced, on a part of our own example: what a user would see."""

from __future__ import annotations

import json
import shlex
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import media
from vtryon.cli.app import app
from vtryon.video import VideoReader

START, END = 0.5, 0.75
"""The man stands with his arms down, 6 frames."""

# Boxes of the 480 x 640 picture: left, top, right, bottom.
BELLY = (225, 325, 285, 370)
FACE = (205, 55, 255, 115)
WALL = (370, 20, 398, 200)
LEGS = (150, 450, 300, 640)


@pytest.fixture(scope="module")
def dressed(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, Path]:
    folder = tmp_path_factory.mktemp("example")
    out, kept = folder / "out.mp4", folder / "person.vtp"
    result = CliRunner().invoke(
        app,
        shlex.split(
            f"run {examples}/person.mp4 {examples}/tshirt_red.jpg -o {out} --json --save-person {kept} "
            f"--start {START} --end {END} --crf 8 --preset ultrafast"
        ),
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), out, kept


def box(rgb: Any, where: tuple[int, int, int, int]) -> Any:
    left, top, right, bottom = where
    return rgb[top:bottom, left:right].astype(float)


def pictures(path: Path, **part: float) -> list[Any]:
    with VideoReader(path, **part) as reader:
        return [frame.rgb for frame in reader]


@pytest.mark.slow
def test_the_shirt_is_red_and_the_rest_is_as_it_was(dressed: tuple[dict[str, Any], Path, Path], examples: Path) -> None:
    before, after = pictures(examples / "person.mp4", start=START, end=END), pictures(dressed[1])
    assert len(before) == len(after) == 6
    for old, new in zip(before, after, strict=True):
        r, _, b = box(old, BELLY).mean(axis=(0, 1))
        assert b > r + 30  # it was blue
        red = box(new, BELLY)
        is_red = (red[..., 0] > red[..., 1] + 60) & (red[..., 0] > red[..., 2] + 60)
        assert is_red.mean() > 0.95
        for same in (FACE, WALL, LEGS):
            assert np.abs(box(old, same) - box(new, same)).mean() < 2
            assert (np.abs(box(old, same) - box(new, same)).max(axis=-1) > 24).mean() < 0.01


@pytest.mark.slow
def test_time_and_sound_are_as_they_were(dressed: tuple[dict[str, Any], Path, Path], examples: Path) -> None:
    record, out, _ = dressed
    assert (record["frames"], record["frames_without_person"], record["audio"]) == (6, 0, "copied")
    source = examples / "person.mp4"
    times = [t - Fraction(START) for t, _ in media.packets(source, "video") if START <= t < END]
    assert sorted(t for t, _ in media.packets(out, "video")) == sorted(times)
    heard = [data for _, data in media.packets(out, "audio")]
    all_sound = [data for _, data in media.packets(source, "audio")]
    first = all_sound.index(heard[0])
    assert heard == all_sound[first : first + len(heard)]
    assert len(heard) * 1024 / 44100 == pytest.approx(END - START, abs=0.06)


@pytest.mark.slow
def test_the_next_garment_needs_no_new_analysis(
    dressed: tuple[dict[str, Any], Path, Path], examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_again(*_: Any, **__: Any) -> None:
        raise AssertionError("the person was analysed again")

    monkeypatch.setattr(sys.modules["vtryon.person.analyse"], "analyse", not_again)
    out = tmp_path / "green.mp4"
    result = CliRunner().invoke(
        app,
        shlex.split(
            f"run {examples}/person.mp4 {examples}/tshirt_green.jpg -o {out} --person {dressed[2]} "
            f"--start {START} --end {END} --preset ultrafast"
        ),
    )
    assert result.exit_code == 0, result.output
    r, g, b = box(pictures(out)[3], BELLY).mean(axis=(0, 1))
    assert g > r
    assert g > b


@pytest.mark.slow
def test_a_batch_of_two_garments(examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VTRYON_CACHE", str(tmp_path / "cache"))
    words = f"batch --persons {examples}/person.mp4 --garments {examples}/tshirt_green.jpg "
    words += (
        f"--garments {examples}/tshirt_red.jpg --out-dir {tmp_path}/out --start {START} --end 0.67 --preset ultrafast"
    )
    result = CliRunner().invoke(app, shlex.split(words))
    assert result.exit_code == 0, result.output
    red, green = (box(pictures(tmp_path / f"out/person_tshirt_{name}.mp4")[2], BELLY) for name in ("red", "green"))
    assert red[..., 0].mean() > red[..., 1].mean() + 60
    assert green[..., 1].mean() > green[..., 0].mean()
    assert [len(list((tmp_path / "cache" / kind).glob("*/*"))) for kind in ("people", "garments")] == [1, 2]


@pytest.mark.slow
def test_warp_shows_the_cloth_alone(examples: Path, tmp_path: Path) -> None:
    from PIL import Image

    out = tmp_path / "warp.png"
    result = CliRunner().invoke(
        app,
        [
            "warp",
            str(examples / "person.mp4"),
            str(examples / "tshirt_red.jpg"),
            "-o",
            str(out),
            "--moments",
            "1",
            "--grid",
        ],
    )
    assert result.exit_code == 0, result.output
    with Image.open(out) as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    assert sheet.shape == (804, 908, 3)  # the garment above; person, cloth and both below, 300 x 400 each
    person, cloth, both = (sheet[404:, left : left + 300] for left in (0, 304, 608))
    assert (np.abs(cloth[:60] - 128) <= 1).all()  # plain grey above the head
    reds = [((part[..., 0] > part[..., 1] + 60) & (part[..., 0] > part[..., 2] + 60)).mean() for part in (cloth, both)]
    assert min(reds) > 0.08
    assert (np.abs(person - both).max(axis=-1) > 60).mean() > 0.08


@pytest.mark.slow
def test_a_device_that_is_not_there(examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    words = f"run {examples}/person.mp4 {examples}/tshirt_red.jpg -o {out} --end 0.2 --device"
    for device, code in (("cuda:99", 69), ("toaster", 2)):
        result = CliRunner().invoke(app, [*shlex.split(words), device])
        assert result.exit_code == code
        assert f"--device {device}" in result.stderr
    assert list(tmp_path.iterdir()) == []
