"""One job, whole, by its Python entrance, with stand-ins for the heavy rooms."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
import media
import vtryon
from vtryon.job import RunOptions, preview, run
from vtryon.outputs import IfExists
from vtryon.progress import Progress
from vtryon.video import EncodeOptions, VideoReader, probe

LOSSLESS = EncodeOptions(lossless=True)


@pytest.fixture(autouse=True)
def _rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtryon.garment.load_garment", fakes.load_garment)
    monkeypatch.setattr("vtryon.job.try_on", fakes.try_on)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """36 frames of uneven length that start late, with sound."""
    stamps = [15 + 3 * n + n % 2 for n in range(36)]
    sound = media.Sound(seconds=1.7)
    return media.make(tmp_path / "person.mkv", media.Spec(count=36, pts=stamps, time_base=Fraction(1, 90), sound=sound))


@pytest.fixture
def shirt(tmp_path: Path) -> Path:
    path = tmp_path / "shirt.png"
    path.write_bytes(b"the stand-in does not look")
    return path


def pictures(path: Path) -> list[Any]:
    with VideoReader(path) as reader:
        return [frame.rgb for frame in reader]


def test_everything_but_the_garment_is_kept(clip: Path, shirt: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    result = run(RunOptions(clip, shirt, out, encode=LOSSLESS))
    assert (result.frames, result.audio, result.frames_without_person) == (36, "copied", 0)
    assert (result.width, result.height, result.bytes) == (96, 64, out.stat().st_size)
    assert [t for t, _ in media.packets(out, "video")] == [t for t, _ in media.packets(clip, "video")]
    assert media.packets(out, "audio") == media.packets(clip, "audio")
    for before, after in zip(pictures(clip), pictures(out), strict=True):
        assert (after[..., 0] == 255).all()
        assert (after[..., 1:] == before[..., 1:]).all()


def test_a_part_of_the_video(clip: Path, shirt: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    run(RunOptions(clip, shirt, out, start=0.5, end=1.0, encode=LOSSLESS))
    times = [t for t, _ in media.packets(clip, "video")]
    kept = [n for n, t in enumerate(times) if 0.5 <= t < 1.0]
    assert [media.read_count(rgb) for rgb in pictures(out)] == kept
    assert [t for t, _ in media.packets(out, "video")] == [pytest.approx(float(times[n]) - 0.5, abs=1e-3) for n in kept]


def test_before_and_after_side_by_side(clip: Path, shirt: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    result = run(RunOptions(clip, shirt, out, compare=True, encode=LOSSLESS))
    assert (result.width, result.height) == (192, 64)
    for before, both in zip(pictures(clip), pictures(out), strict=True):
        assert (both[:, :96] == before).all()
        assert (both[:, 96:, 0] == 255).all()


def test_progress_is_told_frame_by_frame(clip: Path, shirt: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    run(RunOptions(clip, shirt, tmp_path / "out.mp4"), progress=told.append)
    assert told[0].stage == "cutting out the garment"
    assert [p.done for p in told if p.stage == "dressing"] == list(range(37))
    totals = {p.total for p in told if p.stage == "dressing"}
    assert len(totals) == 1  # an estimate: Matroska does not count its frames
    assert 30 < totals.pop() < 60


def test_the_analysis_is_kept_and_used_again(
    clip: Path, shirt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "person.vtp"
    first = run(RunOptions(clip, shirt, tmp_path / "a.mkv", save_person=kept, end=0.8, encode=LOSSLESS))
    given: list[Any] = []

    def spy(frames: Any, garment: Any, *, people: Iterator[Any], **rest: Any) -> Iterator[Any]:
        known = list(people)
        given.extend(known)
        return fakes.try_on(frames, garment, people=known, **rest)

    monkeypatch.setattr("vtryon.job.try_on", spy)
    second = run(RunOptions(clip, shirt, tmp_path / "b.mkv", saved_person=kept, end=0.8, encode=LOSSLESS))
    assert len(given) == first.frames == second.frames
    assert all(person is not None and person.crop.height == 64 for person in given)
    assert all((a == b).all() for a, b in zip(pictures(tmp_path / "a.mkv"), pictures(tmp_path / "b.mkv"), strict=True))


def test_an_analysis_of_another_part_is_refused(clip: Path, shirt: Path, tmp_path: Path) -> None:
    kept = tmp_path / "person.vtp"
    run(RunOptions(clip, shirt, tmp_path / "a.mp4", save_person=kept, end=0.8))
    with pytest.raises(vtryon.BadInputError, match=r"person\.vtp"):
        run(RunOptions(clip, shirt, tmp_path / "b.mp4", saved_person=kept))
    assert not (tmp_path / "b.mp4").exists()


def test_a_kept_analysis_is_not_overwritten_unasked(clip: Path, shirt: Path, tmp_path: Path) -> None:
    kept = tmp_path / "person.vtp"
    kept.write_bytes(b"precious")
    with pytest.raises(vtryon.CannotCreateError, match=r"person\.vtp exists"):
        run(RunOptions(clip, shirt, tmp_path / "a.mp4", save_person=kept))
    run(RunOptions(clip, shirt, tmp_path / "a.mp4", save_person=kept, if_exists=IfExists.SKIP))
    assert kept.read_bytes() == b"precious"
    run(RunOptions(clip, shirt, tmp_path / "a.mp4", save_person=kept, if_exists=IfExists.REPLACE))
    assert kept.read_bytes() != b"precious"


def test_preview_is_one_picture_of_the_whole_length(clip: Path, shirt: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    result = preview(RunOptions(clip, shirt, out), 3)
    assert (result.frames, result.audio) == (3, None)
    sheet = np.asarray(media_picture(out))
    assert sheet.shape[:2] == (result.height, result.width) == (64 * 2 + 4, 96 * 3 + 4 * 2)
    before = [sheet[:64, n * 100 : n * 100 + 96] for n in range(3)]
    after = [sheet[68:, n * 100 : n * 100 + 96] for n in range(3)]
    counts = [media.read_count(rgb) for rgb in before]
    assert counts == sorted(set(counts))
    assert counts[0] < 14
    assert counts[2] > 22
    assert all((rgb[..., 0] == 255).all() for rgb in after)


def media_picture(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB").copy()


def test_failing_half_way_leaves_nothing(
    clip: Path, shirt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(frames: Any, garment: Any, **rest: Any) -> Iterator[Any]:
        for shown in fakes.try_on(frames, garment, **rest):
            if shown.frame.index == 20:
                raise RuntimeError("out of memory")
            yield shown

    monkeypatch.setattr("vtryon.job.try_on", breaks)
    before = set(tmp_path.iterdir())
    with pytest.raises(RuntimeError):
        run(RunOptions(clip, shirt, tmp_path / "out.mp4", save_person=tmp_path / "kept.vtp"))
    assert set(tmp_path.iterdir()) == before


def test_memory_does_not_grow_with_the_video(shirt: Path, tmp_path: Path) -> None:
    """Frames are let go of: of 300, never more than a few are alive."""
    import gc
    import weakref

    clip = media.make(tmp_path / "long.mp4", media.Spec(count=300))
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def watch(frames: Any, garment: Any, **rest: Any) -> Iterator[Any]:
        nonlocal most
        for shown in fakes.try_on(frames, garment, **rest):
            alive.add(shown)
            if shown.frame.index % 50 == 49:
                gc.collect()
                most = max(most, len(alive))
            yield shown

    import vtryon.job

    original, vtryon.job.try_on = vtryon.job.try_on, watch
    try:
        run(RunOptions(clip, shirt, tmp_path / "out.mp4"))
    finally:
        vtryon.job.try_on = original
    assert 0 < most < 10


def test_public_names_are_there() -> None:
    for name in vtryon.__all__:
        assert getattr(vtryon, name) is not None
    assert set(vtryon.__all__) <= set(dir(vtryon))
    with pytest.raises(AttributeError, match="no_such_name"):
        vtryon.no_such_name  # noqa: B018


def test_odd_sizes_are_padded_and_said(shirt: Path, tmp_path: Path) -> None:
    clip = media.make(
        tmp_path / "odd.mkv",
        media.Spec(pictures=[media.counted(n, width=97, height=65) for n in range(3)], codec="ffv1", pix_fmt="bgr0"),
    )
    result = run(RunOptions(clip, shirt, tmp_path / "out.mp4"))
    assert any("98 x 66" in line for line in result.warnings)
    assert (probe(tmp_path / "out.mp4").width, probe(tmp_path / "out.mp4").height) == (98, 66)
