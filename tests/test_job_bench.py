"""The benchmark: time is shared out among the stages, none is counted twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import fakes
import media
from vtryon.bench import BenchOptions, Stopwatch, measure, table
from vtryon.environment import example
from vtryon.errors import BadInputError


def test_time_belongs_to_the_innermost_stage() -> None:
    watch = Stopwatch(lambda: None)

    def slow() -> Any:
        for n in range(2):
            time.sleep(0.02)
            yield n

    began = time.perf_counter()
    for _ in watch.timed("outer", watch.timed("inner", slow())):
        time.sleep(0.01)  # nobody's
    with watch.stage("outer"):
        time.sleep(0.03)
        with watch.stage("other"):
            time.sleep(0.01)
    lap = watch.lap()
    whole = time.perf_counter() - began
    assert lap["inner"][0] == pytest.approx(0.04, abs=0.015)
    assert lap["outer"][0] == pytest.approx(0.03, abs=0.015)
    assert lap["other"][0] == pytest.approx(0.01, abs=0.01)
    assert sum(clock for clock, _ in lap.values()) < whole
    assert watch.lap() == {}


def test_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = media.make(tmp_path / "person.mp4", media.Spec(count=20))
    monkeypatch.setattr("vtryon.bench.load_garment", lambda path: fakes.garment())
    monkeypatch.setattr("vtryon.bench.try_on", fakes.try_on)
    result = measure(BenchOptions(person=clip, garment=clip, warm_up=4, frames=10))
    assert (result.frames, result.width, result.height) == (10, 96, 64)
    assert {"decode", "encode"} <= set(result.stages)
    assert 0 < result.total.p50_ms <= result.total.p95_ms
    assert result.fps > 0
    assert result.peak_memory_mb is not None
    assert result.peak_memory_mb > 10
    text = table(result)
    assert "decode" in text
    assert f"torch {result.environment.packages['torch']}" in text
    assert list(tmp_path.iterdir()) == [clip]
    with pytest.raises(BadInputError, match="only 20 frames"):
        measure(BenchOptions(person=clip, garment=clip, warm_up=30))


def test_the_examples_it_runs_on_are_there() -> None:
    assert example("person.mp4").stat().st_size > 100_000
    assert example("tshirt_red.jpg").stat().st_size > 10_000
