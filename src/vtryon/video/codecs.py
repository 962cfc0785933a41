"""Which codec goes into which container, and what its encoder is told: one table, asked before the first frame."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import av

from vtryon.errors import UnavailableError, UsageError
from vtryon.video.source import refuse_pattern

CONTAINERS: Mapping[str, str] = MappingProxyType({".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"})
"""File name ending to FFmpeg's name of the container."""

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
"""Fast and large to slow and small."""

PIX_FMTS = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")


@dataclass(frozen=True)
class Codec:
    """One row of the table: the encoder, where it may go, its quality scale and how it keeps every bit of RGB."""

    encoder: str
    containers: frozenset[str]
    max_crf: int | None
    lossless: tuple[str, str, Mapping[str, str]] | None  # encoder, pixel format, options


_ANYWHERE_BUT_WEBM = frozenset({".mp4", ".mov", ".mkv"})
_ANYWHERE_BUT_MOV = frozenset({".mp4", ".mkv", ".webm"})

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "h264": Codec("libx264", _ANYWHERE_BUT_WEBM, 51, ("libx264rgb", "rgb24", {"qp": "0"})),
        "hevc": Codec("libx265", _ANYWHERE_BUT_WEBM, 51, ("libx265", "gbrp", {"x265-params": "lossless=1"})),
        "vp9": Codec("libvpx-vp9", _ANYWHERE_BUT_MOV, 63, ("libvpx-vp9", "gbrp", {"lossless": "1"})),
        "av1": Codec("libsvtav1", _ANYWHERE_BUT_MOV, 63, None),
        "ffv1": Codec("ffv1", frozenset({".mkv"}), None, ("ffv1", "bgr0", {})),
    }
)


@dataclass(frozen=True)
class EncodeOptions:
    """How the output is encoded.

    ``codec`` a key of ``CODECS``; ``crf`` constant quality, 0 best (to 51 for h264 and hevc, to 63 for vp9 and av1,
    unused by ffv1); ``preset`` one of ``PRESETS``; ``pix_fmt`` one of ``PIX_FMTS``; ``lossless`` keeps every RGB value
    exactly, in place of ``crf`` and ``pix_fmt`` (large files that few players show: for further work); ``threads``
    None for as many as the machine has.
    """

    codec: str = "h264"
    crf: int = 18
    preset: str = "medium"
    pix_fmt: str = "yuv420p"
    lossless: bool = False
    threads: int | None = None


@dataclass(frozen=True)
class EncoderPlan:
    """What the writer opens: encoder and container by FFmpeg's names, pixel format, encoder options."""

    encoder: str
    container: str
    pix_fmt: str
    options: Mapping[str, str]


def default_codec(path: Path) -> str:
    """The codec to take for a file name when none was asked for."""
    return "vp9" if path.suffix.lower() == ".webm" else "h264"


def plan_encoding(path: Path, options: EncodeOptions) -> EncoderPlan:
    """Check that everything goes together and say what to open.

    Raises:
        UsageError: the file name's ending, the codec, the quality, preset or pixel format do not go together.
        UnavailableError: this build of FFmpeg lacks the encoder.
    """
    suffix = path.suffix.lower()
    refuse_pattern(path)
    if suffix not in CONTAINERS:
        raise UsageError(f"{path}: the name must end in one of {', '.join(CONTAINERS)}")
    if options.codec not in CODECS:
        raise UsageError(f"unknown codec {options.codec!r}; choose one of {', '.join(CODECS)}")
    codec = CODECS[options.codec]
    if suffix not in codec.containers:
        fitting = [name for name, other in CODECS.items() if suffix in other.containers]
        raise UsageError(
            f"{suffix} files do not take {options.codec}; choose {' or '.join(fitting)}, or another ending"
        )
    _check_values(codec, options)
    encoder, pix_fmt, settings = _settings(codec, options)
    _check_encoder(encoder, pix_fmt, options)
    return EncoderPlan(encoder, CONTAINERS[suffix], pix_fmt, MappingProxyType(settings))


def _check_values(codec: Codec, options: EncodeOptions) -> None:
    if codec.max_crf is not None and not 0 <= options.crf <= codec.max_crf:
        raise UsageError(f"crf must be 0 to {codec.max_crf} for {options.codec}, got {options.crf}")
    if options.preset not in PRESETS:
        raise UsageError(f"unknown preset {options.preset!r}; choose one of {', '.join(PRESETS)}")
    if options.pix_fmt not in PIX_FMTS:
        raise UsageError(f"unknown pixel format {options.pix_fmt!r}; choose one of {', '.join(PIX_FMTS)}")
    if options.lossless and codec.lossless is None:
        raise UsageError(f"{options.codec} has no lossless mode here; choose h264, hevc, vp9 or ffv1")
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"threads must be at least 1, got {options.threads}")


def _settings(codec: Codec, options: EncodeOptions) -> tuple[str, str, dict[str, str]]:
    if options.lossless and codec.lossless is not None:
        encoder, pix_fmt, extra = codec.lossless
        settings = {**_speed(options), **extra}
    else:
        encoder, pix_fmt = codec.encoder, options.pix_fmt
        settings = {**_speed(options), **({} if codec.max_crf is None else {"crf": str(options.crf)})}
    if encoder.startswith("libx264") and _has_avx512():
        # its macroblock tree in AVX-512 reads memory that nobody wrote: other bits each time, from the same pictures
        settings["x264-params"] = "asm=avx2"
    if encoder == "libx265":  # it writes to stderr by itself, past FFmpeg's log
        settings["x265-params"] = ":".join(filter(None, (settings.get("x265-params"), "log-level=error")))
    return encoder, pix_fmt, settings


def _has_avx512() -> bool:
    info = Path("/proc/cpuinfo")
    return info.is_file() and "avx512" in info.read_text(errors="replace")


def _speed(options: EncodeOptions) -> dict[str, str]:
    """The preset in each encoder's own words."""
    step = PRESETS.index(options.preset)  # 0 fastest .. 8 slowest, 5 medium
    if options.codec == "vp9":
        return {"deadline": "good", "cpu-used": str(max(0, 8 - step - 1)), "row-mt": "1"}
    if options.codec == "av1":
        return {"preset": str((9, 9, 8, 8, 7, 6, 5, 4, 2)[step])}
    return {} if options.codec == "ffv1" else {"preset": options.preset}


def _check_encoder(encoder: str, pix_fmt: str, options: EncodeOptions) -> None:
    if encoder == "libsvtav1":  # it writes to stderr by itself; this variable is the only way to stop it
        os.environ.setdefault("SVT_LOG", "1")
    try:
        formats = av.Codec(encoder, "w").video_formats or []
    except av.codec.codec.UnknownCodecError as problem:
        raise UnavailableError(f"FFmpeg has no {encoder} here; choose another --codec") from problem
    if pix_fmt not in {f.name for f in formats}:
        fitting = [f for f in PIX_FMTS if f in {g.name for g in formats}]
        raise UsageError(f"{options.codec} does not take {pix_fmt}; choose one of {', '.join(fitting)}")
