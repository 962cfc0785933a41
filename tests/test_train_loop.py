"""The loop that trains all networks: it learns, stops and goes on as if it had not stopped."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtryon.device import Compute, choose
from vtryon.errors import BadInputError, UnavailableError
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.record import record

CONFIG = LoopConfig(steps=12, batch=8, peak_rate=0.05, warmup=3, validate_every=6, save_every=0.0, seed=3)
CPU = choose("cpu")


class Line(nn.Module):
    """y = a x + b behind a normalisation, so that there are buffers to keep too."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.line = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.line(self.norm(x))
        return out


def net() -> Line:
    torch.manual_seed(0)
    return Line()


def task(fail_at: int | None = None) -> Task:
    def batch(rng: np.random.Generator, count: int, step: int) -> Batch:
        if step == fail_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(rng.normal(size=(count, 2)).astype(np.float32))
        return {"x": x, "y": 3 * x[:, :1] - x[:, 1:]}

    def loss(model: nn.Module, batch: Batch, _compute: Compute) -> dict[str, Tensor]:
        return {"l1": (model(batch["x"]) - batch["y"]).abs().mean()}

    def validate(model: nn.Module, step: int) -> dict[str, float]:
        return {"weight": float(next(model.parameters()).sum()), "training": float(model.training), "at": step}

    return Task(batch, loss, validate)


def test_it_learns_and_reports(tmp_path: Path) -> None:
    seen: list[float] = []
    config = replace(CONFIG, steps=150)
    fit(net(), task(), config, CPU, tmp_path, lambda _step, mean: seen.append(mean["l1"]))
    assert seen[-1] < 0.4 * seen[0]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(6, 151, 6))
    assert all(line["training"] == 0 and line["at"] == line["step"] for line in lines)


def test_a_resumed_run_ends_exactly_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = fit(net(), task(), CONFIG, CPU, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(net(), task(fail_at=7), CONFIG, CPU, tmp_path / "parts")
    resumed = fit(net(), task(), CONFIG, CPU, tmp_path / "parts")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    first = fit(net(), task(), CONFIG, CPU, tmp_path)
    again = fit(net(), task(fail_at=12), CONFIG, CPU, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    fit(net(), task(), CONFIG, CPU, tmp_path)
    with pytest.raises(BadInputError, match="another network"):
        fit(Line(5), task(), CONFIG, CPU, tmp_path)


def test_the_rate_warms_up_and_decays() -> None:
    config = LoopConfig(steps=100, peak_rate=1.0, warmup=10, final_rate=0.01)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] < 0.02


def test_a_run_may_end_before_its_schedule_does(tmp_path: Path) -> None:
    short = replace(CONFIG, stop=5)
    assert (short.last, replace(CONFIG, stop=500).last, CONFIG.last) == (5, 12, 12)
    fit(net(), task(), short, CPU, tmp_path / "parts")
    whole, parts = net(), net()
    fit(whole, task(), CONFIG, CPU, tmp_path / "whole")
    fit(parts, task(), CONFIG, CPU, tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_the_log_is_a_table_too(tmp_path: Path) -> None:
    fit(net(), task(), CONFIG, CPU, tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["6", "12"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [float(row["loss.l1"]) for row in rows] == [line["loss"]["l1"] for line in lines]
    assert float(rows[0]["rate"]) == CONFIG.rate(5)


def test_a_table_has_a_column_for_what_comes_later(tmp_path: Path) -> None:
    record(tmp_path, {"step": 1, "loss": {"a": 1.0}})
    record(tmp_path, {"step": 2, "loss": {"a": 2.0, "b": 3.0}})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss.a,loss.b", "1,1.0,", "2,2.0,3.0"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning", "ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_number(tmp_path: Path, workers: int) -> None:
    one, other = net(), net()
    fit(one, task(), CONFIG, CPU, tmp_path / "thread")
    fit(other, task(), replace(CONFIG, workers=workers, stop=7), CPU, tmp_path / "processes")
    fit(other, task(), replace(CONFIG, workers=workers), CPU, tmp_path / "processes")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_without_forking_there_are_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(UnavailableError, match="--workers"):
        fit(net(), task(), replace(CONFIG, workers=1), CPU, tmp_path)
