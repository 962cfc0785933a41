"""The sound track of the output: packets copied as they are where the container takes them, else encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Self, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from vtryon.video.info import codec_name, pick_sound
from vtryon.video.packets import RisingClock, read_packets
from vtryon.video.source import open_source

_ENCODERS = {"mp4": ("aac", "aac", 128_000), "mov": ("aac", "aac", 128_000)}
_OTHER_ENCODER = ("opus", "libopus", 64_000)  # Matroska and WebM
"""Container to codec, its encoder and bits per second for one channel."""

_LAYOUTS = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1", 8: "7.1"}
"""For sources that tell only how many channels they have."""


class SoundTrack:
    """One sound track on its way from a file into an output container.

    ``summary`` is "copied", "re-encoded to aac" or "none"; ``packets`` counts what was written. Times are kept,
    less ``shift`` (seconds), which is set before the first :meth:`feed`.

    Args:
        path: the file whose sound is taken.
        output: the container it goes to, its video stream added, its header not yet written.
        start, end: seconds on the source's clock; packets that begin outside are left out.
    """

    def __init__(
        self, path: Path, output: OutputContainer, *, start: Fraction | None = None, end: Fraction | None = None
    ) -> None:
        self.summary = "none"
        self.packets = 0
        self.shift = Fraction(0)
        self._path = path
        self._output = output
        self._notes: list[str] = []
        self._damaged = 0
        self._start, self._end = start, end
        self._source: InputContainer | None = open_source(path)
        self._waiting: Packet[Any] | None = None
        self._queue: Iterator[Packet[Any]] = iter(())
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def feed(self, until: Fraction | None = None) -> None:
        """Write the packets that begin before ``until`` (seconds in the output), or all that are left."""
        while True:
            packet = self._waiting if self._waiting is not None else next(self._queue, None)
            if packet is None:
                return
            if until is not None and _seconds(packet) >= until:
                self._waiting = packet
                return
            self._waiting = None
            self._output.mux(packet)
            self.packets += 1

    def _connect(self) -> None:
        """Choose between copying and encoding, and add the stream to the output."""
        assert self._source is not None
        source = pick_sound(self._source)
        if source is None:
            return
        path, name = self._path, codec_name(source)
        others = len(self._source.streams.audio) - 1
        if others:
            self._notes.append(f"{path}: {others} more sound track(s) left out; only the first is kept")
        if source.codec_context is None:
            self._notes.append(f"{path}: the sound is left out: no decoder for its codec here")
            return
        source, container = cast(AudioStream, source), self._output.format.name
        copies = _can_copy(path, container)
        if copies is None:
            self._notes.append(f"{path}: the sound track is empty")
        elif copies:
            self.summary = "copied"
            self._queue = self._copied(source, self._output.add_stream_from_template(source))
        else:
            target = _ENCODERS.get(container, _OTHER_ENCODER)[0]
            self.summary = f"re-encoded to {target}"
            self._queue = self._encoded(source, _add_encoder(self._output, source, container))
            self._notes.append(
                f"{path}: {name} sound was encoded again as {target} for {container}; .mkv would keep it as it is"
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was lost, one line each."""
        damage = f"{self._path}: {self._damaged} damaged sound packet(s) left out"
        return (*self._notes, damage) if self._damaged else tuple(self._notes)

    def _kept(self, source: AudioStream) -> Iterator[Packet[Any]]:
        """The source's packets between start and end at their times in the output, which rise: no others are taken."""
        assert self._source is not None
        time_base = source.time_base or Fraction(1)
        clock, shift = RisingClock(time_base), round(self.shift / time_base)
        for packet in read_packets(self._source, source, failed=self._count):
            if packet.size == 0:
                continue
            dts = clock.read(packet.dts if packet.dts is not None else packet.pts, packet.duration or 1)
            if self._end is not None and dts * time_base >= self._end:
                return
            if self._start is None or dts * time_base >= self._start:
                packet.pts = packet.dts = dts - shift  # sound is not reordered: one time serves for both
                yield packet

    def _copied(self, source: AudioStream, track: AudioStream) -> Iterator[Packet[Any]]:
        for packet in self._kept(source):
            packet.stream = track
            yield packet

    def _encoded(self, source: AudioStream, track: AudioStream) -> Iterator[Packet[Any]]:
        for packet in self._kept(source):
            try:
                frames = source.codec_context.decode(packet)
            except av.error.FFmpegError:
                self._count()
                continue
            for frame in frames:
                yield from track.encode(frame)
        if track.codec_context.is_open:
            yield from track.encode(None)

    def _count(self) -> None:
        self._damaged += 1


def _can_copy(path: Path, container: str) -> bool | None:
    """Whether a container takes a file's sound as it is; None where there is no sound in the track.

    That is known only by trying (UX.md C2), so one packet is written. Raw samples are an exception: MP4 takes some of
    them (ISO/IEC 23003-5), but most players then stay silent.
    """
    with open_source(path) as source:
        stream = pick_sound(source)
        assert stream is not None
        packet = next((p for p in read_packets(source, stream, failed=lambda: None) if p.size), None)
        if packet is None:
            return None
        if container == "mp4" and codec_name(stream).startswith("pcm_"):
            return False
        try:
            with av.open(BytesIO(), "w", format=container) as trial:
                packet.stream = trial.add_stream_from_template(stream)
                trial.mux(packet)
        except (ValueError, av.error.FFmpegError):
            return False
        return True


def _add_encoder(output: OutputContainer, source: AudioStream, container: str) -> AudioStream:
    """An encoder for the source's rate and channels, or the nearest that it takes."""
    _, name, per_channel = _ENCODERS.get(container, _OTHER_ENCODER)
    rates = av.Codec(name, "w").audio_rates
    context = source.codec_context
    rate = context.sample_rate if not rates or context.sample_rate in rates else 48_000
    wanted = (context.layout.name, _LAYOUTS.get(context.layout.nb_channels, "stereo"))
    layout = next((layout for layout in wanted if _takes_layout(name, rate, layout)), "stereo")
    track = cast(AudioStream, output.add_stream(name, rate=rate))
    track.codec_context.layout = layout
    track.codec_context.bit_rate = per_channel * av.AudioLayout(layout).nb_channels
    return track


def _takes_layout(encoder: str, rate: int, layout: str) -> bool:
    trial = cast(AudioCodecContext, av.CodecContext.create(encoder, "w"))
    try:
        trial.sample_rate, trial.layout = rate, layout
        trial.format = (av.Codec(encoder, "w").audio_formats or [av.AudioFormat("s16")])[0]
        trial.open()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _seconds(packet: Packet[Any]) -> Fraction:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return Fraction(stamp or 0) * packet.time_base
