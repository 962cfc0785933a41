"""One job, whole: options in, a verified file and a result out. What ``vtryon run`` does, for callers in Python."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vtryon import reuse
from vtryon.cache import Cache
from vtryon.errors import UsageError
from vtryon.outputs import PICTURES, IfExists, wanted
from vtryon.person import clip_key, load_people, save_people
from vtryon.pipeline import TryOnFrame, TryOnOptions, try_on
from vtryon.progress import Progress, Report, silent
from vtryon.types import Array, Frame, Garment, Person
from vtryon.video import MAX_PIXELS, EncodeOptions, VideoInfo, VideoReader, VideoWriter, default_codec
from vtryon.weights import listing

log = logging.getLogger(__name__)

RUN_UP = 0.25
"""Seconds of video before a single moment that are worked through too, so that it looks as in the whole video."""


@dataclass(frozen=True)
class Options:
    """What every job on a person and a garment is told; everything but the two inputs and the output has a default.

    Times are seconds from the start of the video; ``end`` is the first moment that is left out. ``fit`` is slim,
    regular or loose; ``length`` scales the garment's own length (1 as its picture shows it). ``max_pixels`` refuses
    videos with larger pictures. ``cache`` is where prepared garments and analyses of people are taken from and kept.
    """

    person: Path
    garment: Path
    output: Path
    back: Path | None = None
    start: float | None = None
    end: float | None = None
    fit: str = "regular"
    length: float = 1.0
    warp: str = "auto"
    device: str = "auto"
    if_exists: IfExists = IfExists.REFUSE
    max_pixels: int = MAX_PIXELS
    cache: Cache | None = None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(path for path in (self.person, self.garment, self.back) if path is not None)


@dataclass(frozen=True)
class RunOptions(Options):
    """Options of :func:`run`.

    ``encode`` how the video is written, None for the defaults of the output's kind of file; ``audio`` False leaves
    the sound out; ``compare`` writes before and after side by side; ``save_person`` keeps the analysis of the person,
    which does not depend on the garment; ``saved_person`` uses one that was kept, of the same part of the same video.
    """

    encode: EncodeOptions | None = None
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
    if not _wanted(options):
        return RunResult(options.output, skipped=True)
    analysis = _analysis_to_keep(options)
    began = time.perf_counter()
    with ExitStack() as stack:
        reader = stack.enter_context(open_reader(options))
        writer = stack.enter_context(_open_writer(options, reader.info))
        garment, back = garments(options, progress)
        tally = Tally(options.person, progress, reader.frames_estimate)
        known = _known_people(options, progress)
        shown = stack.enter_context(closing(dress(reader, garment, back, options, known)))
        people = _written(tally.count(shown), writer, options.compare)
        if analysis is None:
            deque(people, maxlen=0)
        else:
            save_people(analysis, people, key=_clip_key(options))
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

    if not _wanted(options, suffixes=PICTURES):
        return RunResult(options.output, skipped=True)
    began = time.perf_counter()
    garment, back = garments(options, progress)
    tally = Tally(options.person, progress, count)
    shown = list(tally.count(moments(options, garment, back, count)))
    sheet = contact_sheet([[at.source.rgb for at in shown], [at.frame.rgb for at in shown]])
    write_picture(options.output, sheet)
    return replace(
        result_of(options.output, tally, began),
        width=sheet.shape[1],
        height=sheet.shape[0],
        warnings=notes(garment, back),
    )


def _wanted(options: Options, suffixes: Sequence[str] | None = None) -> bool:
    return wanted(options.output, inputs=options.inputs, if_exists=options.if_exists, suffixes=suffixes)


def _analysis_to_keep(options: RunOptions) -> Path | None:
    """Where the analysis goes, if anywhere: it is an output too, and the same policy holds for it."""
    path = options.save_person
    if path is None:
        return None
    if path.absolute() == options.output.absolute():
        raise UsageError(f"{path} is named both for the video and for --save-person; give one another name")
    return path if wanted(path, inputs=options.inputs, if_exists=options.if_exists) else None


def garments(options: Options, progress: Report) -> tuple[Garment, Garment | None]:
    """The garment and, where it is given, its back."""
    from vtryon.garment import load_garment

    progress(Progress("cutting out the garment"))
    load = load_garment if options.cache is None else partial(reuse.garment, options.cache)
    front = load(options.garment)
    log.info("%s: %s, %d x %d", options.garment, front.kind, front.alpha.shape[1], front.alpha.shape[0])
    return front, load(options.back) if options.back is not None else None


def _open_writer(options: RunOptions, source: VideoInfo) -> VideoWriter:
    return VideoWriter(
        options.output,
        width=source.width * (2 if options.compare else 1),
        height=source.height,
        time_base=source.time_base,
        options=options.encode or EncodeOptions(codec=default_codec(options.output)),
        source=source,
        audio_from=options.person if options.audio else None,
        audio_start=options.start,
        audio_end=options.end,
        overwrite=options.if_exists is IfExists.REPLACE,
    )


def notes(*of: Garment | None) -> tuple[str, ...]:
    """What was found odd about the garments."""
    return tuple(line for garment in of if garment is not None for line in garment.warnings)


def open_reader(options: Options, start: float | None = None, end: float | None = None) -> VideoReader:
    """The person's video, over the times asked for (those of the options where none are given here)."""
    reader = VideoReader(
        options.person,
        start=options.start if start is None else start,
        end=options.end if end is None else end,
        max_pixels=options.max_pixels,
    )
    info = reader.info
    log.info(
        "%s: %s %s, %d x %d, sound %s", info.path, info.codec, info.pix_fmt, info.width, info.height, info.audio_codec
    )
    return reader


def dress(
    frames: Iterable[Frame],
    garment: Garment | None,
    back: Garment | None,
    options: Options,
    people: Iterable[Person | None] | None = None,
    *,
    compose: bool = True,
) -> Generator[TryOnFrame]:
    """:func:`vtryon.pipeline.try_on` with these options."""
    chosen = TryOnOptions(fit=options.fit, length=options.length, warp=options.warp, device=options.device)
    return try_on(frames, garment, back=back, options=chosen, people=people, compose=compose)


def moments(
    options: Options, garment: Garment, back: Garment | None, count: int, *, compose: bool = True
) -> Iterator[TryOnFrame]:
    """``count`` dressed frames spread evenly over the time asked for, each with a run-up of its own."""
    with open_reader(options) as reader:
        first, last = span(reader.info, options)
    for number in range(count):
        at = first + (last - first) * (number + 0.5) / count
        with open_reader(options, start=max(first, at - RUN_UP)) as reader:
            run_up = _until(reader, at + reader.info.origin_seconds)
            yield from deque(dress(run_up, garment, back, options, compose=compose), maxlen=1)


def _until(frames: Iterable[Frame], at: float) -> Iterator[Frame]:
    """The frames up to the first that is shown at ``at`` seconds or later."""
    for frame in frames:
        yield frame
        if frame.seconds >= at:
            return


def span(info: VideoInfo, options: Options) -> tuple[float, float]:
    """First and last second of the time asked for, as users count; one second where the file tells no length."""
    whole = info.start_seconds - info.origin_seconds + (info.duration_seconds or 1.0)
    first = options.start or 0.0
    return first, max(first, whole if options.end is None else min(options.end, whole))


def _written(shown: Iterable[TryOnFrame], writer: VideoWriter, compare: bool) -> Iterator[Person | None]:
    """Write every frame; give who was seen in it."""
    for one in shown:
        writer.write(_before_and_after(one) if compare else one.frame.rgb, one.frame.pts)
        yield one.person


def _known_people(options: RunOptions, progress: Report) -> Iterator[Person | None] | None:
    """The analysis that was saved or is in the cache; None where it is to be made on the way."""
    if options.saved_person is not None:
        return load_people(options.saved_person, key=_clip_key(options))
    return None if options.cache is None else reuse.people(options.cache, options, progress)


def _clip_key(options: RunOptions) -> str:
    """What the analysis depends on: the part of the video, and the network that labels it."""
    return clip_key(options.person, options.start, options.end, listing().get("parser"))


def _before_and_after(shown: TryOnFrame) -> Array:
    return np.concatenate([shown.source.rgb, shown.frame.rgb], axis=1)


class Tally:
    """Counts the frames that pass, those without a person, and reports on the way."""

    def __init__(self, path: Path, progress: Report, expected: int | None, stage: str = "dressing") -> None:
        self._path = path
        self.frames = 0
        self.without_person = 0
        self._progress, self._expected, self._stage = progress, expected, stage

    def count(self, shown: Iterable[TryOnFrame]) -> Iterator[TryOnFrame]:
        """The same frames.

        Raises:
            BadInputError: at the end, where none of them showed a person: the output would be the input again.
        """
        self._tell()
        for one in shown:
            yield one
            self.frames += 1
            self.without_person += one.person is None
            self._tell()
        if self.without_person == self.frames:
            raise reuse.nobody(self._path, self.frames)

    def _tell(self) -> None:
        self._progress(Progress(self._stage, self.frames, self._expected))


def result_of(output: Path, tally: Tally, began: float) -> RunResult:
    """The result of a job that wrote ``output`` and began at ``time.perf_counter() == began``."""
    seconds = time.perf_counter() - began
    return RunResult(
        output=output,
        frames=tally.frames,
        seconds=round(seconds, 3),
        fps=round(tally.frames / seconds, 3),
        bytes=output.stat().st_size,
        frames_without_person=tally.without_person,
    )
