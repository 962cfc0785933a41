"""Lists of pairs, and samples as they are gathered with what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vtryon.data.tree import Sample
from vtryon.errors import BadInputError, MissingInputError


@dataclass(frozen=True, eq=False)
class Collected:
    """Samples so far, and a line for each that had to be left out."""

    samples: list[Sample] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, sample: Sample | None, problem: str) -> None:
        """One more sample, or, where it is None, one more problem (each is told once)."""
        if sample is not None:
            self.samples.append(sample)
        elif problem not in self.broken:
            self.broken.append(problem)


def read_list(path: Path, columns: int) -> list[tuple[str, ...]]:
    """The rows of a text list, separated by commas or, in lines without any, by white space; empty ones are left out.

    Raises:
        MissingInputError: it cannot be read.
        BadInputError: a line has fewer than ``columns`` entries.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem})") from problem
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entries = tuple(part.strip() for part in line.split("," if "," in line else None))
        if len(entries) < columns:
            raise BadInputError(f"{path}, line {number}: {columns} names are wanted, found {len(entries)}")
        rows.append(entries)
    return rows
