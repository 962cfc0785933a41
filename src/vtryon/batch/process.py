"""A worker: a process that works on one row after the other and says where it is. What runs in it, and its handle."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, NoReturn

from vtryon.batch.resources import resident
from vtryon.batch.rows import Outcome, Task
from vtryon.batch.work import work
from vtryon.cache import Cache
from vtryon.progress import Progress

_INTERVAL = 0.25
"""Seconds between two reports of one stage."""

_PATIENCE = 10.0
"""Seconds that a worker gets to clean up when it is stopped."""

DRESSING = "dressing"
"""The stage of a job that begins when the analysis of the person is there."""


@dataclass(frozen=True)
class Report:
    """What a worker sends on the way; ``gpu`` free and all bytes of the GPU it uses, None where it uses none."""

    progress: Progress
    gpu: tuple[int, int] | None = None


def throttled(tell: Callable[[Progress], None], interval: float = _INTERVAL) -> Callable[[Progress], None]:
    """Reports at most every ``interval`` seconds, but every new stage and its first step at once."""
    last, stage = 0.0, ""

    def report(at: Progress) -> None:
        nonlocal last, stage
        now = time.monotonic()
        if at.stage != stage or at.done == 1 or now - last >= interval:
            last, stage = now, at.stage
            tell(at)

    return report


def serve(connection: Connection, cache: Cache, level: int) -> None:
    """The body of the process: take tasks until None comes; messages from ``level`` on go to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    logging.basicConfig(format="vtryon: %(message)s")
    logging.getLogger("vtryon").setLevel(level)
    threading.Thread(target=_follow_parent, daemon=True).start()
    single_thread()
    report = throttled(lambda at: connection.send(Report(at, _gpu_memory())))
    while (task := connection.recv()) is not None:
        connection.send(work(task, cache, report))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def single_thread() -> None:
    """One row, one core: cheapest where there are many rows, and the numbers are the same however many run beside.

    Sums in another order differ in the last bit, and OpenCV's flow cuts the picture into as many strips as threads.
    """
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _leave(signum: int, _: FrameType | None) -> NoReturn:
    signal.signal(signum, signal.SIG_DFL)
    sys.exit(128 + signum)  # by unwinding, so that nothing is left behind


def _follow_parent() -> None:
    """A parent that was killed can stop nobody: end as if it had."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _gpu_memory() -> tuple[int, int] | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    return int(free), int(total)


class Worker:
    """The parent's handle of a worker process.

    ``task`` is what it works on, None while it is idle; ``warm`` whether it has dressed a few frames, so that it takes
    about as much memory as it will; ``peak`` the most bytes it was seen to take; ``gpu`` as in :class:`Report`.
    """

    def __init__(self, cache: Cache) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks, not the threads
        self.connection, theirs = context.Pipe()
        level = logging.getLogger("vtryon").getEffectiveLevel()
        self.process = context.Process(target=serve, args=(theirs, cache, level), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.warm = False
        self.peak = 0
        self.rss = 0
        self.gpu: tuple[int, int] | None = None

    def give(self, task: Task) -> None:
        """Let it work on a task; a worker that has died is found out by :meth:`receive`."""
        self.task = task
        with suppress(OSError):
            self.connection.send(task)

    def receive(self) -> Progress | Outcome | None:
        """What it says; None where it has died.

        The connection must be ready (:func:`multiprocessing.connection.wait`).
        """
        try:
            said = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_PATIENCE)
            return None
        if isinstance(said, Outcome):
            self.warm = True
            return said
        assert isinstance(said, Report)
        self.gpu = said.gpu
        self.warm = self.warm or (said.progress.stage == DRESSING and said.progress.done > 2)
        return said.progress

    def measure(self) -> None:
        """Look at the memory that it takes now."""
        self.rss = resident(self.process.pid or 0)
        self.peak = max(self.peak, self.rss)

    def obituary(self) -> tuple[str, bool]:
        """How it died, in words, and whether it may have been for want of memory."""
        code = self.process.exitcode or 0
        if code >= 0:
            return f"the worker process ended by itself (exit code {code})", False
        name = signal.Signals(-code).name
        hint = ", perhaps because memory ran out; a smaller --jobs may help" if -code == signal.SIGKILL else ""
        return f"the worker process was killed by {name}{hint}", -code == signal.SIGKILL

    @staticmethod
    def dismiss_all(workers: list[Worker]) -> None:
        """Let idle workers go."""
        for worker in workers:
            with suppress(OSError):
                worker.connection.send(None)
        for worker in workers:
            worker.process.join(_PATIENCE)

    @staticmethod
    def stop_all(workers: list[Worker]) -> None:
        """End those that still run, whatever they do; they remove what they had begun."""
        for worker in workers:
            if worker.process.is_alive():
                worker.process.terminate()
        until = time.monotonic() + _PATIENCE
        for worker in workers:
            worker.process.join(max(0.1, until - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
