"""Opening a video file: which names and files are refused, and FFmpeg's errors said in words a user can act on."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vtryon.errors import BadInputError, MissingInputError, UnavailableError, UsageError

MAX_PIXELS = 8192 * 4320
"""Pictures larger than this are refused unless asked for: one 8192 x 8192 RGB picture is 192 MB, a file of 200 kB
can hold thousands (UX.md C2, "size bomb")."""

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,mxf,nut,rm,wtv,dv,ivf,"
    "h264,hevc,av1,obu,m4v,mjpeg,yuv4mpegpipe,dhav,gxf,vc1,vvc,swf"
)
"""Containers that are read. Playlists (hls, dash, concat), pictures, text and devices are not among them: a playlist
can name any other file or address (yt-dlp GHSA-79w7-vh3h-8g4j and UX.md C3 #24)."""

_PROTOCOL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_PATTERN = re.compile(r"%\d*[di]")
_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def check_input(path: Path) -> Path:
    """The absolute path of a file that can be read.

    Raises:
        UsageError: the name is an address, a protocol or a number pattern and no such file exists.
        MissingInputError: there is no such file, or it may not be read.
        BadInputError: a folder, a device or an empty file.
    """
    try:
        resolved = path.resolve(strict=True)
        size = resolved.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as problem:
        if _PROTOCOL.match(str(path)):
            raise UsageError(
                f"{path}: only files are read, no addresses or protocols; save the video first"
            ) from problem
        refuse_pattern(path)
        raise MissingInputError(f"{path}: no such file; check the name") from problem
    except (OSError, RuntimeError) as problem:  # RuntimeError: a loop of symbolic links, on Python 3.11 and 3.12
        raise MissingInputError(
            f"{path}: cannot be read ({getattr(problem, 'strerror', None) or problem})"
        ) from problem
    if resolved.is_dir():
        raise BadInputError(f"{path} is a folder; name one video file in it")
    if not resolved.is_file():
        raise BadInputError(f"{path} is a device or pipe, not a file; save the video to a file first")
    try:
        with resolved.open("rb"):
            pass
    except OSError as problem:
        raise MissingInputError(f"{path}: may not be read ({problem.strerror}); check its permissions") from problem
    if size == 0:
        raise BadInputError(f"{path} is empty (0 bytes); fetch or export it again")
    return resolved


def refuse_pattern(path: Path) -> None:
    """Names like ``img%03d.png`` stand for many files elsewhere, here for none."""
    if _PATTERN.search(path.name):
        raise UsageError(f"{path}: number patterns are not supported; name one video file")


def open_source(path: Path, *, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a file that :func:`check_input` lets through, with no protocol but ``file`` and no playlist.

    Raises:
        UsageError, MissingInputError, BadInputError: see :func:`check_input`; and for files that hold no video.
    """
    resolved = check_input(path)
    if picture := _kind_of_picture(resolved):
        raise BadInputError(f"{path}: this is a {picture} picture, not a video; name the video first, then the garment")
    options = {"protocol_whitelist": "file", "format_whitelist": _FORMATS, "max_pixels": str(decoder_limit(max_pixels))}
    try:
        container = cast(InputContainer, av.open(str(resolved), "r", options=options, **_lenient_metadata()))
    except av.error.PermissionError as problem:
        raise MissingInputError(f"{path}: may not be read; check its permissions") from problem
    except av.error.FFmpegError as problem:
        raise BadInputError(f"{path}: {_what_is_wrong(resolved)}") from problem
    if not len(container.streams):
        container.close()
        raise BadInputError(f"{path}: {_what_is_wrong(resolved)}")
    return container


def decoder_limit(max_pixels: int) -> int:
    """What FFmpeg's decoders are told, a second fence for streams that grow half way: they count padded rows too."""
    return max(2 * max_pixels, 1 << 20)


def _lenient_metadata() -> dict[str, Any]:
    """Titles in other encodings than UTF-8 must not stop a run; from PyAV 19 on that is so without asking."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def _kind_of_picture(path: Path) -> str | None:
    """The name of a still picture's format: some of them open as a video of one frame."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIF"
    return next((name for magic, name in _PICTURES.items() if head.startswith(magic)), None)


def _what_is_wrong(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.lstrip(b"\xef\xbb\xbf").startswith(b"#EXTM3U"):
        return "playlists are not read; give the video file itself"
    if head[4:8] in _MP4_BOXES and not _has_index(path):
        return "the index (moov) is missing: the download or recording was cut short; fetch the file again"
    if head[4:8] in _MP4_BOXES:
        return "there is no picture and no sound in it: the recording was never finished; make or fetch it again"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "the Matroska or WebM file ends before its first track: cut short; fetch the file again"
    return "not a video that can be read: no known container (mp4, mov, mkv, webm, avi, ...), or its head is damaged"


def _has_index(path: Path) -> bool:
    """Whether an MP4 file holds its whole ``moov`` box (ISO/IEC 14496-12, 4.2: size, type, content)."""
    total = path.stat().st_size
    return any(kind == b"moov" and end <= total for kind, end in _boxes(path, total))


def _boxes(path: Path, total: int) -> Iterator[tuple[bytes, int]]:
    at = 0
    with path.open("rb") as file:
        while at + 8 <= total:
            file.seek(at)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size == 1:
                size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
            elif size == 0:
                size = total - at
            if size < 8:
                return
            yield kind, at + size
            at += size


def pick_stream(container: InputContainer, path: Path) -> VideoStream:
    """The moving picture: the first by default, else the first at all; cover art and thumbnails are not one.

    Raises:
        BadInputError: there is none.
        UnavailableError: there is one, but no decoder for it.
    """
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    moving = [s for s in container.streams.video if not s.disposition & still]
    if not moving:
        kinds = sorted({s.type for s in container.streams})
        cover = " and a cover picture" if container.streams.video else ""
        others = f" (it holds {', '.join(k for k in kinds if k != 'video') or 'nothing else'}{cover})"
        raise BadInputError(f"{path}: no video in it{others}; give a file with moving pictures")
    decodable = [s for s in moving if s.codec_context is not None]
    if not decodable:  # PyAV 18.0 died here with SIGSEGV (PyAV #2344)
        raise UnavailableError(f"{path}: no decoder for its video codec here; convert it to H.264 first")
    return next((s for s in decodable if s.disposition & av.stream.Disposition.default), decodable[0])
