"""What a user sees while a batch works."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from vtryon.batch.plan import Plan
from vtryon.batch.rows import News, Outcome, Row, Status, Task
from vtryon.cli.board import BarBoard, Board, PlainBoard
from vtryon.job import RunOptions
from vtryon.progress import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plan(*weights: float) -> Plan:
    """Rows out/0.mp4, out/1.mp4, ... of so many seconds; a weight of None is a settled row."""
    rows = tuple(
        Row(f"row {n}", "p", "g", f"out/{n}.mp4", RunOptions(Path(), Path(), Path())) for n in range(len(weights))
    )
    tasks = tuple(Task(n, rows[n], "", "p", False, weight) for n, weight in enumerate(weights))
    return Plan(rows, tasks, {}, sum(weights))


def at(index: int, stage: str, done: int = 0, total: int | None = None) -> News:
    return News(index, progress=Progress(stage, done, total))


def end(index: int, status: Status = Status.DONE) -> News:
    return News(index, outcome=Outcome(status))


def test_the_time_left_goes_by_the_work_left() -> None:
    clock = Clock()
    board = Board(plan(10, 30, 40), clock)
    assert board.whole() == "0/3 rows"
    clock.now = 20
    board.take(end(0))
    board.take(at(1, "dressing", 5, 15))
    assert board.whole() == "1/3 rows, 1:00 left"  # 10 and a third of 30, of 80, took 20 s
    assert board.row(1) == "out/1.mp4: dressing 5/15"
    board.take(at(1, "analysing the person", 7))
    assert board.row(1) == "out/1.mp4: analysing the person 7"
    clock.now = 40
    board.take(end(1, Status.FAILED))
    assert board.whole() == "2/3 rows, 1 failed, 0:40 left"
    board.take(end(2, Status.SKIPPED))
    assert board.whole() == "3/3 rows, 1 skipped, 1 failed, 0:00 left"


def test_rows_of_unknown_length_count_alike() -> None:
    clock = Clock()
    board = Board(plan(0, 0, 30, 30), clock)
    clock.now = 10
    board.take(end(0))
    assert board.whole() == "1/4 rows, 0:30 left"


def test_lines_come_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    plain = PlainBoard(Board(plan(10, 10), clock))
    for second in range(12):
        clock.now = second
        plain.tell(at(0, "dressing", second, 20))
    assert capsys.readouterr().err.splitlines() == [
        "vtryon: 0/2 rows, 0:35 left; out/0.mp4: dressing 5/20",
        "vtryon: 0/2 rows, 0:30 left; out/0.mp4: dressing 10/20",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_show_the_whole_and_each_running_row(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    clock = Clock()
    bars = BarBoard(Board(plan(10, 10, 10), clock))
    clock.now = 5
    bars.tell(at(0, "dressing", 10, 20))
    bars.tell(at(1, "cutting out the garment"))
    bars._bar.refresh()
    shown = terminal.getvalue()
    for text in ("0/3 rows, 0:25 left", "out/0.mp4: dressing 10/20", "out/1.mp4: cutting out the garment"):
        assert text in shown
    terminal.truncate(0)
    bars.tell(end(0))
    bars._bar.refresh()
    assert "out/0.mp4" not in terminal.getvalue().rsplit("rows", 1)[-1]
    assert "1/3 rows" in terminal.getvalue()
    bars.close()
