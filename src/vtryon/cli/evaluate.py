"""``vtryon evaluate``: results scored against their truth, or the model scored over a data set."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vtryon.cli import params
from vtryon.cli.files import policy
from vtryon.cli.terminal import reporting
from vtryon.errors import UsageError

AGAINST = "Against what"
HOW = "How"
MODEL = "The model run over --data"


class LpipsNet(StrEnum):
    """Backbones of LPIPS."""

    ALEX = "alex"
    VGG = "vgg"
    SQUEEZE = "squeeze"


class Region(StrEnum):
    """Which pixels steadiness is measured on."""

    GARMENT = "garment"
    FRAME = "frame"


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from ``192x256`` (width first, as everywhere)."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise UsageError(f"--size {text}: not a size; write width and height: 192x256")
    return int(sides[1]), int(sides[0])


def _against(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=AGAINST, show_default=False, readable=False)


def _model(text: str) -> Any:
    return typer.Option(metavar="FILE", help=text, rich_help_panel=MODEL, show_default=False, readable=False)


def evaluate(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RESULTS]...",
            help="Folders of results, one a method: videos, folders of frames, or pictures.  "
            "\\[default: the model is run over --data]",
            show_default=False,
            readable=False,
        ),
    ] = None,
    data: Annotated[
        Path | None, _against("TREE", "Data set that tells truth and sources: VITON, VVT, or clips and garments.")
    ] = None,
    split: Annotated[str, typer.Option(help="Samples of --data.", rich_help_panel=AGAINST)] = "test",
    unpaired: Annotated[
        bool, typer.Option("--unpaired", help="The samples of --data in other garments.", rich_help_panel=AGAINST)
    ] = False,
    pairs: Annotated[Path | None, _against("FILE", "Other unpaired samples than the data set's own list has.")] = None,
    truth: Annotated[
        Path | None, _against("FOLDER", "What results should be, by the same names: the paired protocol.")
    ] = None,
    sources: Annotated[
        Path | None, _against("FOLDER", "What was dressed, by the same names.  \\[default: the truth]")
    ] = None,
    real: Annotated[Path | None, _against("FOLDER", "Real pictures for FID.  \\[default: truth, else sources]")] = None,
    measures: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Some of ssim,lpips,is,fid,vmaf,warp_ratio,hem_jitter,leftover,damage.",
            rich_help_panel=HOW,
        ),
    ] = "all",
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="Bring everything to one size, 192x256 for example.  \\[default: as it is]",
            show_default=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Score the first N frames of each clip.", rich_help_panel=HOW)
    ] = None,
    region: Annotated[
        Region, typer.Option(help="Steadiness of worn tops, or of all pixels (fast).", rich_help_panel=HOW)
    ] = Region.GARMENT,
    lpips: Annotated[LpipsNet, typer.Option(help="Backbone of LPIPS.", rich_help_panel=HOW)] = LpipsNet.ALEX,
    weights_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the networks of LPIPS, FID and IS lie.  \\[default: torch's cache]",
            show_default=False,
            readable=False,
            rich_help_panel=HOW,
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score what matches, though names are missing.", rich_help_panel=HOW)
    ] = False,
    warp_weights: Annotated[Path | None, _model("Weights of train warp --preset paper that lay the garments.")] = None,
    renderer: Annotated[Path | None, _model("Weights of train tryon that draw the person.")] = None,
    warp_method: params.WarpChoice = params.WarpMethod.AUTO,
    device: params.Device = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Also write report.json, table.md, clips.csv, frames.csv and temporal.png there.",
            show_default=False,
            readable=False,
            rich_help_panel=params.OUTPUT,
        ),
    ] = None,
    yes: params.Yes = False,
    no: params.No = False,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Score RESULTS: SSIM, LPIPS, IS, FID, VMAF, steadiness, what is left of the old garment and what is harmed.

    The table is printed with its protocol. What cannot be computed here says why; nothing is downloaded.
    """
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon.evaluate import protocol, report
        from vtryon.evaluate.measures import MEASURES

        named = frozenset(name.strip() for name in measures.split(","))
        options = protocol.EvaluateOptions(
            results=tuple(results or ()),
            data=data,
            split=split,
            paired=not unpaired,
            pairs=pairs,
            truth=truth,
            sources=sources,
            real=real,
            measures=frozenset(MEASURES) if measures == "all" else named,
            size=parse_size(size) if size else None,
            frames=frames,
            whole_frame=region is Region.FRAME,
            weights=weights_dir,
            lpips=lpips,
            warp=warp_method,
            warp_weights=warp_weights,
            renderer=renderer,
            device=device,
            partial=partial,
        )
        inputs = [path for path in (*options.results, truth, sources, real) if path is not None]
        if output is not None and not report.check_folder(output, policy(yes=yes, no=no), inputs):
            return
        found = protocol.evaluate(options, terminal.progress)
        if output is not None:
            report.write_report(found, output)
        terminal.result(report.as_markdown(found), report.as_record(found) if as_json else None)
