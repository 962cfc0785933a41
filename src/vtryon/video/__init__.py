"""Video in and out. The only room that imports PyAV; the others see RGB pictures and time stamps."""

from vtryon.video.codecs import CODECS, CONTAINERS, PIX_FMTS, PRESETS, EncodeOptions, default_codec
from vtryon.video.info import VideoInfo, probe
from vtryon.video.reader import MAX_BAD_FRAMES, VideoReader
from vtryon.video.source import MAX_PIXELS
from vtryon.video.writer import VideoWriter, WriteReport

__all__ = [
    "CODECS",
    "CONTAINERS",
    "MAX_BAD_FRAMES",
    "MAX_PIXELS",
    "PIX_FMTS",
    "PRESETS",
    "EncodeOptions",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "WriteReport",
    "default_codec",
    "probe",
]
