"""The sound goes with the picture: byte for byte where it can, heard at the same moment always."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import media
from vtryon.video import EncodeOptions, VideoReader, VideoWriter, WriteReport, probe

FAST = EncodeOptions(preset="ultrafast")
VP9 = EncodeOptions(codec="vp9", preset="ultrafast")


def rewrite(source: Path, target: Path, *, start: float | None = None, end: float | None = None) -> WriteReport:
    """Copy a clip, or a span of it, with its sound."""
    with VideoReader(source, start=start, end=end) as reader:
        info = reader.info
        with VideoWriter(
            target,
            width=info.width,
            height=info.height,
            time_base=info.time_base,
            options=VP9 if target.suffix == ".webm" else FAST,
            source=info,
            audio_from=source,
            audio_start=start,
            audio_end=end,
        ) as writer:
            for frame in reader:
                writer.write(frame.rgb, frame.pts)
            return writer.close()


def picture_times(path: Path) -> list[float]:
    with VideoReader(path) as reader:
        return [frame.seconds for frame in reader]


@pytest.mark.parametrize(
    ("source", "codec", "target"),
    [
        ("in.mp4", "aac", "out.mp4"),
        ("in.mp4", "aac", "out.mov"),
        ("in.mp4", "aac", "out.mkv"),
        ("in.mp4", "libopus", "out.mp4"),
        ("in.mkv", "libopus", "out.mp4"),
        ("in.webm", "libopus", "out.webm"),
        ("in.mov", "pcm_s16le", "out.mov"),
        ("in.mkv", "pcm_s16le", "out.mkv"),
        ("in.mkv", "flac", "out.mp4"),
        ("in.mp4", "libmp3lame", "out.mp4"),
    ],
)
def test_packets_are_copied_byte_for_byte(tmp_path: Path, source: str, codec: str, target: str) -> None:
    video = {"codec": "libvpx-vp9"} if source.endswith("webm") else {}
    path = media.make(tmp_path / source, count=30, sound=media.Sound(codec=codec, layout="stereo"), **video)
    report = rewrite(path, tmp_path / target)
    assert report.audio == "copied"
    assert report.warnings == ()
    before, after = media.packets(path, "audio"), media.packets(tmp_path / target, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    assert [float(t) for t, _ in after] == pytest.approx([float(t) for t, _ in before], abs=0.0011)
    assert media.first_sound(tmp_path / target) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize(
    ("source", "codec", "target", "new"),
    [
        ("in.mp4", "aac", "out.webm", "opus"),
        ("in.mkv", "pcm_f32le", "out.mp4", "aac"),
        ("in.mov", "pcm_s16le", "out.webm", "opus"),
    ],
)
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_what_the_container_does_not_take_is_encoded_again(
    tmp_path: Path, source: str, codec: str, target: str, new: str, layout: str
) -> None:
    sound = media.Sound(codec=codec, layout=layout, rate=44_100)
    path = media.make(tmp_path / source, count=30, sound=sound)
    report = rewrite(path, tmp_path / target)
    assert report.audio == f"re-encoded to {new}"
    assert any(f"encoded again as {new}" in line for line in report.warnings)
    assert probe(tmp_path / target).audio_codec == new
    assert media.channels(tmp_path / target) == media.channels(path)
    assert media.first_sound(tmp_path / target) == pytest.approx(0.5, abs=0.012)
    assert picture_times(tmp_path / target) == pytest.approx(picture_times(path), abs=0.0006)


def test_silence_stays_silent(tmp_path: Path) -> None:
    path = media.make(tmp_path / "in.mp4")
    assert rewrite(path, tmp_path / "out.mp4").audio == "none"
    assert probe(tmp_path / "out.mp4").audio_codec is None


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.webm"])
@pytest.mark.parametrize(("picture", "sound"), [(0.5, 0.0), (0.0, 0.3), (0.5, 0.2)])
def test_offsets_between_picture_and_sound_are_kept(tmp_path: Path, picture: float, sound: float, target: str) -> None:
    """HandBrake #568, rigaya/NVEnc #386: a late start of one track moved the other."""
    late = round(picture * 30)
    path = media.make(
        tmp_path / "in.mp4", pts=range(late, late + 30), sound=media.Sound(start=sound, beep=0.6, seconds=1.0)
    )
    rewrite(path, tmp_path / target)
    assert picture_times(tmp_path / target) == pytest.approx(picture_times(path), abs=0.0006)
    assert media.first_sound(tmp_path / target) == pytest.approx(media.first_sound(path), abs=0.012)
    assert media.first_sound(path) == pytest.approx(0.6, abs=0.012)


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.webm"])
@pytest.mark.parametrize("source", ["in.mp4", "in.mkv", "in.ts"])
def test_a_span_starts_at_zero_and_stays_in_step(tmp_path: Path, source: str, target: str) -> None:
    """The beep at 1.0 s is heard with frame 30, wherever that is in the output."""
    path = media.make(tmp_path / source, count=60, sound=media.Sound(seconds=2.0, beep=1.0), options={"g": "15"})
    rewrite(path, tmp_path / target, start=0.7, end=1.5)
    with VideoReader(tmp_path / target) as reader:
        frames = list(reader)
    assert [media.read_count(frame.rgb) for frame in frames] == list(range(21, 45))
    late = 0.022 if source == "in.ts" else 0.0  # where the file's own clock starts with the sound, before frame 0
    assert frames[0].seconds == pytest.approx(late, abs=0.0015)
    beep = frames[30 - 21].seconds
    assert media.first_sound(tmp_path / target) == pytest.approx(beep, abs=0.012)
    stored = media.packets(tmp_path / target, "audio")
    assert float(stored[-1][0]) < 0.85
    assert len(stored) >= 30


def test_a_span_between_two_frames_keeps_the_distance(tmp_path: Path) -> None:
    path = media.make(tmp_path / "in.mp4", count=60, sound=media.Sound(seconds=2.0, beep=1.0))
    rewrite(path, tmp_path / "out.mp4", start=0.71)
    times = picture_times(tmp_path / "out.mp4")
    assert times[0] == pytest.approx(22 / 30 - 0.71, abs=0.0001)
    assert media.first_sound(tmp_path / "out.mp4") == pytest.approx(1.0 - 0.71, abs=0.005)


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
def test_no_picture_lies_before_zero(tmp_path: Path, target: str) -> None:
    """A start given to the millisecond may be a little later than the frame it names; MP4 would hide that frame."""
    path = media.make(tmp_path / "in.mp4", count=60, sound=media.Sound(seconds=2.0, beep=1.5))
    rewrite(path, tmp_path / target, start=0.967)
    assert picture_times(tmp_path / target)[0] == 0
    assert len(picture_times(tmp_path / target)) == 31
    assert media.first_sound(tmp_path / target) == pytest.approx(1.5 - 29 / 30, abs=0.005)


def test_broadcast_clocks_become_zero(tmp_path: Path) -> None:
    path = media.make(
        tmp_path / "in.ts", pts=range(3000, 3030), sound=media.Sound(start=100.0, seconds=1.0, beep=100.5)
    )
    rewrite(path, tmp_path / "out.mp4")
    assert picture_times(tmp_path / "out.mp4")[0] == pytest.approx(0, abs=0.1)
    heard = media.first_sound(tmp_path / "out.mp4") - picture_times(tmp_path / "out.mp4")[0]
    assert heard == pytest.approx(0.5, abs=0.012)


def test_sound_longer_and_shorter_than_the_picture(tmp_path: Path) -> None:
    for seconds in (0.1, 5.0):
        path = media.make(tmp_path / "in.mp4", count=30, sound=media.Sound(seconds=seconds, beep=0.0))
        rewrite(path, tmp_path / f"out{seconds}.mp4")
        assert media.packets(tmp_path / f"out{seconds}.mp4", "audio") == media.packets(path, "audio")


def test_more_than_one_track_keeps_the_first_and_says_so(tmp_path: Path) -> None:
    path = media.make(
        tmp_path / "in.mp4", sound=media.Sound(beep=0.2), second_sound=media.Sound(codec="libopus", beep=0.7)
    )
    report = rewrite(path, tmp_path / "out.mp4")
    assert any("1 more sound track" in line for line in report.warnings)
    assert media.first_sound(tmp_path / "out.mp4") == pytest.approx(0.2, abs=0.01)


def test_sound_of_a_cut_file_ends_with_it(tmp_path: Path) -> None:
    whole = media.make(tmp_path / "in.mp4", count=90, sound=media.Sound(seconds=3))
    path = media.cut(whole, tmp_path / "cut.mp4", whole.stat().st_size * 6 // 10)
    rewrite(path, tmp_path / "out.mp4")
    before, after = media.packets(path, "audio"), media.packets(tmp_path / "out.mp4", "audio")
    assert 20 < len(after) <= len(before)
    assert after == before[: len(after)]


def test_sound_of_joined_recordings_goes_on(tmp_path: Path) -> None:
    """Two parts whose clocks start at 0: containers refuse times that run backwards."""
    clip = media.make(tmp_path / "clip.ts", count=60, sound=media.Sound(seconds=2.0))
    path = tmp_path / "joined.ts"
    path.write_bytes(clip.read_bytes() * 2)
    rewrite(path, tmp_path / "out.mp4")
    before, after = media.packets(clip, "audio"), media.packets(tmp_path / "out.mp4", "audio")
    assert len(after) == 2 * len(before)
    assert all(b > a for (a, _), (b, _) in itertools.pairwise(after))
    assert picture_times(tmp_path / "out.mp4")[60] == pytest.approx(float(after[len(before)][0]), abs=0.03)


def test_a_span_without_sound_is_silent(tmp_path: Path) -> None:
    path = media.make(tmp_path / "in.mp4", count=60, sound=media.Sound(seconds=0.5, beep=0.0))
    for name in ("out.mp4", "out.mkv", "out.webm"):
        rewrite(path, tmp_path / name, start=1.0)
        assert len(picture_times(tmp_path / name)) == 30
        assert media.packets(tmp_path / name, "audio") == []


def test_damaged_sound_is_counted_and_the_rest_kept(tmp_path: Path) -> None:
    whole = media.make(tmp_path / "in.mp4", count=30, sound=media.Sound(beep=0.8))
    data = bytearray(whole.read_bytes())
    for _, content in media.packets(whole, "audio")[10:13]:
        at = data.index(content)
        data[at : at + len(content)] = b"\xff" * len(content)
    path = tmp_path / "holes.mp4"
    path.write_bytes(data)
    report = rewrite(path, tmp_path / "out.webm")
    assert any("damaged sound" in line for line in report.warnings)
    assert media.first_sound(tmp_path / "out.webm") < 0.815


def test_sound_that_nobody_can_decode_is_left_out_and_said(tmp_path: Path) -> None:
    whole = media.make(tmp_path / "in.mp4", sound=media.Sound(codec="libopus"))
    path = tmp_path / "odd.mp4"
    path.write_bytes(whole.read_bytes().replace(b"Opus", b"zzz9"))
    report = rewrite(path, tmp_path / "out.mp4")
    assert report.audio == "none"
    assert any("no decoder" in line for line in report.warnings)
