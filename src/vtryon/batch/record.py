"""The small file beside a finished output that says what it was made from: how a batch knows what is done.

It is written before the output gets its name. A batch that is killed between the two leaves a record without its
output, which counts for nothing; there is never an output of ours without its record.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from vtryon.batch import places
from vtryon.job import RunResult
from vtryon.reuse import file_digest

FORMAT = 1

SUFFIX = ".vtryon.json"
"""Is added to the output's name."""


@dataclass(frozen=True)
class Record:
    """``fingerprint`` stands for inputs, options, version and networks; ``bytes``, ``modified`` (ns) and ``sha256``
    for the file itself; ``frames`` and ``seconds`` are what making it took."""

    fingerprint: str
    bytes: int
    modified: int
    sha256: str
    frames: int
    seconds: float

    @classmethod
    def of(cls, result: RunResult, fingerprint: str) -> Record:
        """The record of a file that was just made, still under another name."""
        about = result.output.stat()
        digest = file_digest(result.output)
        return cls(fingerprint, about.st_size, about.st_mtime_ns, digest, result.frames, result.seconds)

    def text(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


class Standing(Enum):
    """What is at the place of an output: nothing, what is wanted, an output made from other inputs or with other
    options, or a file that this program has not made, or not left so."""

    NOTHING = auto()
    FINISHED = auto()
    OTHER = auto()
    FOREIGN = auto()


def standing(output: str, fingerprint: str) -> tuple[Standing, Record | None]:
    """What is there, and the record of it where it is FINISHED or OTHER.

    A file of the recorded size and time is taken for the recorded one; of the size alone, its SHA-256 is compared.

    Raises:
        CannotCreateError: a remote place that cannot be asked.
    """
    size = places.size_of(output)
    if size is None:
        return Standing.NOTHING, None
    record = _parse(places.read_small(output + SUFFIX))
    if record is None or record.bytes != size or not _is_recorded(output, record):
        return Standing.FOREIGN, None
    return (Standing.FINISHED if record.fingerprint == fingerprint else Standing.OTHER), record


def _is_recorded(output: str, record: Record) -> bool:
    if places.is_remote(output):
        return True  # the store keeps objects whole, and the old one was removed before the record was sent
    path = Path(output)
    return path.stat().st_mtime_ns == record.modified or file_digest(path) == record.sha256


def _parse(data: bytes | None) -> Record | None:
    if data is None:
        return None
    try:
        fields: dict[str, Any] = json.loads(data)
        return Record(**fields) if fields.pop("format") == FORMAT else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
