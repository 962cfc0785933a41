"""Batches made beside the training: by a thread, or by processes of their own where a thread is too slow for a GPU.

What is in a batch depends on seed, step and process alone, so neither changes any number.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset

from vtryon.errors import UnavailableError
from vtryon.train.parallel import Ranks

if TYPE_CHECKING:
    from vtryon.train.loop import Batch, LoopConfig, Task


def seed_of(config: LoopConfig, step: int, ranks: Ranks) -> list[int]:
    """Of everything random in a step: one process alone must see what it has always seen."""
    return [config.seed, step] if ranks.first else [config.seed, step, ranks.rank]


@dataclass(frozen=True, eq=False)
class _Steps(Dataset["Batch"]):
    """This process's share of the batch of every step, by the step's number."""

    task: Task
    config: LoopConfig
    ranks: Ranks

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng(seed_of(self.config, step, self.ranks))
        return self.task.batch(rng, self.ranks.share(self.config.batch), step)


def batches(task: Task, config: LoopConfig, start: int, ranks: Ranks) -> Generator[Batch]:
    """The batches of the steps from ``start`` to the end of the run, in order; a few are made ahead.

    Raises:
        UnavailableError: processes are asked for and cannot be forked here.
    """
    steps, made = range(start, config.last), _Steps(task, config, ranks)
    return _by_processes(made, steps, config.workers) if config.workers else _by_thread(made, steps)


def _by_thread(made: _Steps, steps: range) -> Generator[Batch]:
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(made.__getitem__, steps.start) if steps else None
        for step in steps:
            assert coming is not None
            batch = coming.result()
            if step + 1 < steps.stop:
                coming = ahead.submit(made.__getitem__, step + 1)
            yield batch


def _by_processes(made: _Steps, steps: range, workers: int) -> Generator[Batch]:
    if "fork" not in multiprocessing.get_all_start_methods():
        raise UnavailableError("--workers: this system cannot fork processes; leave it out")
    yield from DataLoader(
        made,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        multiprocessing_context="fork",  # what makes batches holds open networks and functions of functions
        worker_init_fn=_alone,
    )


def _alone(_number: int) -> None:
    """A worker is one of many: it keeps to one thread, as the loader has told torch already."""
    cv2.setNumThreads(0)
