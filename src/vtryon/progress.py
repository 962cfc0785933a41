"""How long work tells its caller where it is: a stage, a count and, where it is known, a total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report from long work.

    ``stage`` a short phrase ("dressing"); ``done`` frames finished in this stage; ``total`` frames expected, None
    where the file does not say (the container's own figure is an estimate: ``done`` may end above or below it);
    ``unit`` what is counted, in the singular.
    """

    stage: str
    done: int = 0
    total: int | None = None
    unit: str = "frame"


Report = Callable[[Progress], None]
"""What a caller hands in to be told; called from the thread that does the work, often: keep it cheap."""


def silent(_: Progress) -> None:
    """The report that says nothing."""
