"""What is said about a batch when it is over: a JSON line for each row, and a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from vtryon.batch.rows import Outcome, Row, Status
from vtryon.errors import CannotCreateError, WriteError

MOST_ROWS = 60
"""Rows of the table; of a larger batch it has those that failed."""


class ReportFile:
    """The report on disk: a line is written when its row ends, so a batch that is killed has reported so far.

    Raises:
        CannotCreateError: the file cannot be made, or is something else than an earlier report.
        WriteError: the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() and not _is_report(path):
            raise CannotCreateError(f"{path} exists and is no report of a batch; name another --report")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("w", encoding="utf-8")
        except OSError as problem:
            raise CannotCreateError(f"{path}: cannot write the report ({problem.strerror})") from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Row, outcome: Outcome) -> None:
        try:
            self._file.write(json.dumps(entry(row, outcome)) + "\n")
            self._file.flush()
        except OSError as problem:
            raise WriteError(f"{self._path}: writing the report failed ({problem.strerror})") from problem


def entry(row: Row, outcome: Outcome) -> Mapping[str, Any]:
    """A row of the report."""
    return {
        "row": row.where,
        "person": row.person,
        "garment": row.garment,
        "output": row.output,
        "status": str(outcome.status),
        "error": outcome.error,
        "code": outcome.code,
        "frames": outcome.frames,
        "seconds": outcome.seconds,
        "warnings": list(outcome.warnings),
    }


def summary(outcomes: Sequence[Outcome], seconds: float) -> Mapping[str, Any]:
    """How many rows ended how, the frames that were dressed now, and the seconds on the clock."""
    counts = Counter(outcome.status for outcome in outcomes)
    dressed = sum(outcome.frames for outcome in outcomes if outcome.status is Status.DONE)
    numbers = {str(status): counts[status] for status in Status}
    return {"rows": len(outcomes), **numbers, "frames": dressed, "seconds": round(seconds, 3)}


def table(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """One line per row; where there are more than ``MOST_ROWS``, for those that failed or were not done."""
    pairs = list(zip(rows, outcomes, strict=True))
    if len(pairs) > MOST_ROWS:
        pairs = [pair for pair in pairs if pair[1].status in (Status.FAILED, Status.STOPPED)][:MOST_ROWS]
    if not pairs:
        return ""
    wide = max(len("output"), *(len(row.output) for row, _ in pairs))
    lines = [f"{'output':<{wide}}  {'status':<8}{'frames':>7}{'seconds':>9}"]
    for row, outcome in pairs:
        tail = f"  {outcome.error}" if outcome.error else ""
        lines.append(
            f"{row.output:<{wide}}  {outcome.status:<8}{outcome.frames or '':>7}{_seconds(outcome):>9}{tail}".rstrip()
        )
    return "\n".join(lines)


def _seconds(outcome: Outcome) -> str:
    return f"{outcome.seconds:.1f}" if outcome.seconds else ""


def _is_report(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
        return not first or "status" in json.loads(first)
    except (OSError, ValueError, TypeError):
        return False
