"""Reading a video frame by frame: upright RGB with the source's own time stamps, in constant memory."""

from __future__ import annotations

import threading
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from vtryon.errors import BadInputError, UsageError
from vtryon.types import Frame
from vtryon.video.colour import RgbConverter
from vtryon.video.decode import Decoder
from vtryon.video.info import VideoInfo, frame_colours, no_frames, probe
from vtryon.video.packets import RisingClock
from vtryon.video.source import MAX_PIXELS

MAX_BAD_FRAMES = 0.5
"""Default share of frames that may be unreadable before the run is given up: a phone clip with a scratch is still worth
dressing, a file that is mostly noise is not."""

_HALF_MILLISECOND = Fraction(1, 2000)
"""Times given by users have a millisecond's precision at best: 0.067 s names the third frame of a 30 fps clip."""


class VideoReader:
    """Iterates over the :class:`~vtryon.types.Frame` of a video, once, in the order of presentation.

    Frames are upright, RGB and all of ``info.width`` x ``info.height``; their ``pts`` are the source's, strictly
    rising. Undecodable frames are left out, counted in ``bad_frames`` and told in ``warnings``; so is a file that
    ends before its header says it does.

    Args:
        path: the video.
        start, end: seconds from the beginning; the frames shown at ``start`` <= time < ``end`` are given, exactly.
        max_pixels: largest picture (width times height) that is accepted.
        max_bad_frames: how many undecodable frames are put up with: a count (int) or a share of all (float, 0 to 1).

    Raises:
        UsageError: ``start`` and ``end`` do not go together, or a name that is refused.
        MissingInputError, BadInputError, UnavailableError: see :func:`~vtryon.video.probe`; while iterating,
            BadInputError also for too many bad frames or none between ``start`` and ``end``.
    """

    info: VideoInfo

    def __init__(
        self,
        path: Path,
        *,
        start: float | None = None,
        end: float | None = None,
        max_pixels: int = MAX_PIXELS,
        max_bad_frames: float = MAX_BAD_FRAMES,
    ) -> None:
        _check_span(start, end)
        self.info = probe(path, max_pixels=max_pixels)
        self.frames_read = 0
        self._max_bad = max_bad_frames
        self._start = None if start is None else _moment(start, self.info) - _HALF_MILLISECOND
        self._end = None if end is None else _moment(end, self.info) - _HALF_MILLISECOND
        self._clock = RisingClock(self.info.time_base)
        self._short: str | None = None
        self._converter = RgbConverter()
        self._decoder = Decoder(self.info.path, max_pixels=max_pixels)
        self._frames = self._iterate()
        self._busy = threading.Lock()  # frames may be read by another thread than the one that closes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; iteration ends."""
        with self._busy:
            self._frames.close()
            self._decoder.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        with self._busy:
            return next(self._frames)

    @property
    def bad_frames(self) -> int:
        """How many packets of the file could not be read or decoded so far."""
        return self._decoder.bad

    @property
    def frames_estimate(self) -> int | None:
        """About how many frames will be given, start and end considered; None where the file does not tell."""
        info = self.info
        if self._start is None and self._end is None:
            return info.frames_estimate
        if info.average_rate is None or info.duration_seconds is None:
            return None
        first = info.start_seconds if self._start is None else max(float(self._start), info.start_seconds)
        last = info.start_seconds + info.duration_seconds
        last = last if self._end is None else min(float(self._end), last)
        return max(0, round((last - first) * info.average_rate))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with the frames so far, one line each."""
        name = self.info.path
        lines = []
        if self.bad_frames:
            lines.append(f"{name}: {self.bad_frames} damaged frame(s) left out")
        if self._decoder.damaged:
            lines.append(f"{name}: {self._decoder.damaged} frame(s) show damage")
        if self.info.hdr:
            lines.append(f"{name}: HDR was read as SDR; what is brighter than white is cut off")
        if self._clock.repaired:
            lines.append(f"{name}: {self._clock.repaired} time stamp(s) missing or running backwards were repaired")
        if self._short:
            lines.append(self._short)
        return tuple(lines)

    def _iterate(self) -> Generator[Frame]:
        time_base, step = self.info.time_base, _frame_ticks(self.info)
        ended = False
        for frame in self._decoder.frames(self._start):
            self._judge()
            pts = self._clock.read(frame.pts if frame.pts is not None else frame.dts, step)
            if self._start is not None and pts * time_base < self._start:
                continue
            if self._end is not None and pts * time_base >= self._end:
                ended = True
                break
            yield self._carrier(frame, pts)
        self._judge(final=True)
        if not ended:
            self._short = self._ends_early()

    def _carrier(self, frame: VideoFrame, pts: int) -> Frame:
        info = self.info
        matrix, limits = frame_colours(frame, self._decoder.stream)
        size = (info.height, info.width) if info.orientation.swaps_sides else (info.width, info.height)
        stored = self._converter.convert(frame, matrix=matrix, full_range=limits == "full", size=size)
        index = self.frames_read
        self.frames_read += 1
        return Frame(info.orientation.apply(stored), pts, info.time_base, index)

    def _judge(self, *, final: bool = False) -> None:
        """Give up once the share of bad frames is certain: at the end, or after 50 of them."""
        bad, name = self.bad_frames, self.info.path
        share = isinstance(self._max_bad, float)
        allowed = self._max_bad * (bad + self.frames_read) if share else self._max_bad
        if bad > allowed and (final or not share or bad >= 50):
            raise BadInputError(f"{name}: {bad} of {bad + self.frames_read} frames are damaged; fetch the file again")
        if final and self.frames_read == 0:
            if self._start is not None or self._end is not None:
                raise BadInputError(f"{name}: no frame between --start and --end; it lasts {self._lasts()}")
            raise no_frames(name)

    def _lasts(self) -> str:
        length = self.info.duration_seconds
        return "an unknown time" if length is None else f"{length:.3f} s"

    def _ends_early(self) -> str | None:
        """A line about a file that stops well before its header says so: the mark of a download cut short."""
        container = self._decoder.container
        whole, begin = container.duration, container.start_time
        if whole is None:
            return None
        shown, lasts = self._decoder.reached - (begin or 0) / 1_000_000, whole / 1_000_000
        if shown > lasts - max(0.5, 0.02 * lasts):
            return None
        return f"{self.info.path}: it ends after {shown:.2f} s of {lasts:.2f} s; was the download cut short?"


def _check_span(start: float | None, end: float | None) -> None:
    if start is not None and start < 0:
        raise UsageError(f"--start must not be negative, got {start:g}")
    if end is not None and end <= (start or 0):
        raise UsageError(f"--end ({end:g} s) must come after --start ({start or 0:g} s)")


def _frame_ticks(info: VideoInfo) -> int:
    return max(1, round(1 / (info.average_rate * info.time_base))) if info.average_rate else 1


def _moment(seconds: float, info: VideoInfo) -> Fraction:
    """A user's time on the stream's clock."""
    return Fraction(seconds) + Fraction(info.origin_seconds).limit_denominator(1_000_000)
