"""The output file: formats checked before the first frame, no short file under the final name, no picture kept."""

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
from vtryon.video import CODECS, CONTAINERS, EncodeOptions, VideoReader, VideoWriter, probe
from vtryon.video import writer as writer_module

FAST = EncodeOptions(preset="ultrafast")
TB = Fraction(1, 30)


def write(path: Path, pictures: list[np.ndarray], options: EncodeOptions = FAST, *, overwrite: bool = False) -> None:
    height, width = pictures[0].shape[:2]
    with VideoWriter(path, width=width, height=height, time_base=TB, options=options, overwrite=overwrite) as writer:
        for pts, picture in enumerate(pictures):
            writer.write(picture, pts)


def frames_in(path: Path) -> int:
    with VideoReader(path) as reader:
        return len(list(reader))


@contextmanager
def only(folder: Path, *names: str) -> Iterator[None]:
    """The folder holds these files afterwards and nothing else, hidden ones included."""
    yield
    assert sorted(os.listdir(folder)) == sorted(names)


@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("suffix", list(CONTAINERS))
def test_the_table_of_codecs_and_containers_tells_the_truth(tmp_path: Path, codec: str, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    options = EncodeOptions(codec=codec, preset="ultrafast")
    if suffix in CODECS[codec].containers:
        write(path, [media.counted(i) for i in range(3)], options)
        assert probe(path).codec == codec
        assert frames_in(path) == 3
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
            VideoWriter(tmp_path / name, width=96, height=64, time_base=TB, audio_from=source, overwrite=overwrite)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_overwriting_replaces_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    with VideoWriter(path, width=96, height=64, time_base=TB, options=FAST, overwrite=True) as writer:
        writer.write(media.counted(0), 0)
        assert path.read_bytes() == b"precious"
    assert frames_in(path) == 1


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
        "writer.write", "print(pts, flush=True); __import__('time').sleep(1); writer.write"
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


def test_the_same_pictures_give_the_same_bits(tmp_path: Path) -> None:
    """Also when the memory that the encoder gets is not fresh."""
    frames = [media.counted(index, width=192, height=144) for index in range(12)]
    dirt = np.random.default_rng(0)
    seen = set()
    for number in range(12):
        for _ in range(8):
            dirt.bytes(int(dirt.integers(1_000, 4_000_000)))
        path = tmp_path / f"{number}.mp4"
        write(path, frames, EncodeOptions())
        seen.add(tuple(data for _, data in media.packets(path, "video")))
    assert len(seen) == 1


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
        info = reader.info
        size = {"width": info.width, "height": info.height}
        with VideoWriter(
            tmp_path / "out.mp4", **size, time_base=info.time_base, options=FAST, source=info, audio_from=source
        ) as writer:
            for frame in reader:
                writer.write(frame.rgb, frame.pts)
                if frame.index in (150, 590):
                    seen.append(rss())
    assert seen[1] - seen[0] < 12e6
