"""The rows of a batch on the cores of this machine, as many at a time as there is memory for."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import wait

from vtryon.batch.process import DRESSING, Worker
from vtryon.batch.queue import TaskQueue
from vtryon.batch.resources import available_memory, cores, more_on_gpu, more_that_fit
from vtryon.batch.rows import News, Outcome, Status, Task, Tell
from vtryon.cache import Cache

_TICK = 0.5
"""Seconds between two looks at the memory."""

_ATTEMPTS = 2
"""How often a row is tried whose worker dies or runs out of memory."""


def run_here(
    tasks: Sequence[Task], tell: Tell, *, cache: Cache, jobs: int | None = None, fail_fast: bool = False
) -> None:
    """Work on all tasks, ``jobs`` at a time; None: as many as there are cores, and memory for.

    Every task's outcome is told; with ``fail_fast`` those after the first failure are not begun and told nothing.
    Whatever ends this function, no worker outlives it.
    """
    pool = _Pool(tasks, tell, cache, jobs, fail_fast)
    try:
        pool.run()
    finally:
        Worker.stop_all(pool.workers)


class _Pool:
    def __init__(self, tasks: Sequence[Task], tell: Tell, cache: Cache, jobs: int | None, fail_fast: bool) -> None:
        self.workers: list[Worker] = []
        self._queue = TaskQueue(tasks)
        self._tell, self._cache, self._fail_fast = tell, cache, fail_fast
        self._asked = jobs
        self._ceiling = max(1, min(jobs or cores(), len(tasks)))
        self._peak = 0
        self._attempts: dict[int, int] = {}
        self._failed = False

    def run(self) -> None:
        while not self._finished():
            self._feed()
            for ready in wait([worker.connection for worker in self.workers], timeout=_TICK):
                self._hear(next(worker for worker in self.workers if worker.connection is ready))
            for worker in self.workers:
                worker.measure()
                self._peak = max(self._peak, worker.peak)
        if not self._failed or not self._fail_fast:
            Worker.dismiss_all(self.workers)

    def _finished(self) -> bool:
        if self._fail_fast and self._failed:
            return True
        return not len(self._queue) and not any(worker.task for worker in self.workers)

    def _feed(self) -> None:
        """Give idle workers tasks, and start more workers, up to the limit."""
        limit = self._limit()
        while self._busy() < limit:
            task = self._queue.take()
            if task is None:
                return
            idle = next((worker for worker in self.workers if worker.task is None), None)
            if idle is None:
                idle = Worker(self._cache)
                self.workers.append(idle)
            idle.give(task)

    def _busy(self) -> int:
        return sum(worker.task is not None for worker in self.workers)

    def _limit(self) -> int:
        """How many may work now. Unless told, one until it has shown what memory it takes, then as many as fit."""
        if self._asked is not None or not self.workers:
            return self._ceiling if self._asked is not None else 1
        if not any(worker.warm for worker in self.workers):
            return 1
        more = more_that_fit([worker.rss for worker in self.workers], self._peak, available_memory())
        on_gpu = [worker.gpu for worker in self.workers if worker.gpu is not None]
        if on_gpu:
            more = min(more, more_on_gpu(len(on_gpu), *min(on_gpu)))
        return max(1, min(self._ceiling, len(self.workers) + more))

    def _hear(self, worker: Worker) -> None:
        said = worker.receive()
        task = worker.task
        if said is None:
            self.workers.remove(worker)
            worker.connection.close()
            if task is not None:
                why, crowded = worker.obituary()
                self._end(task, Outcome(Status.FAILED, error=why, code=1, crowded=crowded), died=True)
        elif task is None:
            raise AssertionError("a worker without a task has nothing to say")
        elif isinstance(said, Outcome):
            worker.task = None
            self._end(task, said)
        else:
            if said.stage == DRESSING:
                self._queue.analysed(task)
            self._tell(News(task.index, progress=said))

    def _end(self, task: Task, outcome: Outcome, *, died: bool = False) -> None:
        """Take note of how a task ended, or have it done again where that may end better."""
        if outcome.crowded:
            self._ceiling = max(1, min(self._ceiling, self._busy()))
        attempts = self._attempts[task.index] = self._attempts.get(task.index, 0) + 1
        if (died or outcome.crowded) and attempts < _ATTEMPTS:
            self._queue.again(task)
            return
        if outcome.status is Status.DONE:
            self._queue.analysed(task)
        self._queue.ended(task)
        self._failed = self._failed or outcome.status is Status.FAILED
        self._tell(News(task.index, outcome=outcome))
