"""How long rows will take: frames of the part asked for, times what a frame costs, times how this machine compares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vtryon.batch import places
from vtryon.batch.rows import Outcome, Row, Status, Task
from vtryon.cache import Cache
from vtryon.errors import VtryonError
from vtryon.outputs import beside

ANALYSIS = (0.068, 0.017)
"""Seconds to analyse a frame, and those for each million of its pixels (docs/BATCH.md)."""

DRESSING = (0.047, 0.30)
"""The same for dressing and encoding it."""

_FILE = "pace.json"


@dataclass(frozen=True)
class Estimator:
    """``factor``: seconds on this machine for one of the figures above, learned from ``rows`` rows."""

    factor: float = 1.0
    rows: int = 0
    _frames: dict[tuple[str, float | None, float | None], tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, cache: Cache) -> Estimator:
        """With what earlier batches on this machine have taught."""
        try:
            known = json.loads((cache.folder / _FILE).read_text())
            return cls(float(known["factor"]), int(known["rows"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def learn(self, cache: Cache, tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> None:
        """Keep how the rows that were just made compare with their weights; later batches count as much as all."""
        pairs = [
            (outcome.seconds, task.weight / self.factor)
            for task, outcome in zip(tasks, outcomes, strict=True)
            if outcome.status is Status.DONE and task.weight
        ]
        if not pairs:
            return
        factor = sum(seconds for seconds, _ in pairs) / sum(weight for _, weight in pairs)
        if self.rows:
            factor = (factor + self.factor) / 2
        try:
            with beside(cache.folder / _FILE) as temporary:
                temporary.write_text(json.dumps({"factor": factor, "rows": self.rows + len(pairs)}))
        except VtryonError:
            return  # an estimate is not worth an error

    def seconds(self, row: Row, *, shared: bool) -> float:
        """What a row will take; 0 where its video does not tell. ``shared``: another row makes the analysis."""
        frames, megapixels = self._size(row)
        steps = (DRESSING,) if shared else (ANALYSIS, DRESSING)
        return frames * self.factor * sum(fixed + by_size * megapixels for fixed, by_size in steps)

    def _size(self, row: Row) -> tuple[float, float]:
        """Frames of the part asked for, millions of pixels each; zeros where unknown."""
        part = (row.person, row.options.start, row.options.end)
        if part not in self._frames:
            self._frames[part] = (0.0, 0.0) if places.is_remote(row.person) else _probed(row)
        return self._frames[part]


def _probed(row: Row) -> tuple[float, float]:
    from vtryon.job import span
    from vtryon.video import probe

    try:
        info = probe(Path(row.person), max_pixels=row.options.max_pixels)
    except VtryonError:
        return 0.0, 0.0  # the row will say what is wrong
    if not info.frames_estimate or not info.duration_seconds:
        return 0.0, 0.0
    first, last = span(info, row.options)
    share = min(1.0, (last - first) / info.duration_seconds)
    return info.frames_estimate * share, info.width * info.height / 1e6
