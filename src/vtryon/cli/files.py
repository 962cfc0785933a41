"""What the command line does with file names before the library sees them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from vtryon.errors import MissingInputError, UsageError, VtryonError
from vtryon.outputs import IfExists

STDIN = Path("-")


def default_output(person: Path, suffix: str, tag: str = "vtryon") -> Path:
    """PERSON's name in the current folder, as compilers and downloaders do: the input's folder may be read-only."""
    return Path(f"{person.stem}.{tag}{suffix}")


def policy(*, yes: bool, no: bool) -> IfExists:
    """The overwrite policy of -y and -n."""
    if yes and no:
        raise UsageError("-y and -n contradict each other; give one of them")
    return IfExists.REPLACE if yes else IfExists.SKIP if no else IfExists.REFUSE


@contextmanager
def readable_garment(garment: Path) -> Iterator[Path]:
    """The garment's file; where it is ``-``, a temporary one with what standard input holds.

    Raises:
        MissingInputError: standard input holds nothing.
    """
    if garment != STDIN:
        yield garment
        return
    data = sys.stdin.buffer.read()
    if not data:
        raise MissingInputError("standard input is empty; pipe the garment's picture into it: ... < shirt.jpg")
    with tempfile.TemporaryDirectory(prefix="vtryon-") as folder:
        file = Path(folder, "standard-input")
        file.write_bytes(data)
        try:
            yield file
        except VtryonError as problem:
            raise type(problem)(str(problem).replace(str(file), "standard input")) from problem


def plain(value: Any) -> Any:
    """A dataclass, or anything in one, as JSON knows it: paths and fractions as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
