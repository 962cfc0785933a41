"""Rows from a list (CSV, or JSON lines) or from all combinations of persons and garments."""

from __future__ import annotations

import csv
import io
import json
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtryon.batch import places
from vtryon.errors import BadInputError, MissingInputError, UsageError

NEEDED = ("person", "garment", "output")
"""The columns that every list has."""

DEFAULT_NAME = "{person}_{garment}.mp4"


@dataclass(frozen=True)
class Line:
    """What one row says, as text: ``where`` file and line; ``person``, ``garment`` and ``output`` as places;
    ``options`` by the names they have on the command line, without the dashes."""

    where: str
    person: str
    garment: str
    output: str
    options: Mapping[str, str]


def read_manifest(path: Path, known: Collection[str]) -> list[Line]:
    """The rows of a list; names of files in it count from the folder that it lies in.

    A file whose name ends in .jsonl, .ndjson or .json has one JSON object in each line, any other is CSV with a line
    of column names. Empty cells and nulls stand for "not given".

    Args:
        known: names of the options that may be columns.

    Raises:
        MissingInputError: the file cannot be read.
        BadInputError: a column is missing or unknown, a line cannot be read, or there are no rows; with file:line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise BadInputError(f"{path}:{line}: not UTF-8 text; save the list as UTF-8") from problem
    as_json = path.suffix.lower() in (".jsonl", ".ndjson", ".json")
    rows = (_json_lines if as_json else _csv_lines)(path, text)
    lines = [_line(path, number, values, known) for number, values in rows]
    if not lines:
        raise BadInputError(f"{path}: there are no rows in it")
    return lines


def combinations(persons: Sequence[str], garments: Sequence[str], folder: str, name: str = DEFAULT_NAME) -> list[Line]:
    """Every person of the patterns in every garment of theirs, person by person.

    ``name`` is the output's in ``folder``; ``{person}`` and ``{garment}`` in it are the inputs' names without ending.

    Raises:
        MissingInputError: a pattern matches no file.
        UsageError: ``name`` has another field, or gives two outputs the same name.
    """
    people, clothes = (list(dict.fromkeys(hit for p in ps for hit in places.matches(p))) for ps in (persons, garments))
    fields = {field for _, field, _, _ in _parsed(name) if field is not None}
    if not fields <= {"person", "garment"}:
        raise UsageError(f"--name {name}: only {{person}} and {{garment}} are filled in")
    lines, taken = [], dict[str, str]()
    for person in people:
        for garment in clothes:
            output = places.join(folder, name.format(person=places.stem_of(person), garment=places.stem_of(garment)))
            where = f"{person} in {garment}"
            if output in taken:
                raise UsageError(f"{where} and {taken[output]} would both be {output}; give another --name")
            taken[output] = where
            lines.append(Line(where, person, garment, output, {}))
    return lines


def _parsed(name: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(name))
    except ValueError as problem:
        raise UsageError(f"--name {name}: {problem}") from problem


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    names: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            raise BadInputError(f"{path}:{reader.line_num}: cannot be read as CSV ({problem})") from problem
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip() for cell in cells]
            _check_names(f"{path}:{reader.line_num}", names)
            continue
        if len(cells) != len(names):
            raise BadInputError(f"{path}:{reader.line_num}: {len(cells)} cells, but there are {len(names)} columns")
        yield reader.line_num, dict(zip(names, cells, strict=True))


def _check_names(where: str, names: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise BadInputError(f"{where}: no column {' and none '.join(missing)}; the first line names the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInputError(f"{where}: the column {twice[0]} is there twice")


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as problem:
            raise BadInputError(f"{path}:{number}: not a JSON object ({problem})") from problem
        if not isinstance(values, dict):
            raise BadInputError(f"{path}:{number}: not a JSON object but {line.strip()[:40]}")
        yield number, values


def _line(path: Path, number: int, values: Mapping[str, Any], known: Collection[str]) -> Line:
    where = f"{path}:{number}"
    given = {name.replace("_", "-"): text for name, value in values.items() if (text := _text(where, name, value))}
    for name in NEEDED:
        if name not in given:
            raise BadInputError(f"{where}: no {name} is given")
    unknown = sorted(given.keys() - set(NEEDED) - set(known))
    if unknown:
        raise BadInputError(f"{where}: unknown option {unknown[0]}; these are known: {', '.join(sorted(known))}")
    person, garment, output = (_from(path.parent, given.pop(name)) for name in NEEDED)
    if "back" in given:
        given["back"] = _from(path.parent, given["back"])
    return Line(where, person, garment, output, given)


def _text(where: str, name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise BadInputError(f"{where}: {name} must be text or a number, got {json.dumps(value)[:40]}")
    return str(value).strip()


def _from(folder: Path, place: str) -> str:
    return place if places.is_remote(place) else str(folder / place)
