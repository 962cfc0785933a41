"""``vtryon train``: the networks of ``weights/`` trained anew."""

from __future__ import annotations

import os
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
    from vtryon.train.tree_warp import TreeWarpTraining

app = typer.Typer(
    no_args_is_help=True,
    help="Train a network anew. A stopped run goes on where its FOLDER left off when the same command is given again.",
)

_STOPPED = "the same command goes on from the last state that was saved"

Data = Annotated[
    Path,
    typer.Option(metavar="DATA", help="Folder that holds people, pairs and garments.", show_default=False),
]
AnyData = Annotated[
    Path,
    typer.Option(
        metavar="DATA",
        help="Folder that holds people, pairs and garments; or a data set: VITON, VVT, your own clips and garments "
        "(vtryon data check DATA).",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="Where weights, report, log and state go; made if missing.", show_default=False
    ),
]
Steps = Annotated[int | None, typer.Option(min=1, metavar="N", help="Steps in all.  \\[default: the recipe's]")]
Batch = Annotated[int | None, typer.Option(min=1, metavar="N", help="Pictures a step.  \\[default: the recipe's]")]
MaxSteps = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Stop after N steps and leave the schedule as it is: for a smoke run.",
        show_default=False,
    ),
]  # fmt: skip
Rate = Annotated[
    float | None,
    typer.Option(
        min=0.0, metavar="X", help="Highest rate of learning: a short run wants more.  \\[default: the preset's]",
        show_default=False,
    ),
]  # fmt: skip
FlowWeight = Annotated[
    float | None,
    typer.Option(
        min=0.0, metavar="X", help="Weight of eq. (8); 0 leaves it out.  \\[default: the recipe's]", show_default=False
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, metavar="N", help="Processes that make batches beside the training; 0: a thread does.")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Decides everything random.")]


def _prepared(size: str) -> Any:
    return typer.Option(
        metavar="FOLDER",
        help=f"Prepared pictures, made from DATA where missing: {size}.  \\[default: cache in --out]",
        show_default=False,
    )


def _kept(what: str) -> Any:
    return typer.Option(
        metavar="FOLDER",
        help=f"Where {what} are kept.  \\[default: --out, for a data set cache in it]",
        show_default=False,
    )


class Preset(StrEnum):
    """Recipes: as our own weights are trained; with the paper's settings; its ablations and its rivals."""

    OURS = "ours"
    PAPER = "paper"
    WITHOUT_EQ1 = "without-eq1"
    WITHOUT_FLOW = "without-flow"
    CP_VTON = "cp-vton"
    SHINEON = "shineon"


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
        measures = train_parser(config, _Watch(terminal, config.loop), _pictures(terminal))
        _report(terminal, out / "parser.safetensors", config.loop.steps, measures, began, as_json=as_json)


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
        measures = train_placing(config, _Watch(terminal, config.loop))
        _report(terminal, out / "placing.safetensors", config.loop.steps, measures, began, as_json=as_json)


@app.command()
def warp(
    data: AnyData,
    out: Out,
    preset: Annotated[
        Preset,
        typer.Option(
            help="Ours, a correction of the placing stage; the paper's network, loss and rates; or a variant of those."
        ),
    ] = Preset.OURS,
    cache: Annotated[Path | None, _kept("prepared pictures")] = None,
    steps: Steps = None,
    max_steps: MaxSteps = None,
    batch: Batch = None,
    rate: Rate = None,
    workers: Workers = 0,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The network that sees garment and person and moves the garment's control points: rendered people, or a data
    set. Several GPUs: torchrun --nproc-per-node N -m vtryon train warp ..."""
    with reporting(verbose=verbose, quiet=_quiet(quiet), if_stopped=_STOPPED, warnings=True) as terminal:
        from vtryon.train.baselines import BASELINES
        from vtryon.train.parallel import joined
        from vtryon.train.tree import is_tree
        from vtryon.train.tree_warp import train_warp_tree
        from vtryon.train.warp import WarpTraining, train_warp

        began = time.perf_counter()
        with joined(device) as (ranks, own):
            if is_tree(data):
                on_tree = _on_tree(data, out, cache, preset, own)
                loop = _asked(on_tree.loop, steps, batch, seed, max_steps, workers, rate)
                watch = _Watch(terminal, loop)
                measures = train_warp_tree(replace(on_tree, loop=loop), watch, _pictures(terminal), ranks)
            else:
                settings = {} if preset is Preset.OURS else BASELINES[preset].warp()
                config = WarpTraining(data / "pairs", out, cache, device=own, **settings)
                loop = _asked(config.loop, steps, batch, seed, max_steps, workers, rate)
                watch = _Watch(terminal, loop)
                measures = train_warp(replace(config, loop=loop), watch, ranks)
        if ranks.first:
            _report(terminal, out / "warp.safetensors", watch.total, measures, began, as_json=as_json)


def _on_tree(data: Path, out: Path, cache: Path | None, preset: Preset, device: str) -> TreeWarpTraining:
    from vtryon.errors import UsageError
    from vtryon.train.baselines import BASELINES
    from vtryon.train.tree_warp import TreeWarpTraining

    if preset is Preset.OURS:
        raise UsageError(
            "--preset ours learns from true correspondences, which only rendered pairs have; "
            f"give --preset paper to train on {data}"
        )
    return BASELINES[preset].tree_warp(TreeWarpTraining(data, out, cache or out / "cache", device=device))


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
        measures = train_garment(config, _Watch(terminal, config.loop), _pictures(terminal))
        _report(terminal, out / "garment.safetensors", config.loop.steps, measures, began, as_json=as_json)


@app.command()
def refine(
    data: Data,
    out: Out,
    cache: Annotated[Path | None, _prepared("2.7 GB")] = None,
    steps: Steps = None,
    batch: Batch = None,
    flow_weight: FlowWeight = None,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """The network that gives back hands, hair and things carried where the composition has covered them: photographs
    of people and rendered ones, dressed by the composition as it is now."""
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_STOPPED) as terminal:
        from vtryon.train.refine import RefineTraining, train_refine

        config = RefineTraining(cache=cache or out / "cache", folder=out, data=data, device=device)
        config = replace(config, loop=_asked(config.loop, steps, batch, seed))
        if flow_weight is not None:
            config = replace(config, flow_weight=flow_weight)
        began = time.perf_counter()
        measures = train_refine(config, _Watch(terminal, config.loop), _pictures(terminal))
        _report(terminal, out / "refine.safetensors", config.loop.steps, measures, began, as_json=as_json)


@app.command()
def tryon(
    data: AnyData,
    out: Out,
    cache: Annotated[Path | None, _prepared("6 GB")] = None,
    preset: Annotated[
        Preset,
        typer.Option(
            help="Ours; the paper's rates and, on a data set, consecutive frames alone; or a variant of those."
        ),
    ] = Preset.OURS,
    warp: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="On a data set: weights of train warp --preset paper that lay the garments.  "
            "\\[default: the warp of vtryon run]", show_default=False, readable=False,
        ),
    ] = None,
    small_steps: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="How many of the steps see pieces of a quarter of the crop first.  "
            "\\[default: the preset's]", show_default=False,
        ),
    ] = None,
    flow_weight: FlowWeight = None,
    steps: Steps = None,
    max_steps: MaxSteps = None,
    batch: Batch = None,
    rate: Rate = None,
    workers: Workers = 0,
    seed: Seed = 0,
    device: params.Device = "auto",
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:  # fmt: skip
    """The renderer that dresses the person: rendered people in one top and another, and photographs given back; or a
    data set. Several GPUs: torchrun --nproc-per-node N -m vtryon train tryon ..."""
    with reporting(verbose=verbose, quiet=_quiet(quiet), if_stopped=_STOPPED, warnings=True) as terminal:
        from vtryon.errors import UsageError
        from vtryon.train.baselines import BASELINES
        from vtryon.train.parallel import joined
        from vtryon.train.tree import is_tree
        from vtryon.train.tryon import PAPER_TREE, PRESETS, TryOnTraining, train_tryon

        began = time.perf_counter()
        with joined(device) as (ranks, own):
            recipe = PRESETS["ours" if preset is Preset.OURS else "paper"]
            loop = _asked(recipe, steps, batch, seed, max_steps, workers, rate)
            config = TryOnTraining(cache=cache or out / "cache", folder=out, data=data, loop=loop, device=own)
            if is_tree(data):
                config = replace(config, data=None, tree=data, warp=warp)
                if preset is not Preset.OURS:  # as long as so many epochs of the data set, unless it is said
                    config = replace(config, loop=replace(loop, steps=steps or 0), **PAPER_TREE)
            elif warp is not None:
                raise UsageError(f"--warp is for data sets; {data} holds none")
            if preset is not Preset.OURS:
                config = BASELINES[preset].tryon(config)
            if small_steps is not None:
                config = replace(config, small_steps=small_steps)
            if flow_weight is not None:
                config = replace(config, flow_weight=flow_weight)
            watch = _Watch(terminal, config.loop)
            measures = train_tryon(config, watch, _pictures(terminal), ranks)
        if ranks.first:
            _report(terminal, out / "tryon.safetensors", watch.total, measures, began, as_json=as_json)


def _asked(
    loop: LoopConfig, steps: int | None, batch: int | None, seed: int, stop: int | None = None, workers: int = 0,
    rate: float | None = None,
) -> LoopConfig:  # fmt: skip
    asked = replace(loop, steps=steps or loop.steps, batch=batch or loop.batch, seed=seed)
    return replace(asked, stop=stop, workers=workers, peak_rate=loop.peak_rate if rate is None else rate)


def _quiet(asked: bool) -> bool:
    """Of the processes of torchrun the first one speaks."""
    return asked or os.environ.get("RANK", "0") != "0"


class _Watch:
    """Shows how far a training is; told each step. ``total`` steps of the run as far as they are known: a data set's
    epochs are only counted when it is open."""

    def __init__(self, terminal: Terminal, loop: LoopConfig) -> None:
        self._terminal = terminal
        self._known = loop.last or loop.stop
        self.total = self._known or 0

    def __call__(self, step: int, _loss: dict[str, float]) -> None:
        self.total = self._known or step + 1
        self._terminal.progress(Progress("training", step + 1, self._known, "step"))


def _pictures(terminal: Terminal) -> Callable[[str, int, int], None]:
    return lambda what, done, total: terminal.progress(Progress(f"preparing {what}", done, total, "picture"))


def _report(
    terminal: Terminal, weights: Path, steps: int, measures: dict[str, Any], began: float, *, as_json: bool
) -> None:
    seconds = round(time.perf_counter() - began, 1)
    record = {"weights": str(weights), "steps": steps, "seconds": seconds, "measures": measures}
    line = f"{weights}: {steps} steps, measures in {weights.with_name('report.json')}"
    terminal.result(line, record if as_json else None)
