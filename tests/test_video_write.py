"""Writing: times, colours and sizes kept, formats checked first, no short file under the final name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import media
from vtryon.errors import CannotCreateError, UnavailableError, UsageError, WriteError
from vtryon.video import CODECS, CONTAINERS, EncodeOptions, VideoInfo, VideoReader, VideoWriter, WriteReport, probe
from vtryon.video import writer as writer_module

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


@contextmanager
def only(folder: Path, *names: str) -> Iterator[None]:
    """The folder holds these files afterwards and nothing else, hidden ones included."""
    yield
    assert sorted(os.listdir(folder)) == sorted(names)


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
    write(tmp_path / "out.mp4", [media.counted(0)], EncodeOptions(codec="hevc", preset="ultrafast"))
    assert b"hvc1" in (tmp_path / "out.mp4").read_bytes()


def test_report_and_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    report = write(path, [media.counted(i) for i in range(5)])
    assert report == WriteReport(frames=5, audio="none", bytes=path.stat().st_size, warnings=())
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("suffix", list(CONTAINERS))
def test_the_table_of_codecs_and_containers_tells_the_truth(tmp_path: Path, codec: str, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    options = EncodeOptions(codec=codec, preset="ultrafast")
    if suffix in CODECS[codec].containers:
        write(path, [media.counted(i) for i in range(3)], options)
        assert probe(path).codec == codec
        assert len(times(path)) == 3
    else:
        with only(tmp_path), pytest.raises(UsageError, match=rf"\{suffix} files do not take {codec}; choose .* or "):
            write(path, [media.counted(0)], options)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.avi", EncodeOptions(), r"one of \.mp4, \.mov, \.mkv, \.webm"),
        ("out%d.png", EncodeOptions(), "number pattern"),
        ("out", EncodeOptions(), r"one of \.mp4"),
        ("out.mp4", EncodeOptions(codec="theora"), "unknown codec 'theora'"),
        ("out.mp4", EncodeOptions(crf=52), "crf must be 0 to 51"),
        ("out.webm", EncodeOptions(codec="vp9", crf=-1), "crf must be 0 to 63"),
        ("out.mp4", EncodeOptions(preset="quick"), "unknown preset 'quick'"),
        ("out.mp4", EncodeOptions(pix_fmt="rgb48"), "unknown pixel format 'rgb48'"),
        ("out.webm", EncodeOptions(codec="av1", pix_fmt="yuv444p"), "av1 does not take yuv444p"),
        ("out.webm", EncodeOptions(codec="av1", lossless=True), "no lossless mode"),
        ("out.mp4", EncodeOptions(threads=0), "threads"),
        ("shots%03d.mp4", EncodeOptions(), "number pattern"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_frame(
    tmp_path: Path, name: str, options: EncodeOptions, words: str
) -> None:
    with only(tmp_path), pytest.raises(UsageError, match=words):
        VideoWriter(tmp_path / name, width=96, height=64, time_base=TB, options=options)


def test_a_size_that_the_encoder_refuses_is_said_before_the_first_frame(tmp_path: Path) -> None:
    with only(tmp_path), pytest.raises(UnavailableError, match="refuses 16400 x 16400"):
        VideoWriter(tmp_path / "out.mp4", width=16_400, height=16_400, time_base=TB)


def test_outputs_that_may_not_be_written(tmp_path: Path) -> None:
    source = media.make(tmp_path / "in.mp4")
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "there.mp4").write_bytes(b"precious")
    before = sorted(os.listdir(tmp_path))
    for name, overwrite, words in (
        ("there.mp4", False, "exists"),
        ("in.mp4", True, "input"),
        ("link.mp4", True, "input"),
        ("folder.mp4", True, "folder"),
        ("nowhere/out.mp4", False, "no folder"),
        ("in.mp4/out.mp4", False, "no folder"),
    ):
        with pytest.raises(CannotCreateError, match=words):
            copy(source, tmp_path / name, overwrite=overwrite)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_overwriting_replaces_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    with VideoWriter(path, width=96, height=64, time_base=TB, options=FAST, overwrite=True) as writer:
        writer.write(media.counted(0), 0)
        assert path.read_bytes() == b"precious"
    assert len(times(path)) == 1


def test_names_with_spaces_and_accents(tmp_path: Path) -> None:
    folder = tmp_path / "mes vidéos 衣"
    folder.mkdir()
    with only(folder, "pérson 100% (1).mp4"):
        write(folder / "pérson 100% (1).mp4", [media.counted(0)])


def stop(path: Path, problem: type[BaseException]) -> None:
    """Fail after 20 frames."""
    with VideoWriter(path, width=96, height=64, time_base=TB, options=FAST, overwrite=True) as writer:
        for pts in range(20):
            writer.write(media.counted(pts), pts)
        raise problem


@pytest.mark.parametrize("problem", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_half_way_leaves_nothing(tmp_path: Path, problem: type[BaseException]) -> None:
    with only(tmp_path), pytest.raises(problem):
        stop(tmp_path / "out.mp4", problem)


def test_an_error_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    with only(tmp_path, "out.mp4"), pytest.raises(RuntimeError):
        stop(path, RuntimeError)
    assert path.read_bytes() == b"precious"


def test_no_frames_no_file(tmp_path: Path) -> None:
    with only(tmp_path), pytest.raises(WriteError, match="no frame"):
        VideoWriter(tmp_path / "out.mp4", width=96, height=64, time_base=TB).close()


def test_pictures_and_times_are_checked(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", width=96, height=64, time_base=TB, options=FAST) as writer:
        writer.write(media.counted(0), 5)
        with pytest.raises(ValueError, match="must rise: 5 after 5"):
            writer.write(media.counted(0), 5)
        with pytest.raises(ValueError, match=r"\(64, 96, 3\), got uint8 \(65, 96, 3\)"):
            writer.write(media.counted(0, height=65), 6)
        with pytest.raises(ValueError, match="float32"):
            writer.write(media.counted(0).astype(np.float32), 6)


def test_what_cannot_be_read_back_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that loses data without an error: the file is read back before it is renamed."""
    writer = VideoWriter(tmp_path / "out.mp4", width=96, height=64, time_base=TB, options=FAST)
    for pts in range(10):
        writer.write(media.counted(pts), pts)
    verify = writer._verify

    def lose() -> None:
        os.truncate(writer._temporary, writer._temporary.stat().st_size // 2)
        verify()

    monkeypatch.setattr(writer, "_verify", lose)
    with only(tmp_path), pytest.raises(WriteError, match="can be read back"):
        writer.close()


LIMITED = """
import resource, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from vtryon.errors import VtryonError
from vtryon.video import EncodeOptions, VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = np.random.default_rng(0)
try:
    options = EncodeOptions(preset="ultrafast", crf=1)
    with VideoWriter(Path(sys.argv[1]), width=96, height=64, time_base=Fraction(1, 30), options=options) as writer:
        for pts in range(300):
            writer.write(noise.integers(0, 256, (64, 96, 3), np.uint8), pts)
except VtryonError as problem:
    print(problem)
    sys.exit(problem.exit_code)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_may_not_grow_is_an_io_error(tmp_path: Path, suffix: str) -> None:
    """In a process of its own: the limit cannot be taken back."""
    with only(tmp_path):
        result = subprocess.run(
            [sys.executable, "-c", LIMITED, tmp_path / f"out{suffix}"], capture_output=True, text=True, check=False
        )
    assert result.returncode == 74, result.stderr
    assert "after 0.2 MB" in result.stdout


def test_disk_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full refuses every byte with ENOSPC, as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        link = path.with_name(".full.mp4")
        link.symlink_to("/dev/full")
        try:
            yield link
        finally:
            link.unlink()

    monkeypatch.setattr(writer_module, "beside", full)
    noise = [np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8) for seed in range(100)]
    with only(tmp_path), pytest.raises(WriteError, match="disk full"):
        write(tmp_path / "out.mkv", noise)


def test_what_a_killed_run_left_is_not_in_the_way(tmp_path: Path) -> None:
    script = LIMITED.replace("resource.setrlimit", "(lambda *_: None)").replace(
        "writer.write", "print(pts, flush=True); writer.write"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path / "out.mp4"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = os.listdir(tmp_path)
    assert len(left) == 1
    assert left[0].startswith(".")
    with only(tmp_path, *left, "out.mp4"):
        write(tmp_path / "out.mp4", [media.counted(0)])


def rss() -> int:
    """Resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_memory_stays_flat(tmp_path: Path) -> None:
    """600 frames of 320 x 240 are 138 MB of RGB; they pass one by one."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads /proc")
    tile = media.detail(width=320, height=240)
    source = media.make(
        tmp_path / "in.mp4", count=600, pictures=lambda i: np.roll(tile, i, axis=1), sound=media.Sound(seconds=20)
    )
    seen = []
    with VideoReader(source) as reader:
        info: VideoInfo = reader.info
        size = {"width": info.width, "height": info.height}
        with VideoWriter(
            tmp_path / "out.mp4", **size, time_base=info.time_base, options=FAST, source=info, audio_from=source
        ) as writer:
            for frame in reader:
                writer.write(frame.rgb, frame.pts)
                if frame.index in (150, 590):
                    seen.append(rss())
    assert seen[1] - seen[0] < 12e6
