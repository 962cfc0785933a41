"""Progress on standard error: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import typer

from vtryon.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

PLAIN_INTERVAL = 5.0
"""Seconds between two progress lines where there is no terminal to draw a bar on."""


class Meter(Protocol):
    """Shows how far the work is."""

    def show(self, at: Progress) -> None: ...

    def close(self) -> None:
        """Take the display away; the next ``show`` brings it back."""


def meter() -> Meter:
    """The kind that fits where standard error goes."""
    return BarMeter() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else PlainMeter()


class _Pace:
    """Frames per second and time left of the current stage.

    The clock starts with the first finished frame: before it, models were loaded, which says nothing about the rest.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._stage = ""
        self._first: tuple[int, float] | None = None
        self._entered = clock()

    def enter(self, at: Progress) -> bool:
        """Take note of a report; True where a new stage begins."""
        new = at.stage != self._stage
        if new:
            self._stage, self._first, self._entered = at.stage, None, self.clock()
        if self._first is None and at.done:
            self._first = at.done, self.clock()
        return new

    def rate(self, done: int) -> float:
        first, since = self._first or (0, self._entered)
        if done == first:
            first, since = 0, self._entered
        return (done - first) / max(self.clock() - since, 1e-6)

    def left(self, at: Progress) -> float | None:
        """Seconds until the stage ends, None while that cannot be told."""
        if at.total is None or at.done < 2 or at.done > at.total:
            return None
        return (at.total - at.done) / self.rate(at.done)


class PlainMeter:
    """A line every few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = _Pace(clock)
        self._last = clock()

    def show(self, at: Progress) -> None:
        now = self._pace.clock()
        if self._pace.enter(at):
            self._last = now  # the first line of a stage comes after an interval: short work stays silent
        elif at.done and now - self._last >= PLAIN_INTERVAL:
            self._last = now
            with suppress(BrokenPipeError):
                typer.echo(f"vtryon: {self.line(at)}", err=True)

    def line(self, at: Progress) -> str:
        of = f"/{at.total}" if at.total is not None else ""
        left = self._pace.left(at)
        eta = "" if left is None else f", {clock_time(left)} left"
        return f"{at.stage}: {at.done}{of} {at.unit}s, {speed(self._pace.rate(at.done), at.unit)}{eta}"

    def close(self) -> None:
        pass


class BarMeter:
    """A bar that is drawn in place and leaves nothing behind."""

    def __init__(self) -> None:
        self._pace = _Pace()
        self._bar: RichProgress | None = None

    def show(self, at: Progress) -> None:
        if self._bar is None:
            self._bar = self._start()
        self._pace.enter(at)
        left = self._pace.left(at)
        of = f"/{at.total}" if at.total is not None else ""
        self._bar.update(
            self._bar.task_ids[0],
            description=at.stage,
            completed=at.done,
            total=at.total,
            frames=f"{at.done}{of} {at.unit}s" if at.done else "",
            rate=speed(self._pace.rate(at.done), at.unit) if at.done else "",
            eta="" if left is None else f"{clock_time(left)} left",
        )

    def _start(self) -> RichProgress:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as RichProgress

        columns = [TextColumn("{task.fields[" + name + "]}") for name in ("frames", "rate", "eta")]
        bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            console=Console(file=sys.stderr),
            transient=True,
        )
        bar.add_task("starting", total=None, frames="", rate="", eta="")
        bar.start()
        return bar

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def speed(rate: float, unit: str = "frame") -> str:
    """3.5 fps, or 3.5 steps/s; where one takes longer than a second, 2.9 s/frame."""
    if 0 < rate < 1:
        return f"{1 / rate:.1f} s/{unit}"
    return f"{rate:.1f} fps" if unit == "frame" else f"{rate:.1f} {unit}s/s"


def clock_time(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
