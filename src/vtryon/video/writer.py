"""Writing a video: every time stamp kept, the sound beside it, and no file at the final name before it is verified."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vtryon.errors import UnavailableError, VtryonError, WriteError
from vtryon.outputs import IfExists, beside, wanted
from vtryon.types import Array
from vtryon.video.audio import SoundTrack
from vtryon.video.codecs import EncodeOptions, EncoderPlan, plan_encoding
from vtryon.video.colour import YuvConverter
from vtryon.video.info import VideoInfo

_MAX_TIMESCALE = 10_000_000
"""Units per second up to which MP4's 32-bit lengths reach seven minutes (then FFmpeg takes the 64-bit ones)."""

_MILLISECOND = Fraction(1, 1000)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class WriteReport:
    """What was written: number of ``frames``; ``audio`` "copied", "re-encoded to aac" (or opus) or "none"; size in
    ``bytes``; ``warnings`` one line each."""

    frames: int
    audio: str
    bytes: int
    warnings: tuple[str, ...] = ()


class VideoWriter:
    """Encodes RGB pictures with their time stamps into a file that appears at ``path`` only when whole and verified.

    The picture is tagged and coded BT.709, limited range (RGB where lossless). Time stamps are those that are given,
    less what the output starts later than the source: the source's ``origin_seconds`` and ``audio_start``; so that none
    is negative, at most the first. Matroska and WebM count in milliseconds, so there they are rounded to one.

    Args:
        path: the file to make; its ending names the container: .mp4, .mov, .mkv, .webm.
        width, height: of the pictures. Odd ones gain a row or column, a copy of the last, where the format needs it.
        time_base: seconds for one unit of pts, best the source's.
        options: how to encode.
        source: facts about the source: frame rate, pixel aspect, where its clock starts.
        audio_from: file whose sound is taken; None for a silent output.
        audio_start, audio_end: the part of the source that is written, as given to the reader: the sound is cut to it
            and the output starts at ``audio_start`` of the source, picture and sound together.
        overwrite: whether a file at ``path`` may be replaced.

    Raises:
        UsageError: ending, codec and options do not go together.
        CannotCreateError: ``path`` exists, is an input, or its folder cannot be written.
        UnavailableError: the encoder is missing or refuses the size.
        WriteError: disk full or broken, while writing.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        time_base: Fraction,
        options: EncodeOptions | None = None,
        source: VideoInfo | None = None,
        audio_from: Path | None = None,
        audio_start: float | None = None,
        audio_end: float | None = None,
        overwrite: bool = False,
    ) -> None:
        options = options or EncodeOptions()
        plan = plan_encoding(Path(path), options)
        inputs = [given for given in (audio_from, source and source.path) if given]
        wanted(Path(path), inputs=inputs, if_exists=IfExists.REPLACE if overwrite else IfExists.REFUSE)
        self._path = Path(path).resolve()  # a link stays a link, its target is replaced
        self._size = (height, width)
        self._padding = _padding(plan.pix_fmt, width, height)
        self._time_base = Fraction(time_base)
        self._frames = 0
        self._first: int | None = None
        self._last: int | None = None
        self._report: WriteReport | None = None
        self._converter = YuvConverter(plan.pix_fmt)
        origin = Fraction(source.origin_seconds).limit_denominator(1_000_000) if source else Fraction(0)
        self._rate = _rate(source, self._time_base)
        self._step = max(1, round(1 / (self._rate * self._time_base)))
        self._shift = round((origin + Fraction(audio_start or 0)) / self._time_base)
        self._stack = ExitStack()
        try:
            self._temporary = self._stack.enter_context(beside(self._path))
            self._output = self._stack.enter_context(
                av.open(
                    str(self._temporary),
                    "w",
                    format=plan.container,
                    container_options=_container_options(plan, self._time_base),
                )
            )
            self._stream = self._add_stream(plan, options, source)
            self._sound = self._add_sound(audio_from, origin, audio_start, audio_end)
        except BaseException as problem:
            self._discard(problem)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if problem is None:
            self.close()
        elif self._report is None:
            self._discard(problem)

    def write(self, rgb: Array, pts: int) -> None:
        """Encode one picture.

        Args:
            rgb: (H, W, 3) uint8 of the size given at the start.
            pts: presentation time in units of ``time_base``, above that of the picture before.

        Raises:
            ValueError: another size, type or order.
            WriteError: the disk is full or broken.
        """
        if rgb.shape != (*self._size, 3) or rgb.dtype != np.uint8:
            raise ValueError(f"rgb must be uint8 {(*self._size, 3)}, got {rgb.dtype} {rgb.shape}")
        if self._last is not None and pts <= self._last:
            raise ValueError(f"pts must rise: {pts} after {self._last}")
        if self._first is None:
            self._begin(pts)
        frame = self._converter.convert(np.pad(rgb, (*self._padding, (0, 0)), mode="edge") if self._padding else rgb)
        frame.pts = pts - self._shift
        frame.time_base = self._time_base
        frame.duration = self._step if self._last is None else pts - self._last  # the true one is not known yet
        try:
            self._mux(self._stream.encode(frame))
        except av.error.FFmpegError as problem:
            raise self._failed(problem) from problem
        self._last = pts
        self._frames += 1

    def close(self) -> WriteReport:
        """Write what is left, verify the file and give it its name; called again it gives the same report.

        Raises:
            WriteError: the disk is full, or what lies on it is not what was written; nothing is left at ``path``.
        """
        if self._report is not None:
            return self._report
        try:
            size = self._finish()
        except BaseException as problem:
            self._discard(problem)
            raise
        warnings = list(self._sound.warnings if self._sound else ())
        if self._padding:
            height, width = (n + p[1] for n, p in zip(self._size, self._padding, strict=True))
            warnings.append(f"{self._path.name}: padded to {width} x {height}, the format takes even sizes only")
        audio = self._sound.summary if self._sound else "none"
        self._report = WriteReport(self._frames, audio, size, tuple(warnings))
        return self._report

    def _begin(self, pts: int) -> None:
        """Fix what is taken off all times: no picture may lie below 0, where MP4 hides it, Matroska loses its time."""
        self._first = pts
        self._shift = min(self._shift, pts)
        if self._sound is not None:
            self._sound.shift = self._shift * self._time_base

    def _finish(self) -> int:
        """Flush, verify and rename; gives the size in bytes."""
        if self._frames == 0:
            raise WriteError(f"{self._path}: there was no frame to write")
        try:
            self._mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.feed()
                self._sound.close()
            self._output.close()
        except av.error.FFmpegError as problem:
            raise self._failed(problem) from problem
        self._verify()
        size = self._temporary.stat().st_size
        self._stack.close()
        return size

    def _add_stream(self, plan: EncoderPlan, options: EncodeOptions, source: VideoInfo | None) -> VideoStream:
        height, width = self._size
        if self._padding:
            height, width = height + self._padding[0][1], width + self._padding[1][1]
        stream = self._output.add_stream(
            plan.encoder, rate=self._rate, options=dict(plan.options), width=width, height=height
        )
        assert isinstance(stream, VideoStream)
        stream.time_base = self._time_base
        context = stream.codec_context
        context.time_base = self._time_base
        context.pix_fmt = plan.pix_fmt
        context.thread_count = options.threads or 0
        _tag_colours(stream, plan)
        if source is not None and source.pixel_aspect != 1:
            context.sample_aspect_ratio = source.pixel_aspect
        if options.codec == "hevc" and plan.container != "matroska":
            context.codec_tag = "hvc1"  # the only one that Apple's players know
        try:
            context.open()
        except av.error.FFmpegError as problem:
            raise UnavailableError(
                f"{self._path.name}: the {options.codec} encoder refuses {width} x {height} {plan.pix_fmt}; "
                "choose another --codec or --pix-fmt"
            ) from problem
        return stream

    def _add_sound(
        self, path: Path | None, origin: Fraction, start: float | None, end: float | None
    ) -> SoundTrack | None:
        if path is None:
            return None
        return self._stack.enter_context(
            SoundTrack(
                path,
                self._output,
                start=None if start is None else origin + Fraction(start),
                end=None if end is None else origin + Fraction(end),
            )
        )

    def _mux(self, packets: list[Packet[Stream]]) -> None:
        """Picture packets as they come, with the sound up to the same time: in this order nothing piles up."""
        for packet in packets:
            until = None if packet.dts is None else packet.dts * packet.time_base
            self._output.mux(packet)
            if self._sound is not None and until is not None:
                self._sound.feed(until)

    def _verify(self) -> None:
        """Read the file back: as many packets of picture and sound as were written, first and last at their times."""
        assert self._first is not None
        assert self._last is not None
        times: list[Fraction] = []
        frames = sounds = 0
        try:
            with av.open(str(self._temporary), "r") as container:
                for packet in container.demux():
                    if not packet.size:
                        continue
                    if packet.stream.type == "video":
                        frames += 1
                        now = Fraction(packet.pts or 0) * packet.time_base
                        times = [min(times[0], now), max(times[1], now)] if times else [now, now]
                    else:
                        sounds += 1
        except av.error.FFmpegError as problem:
            raise self._failed(problem) from problem
        if frames != self._frames:
            raise WriteError(f"{self._path}: {self._frames} frames were written but {frames} can be read back")
        expected = [(stamp - self._shift) * self._time_base for stamp in (self._first, self._last)]
        exact = self._output.format.name in ("mp4", "mov") and self._time_base.denominator <= _MAX_TIMESCALE
        if any(abs(a - b) > (0 if exact else _MILLISECOND) for a, b in zip(times, expected, strict=True)):
            raise WriteError(f"{self._path}: the time stamps that were written cannot be read back")
        if self._sound is not None and sounds != self._sound.packets:
            raise WriteError(
                f"{self._path}: {self._sound.packets} sound packets were written, {sounds} can be read back"
            )

    def _failed(self, problem: av.error.FFmpegError) -> VtryonError:
        written = self._temporary.stat().st_size / 1e6 if self._temporary.exists() else 0.0
        if problem.errno in _FULL:
            return WriteError(
                f"{self._path}: disk full after {written:.1f} MB ({self._frames} frames); "
                "make room or write elsewhere. Nothing is left there"
            )
        return WriteError(f"{self._path}: writing failed after {written:.1f} MB ({problem.strerror or problem})")

    def _discard(self, problem: BaseException) -> None:
        """Close and remove the temporary file, whatever state it is in; the first error is the one that counts."""
        try:
            self._stack.__exit__(type(problem), problem, problem.__traceback__)
        except BaseException as later:
            if later is not problem and not isinstance(later, Exception):
                raise


def _container_options(plan: EncoderPlan, time_base: Fraction) -> dict[str, str]:
    """Index in front for MP4 and MOV, so that they play while they load; no shift of all times for the others.

    MP4 keeps a late start in units of the whole file, a millisecond unless told; they are made a part of the picture's.
    Sound that was primed by its encoder begins a few milliseconds below 0. MP4 says so in an edit list; FFmpeg's
    Matroska muxer would by default move everything, the picture too, to make room.
    """
    if plan.container not in ("mp4", "mov"):
        return {"avoid_negative_ts": "disabled"}
    units = time_base.denominator * -(-48_000 // time_base.denominator)
    return {"movflags": "+faststart"} | ({"movie_timescale": str(units)} if units <= _MAX_TIMESCALE else {})


def _padding(pix_fmt: str, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Rows and columns to add for formats with chroma planes of half size; None where none are needed."""
    chroma = av.VideoFormat(pix_fmt, 2, 2).components[1]
    down = height % 2 if chroma.height == 1 else 0
    across = width % 2 if chroma.width == 1 else 0
    return ((0, down), (0, across)) if down or across else None


def _rate(source: VideoInfo | None, time_base: Fraction) -> Fraction:
    """A hint for rate control; times come with the frames. Files that count in milliseconds can claim 1000 fps.

    Never above one frame for each unit of time: VP9's encoder refuses frames that last less.
    """
    rate = source.average_rate if source is not None else None
    return min(rate if rate is not None and 1 <= rate <= 240 else Fraction(30), 1 / time_base)


def _tag_colours(stream: VideoStream, plan: EncoderPlan) -> None:
    context = stream.codec_context
    rgb = av.VideoFormat(plan.pix_fmt).is_rgb
    context.color_primaries = context.color_trc = 1  # BT.709 in ITU-T H.273
    context.colorspace = 0 if rgb else 1
    context.color_range = 2 if rgb else 1
