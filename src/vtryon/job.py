"""One job, whole: options in, a verified file and a result out. What ``vtryon run`` does, for callers in Python."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vtryon.errors import BadInputError, MissingInputError, UsageError
from vtryon.outputs import PICTURES, IfExists, wanted
from vtryon.progress import Progress, Report, silent
from vtryon.video import MAX_PIXELS, EncodeOptions, VideoInfo, VideoReader, VideoWriter

if TYPE_CHECKING:
    from vtryon.pipeline import TryOnFrame
    from vtryon.types import Array, Frame, Garment, Person

RUN_UP = 0.25
"""Seconds of video before a single moment that are worked through too, so that it looks as in the whole video."""


@dataclass(frozen=True)
class Options:
    """What every job on a person and a garment is told; everything but the two inputs and the output has a default.

    Times are seconds from the start of the video; ``end`` is the first moment that is left out. ``fit`` is slim,
    regular or loose; ``length`` scales the garment's own length (1 as its picture shows it). ``max_pixels`` refuses
    videos with larger pictures, None for the reader's own limit.
    """

    person: Path
    garment: Path
    output: Path
    back: Path | None = None
    start: float | None = None
    end: float | None = None
    fit: str = "regular"
    length: float = 1.0
    device: str = "auto"
    if_exists: IfExists = IfExists.REFUSE
    max_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= (self.start or 0.0):
            raise UsageError(f"--end ({self.end:g} s) must come after --start ({self.start or 0.0:g} s)")

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(path for path in (self.person, self.garment, self.back) if path is not None)


@dataclass(frozen=True)
class RunOptions(Options):
    """Options of :func:`run`.

    ``encode`` how the video is written; ``audio`` False leaves the sound out; ``compare`` writes before and after
    side by side; ``save_person`` keeps the analysis of the person, which does not depend on the garment;
    ``saved_person`` uses one that was kept, of the same frames.
    """

    encode: EncodeOptions = field(default_factory=EncodeOptions)
    audio: bool = True
    compare: bool = False
    save_person: Path | None = None
    saved_person: Path | None = None

    @property
    def inputs(self) -> tuple[Path, ...]:
        return (*super().inputs, *([self.saved_person] if self.saved_person is not None else []))


@dataclass(frozen=True)
class RunResult:
    """What was done.

    ``seconds`` is the time it took and ``fps`` frames per such second; ``audio`` says what became of the sound, None
    for a picture; ``frames_without_person`` went through untouched; ``skipped``: the output was there, nothing done.
    """

    output: Path
    frames: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    width: int = 0
    height: int = 0
    bytes: int = 0
    audio: str | None = None
    frames_without_person: int = 0
    warnings: tuple[str, ...] = ()
    skipped: bool = False


def run(options: RunOptions, *, progress: Report = silent) -> RunResult:
    """Dress the person of a video and write the video, with its sound, size and timing.

    Raises:
        VtryonError: one of its kinds (``vtryon.errors``); nothing is then left at ``options.output``.
    """
    if not prepare(options):
        return RunResult(options.output, skipped=True)
    began = time.perf_counter()
    garment, back = garments(options, progress)
    with ExitStack() as stack:
        reader = stack.enter_context(open_reader(options))
        writer = stack.enter_context(_open_writer(options, reader.info))
        tally = Tally(progress, frames_expected(reader.info, options.start, options.end))
        for shown in tally.count(_dress(reader, garment, back, options)):
            writer.write(_beside(shown) if options.compare else shown.frame.rgb, shown.frame.pts)
        tally.must_have_person(options.person)
        report = writer.close()
    return replace(
        result_of(options.output, tally, began),
        width=reader.info.width * (2 if options.compare else 1),
        height=reader.info.height,
        audio=report.audio,
        warnings=(*notes(garment, back), *reader.warnings, *report.warnings),
    )


def preview(options: RunOptions, count: int, *, progress: Report = silent) -> RunResult:
    """Write one picture with ``count`` moments of the video, before above after, in place of the video.

    Raises:
        VtryonError: as :func:`run`.
    """
    from vtryon.sheet import contact_sheet, write_picture

    if not prepare(options, suffixes=PICTURES):
        return RunResult(options.output, skipped=True)
    began = time.perf_counter()
    garment, back = garments(options, progress)
    tally = Tally(progress, count)
    shown = list(tally.count(moments(options, garment, back, count)))
    tally.must_have_person(options.person)
    sheet = contact_sheet([[at.source.rgb for at in shown], [at.frame.rgb for at in shown]])
    write_picture(options.output, sheet)
    return replace(
        result_of(options.output, tally, began),
        width=sheet.shape[1],
        height=sheet.shape[0],
        warnings=notes(garment, back),
    )


def prepare(options: Options, suffixes: Sequence[str] | None = None) -> bool:
    """All that can be refused before any work; False where the output is there and is to be left alone.

    Raises:
        CannotCreateError: about the output (:func:`vtryon.outputs.wanted`).
        MissingInputError: an input is not there or may not be read.
    """
    if not wanted(options.output, inputs=options.inputs, if_exists=options.if_exists, suffixes=suffixes):
        return False
    for path in options.inputs:
        if not path.exists():
            raise MissingInputError(f"{path}: no such file")
        if path.is_dir():
            raise MissingInputError(f"{path} is a folder; name a file in it")
        if not os.access(path, os.R_OK):
            raise MissingInputError(f"{path}: may not be read (permission denied)")
    return True


def garments(options: Options, progress: Report) -> tuple[Garment, Garment | None]:
    """The garment and, where it is given, its back."""
    from vtryon.garment import load_garment

    progress(Progress("cutting out the garment"))
    return load_garment(options.garment), load_garment(options.back) if options.back is not None else None


def notes(*of: Garment | None) -> tuple[str, ...]:
    """What was found odd about the garments."""
    return tuple(line for garment in of if garment is not None for line in garment.warnings)


def open_reader(options: Options, start: float | None = None, end: float | None = None) -> VideoReader:
    """The person's video, over the times asked for (those of the options where none are given here)."""
    return VideoReader(
        options.person,
        start=options.start if start is None else start,
        end=options.end if end is None else end,
        max_pixels=MAX_PIXELS if options.max_pixels is None else options.max_pixels,
    )


def dress(
    frames: Iterable[Frame],
    garment: Garment | None,
    back: Garment | None,
    options: Options,
    people: Iterable[Person | None] | None = None,
) -> Iterator[TryOnFrame]:
    """:func:`vtryon.pipeline.try_on` with these options."""
    from vtryon.pipeline import TryOnOptions, try_on

    chosen = TryOnOptions(fit=options.fit, length=options.length, device=options.device)
    return try_on(frames, garment, back=back, options=chosen, people=people)


def moments(options: Options, garment: Garment, back: Garment | None, count: int) -> Iterator[TryOnFrame]:
    """``count`` dressed frames spread evenly over the time asked for, each with a run-up of its own.

    Raises:
        BadInputError: there is no frame in that time.
    """
    with open_reader(options) as reader:
        first, last = span(reader.info, options)
    found = False
    for number in range(count):
        at = first + (last - first) * (number + 0.5) / count
        with open_reader(options, start=max(first, at - RUN_UP)) as reader:
            for shown in deque(dress(_until(reader, at), garment, back, options), maxlen=1):
                found = True
                yield shown
    if not found:
        raise BadInputError(f"{options.person}: no frames between {first:g} and {last:g} s")


def _until(frames: Iterable[Frame], at: float) -> Iterator[Frame]:
    """The frames up to the first that is shown at ``at`` seconds or later."""
    for frame in frames:
        yield frame
        if frame.seconds >= at:
            return


def span(info: VideoInfo, options: Options) -> tuple[float, float]:
    """First and last second of the time asked for; a second where the file does not say how long it is."""
    first = options.start or 0.0
    whole = info.start_seconds + (info.duration_seconds or 1.0)
    return first, max(first, whole if options.end is None else min(options.end, whole))


def frames_expected(info: VideoInfo, options: Options) -> int | None:
    """How many frames there will be, by the file's own word; None where it gives none."""
    if options.start is None and options.end is None:
        return info.frames_estimate
    if not info.average_rate or not info.duration_seconds:
        return None
    first, last = span(info, options)
    return round((last - first) * info.average_rate) or None


class Tally:
    """Counts the frames that pass, those without a person, and reports on the way."""

    def __init__(self, progress: Report, expected: int | None, stage: str = "dressing") -> None:
        self.frames = 0
        self.without_person = 0
        self._tell = lambda: progress(Progress(stage, self.frames, expected))

    def count(self, shown: Iterable[TryOnFrame]) -> Iterator[TryOnFrame]:
        self._tell()
        for one in shown:
            yield one
            self.frames += 1
            self.without_person += one.person is None
            self._tell()

    def must_have_person(self, path: Path) -> None:
        """Raises BadInputError where no frame showed a person: the result would be the input again."""
        if self.without_person == self.frames:
            raise BadInputError(
                f"{path}: no person found in any of {self.frames} frames, nothing was written; "
                "the upper body must be in the picture and upright"
            )


def result_of(output: Path, tally: Tally, began: float) -> RunResult:
    """The result of a job that wrote ``output`` and began at ``time.perf_counter() == began``."""
    seconds = time.perf_counter() - began
    return RunResult(
        output=output,
        frames=tally.frames,
        seconds=round(seconds, 3),
        fps=round(tally.frames / seconds, 2),
        bytes=output.stat().st_size,
        frames_without_person=tally.without_person,
    )
