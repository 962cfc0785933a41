"""Real clips, where they are at hand: HEVC, full range, 5 fps, late starts, sound; what goes in comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

import media
from vtryon.video import EncodeOptions, VideoReader, VideoWriter

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
FOUND = sorted(path for path in CLIPS.glob("*") if path.suffix in (".mp4", ".mkv"))


@pytest.mark.data
@pytest.mark.parametrize("path", FOUND or [None], ids=lambda path: path.stem if path else "none")
def test_times_and_sound_of_real_clips(path: Path | None, tmp_path: Path) -> None:
    if path is None:
        pytest.skip(f"no clips in {CLIPS}")
    out = tmp_path / path.name
    stamps = []
    with VideoReader(path) as reader:
        info = reader.info
        with VideoWriter(
            out,
            width=info.width,
            height=info.height,
            time_base=info.time_base,
            options=EncodeOptions(preset="ultrafast"),
            source=info,
            audio_from=path,
        ) as writer:
            for frame in reader:
                stamps.append(frame.pts * frame.time_base)
                writer.write(frame.rgb, frame.pts)
                if frame.index == 19:
                    break
            report = writer.close()
    assert reader.warnings == report.warnings == ()
    assert report.audio == ("none" if info.audio_codec is None else "copied")
    with VideoReader(out) as again:
        assert [frame.pts * frame.time_base for frame in again] == stamps
    assert media.packets(out, "audio") == media.packets(path, "audio")
