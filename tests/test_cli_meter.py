"""Progress lines: what they say and how often."""

from __future__ import annotations

import pytest

from vtryon.cli.meter import PLAIN_INTERVAL, PlainMeter, clock_time, speed
from vtryon.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    meter = PlainMeter(clock)
    meter.show(Progress("cutting out the garment"))
    meter.show(Progress("dressing", 0, 200))
    for done in range(1, 101):
        clock.now += 0.12
        meter.show(Progress("dressing", done, 200))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "vtryon: dressing: 42/200 frames, 8.3 fps, 0:19 left",
        "vtryon: dressing: 84/200 frames, 8.3 fps, 0:14 left",
    ]


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    meter = PlainMeter(clock)
    for done in range(10):
        clock.now += PLAIN_INTERVAL / 11
        meter.show(Progress("dressing", done, 10))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("done", "total", "line"), [(60, None, "60 frames"), (60, 50, "60/50 frames")])
def test_no_promise_where_the_end_is_not_known(done: int, total: int | None, line: str) -> None:
    clock = Clock()
    meter = PlainMeter(clock)
    meter.show(Progress("dressing", 0, total))
    clock.now += 10
    assert meter.line(Progress("dressing", done, total)) == f"dressing: {line}, 6.0 fps"


def test_loading_models_does_not_count() -> None:
    clock = Clock()
    meter = PlainMeter(clock)
    meter.show(Progress("dressing", 0, 100))
    clock.now += 60
    meter.show(Progress("dressing", 1, 100))
    clock.now += 5
    assert meter.line(Progress("dressing", 11, 100)) == "dressing: 11/100 frames, 2.0 fps, 0:44 left"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")])
def test_clock_time(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


@pytest.mark.parametrize(
    ("fps", "text"), [(24.04, "24.0 fps"), (1.0, "1.0 fps"), (0.32, "3.1 s/frame"), (0, "0.0 fps")]
)
def test_speed(fps: float, text: str) -> None:
    assert speed(fps) == text


def test_other_things_than_frames_are_named() -> None:
    clock = Clock()
    meter = PlainMeter(clock)
    meter.show(Progress("training", 0, 90, unit="step"))
    clock.now += 10
    assert meter.line(Progress("training", 30, 90, unit="step")) == "training: 30/90 steps, 3.0 steps/s, 0:20 left"
    clock.now += 90
    assert meter.line(Progress("training", 40, None, unit="step")) == "training: 40 steps, 2.5 s/step"
