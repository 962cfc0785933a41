"""``vtryon warp``: the garment's fit alone, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtryon.cli import params
from vtryon.cli.files import default_output, policy, readable_garment
from vtryon.cli.run import show
from vtryon.cli.terminal import reporting


def warp(
    person: params.Person,
    garment: params.GarmentPicture,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A contact sheet (.png, .jpg) or a video (.mp4, .mkv, .mov, .webm).  "
            "\\[default: PERSON's name with .warp.png, in the current folder]",
            show_default=False,
            readable=False,
        ),
    ] = None,
    back: params.Back = None,
    fit: params.FitChoice = params.Fit.REGULAR,
    length: params.Length = 1.0,
    warp_method: params.WarpChoice = params.WarpMethod.AUTO,
    device: params.Device = "auto",
    start: params.Start = None,
    end: params.End = None,
    max_pixels: params.MaxPixels = None,
    moments: Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Rows of the contact sheet.")] = 6,
    grid: Annotated[
        bool, typer.Option("--grid", help="Draw the splines' lattices too, as they are and deformed.")
    ] = False,
    yes: params.Yes = False,
    no: params.No = False,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Show how GARMENT is fitted: the warped cloth alone and over PERSON (a video or a picture), with key points."""
    with reporting(verbose=verbose, quiet=quiet) as terminal, readable_garment(garment) as garment_file:
        from vtryon import warpview
        from vtryon.video import MAX_PIXELS

        options = warpview.WarpOptions(
            person=person,
            garment=garment_file,
            output=output or default_output(person, ".png", tag="warp"),
            back=back,
            start=start,
            end=end,
            fit=fit,
            length=length,
            warp=warp_method,
            device=device,
            moments=moments,
            grid=grid,
            if_exists=policy(yes=yes, no=no),
            max_pixels=max_pixels or MAX_PIXELS,
        )
        show(terminal, warpview.warp(options, progress=terminal.progress), as_json=as_json)
