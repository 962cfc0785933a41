"""``vtryon cache``: what is kept for the next time."""

from __future__ import annotations

from typing import Any

import typer

from vtryon.cli import params
from vtryon.cli.files import plain
from vtryon.cli.terminal import reporting

app = typer.Typer(
    help="Analyses of people and prepared garments that are kept for the next time.", no_args_is_help=True
)


@app.command()
def info(as_json: params.Json = False) -> None:
    """Say where the cache is and what is in it."""
    with reporting() as terminal:
        from vtryon.cache import Cache

        cache = Cache.of_user()
        contents = cache.contents()
        record: dict[str, Any] = {"folder": str(cache.folder), "limit": cache.limit, "contents": plain(dict(contents))}
        lines = [f"{cache.folder}, at most {megabytes(cache.limit)}"]
        lines += [f"{kind:<9}{kept.entries:7}  {megabytes(kept.bytes)}" for kind, kept in contents.items()]
        terminal.result("\n".join(lines), record if as_json else None)


@app.command()
def clear(as_json: params.Json = False) -> None:
    """Remove everything in the cache; it will be worked out again when it is wanted."""
    with reporting() as terminal:
        from vtryon.cache import Cache

        cache = Cache.of_user()
        freed = cache.clear()
        record = {"folder": str(cache.folder), "freed": freed}
        terminal.result(f"{cache.folder}: {megabytes(freed)} freed", record if as_json else None)


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
