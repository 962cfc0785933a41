"""The ``vtryon`` command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vtryon import __version__
from vtryon.cli import cache, data, tools, train
from vtryon.cli.batch import batch
from vtryon.cli.evaluate import evaluate
from vtryon.cli.parse import parse
from vtryon.cli.run import run
from vtryon.cli.warp import warp

app = typer.Typer(
    name="vtryon",
    help="Dress the person of a video in the garment of a picture: vtryon run person.mp4 shirt.jpg -o out.mp4",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vtryon {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(run)
app.command()(batch)
app.command()(warp)
app.command()(parse)
app.command()(evaluate)
app.command()(tools.benchmark)
app.command()(tools.probe)
app.command()(tools.info)
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")


def main() -> None:
    """The console script."""
    # Torch's worker threads spin while they wait; beside other work that made a frame ten times slower (3.1 s against
    # 0.35 s, two busy cores). Read when torch is loaded, so it has to be said before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # NumPy's spin too, 50 ms of each frame's CPU time, and have but small matrices to share out.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()
