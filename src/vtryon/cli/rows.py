"""Options of ``vtryon run`` as columns of a list: a row of it is read as a command line of ``run`` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vtryon.cli.run import run, run_options
from vtryon.errors import BadInputError, UnavailableError, UsageError

if TYPE_CHECKING:
    from vtryon.batch.manifest import Line
    from vtryon.batch.rows import Row

_NOT_FOR_ROWS = ("output", "save_person", "saved_person", "cache", "yes", "no", "as_json", "verbose", "quiet", "help")
"""Parameters of ``run`` that a batch decides as a whole."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a list may be: parameter name and whether it is a flag, by the option's name."""

    command: Any
    options: Mapping[str, tuple[str, bool]]

    @classmethod
    def of_run(cls) -> Columns:
        app = typer.Typer()
        app.command()(run)
        command: Any = typer.main.get_command(app)
        options = {
            next(name for name in p.opts if name.startswith("--")).removeprefix("--"): (p.name, bool(p.is_flag))
            for p in command.params
            if p.param_type_name == "option" and p.name not in _NOT_FOR_ROWS
        }
        options.pop("install-completion", None)
        options.pop("show-completion", None)
        return cls(command, options)

    def read(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Values by parameter name, from the text in the columns.

        Raises:
            UsageError: a value that ``run`` refuses.
        """
        words = [word for name, text in given.items() for word in self._words(name, text)]
        try:
            values = self.command.make_context("run", ["PERSON", "GARMENT", *words]).params
        except typer.BadParameter as problem:
            raise UsageError(problem.format_message()) from problem
        return {parameter: values[parameter] for parameter, _ in (self.options[name] for name in given)}

    def _words(self, name: str, text: str) -> list[str]:
        if not self.options[name][1]:
            return [f"--{name}={text}"]
        if text.lower() in ("true", "yes", "1"):
            return [f"--{name}"]
        if text.lower() in ("false", "no", "0"):
            return []
        raise UsageError(f"{name} must be true or false, got {text!r}")


def rows_of(lines: Sequence[Line], columns: Columns, settings: Mapping[str, Any]) -> list[Row]:
    """The rows of a batch: ``settings`` are the parameters of ``run`` for all of them, each line has its own too.

    Raises:
        BadInputError: a line says what ``run`` would refuse; with its place.
        UnavailableError: an encoder is missing.
    """
    known: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    rows = []
    for line in lines:
        own = tuple(line.options.items())
        try:
            if own not in known:
                known[own] = columns.read(line.options)
            rows.append(_row(line, {**settings, **known[own]}))
        except UsageError as problem:
            raise BadInputError(f"{line.where}: {problem}") from problem
        except UnavailableError as problem:
            raise UnavailableError(f"{line.where}: {problem}") from problem
    return rows


def _row(line: Line, settings: dict[str, Any]) -> Row:
    from vtryon.batch import places
    from vtryon.batch.rows import Row
    from vtryon.outputs import PICTURES
    from vtryon.video.codecs import plan_encoding

    output = Path(places.name_of(line.output))
    preview, back = settings.pop("preview"), settings.pop("back")
    options = run_options(person=Path(), garment=Path(), back=None, output=output, **settings)
    if preview is None:
        assert options.encode is not None
        plan_encoding(output, options.encode)
    elif output.suffix.lower() not in PICTURES:
        raise UsageError(f"{output}: with preview the name must end in {' or '.join(PICTURES)}")
    return Row(
        where=line.where,
        person=line.person,
        garment=line.garment,
        output=line.output,
        options=options,
        back=None if back is None else str(back),
        preview=preview,
    )
