"""``vtryon benchmark``, ``vtryon probe`` and ``vtryon info``: what it costs, what a file is, what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtryon.cli import params
from vtryon.cli.files import plain
from vtryon.cli.terminal import reporting


def probe(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="Video to look at.", show_default=False, readable=False)],
    max_pixels: params.MaxPixels = None,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Say what a video file is: size, timing, rotation, colour, sound."""
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon.video import MAX_PIXELS
        from vtryon.video import probe as look

        record = plain(look(clip, max_pixels=max_pixels or MAX_PIXELS))
        terminal.result(table(record), record if as_json else None)


def info(
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Say what is installed and what it runs on: to be pasted into a bug report."""
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon.environment import describe

        record = plain(describe())
        terminal.result(table(record), record if as_json else None)


def benchmark(
    person: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PERSON]", help="Video.  \\[default: the bundled example]", show_default=False, readable=False
        ),
    ] = None,
    garment: Annotated[
        Path | None,
        typer.Argument(
            metavar="[GARMENT]", help="Picture.  \\[default: the bundled example]", show_default=False, readable=False
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, metavar="N", help="Frames to measure, after the warm-up.")] = 48,
    warm_up: Annotated[int, typer.Option(min=0, metavar="N", help="Frames to leave out at the start.")] = 16,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Measure what each stage costs per frame, and how fast a run is; nothing is written."""
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon import bench

        options = bench.BenchOptions(person=person, garment=garment, frames=frames, warm_up=warm_up, device=device)
        result = bench.measure(options, progress=terminal.progress)
        terminal.result(bench.table(result), plain(result) if as_json else None)


def table(record: dict[str, object]) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name in record)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_shown(value)}" for name, value in record.items())


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
