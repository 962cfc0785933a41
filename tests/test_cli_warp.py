"""``vtryon warp`` with stand-ins for the heavy rooms: what goes where, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import fakes
import media
import scenes
from vtryon.cli.app import app
from vtryon.pipeline import TryOnFrame
from vtryon.sheet import contact_sheet, on_grey, over, with_points
from vtryon.types import Frame
from vtryon.video import probe
from vtryon.warp import Texture


@pytest.fixture(autouse=True)
def _at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media.make(tmp_path / "person.mp4", media.Spec(count=30, sound=media.Sound()))
    (tmp_path / "shirt.png").write_bytes(b"the stand-in does not look")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vtryon.garment.load_garment", fakes.load_garment)
    monkeypatch.setattr("vtryon.job.try_on", fakes.try_on)


def warp(*words: str) -> Result:
    return CliRunner().invoke(app, ["warp", *words])


def picture(path: str) -> Any:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def test_contact_sheet_of_a_clip() -> None:
    result = warp("person.mp4", "shirt.png", "--moments", "4")
    assert result.exit_code == 0, result.output
    sheet = picture("person.warp.png")
    assert sheet.shape == (32 + 4 * (4 + 64), 3 * 96 + 2 * 4, 3)  # the garment's picture, then four rows of three
    rows = [sheet[36 + n * 68 :][:64] for n in range(4)]
    counts = [media.read_count(row[:, 200:296]) for row in rows]
    assert counts == sorted(set(counts))


def test_contact_sheet_of_a_picture_turned_by_its_camera() -> None:
    stored = Image.fromarray(np.full((40, 90, 3), 200, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    stored.save("still.jpg", exif=exif)
    result = warp("still.jpg", "shirt.png", "-o", "out.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("out.png: 1 frame in ")
    assert picture("out.png").shape[:2] == (32 + 4 + 90, 3 * 40 + 2 * 4)


def test_video() -> None:
    result = warp("person.mp4", "shirt.png", "-o", "out.mp4", "--start", "0.5")
    assert result.exit_code == 0, result.output
    info = probe(Path("out.mp4"))
    assert (info.width, info.height, info.frames_estimate, info.audio_codec) == (288, 64, 15, None)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nobody.png", "shirt.png"), 66, "nobody.png"),
        (("shirt.png", "shirt.png"), 65, "shirt.png"),
        (("person.mp4", "nothing.png"), 66, "nothing.png"),
        (("person.mp4", "shirt.png", "-o", "out.txt"), 2, "out.txt"),
        (("person.mp4", "shirt.png", "-o", "person.mp4", "-y"), 73, "person.mp4"),
        (("large.png", "shirt.png", "--max-pixels", "64x64"), 65, "large.png"),
    ],
)
def test_bad_input(words: tuple[str, ...], code: int, says: str) -> None:
    Image.new("RGB", (65, 64)).save("large.png")
    before = {path.name for path in Path().iterdir()}
    result = warp(*words)
    assert result.exit_code == code
    assert result.stderr.startswith("vtryon: error: ")
    assert says in result.stderr
    assert {path.name for path in Path().iterdir()} == before


def test_the_grid_is_drawn_on_the_garment_and_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    garment = scenes.garment()

    def fitted(frames: Iterable[Frame], _garment: Any, *, compose: bool, **_: Any) -> Iterator[TryOnFrame]:
        assert not compose, "what is not shown is not made"
        for frame in frames:
            yield TryOnFrame(frame, frame, fakes.person(frame.rgb.shape), scenes.flat(garment), Texture.of(garment))

    monkeypatch.setattr("vtryon.garment.load_garment", lambda _path: garment)
    monkeypatch.setattr("vtryon.job.try_on", fitted)
    Image.new("RGB", (360, 420), (90, 90, 90)).save("still.png")
    shown = {}
    for name, words in (("plain", ()), ("grid", ("--grid",))):
        result = warp("still.png", "shirt.png", "-o", f"{name}.png", *words)
        assert result.exit_code == 0, result.output
        shown[name] = picture(f"{name}.png")
    drawn = (shown["grid"] != shown["plain"]).any(-1)
    assert (shown["grid"][drawn][:, 1] > shown["plain"][drawn][:, 1]).mean() > 0.5, "in green"
    garment_row, panels = drawn[:400], np.split(drawn[404:, : 3 * 342 + 8], (342 + 2, 2 * (342 + 4) - 2), axis=1)
    assert garment_row.any()
    assert [panel.any() for panel in panels] == [False, True, True], "the person, the garment alone, both"


def test_sheets_shrink_and_never_enlarge() -> None:
    small, large = np.zeros((20, 30, 3), np.uint8), np.zeros((800, 400, 3), np.uint8)
    assert contact_sheet([[small]]).shape == (20, 30, 3)
    assert contact_sheet([[large, small]]).shape == (400, 200 + 4 + 30, 3)
    assert contact_sheet([[small], [large]]).shape == (20 + 4 + 400, 200, 3)


def test_layers_add_up() -> None:
    red, alpha = np.zeros((2, 2, 3), np.uint8), np.array([[0, 0.5], [1, 0]], np.float32)
    red[..., 0] = 200
    assert over(np.full_like(red, 100), red, alpha)[..., 0].tolist() == [[100, 150], [200, 100]]
    assert on_grey(red, alpha)[..., 1].tolist() == [[128, 64], [0, 128]]


def test_points_outside_the_picture_do_no_harm() -> None:
    blank = np.zeros((40, 40, 3), np.uint8)
    drawn = with_points(blank, np.array([[20.5, 10.5], [-1e9, 5], [np.inf, 3]], np.float32), (0, 255, 0))
    assert drawn[10, 20].tolist() == [0, 255, 0]
    assert not blank.any()
