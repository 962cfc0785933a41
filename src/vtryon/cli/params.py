"""The options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

OUTPUT = "Output"
REUSE = "Reuse"
VIDEO = "Part of the video"
MESSAGES = "Messages"

_TIME = re.compile(r"(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+(?:\.\d*)?)s?")


def parse_time(text: str) -> float:
    """Seconds from ``12.5``, ``12.5s``, ``1:30`` or ``1:02:03.5``."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a time; write seconds (12.5) or [hours:]minutes:seconds (1:30)")
    return int(found["h"] or 0) * 3600 + int(found["m"] or 0) * 60 + float(found["s"])


def parse_pixels(text: str) -> int:
    """Pixels from ``8192x8192`` or a plain number."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise typer.BadParameter(f"{text!r} is not a size; write 7680x4320 or a number of pixels")
    pixels = int(sides[0]) * (int(sides[1]) if len(sides) == 2 else 1)
    if pixels == 0:
        raise typer.BadParameter("the limit must be above 0")
    return pixels


class WarpMethod(StrEnum):
    """What lays the garment on the body."""

    AUTO = "auto"
    ANCHORED = "anchored"
    PLACED = "placed"
    NETWORK = "network"


class Fit(StrEnum):
    """How the garment is cut."""

    SLIM = "slim"
    REGULAR = "regular"
    LOOSE = "loose"


class Codec(StrEnum):
    """Video codecs that are written."""

    H264 = "h264"
    HEVC = "hevc"
    VP9 = "vp9"
    AV1 = "av1"
    FFV1 = "ffv1"


Person = Annotated[
    Path, typer.Argument(metavar="PERSON", help="Video of the person.", show_default=False, readable=False)
]
GarmentPicture = Annotated[
    Path,
    typer.Argument(
        metavar="GARMENT",
        help="Picture of the garment, lying flat or hung up; - reads it from standard input.",
        show_default=False,
        readable=False,
    ),
]
Back = Annotated[
    Path | None,
    typer.Option(metavar="PICTURE", help="Picture of the garment's back, for people who turn round.", readable=False),
]
Start = Annotated[
    float | None,
    typer.Option(parser=parse_time, metavar="TIME", help="First moment to use: 12.5 or 1:30.", rich_help_panel=VIDEO),
]
End = Annotated[
    float | None,
    typer.Option(parser=parse_time, metavar="TIME", help="Moment to stop before.", rich_help_panel=VIDEO),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        parser=parse_pixels,
        metavar="WxH",
        help="Refuse videos whose pictures have more pixels.  \\[default: 8192x8192]",
        show_default=False,
        rich_help_panel=VIDEO,
    ),
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="Where the networks run: auto, cpu, cuda, cuda:N or mps.")]
WarpChoice = Annotated[
    WarpMethod,
    typer.Option(
        "--warp",
        help="What lays the garment on the body: plain geometry, a trained regressor, that corrected by the matching "
        "network, or the best there is.",
    ),
]
FitChoice = Annotated[
    Fit, typer.Option("--fit", help="How closely the garment follows the body; regular goes to the outline nearby.")
]
Length = Annotated[
    float,
    typer.Option(
        min=0.5,
        max=2.0,
        help="Garment length, relative to its own proportions; at 1 the hem meets the old one where it is near.",
    ),
]
Compare = Annotated[
    bool, typer.Option("--compare", help="Write before and after side by side.", rich_help_panel=OUTPUT)
]
Preview = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        metavar="N",
        help="Write one picture of N moments, before and after, instead of the video.",
        rich_help_panel=OUTPUT,
    ),
]
CodecChoice = Annotated[
    Codec | None, typer.Option(help="Video codec.  \\[default: h264, .webm: vp9]", rich_help_panel=OUTPUT)
]
Crf = Annotated[int, typer.Option(min=0, max=63, help="Quality: lower is better and larger.", rich_help_panel=OUTPUT)]
Preset = Annotated[str, typer.Option(help="Encoder preset, ultrafast to veryslow.", rich_help_panel=OUTPUT)]
PixFmt = Annotated[str, typer.Option(help="Pixel format.", rich_help_panel=OUTPUT)]
Lossless = Annotated[bool, typer.Option("--lossless", help="Encode without loss.", rich_help_panel=OUTPUT)]
NoAudio = Annotated[bool, typer.Option("--no-audio", help="Leave the sound out.", rich_help_panel=OUTPUT)]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Overwrite the output if it is there.", rich_help_panel=OUTPUT)]
No = Annotated[
    bool,
    typer.Option("-n", "--no", help="Do nothing, quietly, if the output is there.", rich_help_panel=OUTPUT),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the result as one JSON object on standard output.", rich_help_panel=MESSAGES),
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        show_default=False,
        metavar="",
        help="Say more (-vv: everything, with tracebacks).",
        rich_help_panel=MESSAGES,
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.", rich_help_panel=MESSAGES)]
