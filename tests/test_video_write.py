"""Writing: times, colours and sizes are those of the input."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import media
from vtryon.video import CODECS, EncodeOptions, VideoReader, VideoWriter, WriteReport, probe

FAST = EncodeOptions(preset="ultrafast")
TB = Fraction(1, 30)


def copy(source: Path, target: Path, options: EncodeOptions = FAST, **more: object) -> WriteReport:
    """Read and write unchanged: what a run without a garment does."""
    with VideoReader(source) as reader:
        info = reader.info
        with VideoWriter(
            target, width=info.width, height=info.height, time_base=info.time_base, options=options, source=info, **more
        ) as writer:  # type: ignore[arg-type]
            for frame in reader:
                writer.write(frame.rgb, frame.pts)
            return writer.close()


def write(path: Path, pictures: list[np.ndarray], options: EncodeOptions = FAST) -> WriteReport:
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, width=width, height=height, time_base=TB, options=options) as writer:
        for pts, picture in enumerate(pictures):
            writer.write(picture, pts)
        return writer.close()


def times(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.pts * frame.time_base for frame in reader]


def pictures_of(path: Path) -> list[np.ndarray]:
    with VideoReader(path) as reader:
        return [frame.rgb for frame in reader]


@pytest.mark.parametrize("preset", ["ultrafast", "medium"])  # without and with B-frames
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("time_base", "stamps"),
    [
        (Fraction(1, 90_000), [0, 3000, 4000, 9000, 9001, 20_000, 50_000, 50_100, 50_200, 90_000]),
        (Fraction(1001, 30_000), list(range(10))),
        (Fraction(1, 30), list(range(15, 25))),
        (Fraction(1, 1_000_000), [i * 41_708 + 7 for i in range(10)]),
    ],
)
def test_every_time_stamp_is_kept(
    tmp_path: Path, time_base: Fraction, stamps: list[int], suffix: str, preset: str
) -> None:
    path = tmp_path / f"out{suffix}"
    options = EncodeOptions(preset=preset)
    with VideoWriter(path, width=96, height=64, time_base=time_base, options=options) as writer:
        for index, pts in enumerate(stamps):
            writer.write(media.counted(index), pts)
    assert times(path) == [pts * time_base for pts in stamps]
    assert [media.read_count(rgb) for rgb in pictures_of(path)] == list(range(10))


@pytest.mark.parametrize("codec", ["hevc", "vp9", "av1"])
@pytest.mark.parametrize(
    ("time_base", "stamps"),
    [
        (Fraction(1, 90_000), [0, 3000, 4000, 9000, 9001, 20_000, 50_000, 90_000]),
        (Fraction(1), [0, 1, 5, 6, 7, 8, 9, 20]),
    ],
)
def test_every_codec_keeps_time_stamps(tmp_path: Path, codec: str, time_base: Fraction, stamps: list[int]) -> None:
    """All of them reorder frames and rely on a frame rate in some way; one frame in a second is rare but real."""
    options = EncodeOptions(codec=codec, preset="fast")
    with VideoWriter(tmp_path / "out.mp4", width=96, height=64, time_base=time_base, options=options) as writer:
        for index, pts in enumerate(stamps):
            writer.write(media.counted(index), pts)
    assert times(tmp_path / "out.mp4") == [pts * time_base for pts in stamps]


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_matroska_keeps_time_stamps_to_its_millisecond(tmp_path: Path, suffix: str) -> None:
    source = media.make(
        tmp_path / "in.mp4", pts=[0, 3000, 4000, 9000, 20_000], time_base=Fraction(1, 90_000), options={"bf": "2"}
    )
    options = EncodeOptions(codec="vp9" if suffix == ".webm" else "h264", preset="ultrafast")
    copy(source, tmp_path / f"out{suffix}", options)
    there, back = times(source), times(tmp_path / f"out{suffix}")
    assert max(abs(a - b) for a, b in zip(there, back, strict=True)) <= Fraction(1, 2000)


def test_from_matroska_to_mp4_nothing_is_rounded(tmp_path: Path) -> None:
    source = media.make(tmp_path / "in.mkv", pts=[0, 33, 67, 100, 151], time_base=Fraction(1, 1000))
    copy(source, tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == times(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_below_zero_move_up_together(tmp_path: Path, suffix: str) -> None:
    with VideoWriter(tmp_path / f"out{suffix}", width=96, height=64, time_base=TB, options=FAST) as writer:
        for index in range(10):
            writer.write(media.counted(index), index * 3 - 6)
    assert times(tmp_path / f"out{suffix}") == [Fraction(index, 10) for index in range(10)]


def test_length_is_kept_to_the_last_frame(tmp_path: Path) -> None:
    source = media.make(tmp_path / "in.mp4", rate=Fraction(25), time_base=Fraction(1, 25))
    copy(source, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration_seconds == pytest.approx(12 / 25)
    assert probe(tmp_path / "out.mp4").average_rate == 25


SOURCES = {
    "bt601": {"matrix": "bt601", "pix_fmt": "yuv420p"},
    "bt709": {"matrix": "bt709", "pix_fmt": "yuv420p"},
    "full range": {"matrix": "bt709", "pix_fmt": "yuv420p", "full_range": True},
    "full range bt601": {"matrix": "bt601", "pix_fmt": "yuvj420p", "full_range": True},
    "10 bit": {"matrix": "bt709", "pix_fmt": "yuv420p10le"},
    "untagged": {"matrix": "bt601", "pix_fmt": "yuv420p", "tagged": False},
}


@pytest.mark.parametrize("kind", list(SOURCES))
@pytest.mark.parametrize(
    ("options", "largest"),
    [
        (EncodeOptions(preset="ultrafast", lossless=True), 0),
        (EncodeOptions(preset="ultrafast", crf=0, pix_fmt="yuv444p"), 2),
        (EncodeOptions(preset="ultrafast", crf=0), 2),
    ],
)
def test_identity_gives_the_input_back(tmp_path: Path, kind: str, options: EncodeOptions, largest: int) -> None:
    source = media.make(tmp_path / "in.mp4", pictures=[media.detail(), media.patches()], **SOURCES[kind])
    copy(source, tmp_path / "out.mp4", options)
    for before, after in zip(pictures_of(source), pictures_of(tmp_path / "out.mp4"), strict=True):
        assert np.abs(before.astype(int) - after).max() <= largest


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", ".mkv"), ("hevc", ".mp4"), ("vp9", ".webm"), ("vp9", ".mp4"), ("ffv1", ".mkv")]
)
def test_lossless_is(tmp_path: Path, codec: str, suffix: str) -> None:
    noise = [np.random.default_rng(i).integers(0, 256, (64, 96, 3), np.uint8) for i in range(3)]
    write(tmp_path / f"out{suffix}", noise, EncodeOptions(codec=codec, lossless=True, preset="ultrafast"))
    for before, after in zip(noise, pictures_of(tmp_path / f"out{suffix}"), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("codec", list(CODECS))
def test_colours_are_bt709_and_say_so(tmp_path: Path, codec: str) -> None:
    """Tags alone do not change the matrix: left alone FFmpeg codes BT.601 under the tag of BT.709 (UX.md 1.4)."""
    chart = media.patches()
    suffix = ".mkv" if codec == "ffv1" else ".mp4"
    options = EncodeOptions(codec=codec, crf=4, preset="ultrafast")
    write(tmp_path / f"out{suffix}", [chart] * 3, options)
    stored = media.frames_of(tmp_path / f"out{suffix}")[0]
    assert (stored.colorspace, stored.color_range) == (1, 1)
    assert (stored.color_primaries, stored.color_trc) == (1, 1)
    assert stored.format.name == "yuv420p"
    for before, after in zip(media.PATCHES, media.patch_colours(media.from_yuv(stored)), strict=True):
        assert np.abs(after - before).max() <= 3


def test_ten_bits_on_request(tmp_path: Path) -> None:
    options = EncodeOptions(crf=4, preset="ultrafast", pix_fmt="yuv420p10le")
    write(tmp_path / "out.mp4", [media.patches()], options)
    (stored,) = media.frames_of(tmp_path / "out.mp4")
    assert stored.format.name == "yuv420p10le"
    for before, after in zip(media.PATCHES, media.patch_colours(media.from_yuv(stored)), strict=True):
        assert np.abs(after - before).max() <= 2


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("hevc", ".mkv"), ("vp9", ".webm"), ("av1", ".webm")])
def test_odd_sizes_are_padded_with_the_last_row_and_column(tmp_path: Path, codec: str, suffix: str) -> None:
    picture = media.detail(width=95, height=67)
    report = write(tmp_path / f"out{suffix}", [picture] * 2, EncodeOptions(codec=codec, crf=6, preset="ultrafast"))
    assert any("padded to 96 x 68" in line for line in report.warnings)
    after = pictures_of(tmp_path / f"out{suffix}")[0].astype(int)
    assert after.shape == (68, 96, 3)
    assert np.abs(after[:67, :95] - picture).mean() < 5
    assert np.abs(after[67, :95] - picture[66]).mean() < 8
    assert np.abs(after[:67, 95] - picture[:, 94]).mean() < 8


def test_odd_sizes_stay_where_the_format_takes_them(tmp_path: Path) -> None:
    options = EncodeOptions(crf=6, preset="ultrafast", pix_fmt="yuv444p")
    report = write(tmp_path / "out.mp4", [media.detail(width=95, height=67)], options)
    assert pictures_of(tmp_path / "out.mp4")[0].shape == (67, 95, 3)
    assert report.warnings == ()


def test_turned_clips_come_out_upright_without_a_matrix(tmp_path: Path) -> None:
    pictures = [media.corners()] * 3
    source = media.make(tmp_path / "in.mp4", pictures=pictures, orientation=(True, 90), aspect=Fraction(4, 3))
    copy(source, tmp_path / "out.mp4", EncodeOptions(crf=2, preset="ultrafast"))
    before, after = probe(source), probe(tmp_path / "out.mp4")
    assert (after.width, after.height, after.pixel_aspect) == (before.width, before.height, before.pixel_aspect)
    assert (after.rotation, after.mirrored) == (0, False)
    for a, b in zip(pictures_of(source), pictures_of(tmp_path / "out.mp4"), strict=True):
        assert np.abs(a.astype(int) - b).mean() < 3


def test_mp4_has_its_index_in_front(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", [media.counted(0)])
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_hevc_carries_the_tag_that_apple_players_know(tmp_path: Path) -> None:
    # in a process of its own, as a run of the command is: after hundreds of encoders in one process, x265's header
    # has been seen to come out damaged
    program = """
import sys
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from vtryon.video import EncodeOptions, VideoWriter
options = EncodeOptions(codec="hevc", preset="ultrafast")
with VideoWriter(Path(sys.argv[1]), width=64, height=48, time_base=Fraction(1, 25), options=options) as writer:
    for pts in range(5):
        writer.write(np.full((48, 64, 3), 40 * pts, np.uint8), pts)
    assert writer.close().frames == 5
"""
    out = tmp_path / "out.mp4"
    subprocess.run([sys.executable, "-c", program, str(out)], check=True, timeout=60)
    assert b"hvc1" in out.read_bytes()


def test_report_and_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    report = write(path, [media.counted(i) for i in range(5)])
    assert report == WriteReport(frames=5, audio="none", bytes=path.stat().st_size, warnings=())
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode
