"""What the parser sees, to look at: a video or a picture with the labels of the person over it (``vtryon parse``)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vtryon.errors import UsageError
from vtryon.job import RunResult, Tally, result_of
from vtryon.outputs import PICTURES, IfExists, wanted
from vtryon.person import analyse
from vtryon.person.crop import warp as resample
from vtryon.pipeline import TryOnFrame, default_labeller
from vtryon.progress import Progress, Report, silent
from vtryon.sheet import with_labels, with_legend, write_picture
from vtryon.types import CROP_SIZE, Array, Crop, Frame, Label, Person
from vtryon.video import CONTAINERS, MAX_PIXELS, EncodeOptions, VideoReader, VideoWriter, default_codec
from vtryon.warpview import still


@dataclass(frozen=True)
class ParseOptions:
    """Options of :func:`parse`.

    ``clip`` a video or a picture, and ``output`` the same kind of file; times are seconds from the start of the video,
    ``end`` is the first moment that is left out; ``opacity`` in [0, 1] of the colours, 1 for the labels alone;
    ``legend`` writes the labels' names on every frame; ``audio`` False leaves the sound out.
    """

    clip: Path
    output: Path
    start: float | None = None
    end: float | None = None
    opacity: float = 0.6
    legend: bool = True
    audio: bool = True
    device: str = "auto"
    if_exists: IfExists = IfExists.REFUSE
    max_pixels: int = MAX_PIXELS

    @property
    def photograph(self) -> bool:
        """Whether the input is a single picture, by its name."""
        return self.clip.suffix.lower() in PICTURES


def parse(options: ParseOptions, *, progress: Report = silent) -> RunResult:
    """Write the labels of the person over a video, with its sound, size and timing, or over a picture.

    Frames in which nobody is seen are left as they are.

    Raises:
        VtryonError: one of its kinds; nothing is then left at ``options.output``.
    """
    if options.photograph and (options.start is not None or options.end is not None):
        raise UsageError(f"{options.clip} is a picture and has no --start or --end")
    suffixes = PICTURES if options.photograph else CONTAINERS
    if not wanted(options.output, inputs=[options.clip], if_exists=options.if_exists, suffixes=tuple(suffixes)):
        return RunResult(options.output, skipped=True)
    make = _picture if options.photograph else _video
    return make(options, progress, time.perf_counter())


def _picture(options: ParseOptions, progress: Report, began: float) -> RunResult:
    tally = Tally(options.clip, progress, 1, stage="parsing")
    (one,) = tally.count(_labelled([still(options.clip, options.max_pixels)], options, progress))
    write_picture(options.output, one.frame.rgb)
    height, width = one.frame.rgb.shape[:2]
    return replace(result_of(options.output, tally, began), width=width, height=height)


def _video(options: ParseOptions, progress: Report, began: float) -> RunResult:
    with ExitStack() as stack:
        reader = stack.enter_context(
            VideoReader(options.clip, start=options.start, end=options.end, max_pixels=options.max_pixels)
        )
        info = reader.info
        writer = stack.enter_context(
            VideoWriter(
                options.output,
                width=info.width,
                height=info.height,
                time_base=info.time_base,
                options=EncodeOptions(codec=default_codec(options.output)),
                source=info,
                audio_from=options.clip if options.audio else None,
                audio_start=options.start,
                audio_end=options.end,
                overwrite=options.if_exists is IfExists.REPLACE,
            )
        )
        tally = Tally(options.clip, progress, reader.frames_estimate, stage="parsing")
        for one in tally.count(_labelled(reader, options, progress)):
            writer.write(one.frame.rgb, one.frame.pts)
        report = writer.close()
    return replace(
        result_of(options.output, tally, began),
        width=info.width,
        height=info.height,
        audio=report.audio,
        warnings=(*reader.warnings, *report.warnings),
    )


def _labelled(frames: Iterable[Frame], options: ParseOptions, progress: Report) -> Iterator[TryOnFrame]:
    progress(Progress("loading"))
    for frame, person in analyse(frames, labeller=default_labeller(options.device)):
        rgb = frame.rgb
        if person is not None:
            rgb = with_labels(rgb, frame_labels(person, (rgb.shape[0], rgb.shape[1])), options.opacity)
        yield TryOnFrame(replace(frame, rgb=with_legend(rgb) if options.legend else rgb), frame, person)


def frame_labels(person: Person, size: tuple[int, int]) -> Array:
    """(height, width) uint8 of :class:`Label`: the most probable one at each pixel of a frame of ``size``.

    Probabilities are enlarged, not decisions, so that outlines are smooth; outside the crop all is background.
    """
    rows, columns = _window(person.crop, size)
    matrix = _from_crop(person.crop)
    matrix[:, 2] -= (columns.start, rows.start)
    shape = rows.stop - rows.start, columns.stop - columns.start
    best, winner = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for label in Label:
        if person.labels[label].any():
            share = resample(person.labels[label].astype(np.float32), matrix, shape)
            winner[share > best] = label
            best = np.maximum(best, share)
    whole = np.zeros(size, np.uint8)
    whole[rows, columns] = winner
    return whole


def _window(crop: Crop, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the frame that the crop covers."""
    left, right = (int(np.clip(round(x), 0, size[1])) for x in (crop.left, crop.left + crop.width))
    top, bottom = (int(np.clip(round(y), 0, size[0])) for y in (crop.top, crop.top + crop.height))
    return slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))


def _from_crop(crop: Crop) -> Array:
    """(2, 3) float64 map from the crop grid to frame pixels, centres at +0.5."""
    scale = crop.height / CROP_SIZE[0]
    return np.array([[scale, 0.0, crop.left], [0.0, scale, crop.top]])
