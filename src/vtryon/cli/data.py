"""``vtryon data``: data sets of the field on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtryon.cli import params
from vtryon.cli.files import plain
from vtryon.cli.terminal import reporting
from vtryon.progress import Progress

app = typer.Typer(help="Data sets on disk: VITON, VVT, or your own clips and garments.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of the data set.", show_default=False, readable=False)
    ],
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Another list of unpaired tests than the data set's own.", readable=False),
    ] = None,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Say which data set it is, what is in it, what would be computed, and what is broken; nothing is written."""
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon.data import open_tree
        from vtryon.data.check import check_tree, table

        def seen(done: int, total: int) -> None:
            terminal.progress(Progress("looking at the clips", done, total, "clip"))

        found = check_tree(open_tree(path, pairs=pairs), report=seen)
        terminal.result(table(found), plain(found) if as_json else None)
        if found.faults:
            raise typer.Exit(65)


@app.command()
def make(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Folder that holds pairs, the rendered scenes.", show_default=False,
                       readable=False),
    ],
    tree: Annotated[
        Path, typer.Argument(metavar="TREE", help="New folder to make.", show_default=False, readable=False)
    ],
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Decides tops, prints and backgrounds.")] = 0,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:  # fmt: skip
    """Make a data set of clips and garments out of rendered scenes, with the truth of its unpaired tests."""
    with reporting(verbose=verbose, quiet=quiet) as terminal:
        from vtryon.evaluate.tree import make_tree

        made = make_tree(data, tree, seed=seed, report=terminal.progress)
        line = f"{tree}: {made.train} clips to train on, {made.test} tests, {made.unpaired} of them in another top too"
        terminal.result(f"{line}; {made.left_out} scenes left out", plain(made) if as_json else None)
