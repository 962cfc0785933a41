"""Reading: upright, right in colour, on time, every frame once; each row is what PyAV gets wrong left alone."""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import media
from vtryon.errors import BadInputError, UsageError
from vtryon.types import Frame
from vtryon.video import VideoReader, probe


def read(path: Path, **options: float) -> list[Frame]:
    with VideoReader(path, **options) as reader:  # type: ignore[arg-type]
        frames = list(reader)
        assert reader.frames_read == len(frames)
    return frames


def counts(frames: list[Frame]) -> list[int]:
    return [media.read_count(frame.rgb) for frame in frames]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "known_as"),
    [
        ("clip.mp4", "libx264", "yuv420p", "h264"),
        ("clip.mov", "libx265", "yuv420p", "hevc"),
        ("clip.mkv", "libx265", "yuv420p10le", "hevc"),
        ("clip.webm", "libvpx-vp9", "yuv420p", "vp9"),
        ("clip.avi", "mpeg4", "yuv420p", "mpeg4"),
        ("clip.ts", "libx264", "yuv420p", "h264"),
        ("clip.mov", "prores_ks", "yuv422p10le", "prores"),
        ("clip.mkv", "ffv1", "yuv444p", "ffv1"),
        ("clip.gif", "gif", "rgb8", "gif"),
    ],
)
def test_every_frame_once_and_in_order(tmp_path: Path, name: str, codec: str, pix_fmt: str, known_as: str) -> None:
    rate = Fraction(25)
    path = media.make(tmp_path / name, codec=codec, pix_fmt=pix_fmt, rate=rate, time_base=1 / rate)
    info = probe(path)
    assert (info.width, info.height, info.codec) == (96, 64, known_as)
    frames = read(path)
    assert counts(frames) == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    assert all(frame.rgb.shape == (64, 96, 3) and frame.rgb.flags.c_contiguous for frame in frames)
    times = [frame.seconds - frames[0].seconds for frame in frames]
    assert times == pytest.approx([i / 25 for i in range(12)], abs=0.0006)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"preset": "medium", "bf": "3", "b-adapt": "0"}])
@pytest.mark.parametrize(
    ("time_base", "stamps"),
    [
        (Fraction(1, 90_000), [0, 3000, 4000, 9000, 9001, 20_000, 50_000]),  # variable frame rate
        (Fraction(1001, 30_000), list(range(7))),  # 29.97
        (Fraction(1, 30), list(range(15, 22))),  # starts at 0.5 s
    ],
)
def test_time_stamps_are_the_source_s(
    tmp_path: Path, time_base: Fraction, stamps: list[int], options: dict[str, str]
) -> None:
    path = media.make(tmp_path / "clip.mp4", pts=stamps, time_base=time_base, options=options)
    frames = read(path)
    assert [frame.pts * frame.time_base for frame in frames] == [stamp * time_base for stamp in stamps]
    assert counts(frames) == list(range(7))
    assert probe(path).start_seconds == pytest.approx(float(stamps[0] * time_base))


def test_rate_is_a_fraction_never_a_rounded_number(tmp_path: Path) -> None:
    rate = Fraction(30_000, 1001)
    info = probe(media.make(tmp_path / "clip.mp4", rate=rate, time_base=1 / rate))
    assert info.average_rate == rate
    assert info.frames_estimate == 12
    assert info.duration_seconds == pytest.approx(12 / rate)


@pytest.mark.parametrize(("mirrored", "rotation"), list(media.ORIENTATIONS))
def test_display_matrix_is_applied(tmp_path: Path, mirrored: bool, rotation: int) -> None:
    stored = media.corners()
    path = media.make(
        tmp_path / "clip.mp4",
        pictures=[stored],
        pix_fmt="yuv444p",
        orientation=(mirrored, rotation),
        aspect=Fraction(4, 3),
    )
    upright = np.rot90(stored[:, ::-1] if mirrored else stored, -rotation // 90)
    info = probe(path)
    assert (info.rotation, info.mirrored) == (rotation, mirrored)
    assert (info.height, info.width) == upright.shape[:2]
    assert info.pixel_aspect == (Fraction(3, 4) if rotation in (90, 270) else Fraction(4, 3))
    (frame,) = read(path)
    assert np.abs(frame.rgb.astype(int) - upright).max() <= 12  # encoding; another turn differs by 80 and more


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p", "yuv422p"])
def test_colours_are_those_of_the_scene(tmp_path: Path, matrix: str, full_range: bool, pix_fmt: str) -> None:
    """The stream tells matrix and range; FFmpeg takes BT.601 and limited unless told (PyAV #2149, #2230)."""
    chart = media.patches()
    path = media.make(
        tmp_path / "clip.mp4",
        pictures=[chart],
        matrix=matrix,
        full_range=full_range,
        pix_fmt=pix_fmt,
        options={"qp": "0"},
    )
    info = probe(path)
    assert (info.color_matrix, info.color_range) == (matrix, "full" if full_range else "limited")
    (frame,) = read(path)
    (stored,) = media.frames_of(path)
    assert np.abs(frame.rgb - media.from_yuv(stored, matrix=matrix, full_range=full_range)).max() < 1.5
    assert np.abs(frame.rgb.astype(int) - chart).max() <= 3  # rounding of the file's own 8 bits


@pytest.mark.slow
def test_wide_gamut_is_brought_to_that_of_the_garment(tmp_path: Path) -> None:
    """BT.2020 red is redder than sRGB's: taken for sRGB a phone's clip looks pale beside the garment. Greys stay."""
    path = media.make(
        tmp_path / "clip.mp4", pictures=[media.patches()], matrix="bt2020", pix_fmt="yuv420p10le", options={"qp": "0"}
    )
    assert probe(path).color_matrix == "bt2020"
    red, green, _, _, grey, white = media.patch_colours(read(path)[0].rgb)
    assert red[0] > 220
    assert green[1] - green[0] > 140
    assert np.abs(grey - 128).max() <= 2
    assert np.abs(white - (235, 235, 230)).max() <= 3


@pytest.mark.parametrize(
    ("size", "guess"), [((128, 96), "bt601"), ((540, 720), "bt601"), ((1280, 16), "bt709"), ((608, 600), "bt709")]
)
@pytest.mark.parametrize("upright", [True, False])
def test_untagged_colours_are_guessed_by_size(tmp_path: Path, size: tuple[int, int], guess: str, upright: bool) -> None:
    width, height = size if upright else size[::-1]
    chart = media.patches(width=width, height=height)
    path = media.make(
        tmp_path / "clip.mp4", pictures=[chart], matrix=guess, tagged=False, pix_fmt="yuv444p", options={"qp": "0"}
    )
    assert probe(path).color_matrix == guess
    assert np.abs(read(path)[0].rgb.astype(int) - chart).max() <= 3


def test_jpeg_formats_are_full_range(tmp_path: Path) -> None:
    chart = media.patches()
    path = media.make(
        tmp_path / "clip.mp4", pictures=[chart], tagged=False, full_range=True, matrix="bt601", pix_fmt="yuvj420p"
    )
    assert probe(path).color_range == "full"
    assert np.abs(read(path)[0].rgb.astype(int) - chart).mean() <= 1.5


@pytest.mark.slow
def test_hdr_is_read_as_sdr_and_said(tmp_path: Path) -> None:
    """Phones record HLG by default; taken for SDR it looks grey. BT.2408: reference white is 75 % of the HLG signal."""
    ramp = np.linspace(0, 255, 96).astype(np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    path = media.make(
        tmp_path / "clip.mov", pictures=[ramp], matrix="bt2020", pix_fmt="yuv420p10le", hlg=True, options={"qp": "0"}
    )
    with VideoReader(path) as reader:
        assert reader.info.hdr
        row = next(iter(reader)).rgb[32, :, 1].astype(int)
        assert any("HDR" in line for line in reader.warnings)
    assert row[0] <= 2
    assert (np.diff(row) >= -1).all()
    assert row[round(0.75 * 95)] >= 235
    assert row[48] > ramp[0, 48, 0] + 10


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.mkv"):
        path = media.make(tmp_path / name, cover=True, sound=media.Sound())
        assert (probe(path).width, probe(path).height) == (96, 64)
        assert counts(read(path)) == list(range(12))


def test_odd_sizes_are_read_whole(tmp_path: Path) -> None:
    for codec, pix_fmt in (("libvpx-vp9", "yuv420p"), ("libx264", "yuv444p")):
        picture = media.detail(width=95, height=63)
        path = media.make(tmp_path / "clip.mkv", pictures=[picture], codec=codec, pix_fmt=pix_fmt, options={"crf": "4"})
        (frame,) = read(path)
        assert frame.rgb.shape == (63, 95, 3)
        assert np.abs(frame.rgb.astype(int) - picture).mean() < 6


def test_one_frame(tmp_path: Path) -> None:
    frames = read(media.make(tmp_path / "clip.mp4", count=1))
    assert counts(frames) == [0]


def test_names_with_spaces_accents_and_percent_signs(tmp_path: Path) -> None:
    path = media.make(tmp_path / "plain.mp4").rename(tmp_path / "pérson 衣 100%d: x.mp4")
    assert len(read(path)) == 12


def joined(folder: Path, *clips: Path) -> Path:
    path = folder / "joined.ts"
    path.write_bytes(b"".join(clip.read_bytes() for clip in clips))
    return path


def test_size_change_half_way_keeps_the_first_size(tmp_path: Path) -> None:
    """A transport stream joined from two clips; every frame comes in the size that was promised."""
    small = media.make(tmp_path / "small.ts", count=6)
    large = media.make(
        tmp_path / "large.ts", pictures=lambda i: media.counted(6 + i, width=192, height=128), pts=range(6, 12)
    )
    frames = read(joined(tmp_path, small, large))
    assert len(frames) == 12
    assert {frame.rgb.shape for frame in frames} == {(64, 96, 3)}


def test_a_clock_that_starts_anew_goes_on(tmp_path: Path) -> None:
    """Camcorders split a recording; joined with cat, the second part's clock starts at 0 again."""
    clip = media.make(tmp_path / "clip.ts", count=60)
    with VideoReader(joined(tmp_path, clip, clip)) as reader:
        frames = list(reader)
        assert any("repaired" in line for line in reader.warnings)
    assert counts(frames) == [*range(60), *range(60)]
    assert [frame.seconds for frame in frames] == pytest.approx([i / 30 for i in range(120)], abs=0.001)


@pytest.mark.parametrize(
    "options", [{"g": "5"}, {"g": "300"}, {"preset": "medium", "g": "9", "x264-params": "open-gop=1"}]
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_start_and_end_are_exact_to_the_frame(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = media.make(tmp_path / name, count=60, options=options)
    for start, end, expected in [
        (None, None, range(60)),
        (1.0, 1.5, range(30, 45)),
        (0.967, None, range(29, 60)),  # 29 / 30 s to a millisecond
        (0.96, 1.0, range(29, 30)),
        (None, 0.1, range(3)),
        (0.71, 99.0, range(22, 60)),
    ]:
        span = {key: value for key, value in (("start", start), ("end", end)) if value is not None}
        frames = read(path, **span)
        assert counts(frames) == list(expected), (start, end)
        assert [frame.index for frame in frames] == list(range(len(expected)))


def test_two_spans_that_meet_share_no_frame_and_lose_none(tmp_path: Path) -> None:
    path = media.make(tmp_path / "clip.mp4", count=40, rate=Fraction(30_000, 1001), time_base=Fraction(1001, 30_000))
    for cut in (0.1, 0.3333, 0.667, 1.001, 1.2):
        assert counts(read(path, end=cut)) + counts(read(path, start=cut)) == list(range(40))


def test_spans_that_hold_nothing(tmp_path: Path) -> None:
    path = media.make(tmp_path / "clip.mp4")
    with pytest.raises(BadInputError, match=r"no frame between .* 0\.400 s"):
        read(path, start=5.0)
    with pytest.raises(UsageError, match="after --start"):
        VideoReader(path, start=0.3, end=0.2)
    with pytest.raises(UsageError, match="negative"):
        VideoReader(path, start=-1.0)


def test_broadcast_clocks_start_anywhere(tmp_path: Path) -> None:
    """Seconds that users give count from the beginning of the file, whatever its clock says there."""
    path = media.make(tmp_path / "clip.ts", pts=range(3000, 3030))
    info = probe(path)
    assert info.start_seconds == pytest.approx(100)
    assert info.origin_seconds == pytest.approx(100, abs=0.1)
    assert counts(read(path, start=0.5)) == list(range(15, 30))


def test_estimate_follows_the_span(tmp_path: Path) -> None:
    path = media.make(tmp_path / "clip.mp4", count=60)
    with VideoReader(path, start=0.5, end=1.5) as reader:
        assert reader.frames_estimate == pytest.approx(30, abs=1)
    with VideoReader(path) as reader:
        assert reader.frames_estimate == 60


def test_the_number_of_frames_may_be_unknown(tmp_path: Path) -> None:
    """Browsers record without a length (xinntao/Real-ESRGAN PR #572: KeyError)."""
    path = media.make(tmp_path / "clip.mkv", container={"live": "1"})
    info = probe(path)
    assert info.duration_seconds is None
    assert info.frames_estimate is None
    assert counts(read(path)) == list(range(12))


def test_frames_that_an_edit_list_hides_stay_hidden(tmp_path: Path) -> None:
    """A phone's trim keeps the frames before it in the file, for decoding only."""
    path = media.make(tmp_path / "clip.mp4", pts=range(-5, 15), count=20)
    frames = read(path)
    assert counts(frames) == list(range(5, 20))
    assert frames[0].pts == 0


def test_pictures_above_the_limit_are_refused_by_the_header(tmp_path: Path) -> None:
    path = media.make(tmp_path / "clip.mp4")
    assert probe(path, max_pixels=96 * 64).width == 96
    with pytest.raises(BadInputError, match="96 x 64 is more than 6143 pixels"):
        probe(path, max_pixels=96 * 64 - 1)


def test_files_are_closed(tmp_path: Path) -> None:
    path = media.make(tmp_path / "clip.mp4")
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        pytest.skip("counts open files in /proc")
    before = len(os.listdir(handles))
    for _ in range(20):
        with VideoReader(path) as reader:
            next(iter(reader))
    assert len(os.listdir(handles)) <= before


def test_closing_waits_for_a_thread_that_reads(tmp_path: Path) -> None:
    path = media.make(tmp_path / "clip.mp4", media.Spec(count=200))
    for _ in range(5):
        read: list[Frame] = []
        with VideoReader(path) as reader:
            thread = threading.Thread(target=lambda frames=reader, to=read: to.extend(frames))  # type: ignore[misc]
            thread.start()
            while reader.frames_read < 3:
                time.sleep(0.001)
        thread.join(5)
        assert not thread.is_alive()
        assert 3 <= len(read) <= 200, "iteration has ended, and nothing has crashed"
