"""What a batch is made of: rows, what becomes of each, and what is told on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from vtryon.errors import VtryonError
from vtryon.job import RunOptions
from vtryon.progress import Progress


@dataclass(frozen=True)
class Row:
    """One output to make.

    ``where`` names the row in messages (``list.csv:3``); ``person``, ``garment``, ``back`` and ``output`` are file
    names or addresses that fsspec knows (``s3://bucket/person.mp4``); ``options`` says how, its own file names are put
    in where the row is worked on; ``preview`` asks for a picture of so many moments in place of the video.
    """

    where: str
    person: str
    garment: str
    output: str
    options: RunOptions
    back: str | None = None
    preview: int | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.person, self.garment, *([self.back] if self.back is not None else []))


class Status(StrEnum):
    """How a row ends."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    ``error`` is one line and ``code`` its exit code, where it failed; ``seconds`` what it took; ``warnings`` one line
    each. A skipped row has the figures of the run that made it. ``crowded``: memory ran out, alone it may succeed.
    """

    status: Status
    frames: int = 0
    seconds: float = 0.0
    error: str | None = None
    code: int = 0
    warnings: tuple[str, ...] = ()
    crowded: bool = False

    @classmethod
    def failed(cls, problem: VtryonError) -> Outcome:
        """That of a row which ends with an error of ours: its line and its code."""
        return cls(Status.FAILED, error=" ".join(str(problem).split()), code=problem.exit_code)


@dataclass(frozen=True)
class Task:
    """A row that is to be worked on.

    ``index`` is the row's place in the batch; ``fingerprint`` what the output depends on; ``person`` the same for all
    rows that share an analysis; ``replace`` whether a file that is in the way may go; ``weight`` the seconds that it
    is expected to take.
    """

    index: int
    row: Row
    fingerprint: str
    person: str
    replace: bool
    weight: float


@dataclass(frozen=True)
class News:
    """Where the row ``index`` is (``progress``), or how it ended (``outcome``)."""

    index: int
    progress: Progress | None = None
    outcome: Outcome | None = None


Tell = Callable[[News], None]
"""What is called with the news of a batch, from its own thread."""
