"""The progress of a batch on standard error: the whole with the time left, and each row that is being worked on."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from vtryon.cli.meter import PLAIN_INTERVAL, clock_time
from vtryon.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from vtryon.batch.plan import Plan
    from vtryon.batch.rows import News

_DRESSING = "dressing"


class Board:
    """Where a batch is, as text; what shows it is up to :class:`BarBoard` and :class:`PlainBoard`."""

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.outputs = [row.output for row in plan.rows]
        self.running: dict[int, Progress] = {}
        self.ended: Counter[str] = Counter()
        known = all(task.weight for task in plan.tasks)
        self._weights = {task.index: task.weight if known else 1.0 for task in plan.tasks}
        self._done = 0.0
        self._began = clock()

    def take(self, news: News) -> None:
        """Take note of news."""
        if news.outcome is not None:
            self.running.pop(news.index, None)
            self.ended[str(news.outcome.status)] += 1
            self._done += self._weights.get(news.index, 0.0)
        elif news.progress is not None:
            self.running[news.index] = news.progress

    @property
    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        begun = sum(self._weights[index] * _part(at) for index, at in self.running.items())
        whole = sum(self._weights.values())
        return (self._done + begun) / whole if whole else 1.0

    def left(self) -> float | None:
        """Seconds until the end, None while that cannot be told."""
        share = self.share
        return None if share < 0.02 else (self.clock() - self._began) * (1 - share) / share

    def whole(self) -> str:
        """12/24 rows, 1 failed, 3:20 left."""
        parts = [f"{sum(self.ended.values())}/{len(self.outputs)} rows"]
        parts += [f"{self.ended[status]} {status}" for status in ("skipped", "failed") if self.ended[status]]
        left = self.left()
        return ", ".join(parts if left is None else [*parts, f"{clock_time(left)} left"])

    def row(self, index: int) -> str:
        """out/a.mp4: dressing 34/120."""
        at = self.running[index]
        count = f" {at.done}/{at.total}" if at.total else f" {at.done}" if at.done else ""
        return f"{self.outputs[index]}: {at.stage}{count}"


def _part(at: Progress) -> float:
    return min(1.0, at.done / at.total) if at.stage == _DRESSING and at.total else 0.0


class PlainBoard:
    """A line every few seconds."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._last = board.clock()

    def tell(self, news: News) -> None:
        self._board.take(news)
        now = self._board.clock()
        if now - self._last >= PLAIN_INTERVAL:
            self._last = now
            rows = [self._board.row(index) for index in sorted(self._board.running)]
            with suppress(BrokenPipeError):
                typer.echo(f"vtryon: {'; '.join([self._board.whole(), *rows])}", err=True)

    def close(self) -> None:
        pass


class BarBoard:
    """A bar for the whole and a line for each running row, drawn in place; nothing is left behind."""

    def __init__(self, board: Board) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._board = board
        self._lines: dict[int, TaskID] = {}
        columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
        self._bar: RichProgress = RichProgress(*columns, console=Console(file=sys.stderr), transient=True)
        self._all = self._bar.add_task(board.whole(), total=1.0)
        self._bar.start()

    def tell(self, news: News) -> None:
        self._board.take(news)
        for index in self._lines.keys() - self._board.running.keys():
            self._bar.remove_task(self._lines.pop(index))
        for index, at in self._board.running.items():
            if index not in self._lines:
                self._lines[index] = self._bar.add_task("", total=None)
            total = at.total if at.done else None
            self._bar.update(self._lines[index], description=self._board.row(index), completed=at.done, total=total)
        self._bar.update(self._all, description=self._board.whole(), completed=self._board.share)

    def close(self) -> None:
        self._bar.stop()


def board(plan: Plan) -> BarBoard | PlainBoard:
    """The kind that fits where standard error goes."""
    on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return BarBoard(Board(plan)) if on_terminal else PlainBoard(Board(plan))
