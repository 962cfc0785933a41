"""``vtryon train``: the networks of ``weights/`` trained anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtryon.cli import params
from vtryon.cli.terminal import Terminal, reporting
from vtryon.progress import Progress

if TYPE_CHECKING:
    from vtryon.train.loop import LoopConfig

app = typer.Typer(
    no_args_is_help=True,
    help="Train a network anew. A stopped run goes on where its FOLDER left off when the same command is given again.",
)

_STOPPED = "the same command goes on from the last state that was saved"

Data = Annotated[
    Path,
    typer.Option(metavar="DATA", help="Folder that holds people, pairs and garments.", show_default=False),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="Where weights, report, log and state go; made if missing.", show_default=False
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Steps in all.  \\[default: as the shipped weights]")
]
Batch = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Pictures a step.  \\[default: as the shipped weights]")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Decides everything random.")]


def _prepared(size: str) -> Any:
    return typer.Option(
        metavar="FOLDER",
        help=f"Prepared pictures, made from DATA where missing: {size}.  \\[default: cache in --out]",
        show_default=False,
    )


class Preset(StrEnum):
    """Recipes: as our own weights are trained, or with the paper's settings."""

    OURS = "ours"
    PAPER = "paper"


@app.command()
def parser(
    data: Data,
    out: Out,
    cache: Annotated[Path | None, _prepared("2.2 GB")] = None,
    steps: Steps = None,
    small_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="How many of the steps see crops of half the size first.  \\[default: as the shipped weights]",
        ),
    ] = None,
    batch: Batch = None,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The human parser: photographs with label maps, and rendered people."""
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_STOPPED) as terminal:
        from vtryon.train.parser import ParserTraining, train_parser

        config = ParserTraining(cache=cache or out / "cache", folder=out, data=data, device=device)
        config = replace(config, loop=_asked(config.loop, steps, batch, seed))
        if small_steps is not None:
            config = replace(config, small_steps=small_steps)
        began = time.perf_counter()
        measures = train_parser(config, _steps(terminal, config.loop), _pictures(terminal))
        _report(terminal, out / "parser.safetensors", config.loop, measures, began, as_json=as_json)


@app.command()
def placing(
    data: Data,
    out: Out,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 0,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The regressor that lays a garment on a body: rendered people. On the CPU; a GPU would not be faster."""
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_STOPPED) as terminal:
        from vtryon.train.placing import PlacingTraining, train_placing

        config = PlacingTraining(data / "pairs", out)
        config = replace(config, loop=_asked(config.loop, steps, batch, seed))
        began = time.perf_counter()
        measures = train_placing(config, _steps(terminal, config.loop))
        _report(terminal, out / "placing.safetensors", config.loop, measures, began, as_json=as_json)


@app.command()
def warp(
    data: Data,
    out: Out,
    preset: Annotated[
        Preset, typer.Option(help="Ours, a correction of the placing stage; or the paper's network, loss and rates.")
    ] = Preset.OURS,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The network that sees garment and person and moves the garment's control points: rendered people."""
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_STOPPED) as terminal:
        from vtryon.train.warp import PRESETS, WarpTraining, train_warp

        config = WarpTraining(data / "pairs", out, device=device, **PRESETS[preset])
        config = replace(config, loop=_asked(config.loop, steps, batch, seed))
        began = time.perf_counter()
        measures = train_warp(config, _steps(terminal, config.loop))
        _report(terminal, out / "warp.safetensors", config.loop, measures, began, as_json=as_json)


@app.command()
def garment(
    data: Data,
    out: Out,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The garment reader: rendered product pictures, and photographs of garments."""
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_STOPPED) as terminal:
        from vtryon.train.garment import GarmentTraining, train_garment

        config = GarmentTraining(data=data, folder=out, device=device)
        config = replace(config, loop=_asked(config.loop, steps, batch, seed))
        began = time.perf_counter()
        measures = train_garment(config, _steps(terminal, config.loop), _pictures(terminal))
        _report(terminal, out / "garment.safetensors", config.loop, measures, began, as_json=as_json)


@app.command()
def tryon(
    data: Data,
    out: Out,
    cache: Annotated[Path | None, _prepared("6 GB")] = None,
    preset: Annotated[Preset, typer.Option(help="The optimiser's settings: ours, or the paper's.")] = Preset.OURS,
    steps: Steps = None,
    batch: Batch = None,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The renderer that dresses the person: rendered people in one top and another, and photographs given back."""
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_STOPPED) as terminal:
        from vtryon.train.tryon import PRESETS, TryOnTraining, train_tryon

        loop = _asked(PRESETS[preset], steps, batch, seed)
        config = TryOnTraining(cache=cache or out / "cache", folder=out, data=data, loop=loop, device=device)
        began = time.perf_counter()
        measures = train_tryon(config, _steps(terminal, config.loop), _pictures(terminal))
        _report(terminal, out / "tryon.safetensors", config.loop, measures, began, as_json=as_json)


def _asked(loop: LoopConfig, steps: int | None, batch: int | None, seed: int) -> LoopConfig:
    return replace(loop, steps=steps or loop.steps, batch=batch or loop.batch, seed=seed)


def _steps(terminal: Terminal, loop: LoopConfig) -> Callable[[int, dict[str, float]], None]:
    return lambda step, _loss: terminal.progress(Progress("training", step + 1, loop.steps, "step"))


def _pictures(terminal: Terminal) -> Callable[[str, int, int], None]:
    return lambda what, done, total: terminal.progress(Progress(f"preparing {what}", done, total, "picture"))


def _report(
    terminal: Terminal, weights: Path, loop: LoopConfig, measures: dict[str, Any], began: float, *, as_json: bool
) -> None:
    seconds = round(time.perf_counter() - began, 1)
    record = {"weights": str(weights), "steps": loop.steps, "seconds": seconds, "measures": measures}
    line = f"{weights}: {loop.steps} steps, measures in {weights.with_name('report.json')}"
    terminal.result(line, record if as_json else None)
