"""What a run has measured so far: one JSON object a line, and the same as a table for spreadsheets and plots."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vtryon.errors import WriteError

LOG = "log.jsonl"
TABLE = "log.csv"


def record(folder: Path, line: Mapping[str, Any]) -> None:
    """Add a line to ``log.jsonl`` and write ``log.csv`` anew: a column for every number that any line has.

    Raises:
        WriteError: the folder cannot be written.
    """
    try:
        with (folder / LOG).open("a") as lines:
            lines.write(json.dumps(line) + "\n")
        rows = [flat(json.loads(text)) for text in (folder / LOG).read_text().splitlines()]
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (folder / TABLE).open("w", newline="") as table:
            writer = csv.DictWriter(table, names)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as problem:
        raise WriteError(f"{folder}: the log cannot be written ({problem.strerror})") from problem


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested numbers by names joined with dots."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {before + name: value}
    return found
