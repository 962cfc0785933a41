"""Small video clips made at test time: every fault and format has a builder, no binaries are kept.

The colours of a clip are computed here, from the definitions of ITU-R BT.601, BT.709 and BT.2100, not by FFmpeg:
a test that compares them tests the reader and the writer, not the scaler against itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

Array = np.ndarray[Any, Any]

MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""Weights of red and blue in luma."""

TAGS = {"bt601": 6, "bt709": 1, "bt2020": 9, None: 2}
"""Matrix coefficients as ITU-T H.273 numbers them; 2 is unspecified."""

PATCHES = [(200, 40, 40), (40, 160, 60), (50, 70, 190), (220, 200, 60), (128, 128, 128), (235, 235, 230)]
"""Colours inside the gamut of every matrix, none grey alone: a wrong matrix moves the first three by 10 and more."""

ORIENTATIONS: dict[tuple[bool, int], tuple[int, int, int, int]] = {
    (False, 0): (1, 0, 0, 1),
    (False, 90): (0, 1, -1, 0),
    (False, 180): (-1, 0, 0, -1),
    (False, 270): (0, -1, 1, 0),
    (True, 0): (-1, 0, 0, 1),
    (True, 90): (0, -1, -1, 0),
    (True, 180): (1, 0, 0, -1),
    (True, 270): (0, 1, 1, 0),
}
"""(mirrored first, then turned clockwise by) to the display matrix (a, b, c, d): x' = a x + c y, y' = b x + d y."""


def counted(index: int, *, width: int = 96, height: int = 64) -> Array:
    """A grey picture with a moving square and its own number, readable after encoding by :func:`read_count`."""
    rgb = np.full((height, width, 3), (90, 110, 130), np.uint8)
    left = (index * 3) % max(1, width - 16)
    rgb[height // 2 : height // 2 + 16, left : left + 16] = (200, 60, 50)
    for bit in range(10):
        rgb[:8, bit * 8 : bit * 8 + 8] = 230 if index >> bit & 1 else 20
    return rgb


def read_count(rgb: Array) -> int:
    """The number that :func:`counted` painted."""
    return sum(1 << bit for bit in range(10) if rgb[2:6, bit * 8 + 2 : bit * 8 + 6].mean() > 128)


def patches(*, width: int = 96, height: int = 64) -> Array:
    """A 3 x 2 chart of ``PATCHES``, on even borders."""
    rgb = np.empty((height, width, 3), np.uint8)
    for number, colour in enumerate(PATCHES):
        row, column = divmod(number, 3)
        rgb[row * height // 2 : (row + 1) * height // 2, column * width // 3 : (column + 1) * width // 3] = colour
    return rgb


def patch_colours(rgb: Array) -> list[Array]:
    """The mean colour in the middle of each patch of :func:`patches`, away from the borders."""
    height, width = rgb.shape[:2]
    tiles = [rgb[r * height // 2 :, c * width // 3 :][: height // 2, : width // 3] for r in (0, 1) for c in (0, 1, 2)]
    return [tile[height // 8 : -height // 8, width // 12 : -width // 12].mean((0, 1)) for tile in tiles]


def corners(*, width: int = 96, height: int = 64) -> Array:
    """Four different corners: every turn and mirroring of it looks different."""
    rgb = np.full((height, width, 3), 120, np.uint8)
    h, w = height // 2, width // 2
    rgb[:h, :w], rgb[:h, w:], rgb[h:, :w] = (200, 40, 40), (40, 160, 60), (50, 70, 190)
    return rgb


def detail(*, width: int = 96, height: int = 64, seed: int = 7) -> Array:
    """Smooth colours with sharp luma detail, inside the gamut: a stand-in for a real picture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    base = np.stack([110 + 60 * np.sin(5 * x), 120 + 50 * np.cos(4 * y), 115 + 50 * np.sin(3 * (x + y))], -1)
    return np.clip(base + rng.normal(0, 12, (height, width, 1)), 30, 225).astype(np.uint8)


def to_yuv(rgb: Array, *, matrix: str = "bt709", full_range: bool = False, bits: int = 8) -> Array:
    """(3, H, W) float: Y'CbCr code values, unrounded (BT.601-7 2.5, BT.709-6 3, BT.2100 table 9)."""
    red, blue = MATRICES[matrix]
    r, g, b = (rgb[..., i].astype(np.float64) / 255 for i in range(3))
    luma = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    scale = 2 ** (bits - 8)
    if full_range:
        top = 2**bits - 1
        return np.stack([luma * top, cb * top + 128 * scale, cr * top + 128 * scale])
    return np.stack([219 * luma + 16, 224 * cb + 128, 224 * cr + 128]) * scale


def to_frame(rgb: Array, *, pix_fmt: str, matrix: str = "bt709", full_range: bool = False) -> VideoFrame:
    """An RGB picture as a frame of a planar YUV format, chroma averaged where it is smaller, or of an RGB format."""
    height, width = rgb.shape[:2]
    frame = VideoFrame(width, height, pix_fmt)
    kind = frame.format
    if kind.is_rgb:
        return VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format=pix_fmt)
    bits = kind.components[0].bits
    for index, plane in enumerate(to_yuv(rgb, matrix=matrix, full_range=full_range, bits=bits)):
        target = frame.planes[index]
        down, across = -(-height // target.height), -(-width // target.width)
        padded = np.pad(plane, ((0, target.height * down - height), (0, target.width * across - width)), mode="edge")
        small = padded.reshape(target.height, down, target.width, across).mean((1, 3)).round()
        store = np.frombuffer(target, np.uint8).reshape(target.height, target.line_size)
        rows = store.view("<u2") if bits > 8 else store
        rows[:, : target.width] = small
    return frame


def from_yuv(frame: VideoFrame, *, matrix: str = "bt709", full_range: bool = False) -> Array:
    """(H, W, 3) float: RGB 0..255 of a decoded planar frame by the definitions, chroma repeated, unclipped."""
    bits = frame.format.components[0].bits
    planes = []
    for plane in list(frame.planes)[:3]:
        store = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        rows = (store.view("<u2") if bits > 8 else store)[:, : plane.width].astype(np.float64)
        down, across = -(-frame.height // plane.height), -(-frame.width // plane.width)
        planes.append(rows.repeat(down, 0).repeat(across, 1)[: frame.height, : frame.width])
    luma, cb, cr = planes
    scale = 2 ** (bits - 8)
    if full_range:
        top = 2**bits - 1
        luma, cb, cr = luma / top, (cb - 128 * scale) / top, (cr - 128 * scale) / top
    else:
        luma, cb, cr = (luma / scale - 16) / 219, (cb / scale - 128) / 224, (cr / scale - 128) / 224
    red, blue = MATRICES[matrix]
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    return np.stack([r, g, b], -1) * 255


def frames_of(path: Path) -> list[VideoFrame]:
    """Every frame as FFmpeg decodes it, with its own format and tags."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


@dataclass(frozen=True)
class Sound:
    """A tone of 1 kHz from ``beep`` to ``beep`` + 0.1 s in silence, as one track of a clip."""

    codec: str = "aac"
    seconds: float = 1.0
    start: float = 0.0
    beep: float = 0.5
    rate: int = 48_000
    layout: str = "mono"


@dataclass(frozen=True)
class Spec:
    """What :func:`make` makes. Everything has a default: a 12 frame H.264 clip of counted pictures at 30 fps."""

    pictures: Sequence[Array] | Callable[[int], Array] = counted
    count: int = 12
    pts: Sequence[int] | None = None
    time_base: Fraction = Fraction(1, 30)
    rate: Fraction = Fraction(30)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    matrix: str = "bt709"
    tagged: bool = True
    full_range: bool = False
    hlg: bool = False
    orientation: tuple[bool, int] | None = None
    aspect: Fraction | None = None
    sound: Sound | None = None
    second_sound: Sound | None = None
    cover: bool = False  # a 200 x 200 picture beside the video, which is smaller
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def picture(self, index: int) -> Array:
        return self.pictures(index) if callable(self.pictures) else self.pictures[index]

    @property
    def stamps(self) -> list[int]:
        if self.pts is not None:
            return list(self.pts)
        count = self.count if callable(self.pictures) else len(self.pictures)
        return list(range(count))


_DEFAULTS = {
    "libx264": {"preset": "ultrafast", "crf": "12"},
    "libx265": {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "12"},
    "mpeg4": {"qscale": "2"},
}


def make(path: Path, spec: Spec | None = None, **changes: Any) -> Path:
    """Write a clip; ``changes`` are fields of :class:`Spec`. The file name's ending names the container."""
    spec = spec or Spec(**changes)
    container_options = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=container_options | spec.container) as output:
        output.metadata.update(spec.metadata)
        video = _add_video(output, spec)
        tracks = [(add_sound(output, sound), sound) for sound in (spec.sound, spec.second_sound) if sound is not None]
        still = add_cover(output) if spec.cover else None
        output.start_encoding()
        if still is not None:
            output.mux(still.encode(cover()))
        for track, sound in tracks:
            for frame in samples(sound):
                output.mux(track.encode(frame))
            output.mux(track.encode(None))
        for index, stamp in enumerate(spec.stamps):
            frame = to_frame(spec.picture(index), pix_fmt=spec.pix_fmt, matrix=spec.matrix, full_range=spec.full_range)
            frame.pts, frame.time_base = stamp, spec.time_base
            output.mux(video.encode(frame))
        if spec.stamps:
            output.mux(video.encode(None))
    return path


def _add_video(output: Any, spec: Spec) -> Any:
    first = spec.picture(0)
    options = _DEFAULTS.get(spec.codec, {}) | spec.options
    if "qp" in options:
        options.pop("crf", None)  # which would win
    stream = output.add_stream(spec.codec, rate=spec.rate, options=options)
    stream.height, stream.width = first.shape[:2]
    stream.pix_fmt = spec.pix_fmt
    context = stream.codec_context
    context.time_base = stream.time_base = spec.time_base
    rgb = av.VideoFormat(spec.pix_fmt).is_rgb
    if spec.tagged and not rgb:
        context.colorspace = TAGS[spec.matrix]
        context.color_range = 2 if spec.full_range else 1
        context.color_primaries = context.color_trc = {"bt601": 6, "bt709": 1, "bt2020": 9}[spec.matrix]
        if spec.matrix == "bt2020":
            context.color_trc = 18 if spec.hlg else 14  # ARIB STD-B67, or BT.2020 in 10 bits
    if spec.aspect is not None:
        context.sample_aspect_ratio = spec.aspect
    if spec.orientation is not None:
        a, b, c, d = (number << 16 for number in ORIENTATIONS[spec.orientation])
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
    return stream


def add_cover(output: Any) -> Any:
    """A cover picture as this container keeps one: a still track in MP4, an attached file in Matroska."""
    if output.format.name == "matroska":
        encoder = av.CodecContext.create("png", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 200, 200, "rgb24", Fraction(1)
        output.add_attachment("cover.png", "image/png", bytes(encoder.encode(cover())[0]))
        return None
    stream = output.add_stream("png", rate=1)
    stream.width, stream.height, stream.pix_fmt = 200, 200, "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def cover() -> VideoFrame:
    """A white picture of 200 x 200."""
    picture = to_frame(np.full((200, 200, 3), 255, np.uint8), pix_fmt="rgb24")
    picture.pts = 0
    return picture


def add_sound(output: Any, sound: Sound) -> Any:
    """An encoder for a sound track."""
    stream = output.add_stream(sound.codec, rate=sound.rate)
    stream.codec_context.layout = sound.layout
    stream.codec_context.time_base = Fraction(1, sound.rate)
    return stream


def samples(sound: Sound) -> Iterable[av.AudioFrame]:
    """The sound in frames of 20 ms."""
    total = int(sound.seconds * sound.rate)
    time = np.arange(total) / sound.rate
    loud = (time + sound.start >= sound.beep) & (time + sound.start < sound.beep + 0.1)
    wave = np.where(loud, 0.5 * np.sin(2 * np.pi * 1000 * time), 0).astype(np.float32)
    channels = av.AudioLayout(sound.layout).nb_channels
    for at in range(0, total, 960):
        part = np.repeat(wave[None, at : at + 960], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", sound.layout)
        frame.rate, frame.pts = sound.rate, at + int(sound.start * sound.rate)
        frame.time_base = Fraction(1, sound.rate)
        yield frame


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """(seconds, bytes) of every packet of the first track of a kind ("video" or "audio"), as stored."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind]
        found = [p for p in container.demux(streams[0]) if p.size] if streams else []
        return [(Fraction(p.pts if p.pts is not None else p.dts) * p.time_base, bytes(p)) for p in found]


def channels(path: Path) -> int:
    """Number of sound channels."""
    with av.open(str(path)) as container:
        return int(container.streams.audio[0].codec_context.layout.nb_channels)


def first_sound(path: Path) -> float:
    """Seconds at which a file's sound begins to be heard, on the clock of the file."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(np.float64)).reshape(-1)
            wave = wave / (1 if frame.format.name.startswith("flt") else np.iinfo(frame.to_ndarray().dtype).max)
            hits = np.nonzero(wave > 0.1)[0]
            if len(hits):
                planar = frame.format.is_planar
                step = 1 if planar else frame.layout.nb_channels
                return float(frame.pts * frame.time_base) + int(hits[0]) // step / frame.sample_rate
    raise AssertionError(f"{path} is silent")


def bomb(path: Path) -> Path:
    """Two flat grey pictures of 8192 x 8192 in a file of two megabytes."""
    frame = VideoFrame(8192, 8192, "yuvj420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[...] = 128
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg", rate=30, options={"strict": "unofficial"})
        stream.width, stream.height, stream.pix_fmt = 8192, 8192, "yuvj420p"
        for stamp in range(2):
            frame.pts = stamp
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def cut(path: Path, target: Path, size: int) -> Path:
    """The first ``size`` bytes of a file: a download cut short."""
    target.write_bytes(path.read_bytes()[:size])
    return target


def moov_end(path: Path) -> int:
    """Where the index of a faststart MP4 file ends and its pictures begin."""
    data = path.read_bytes()
    at = data.index(b"moov") - 4
    return at + int.from_bytes(data[at : at + 4], "big")


def without_decoder(path: Path, target: Path) -> Path:
    """An MP4 file whose video claims a codec that nobody knows."""
    data = path.read_bytes()
    assert data.count(b"avc1") >= 1
    target.write_bytes(data.replace(b"avc1", b"zzz1"))
    return target
