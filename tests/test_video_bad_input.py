"""Bad input: one clear sentence and the right exit code for each fault, and never a crash of the process."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import media
from vtryon.errors import BadInputError, MissingInputError, UnavailableError, UsageError, VtryonError
from vtryon.video import VideoReader, probe


def problem_of(path: Path) -> VtryonError:
    """The error of reading a file to its end: a VtryonError, its message one line that names the file."""
    with pytest.raises(VtryonError) as caught, VideoReader(path) as reader:
        list(reader)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return caught.value


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return media.make(tmp_path / "clip.mp4", count=60, options={"g": "60"})


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder seen by a user whom permissions bind, also where the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_missing(tmp_path: Path) -> None:
    problem = problem_of(tmp_path / "nowhere.mp4")
    assert isinstance(problem, MissingInputError)
    assert "no such file" in str(problem)
    assert isinstance(problem_of(tmp_path / "no" / "folder.mp4"), MissingInputError)


def test_a_loop_of_links_is_missing_too(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    assert isinstance(problem_of(tmp_path / "a.mp4"), MissingInputError)


def test_not_allowed(clip: Path, unprivileged: Path) -> None:
    path = unprivileged / "clip.mp4"
    path.write_bytes(b"some video")
    path.chmod(0)
    problem = problem_of(path)
    assert isinstance(problem, MissingInputError)
    assert "permission" in str(problem).lower()


@pytest.mark.parametrize(
    "name", ["concat:a.mp4|b.mp4", "http://example.org/a.mp4", "file:clip.mp4", "rtsp:x", "img%d.png", "img%03d.png"]
)
def test_protocols_and_patterns_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"number patterns|only files"):
        probe(Path(name))


def test_a_file_is_a_file_whatever_its_name(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative names that look like a protocol open as files: FFmpeg gets an absolute path."""
    monkeypatch.chdir(clip.parent)
    for name in ("concat:clip.mp4", "img%d.mp4", "-.mp4"):
        shutil.copy(clip, name)
        assert probe(Path(name)).width == 96


def test_files_that_are_no_video(tmp_path: Path) -> None:
    faults: dict[str, tuple[bytes, str]] = {
        "empty.mp4": (b"", "empty"),
        "text.mp4": (b"Dear diary, today I made a video.\n" * 40, "not a video"),
        "photo.mp4": (b"\xff\xd8\xff\xe0" + bytes(200), "JPEG picture"),
        "photo.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIF picture"),
        "photo.webp": (b"RIFF\x00\x01\0\0WEBPVP8 " + bytes(200), "WebP picture"),
        "list.m3u8": (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n", "playlist"),
        "list.ffconcat": (b"ffconcat version 1.0\nfile clip.mp4\n", "not a video"),
        "noise.mkv": (random.Random(3).randbytes(5000), "not a video"),
    }
    media.make(tmp_path / "clip.mp4")  # what the lists point to
    for name, (content, words) in faults.items():
        path = tmp_path / name
        path.write_bytes(content)
        problem = problem_of(path)
        assert isinstance(problem, BadInputError), name
        assert words in str(problem)


def test_a_folder(tmp_path: Path) -> None:
    assert "folder" in str(problem_of(tmp_path))


def test_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "pipe" in str(problem_of(tmp_path / "pipe.mp4"))


def test_sound_alone(tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        sound = media.add_sound(output, media.Sound())
        cover = media.add_cover(output)
        output.start_encoding()
        output.mux(cover.encode(media.cover()))
        for frame in media.samples(media.Sound()):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    problem = problem_of(path)
    assert isinstance(problem, BadInputError)
    assert "no video in it (it holds audio and a cover picture)" in str(problem)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_no_frames(tmp_path: Path, name: str) -> None:
    assert isinstance(problem_of(media.make(tmp_path / name, pts=[])), BadInputError)


def test_no_decodable_frame(clip: Path, tmp_path: Path) -> None:
    """Every picture overwritten with zeros, the index whole."""
    data = bytearray(clip.read_bytes())
    begin = media.moov_end(clip) + 16
    data[begin:] = bytes(len(data) - begin)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(data)
    problem = problem_of(path)
    assert isinstance(problem, BadInputError)
    assert "not one frame" in str(problem)


def test_no_decoder(clip: Path, tmp_path: Path) -> None:
    """PyAV 18.0 died here with SIGSEGV (PyAV #2344)."""
    problem = problem_of(media.without_decoder(clip, tmp_path / "odd.mp4"))
    assert isinstance(problem, UnavailableError)
    assert "no decoder" in str(problem)


def test_cut_before_the_index(clip: Path, tmp_path: Path) -> None:
    end = media.moov_end(clip)
    for size in (40, end // 2, end - 1):
        problem = problem_of(media.cut(clip, tmp_path / "cut.mp4", size))
        assert isinstance(problem, BadInputError)
        assert "cut short" in str(problem)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.mp4", "libx264"), ("clip.mkv", "libx264"), ("clip.webm", "libvpx-vp9"), ("c.mp4", "libx265")],
)
def test_cut_in_the_middle_keeps_the_good_frames(tmp_path: Path, name: str, codec: str) -> None:
    whole = media.make(tmp_path / name, count=90, codec=codec)
    path = media.cut(whole, tmp_path / f"cut-{name}", whole.stat().st_size * 6 // 10)
    with VideoReader(path) as reader:
        read = [media.read_count(frame.rgb) for frame in reader]
    assert read[:20] == list(range(20))
    assert 20 < len(read) < 80
    assert read[:-4] == list(range(len(read) - 4)) or codec == "libx265"  # whose frames refer far ahead
    assert any("cut short" in line for line in reader.warnings)
    assert reader.info.frames_estimate == 90


def test_damaged_frames_are_counted_and_the_rest_is_on_time(clip: Path, tmp_path: Path) -> None:
    whole = media.make(tmp_path / "whole.mp4", count=40, options={"g": "1"})
    data = bytearray(whole.read_bytes())
    lost = [5, 6, 20]
    stored = media.packets(whole, "video")
    for number in lost:
        at = data.index(stored[number][1])
        data[at : at + len(stored[number][1])] = bytes(len(stored[number][1]))
    path = tmp_path / "holes.mp4"
    path.write_bytes(data)
    with VideoReader(path) as reader:
        frames = list(reader)
    left = [number for number in range(40) if number not in lost]
    assert [media.read_count(frame.rgb) for frame in frames] == left
    assert [frame.pts * frame.time_base for frame in frames] == [stored[number][0] for number in left]
    assert reader.bad_frames == 3
    assert any("3 damaged" in line for line in reader.warnings)
    for allowed, fails in ((3, False), (2, True), (0.1, False), (0.05, True)):
        with VideoReader(path, max_bad_frames=allowed) as reader:
            if fails:
                with pytest.raises(BadInputError, match="damaged"):
                    list(reader)
            else:
                assert len(list(reader)) == 37


def test_size_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A flat 8192 x 8192 picture is a megabyte in the file and 192 MB in memory."""
    path = tmp_path / "bomb.mkv"
    script = (
        "import resource, sys; from pathlib import Path; from vtryon.video import probe; from vtryon.errors import *\n"
        "import numpy, av.video.reformatter\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: probe(Path(sys.argv[1]))\n"
        "except BadInputError as e: print(e); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    media.bomb(path)
    assert path.stat().st_size < 3_000_000
    result = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=60, check=True
    )
    message, grown = result.stdout.splitlines()
    assert "8192 x 8192" in message
    assert int(grown) < 250_000  # kilobytes


@pytest.mark.parametrize(("name", "codec"), [("f.mp4", "libx264"), ("f.webm", "libvpx-vp9"), ("f.avi", "mpeg4")])
def test_bit_flips_end_in_frames_or_in_an_error_of_ours(tmp_path: Path, name: str, codec: str) -> None:
    """In a process of its own, because what must not happen is that the process dies."""
    whole = media.make(tmp_path / name, count=30, codec=codec)
    script = (
        "import random, sys; from pathlib import Path\n"
        "from vtryon.errors import VtryonError; from vtryon.video import VideoReader\n"
        "whole = Path(sys.argv[1]); data = whole.read_bytes(); path = whole.with_stem('flipped')\n"
        "for seed in range(25):\n"
        "    rng = random.Random(seed); broken = bytearray(data)\n"
        "    for _ in range(1 + seed * 3): broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)\n"
        "    path.write_bytes(broken[: rng.randrange(len(data) // 2, len(data))] if seed % 3 == 0 else broken)\n"
        "    try:\n"
        "        with VideoReader(path) as reader: print(sum(1 for _ in reader))\n"
        "    except VtryonError as problem: print(problem.exit_code)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, whole], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 25


def test_titles_in_other_encodings_do_not_matter(clip: Path, tmp_path: Path) -> None:
    path = media.make(tmp_path / "titled.mp4", metadata={"title": "Strasse XXXX"})
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"\xff\xfe\xe4\xf6"))
    assert probe(path).width == 96
