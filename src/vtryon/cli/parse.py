"""``vtryon parse``: what the parser sees, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtryon.cli import params
from vtryon.cli.files import default_output, policy
from vtryon.cli.run import show
from vtryon.cli.terminal import reporting


def parse(
    clip: Annotated[
        Path, typer.Argument(metavar="CLIP", help="Video or picture of a person.", show_default=False, readable=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Video (.mp4, .mkv, .mov, .webm), for a picture a picture (.png, .jpg).  "
            "\\[default: CLIP's name with .parse.mp4 or .parse.png, in the current folder]",
            show_default=False,
            readable=False,
        ),
    ] = None,
    opacity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of the labels' colours; 1 shows nothing but labels.")
    ] = 0.6,
    no_legend: Annotated[bool, typer.Option("--no-legend", help="Leave the labels' names out.")] = False,
    device: params.Device = "auto",
    start: params.Start = None,
    end: params.End = None,
    max_pixels: params.MaxPixels = None,
    no_audio: params.NoAudio = False,
    yes: params.Yes = False,
    no: params.No = False,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Show what the tool sees: hair, skin, clothes, arms and things carried, in colours over CLIP."""
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon import parseview
        from vtryon.outputs import PICTURES
        from vtryon.video import MAX_PIXELS

        suffix = ".png" if clip.suffix.lower() in PICTURES else ".mp4"
        options = parseview.ParseOptions(
            clip=clip,
            output=output or default_output(clip, suffix, tag="parse"),
            start=start,
            end=end,
            opacity=opacity,
            legend=not no_legend,
            audio=not no_audio,
            device=device,
            if_exists=policy(yes=yes, no=no),
            max_pixels=max_pixels or MAX_PIXELS,
        )
        show(terminal, parseview.parse(options, progress=terminal.progress), as_json=as_json)
