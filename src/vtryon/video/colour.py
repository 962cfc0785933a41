"""From the colours of a video file to RGB and back: matrix, range and chroma, all said and nothing left to defaults.

FFmpeg's scaler takes BT.601 unless told otherwise, whatever the stream's tags say (PyAV #2149, #2230, #2034; measured
in UX.md section 1.4: a red garment comes out visibly shifted), so both ends are named in every call here.

Chroma planes of half size are doubled by repetition and halved by averaging 2 x 2. Unlike the smoother filters, these
two undo each other, so that a pixel which nothing has touched comes back as it was: on a 720p clip the mean chroma
error of decode and encode is 0.09 levels instead of 0.84 with bicubic filters. FFmpeg's own fast path repeats chroma
too, but truncates, which darkens every picture by one level.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from vtryon.types import Array

_MATRICES = {
    0: "rgb",  # AVCOL_SPC_RGB
    1: "bt709",
    4: "fcc",
    5: "bt601",  # AVCOL_SPC_BT470BG
    6: "bt601",  # AVCOL_SPC_SMPTE170M
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
"""AVColorSpace (ITU-T H.273, table 4) to the names used here."""

_SCALER = {
    "bt709": Colorspace.ITU709,
    "bt601": Colorspace.ITU601,
    "fcc": Colorspace.FCC,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020": Colorspace.BT2020,
}

_EXACT = Interpolation.POINT | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_AVERAGE = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
_RESIZE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

_REPACK = {"nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "yuyv422": "yuv422p", "uyvy422": "yuv422p"}
"""Interleaved formats and the planar ones that hold the same samples."""


def matrix_name(tag: int, *, is_rgb: bool, width: int, height: int) -> str:
    """Name of the matrix of a picture; guessed from its size where the file does not say.

    The guess is mpv's (``mp_csp_guess_colorspace``): BT.709 from 1280 pixels wide or 577 high, else BT.601; taken
    upright or lying, so that a phone's portrait clip is treated as its landscape one.
    """
    if is_rgb:
        return "rgb"
    named = _MATRICES.get(tag)
    if named is not None and named != "rgb":
        return named
    return "bt709" if max(width, height) >= 1280 or min(width, height) > 576 else "bt601"


def range_name(tag: int, *, pix_fmt: str, is_rgb: bool) -> str:
    """``limited`` or ``full``; RGB, grey and JPEG formats are full and the others limited where the file is silent."""
    if is_rgb or tag == ColorRange.JPEG or pix_fmt.startswith("yuvj"):
        return "full"
    return "full" if tag != ColorRange.MPEG and pix_fmt.startswith(("gray", "ya", "mono")) else "limited"


_HDR_CURVES = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)
_WIDE_GAMUTS = (ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)


def is_hdr(frame: VideoFrame) -> bool:
    """Whether a frame is coded for brighter screens (PQ or HLG, ITU-R BT.2100): what many phones record by default."""
    return frame.color_trc in _HDR_CURVES


class RgbConverter:
    """Decoded frames to RGB; keeps one scaler and one scratch picture (a scaler holds megabytes, UX.md C3 #6)."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._resizer = VideoReformatter()
        self._repacker = VideoReformatter()
        self._scratch: VideoFrame | None = None

    def convert(self, frame: VideoFrame, *, matrix: str, full_range: bool, size: tuple[int, int]) -> Array:
        """(H, W, 3) uint8 of a frame as stored, not yet upright; ``size`` is (width, height)."""
        space = _SCALER.get(matrix, Colorspace.ITU709)
        source_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        resized = (frame.width, frame.height) != size  # the stream changed its size half way
        target: dict[str, int] = {}
        if is_hdr(frame) or frame.color_primaries in _WIDE_GAMUTS:  # garments are sRGB: bring the picture there too
            target = {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
        if resized or target:
            scaler, flags, picture = self._resizer, _RESIZE, frame
        else:
            scaler, flags, picture = self._scaler, _EXACT, self._full_chroma(frame)
        rgb = scaler.reformat(
            picture,
            width=size[0],
            height=size[1],
            format="rgb24",
            src_colorspace=space,
            dst_colorspace=space,
            src_color_range=source_range,
            dst_color_range=ColorRange.JPEG,
            interpolation=flags,
            threads=1,
            **target,
        )
        array: Array = rgb.to_ndarray()
        return array

    def _full_chroma(self, frame: VideoFrame) -> VideoFrame:
        """The frame with chroma planes as large as its luma plane, by repetition."""
        if frame.format.name in _REPACK:
            frame = self._repacker.reformat(frame, format=_REPACK[frame.format.name], threads=1)
        target = _with_full_chroma(frame)
        if target is None:
            return frame
        wide = self._scratch
        if wide is None or (wide.format.name, wide.width, wide.height) != (target, frame.width, frame.height):
            wide = self._scratch = VideoFrame(frame.width, frame.height, target)
        for index in range(3):
            _repeat(_plane(frame, index), _plane(wide, index))
        return wide


def _with_full_chroma(frame: VideoFrame) -> str | None:
    """The 4:4:4 format of the same depth; None where chroma is full already or the planes are not plain ones."""
    kind = frame.format
    if kind.is_rgb or not kind.is_planar or kind.is_big_endian or len(kind.components) < 3:
        return None
    chroma = kind.components[1]
    if (chroma.width, chroma.height) == (frame.width, frame.height) or not chroma.is_chroma:
        return None
    bits = kind.components[0].bits
    name = {8: "yuv444p", 9: "yuv444p9le", 10: "yuv444p10le", 12: "yuv444p12le", 14: "yuv444p14le"}.get(bits)
    separate = [component.plane for component in kind.components[:3]] == [0, 1, 2]
    return name if separate else None


def _plane(frame: VideoFrame, index: int) -> Array:
    """A view, not a copy, of one plane's samples."""
    plane = frame.planes[index]
    deep = frame.format.components[index].bits > 8
    rows: Array = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows.view("<u2")[:, : plane.width] if deep else rows[:, : plane.width]


def _repeat(small: Array, large: Array) -> None:
    """Write ``small`` into ``large``, every sample as often as it fits; the last row and column may be cut."""
    down = -(-large.shape[0] // small.shape[0])
    across = -(-large.shape[1] // small.shape[1])
    for column in range(across):
        part = large[::down, column::across]
        part[...] = small[: part.shape[0], : part.shape[1]]
    for row in range(1, down):
        part = large[row::down]
        part[...] = large[::down][: part.shape[0]]


class YuvConverter:
    """RGB pictures to the encoder's format: BT.709 and limited range, or the same RGB for lossless formats."""

    def __init__(self, pix_fmt: str) -> None:
        self._pix_fmt = pix_fmt
        self._rgb = av.VideoFormat(pix_fmt).is_rgb
        self._scaler = VideoReformatter()

    def convert(self, rgb: Array) -> VideoFrame:
        """``rgb`` (H, W, 3) uint8 to a frame of the same size, without time stamps."""
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
        return self._scaler.reformat(
            frame,
            format=self._pix_fmt,
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if self._rgb else ColorRange.MPEG,
            interpolation=_AVERAGE,
            threads=1,
        )
