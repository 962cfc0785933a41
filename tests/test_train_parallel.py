"""Several processes that train one network come to what one process comes to."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtryon.device import Compute, choose
from vtryon.errors import UsageError
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.parallel import ALONE, Ranks, joined

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking with threads, Python 3.12

CONFIG = LoopConfig(steps=8, batch=8, peak_rate=0.05, warmup=0, validate_every=4, save_every=0.0)
PROCESSES = 2


def task(ranks: Ranks) -> Task:
    """A line through points; each process takes its own part of every batch."""

    def batch(_rng: np.random.Generator, count: int, step: int) -> Batch:
        x = np.random.default_rng(step).normal(size=(CONFIG.batch, 3)).astype(np.float32)
        mine = torch.from_numpy(x[ranks.rank * count : (ranks.rank + 1) * count])
        return {"x": mine, "y": mine @ torch.tensor([[1.0], [-2.0], [0.5]])}

    def loss(model: nn.Module, batch: Batch, _compute: Compute) -> dict[str, Tensor]:
        with torch.no_grad():  # as the renderer does with the frame before
            model(batch["x"])
        return {"l2": (model(batch["x"]) - batch["y"]).square().mean()}

    return Task(batch, loss, lambda _net, step: {"at": step})


def train(folder: Path, config: LoopConfig, ranks: Ranks) -> Tensor:
    torch.manual_seed(0)
    net = fit(nn.Linear(3, 1), task(ranks), config, choose("cpu"), folder, ranks=ranks)
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def work(rank: int, folder: Path, port: int, stop: int | None) -> None:
    """One process as torchrun starts it."""
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }  # fmt: skip
    with joined("cpu") as (ranks, device):
        assert (ranks, device) == (Ranks(rank, PROCESSES), "cpu")
        found = train(folder, replace(CONFIG, stop=stop), ranks)
        ranks.wait()
    torch.save(found, folder / f"{rank}.pt")


def start(folder: Path, stop: int | None = None) -> list[Tensor]:
    """The weights that each process ends with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    # forked: importing torch again takes longer than all the rest
    torch.multiprocessing.start_processes(work, (folder, port, stop), nprocs=PROCESSES, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def test_two_processes_come_to_what_one_comes_to(tmp_path: Path) -> None:
    one = train(tmp_path / "one", CONFIG, ALONE)
    two = start(tmp_path / "two")
    assert torch.equal(two[0], two[1])
    assert torch.allclose(one, two[0], atol=1e-5)
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 2  # the first one alone reports


def test_they_go_on_where_they_stopped(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")[0]
    start(tmp_path / "parts", stop=3)
    assert torch.equal(start(tmp_path / "parts")[0], whole)


def test_a_batch_is_shared_evenly_or_not_at_all() -> None:
    assert Ranks(1, 4).share(32) == 8
    with pytest.raises(UsageError, match="a batch of 6 cannot be shared by 4 processes"):
        Ranks(0, 4).share(6)


def test_processes_of_a_group_take_gpus_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="takes a GPU of its own"), joined("cuda:1"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined("cuda:1") as found:
        assert found == (ALONE, "cuda:1")
