"""Decoding that does not stop at the first bad packet, and that starts at the moment that was asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vtryon.errors import BadInputError
from vtryon.video.packets import read_packets
from vtryon.video.source import decoder_limit, open_source, pick_stream

_SEEK_BACK = (0, 10)
"""Seconds before the wanted moment at which a seek is tried: a seek may land on a key frame whose leading frames
need the group of pictures before it."""


class Decoder:
    """A file opened for its moving picture; ``container`` and ``stream`` tell about it.

    ``Container.decode`` stops at the first bad packet and drops what is still to come (UX.md C2): here a packet that
    cannot be read or decoded is counted in ``bad`` and the next one is taken. ``damaged`` counts frames that were
    decoded with visible errors, ``reached`` is the latest moment, in seconds, of any packet read, of sound too.

    Raises:
        UsageError, MissingInputError, BadInputError, UnavailableError: see :func:`~vtryon.video.probe`.
    """

    def __init__(self, path: Path, *, max_pixels: int) -> None:
        self._path = path
        self._max_pixels = max_pixels
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.container.close()

    def frames(self, start: Fraction | None = None) -> Generator[VideoFrame]:
        """All frames, or those from ``start`` (seconds on the stream's clock) on and some before it."""
        for back in _SEEK_BACK if start is not None else ():
            assert start is not None
            frames = self._seek(start - back)
            first = next(frames, None)
            if first is not None and first.pts is not None and first.pts * self._time_base <= start:
                yield first
                yield from frames
                return
            self.container.close()
            self._open()
        yield from self._decode_all()

    def _open(self) -> None:
        self.bad = 0
        self.damaged = 0
        self.reached = 0.0
        self.container: InputContainer = open_source(self._path, max_pixels=self._max_pixels)
        try:
            self.stream: VideoStream = pick_stream(self.container, self._path)
            self._check_size()
        except BaseException:
            self.container.close()
            raise
        self._time_base = Fraction(self.stream.time_base or 0)

    def _check_size(self) -> None:
        """Refuse pictures above the limit by the header's word, before any is decoded; arm the decoder as well."""
        context, allowed = self.stream.codec_context, self._max_pixels
        width, height = context.width, context.height
        if width * height > allowed:
            raise BadInputError(
                f"{self._path}: {width} x {height} is more than {allowed} pixels; raise --max-pixels if that is wanted"
            )
        context.options = {"max_pixels": str(decoder_limit(allowed))}

    def _seek(self, start: Fraction) -> Iterator[VideoFrame]:
        try:
            self.container.seek(int(start / self._time_base), stream=self.stream)
        except (av.error.FFmpegError, ZeroDivisionError):
            return iter(())
        return self._decode_all()

    def _decode_all(self) -> Iterator[VideoFrame]:
        timed = [stream for stream in self.container.streams if stream.type in ("video", "audio")]
        for packet in read_packets(self.container, *timed, failed=self._count):
            if packet.pts is not None and packet.time_base:
                self.reached = max(self.reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == self.stream.index:
                yield from self._decode(packet)

    def _count(self) -> None:
        self.bad += 1

    def _decode(self, packet: Packet[Any]) -> list[VideoFrame]:
        try:
            frames = self.stream.codec_context.decode(packet)
        except av.error.EOFError:  # flushed already
            return []
        except av.error.FFmpegError:
            self.bad += 1
            return []
        self.damaged += sum(frame.is_corrupt for frame in frames)
        return frames
