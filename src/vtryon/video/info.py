"""What a video file says about itself, and the first picture's word for what the header does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vtryon.errors import BadInputError
from vtryon.types import Array
from vtryon.video.colour import is_hdr, matrix_name, range_name
from vtryon.video.decode import Decoder
from vtryon.video.source import MAX_PIXELS


class Orientation(NamedTuple):
    """How a stored picture becomes upright: mirrored left to right first, then turned clockwise by ``rotation``."""

    mirrored: bool = False
    rotation: int = 0

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Read a frame's display matrix (ISO/IEC 14496-12, 8.3.2), snapped to quarter turns; PyAV ignores it."""
        try:
            side = cast(Mapping[str, SideData], frame.side_data)["DISPLAYMATRIX"]
        except KeyError:
            return cls()
        a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].astype(float)  # x' = a x + c y, y' = b x + d y
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        turned = np.degrees(np.arctan2(b - c, a + d))  # the rotation nearest to the matrix, clockwise as y points down
        return cls(bool(mirrored), round(turned / 90) % 4 * 90)

    def apply(self, picture: Array) -> Array:
        """``picture`` (H, W, 3) upright, contiguous."""
        if self.mirrored:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(np.rot90(picture, -(self.rotation // 90)))

    @property
    def swaps_sides(self) -> bool:
        return self.rotation in (90, 270)


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video.

    ``width`` and ``height`` are of the upright picture, in pixels; the stored one is mirrored left to right if
    ``mirrored`` and then turned clockwise by ``rotation`` degrees (0, 90, 180, 270) to stand upright.
    ``frames_estimate`` is the header's count or duration times rate: good for a progress bar, not for indexing; None
    where neither is known. Times are seconds on the stream's own clock: the first picture is shown at
    ``start_seconds``; ``origin_seconds`` is where the clock of the whole file starts (0 but for MPEG streams, whose
    clocks start anywhere): the times that users give count from there. ``pixel_aspect`` is a pixel's width over its
    height. ``color_matrix`` is one of bt601, bt709, bt2020, fcc, smpte240m, rgb and ``color_range`` limited or full;
    where the file does not say they are guessed (``vtryon.video.colour``). ``hdr`` pictures (HLG or PQ) are read as
    SDR.
    """

    path: Path
    width: int
    height: int
    codec: str
    pix_fmt: str
    time_base: Fraction
    average_rate: Fraction | None
    frames_estimate: int | None
    start_seconds: float
    duration_seconds: float | None
    rotation: int
    mirrored: bool
    color_matrix: str
    color_range: str
    audio_codec: str | None
    hdr: bool = False
    pixel_aspect: Fraction = Fraction(1)
    origin_seconds: float = 0.0

    @property
    def orientation(self) -> Orientation:
        return Orientation(self.mirrored, self.rotation)


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Open a video, check it, decode one picture and say what it is.

    Raises:
        UsageError: the name is an address, a protocol or a number pattern.
        MissingInputError: no such file, or it may not be read.
        BadInputError: not a video, no moving picture in it, cut short before its index, larger than ``max_pixels``
            (width times height), or not one frame of it can be decoded.
        UnavailableError: no decoder for its codec.
    """
    path = Path(path)
    with Decoder(path, max_pixels=max_pixels) as decoder:
        first = next(decoder.frames(), None)
        if first is None:
            raise no_frames(path)
        return _describe(decoder.container, decoder.stream, first, path)


def no_frames(path: Path) -> BadInputError:
    return BadInputError(f"{path}: not one frame can be decoded; the file is damaged or cut short, fetch it again")


def _describe(container: InputContainer, stream: VideoStream, first: VideoFrame, path: Path) -> VideoInfo:
    context = stream.codec_context
    orientation = Orientation.of(first)
    width, height = first.width, first.height
    aspect = _fraction(context.sample_aspect_ratio) or Fraction(1)
    matrix, limits = frame_colours(first, stream)
    if orientation.swaps_sides:
        width, height, aspect = height, width, 1 / aspect
    time_base = _fraction(stream.time_base) or Fraction(1, 1000)
    rate = _fraction(stream.average_rate)
    duration = _duration(container, stream, time_base)
    sound = pick_sound(container)
    start = first.pts if first.pts is not None else stream.start_time or 0
    return VideoInfo(
        path=path,
        width=width,
        height=height,
        codec=context.codec.canonical_name,
        pix_fmt=first.format.name,
        time_base=time_base,
        average_rate=rate,
        frames_estimate=stream.frames or (round(duration * rate) if duration and rate else None),
        start_seconds=float(start * time_base),
        duration_seconds=duration,
        rotation=orientation.rotation,
        mirrored=orientation.mirrored,
        color_matrix=matrix,
        color_range=limits,
        audio_codec=None if sound is None else codec_name(sound),
        hdr=is_hdr(first),
        pixel_aspect=aspect,
        origin_seconds=_origin(container),
    )


def frame_colours(frame: VideoFrame, stream: VideoStream) -> tuple[str, str]:
    """Matrix and range of one frame: its own tags, then the stream's, then a guess."""
    kind, context = frame.format, stream.codec_context
    unspecified = 2  # AVCOL_SPC_UNSPECIFIED
    tag = frame.colorspace if frame.colorspace != unspecified else context.colorspace
    matrix = matrix_name(tag, is_rgb=kind.is_rgb, width=frame.width, height=frame.height)
    limits = range_name(frame.color_range or context.color_range, pix_fmt=kind.name, is_rgb=kind.is_rgb)
    return matrix, limits


def pick_sound(container: InputContainer) -> Stream | None:
    """The sound track that is kept: the default one, else the first."""
    tracks = list(container.streams.audio)
    default = [t for t in tracks if t.disposition & av.stream.Disposition.default]
    return next(iter(default or tracks), None)


def codec_name(stream: Stream) -> str:
    """``aac``, ``opus``, ...; "unknown" where no decoder is there to name it."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"


def _duration(container: InputContainer, stream: VideoStream, time_base: Fraction) -> float | None:
    if stream.duration:
        return float(stream.duration * time_base)
    return container.duration / 1_000_000 if container.duration else None


def _origin(container: InputContainer) -> float:
    """MPEG transport and program streams run on a broadcast clock; all others start at 0, however late a track is."""
    broadcast = container.format.name in ("mpegts", "mpeg")
    return (container.start_time or 0) / 1_000_000 if broadcast else 0.0


def _fraction(rate: Fraction | None) -> Fraction | None:
    """A plain fraction from PyAV 18's ``Fraction`` or PyAV 19's ``AVRational``, None where it is 0 or missing."""
    return Fraction(rate.numerator, rate.denominator) if rate else None
