"""The rows of a batch on a Ray cluster. Ray places the work, moves the analyses and repeats what a lost worker did.

Each person becomes one task that gives the analysis as an object of the cluster, and each row a task that wants that
object: Ray runs it where the object is when it can, and makes the object again when the machine that had it is lost.
A row that is repeated looks first whether it was finished.
"""

from __future__ import annotations

import logging
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from vtryon import reuse
from vtryon.batch import places
from vtryon.batch.process import single_thread, throttled
from vtryon.batch.rows import News, Outcome, Row, Status, Task, Tell
from vtryon.batch.staging import staging
from vtryon.batch.work import work
from vtryon.cache import STAGING, Cache
from vtryon.errors import UnavailableError, VtryonError
from vtryon.progress import Progress, silent

_TICK = 0.5
"""Seconds between two looks at the progress."""

_PATIENCE = 10.0
"""Seconds that rows get to clean up when they are cancelled."""

_PENDING = 4
"""Rows handed to Ray ahead, as a multiple of the cluster's cores: enough that no core waits, and a batch of a million
does not fill the driver's memory."""


def run_on_cluster(
    tasks: Sequence[Task], tell: Tell, *, address: str, share: int | None = None, fail_fast: bool = False
) -> None:
    """Work on all tasks and tell their outcomes; with ``fail_fast`` those after the first failure are cancelled.

    Args:
        address: of the cluster, ``auto`` for the one that runs on this machine.
        share: rows that share one GPU, where the rows name a CUDA device.

    Raises:
        UnavailableError: Ray is not installed, or there is no cluster at the address.
    """
    with _connected(address) as ray:
        _Driver(ray, tasks, tell, share or 1, fail_fast).run()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster; a connection that is there already is used, and left."""
    try:
        import ray
    except ImportError as problem:
        raise UnavailableError('--ray wants Ray; pip install ray (or vtryon with its extra "ray")') from problem
    if ray.is_initialized():
        yield ray
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as problem:
        raise UnavailableError(
            f"--ray {address}: no cluster there ({problem}); start one with: ray start --head"
        ) from problem
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, before)  # Ray puts one of its own there
    try:
        yield ray
    finally:
        ray.shutdown()


class _Board:
    """Where the rows are: an actor that workers write to and the driver reads."""

    def __init__(self) -> None:
        self._news: dict[int, Progress] = {}

    def put(self, index: int, progress: Progress) -> None:
        self._news[index] = progress

    def take(self) -> dict[int, Progress]:
        news, self._news = self._news, {}
        return news


class _Driver:
    def __init__(self, ray: Any, tasks: Sequence[Task], tell: Tell, share: int, fail_fast: bool) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._tell, self._share, self._fail_fast = ray, tell, share, fail_fast
        self._tasks = [replace(task, row=_anywhere(task.row)) for task in tasks]
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._board = ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self._analyses: dict[str, Any] = {}
        self._pending: dict[Any, Task] = {}
        self._failed = False

    def run(self) -> None:
        waiting = deque(sorted(self._tasks, key=lambda task: (task.person, task.index)))
        most = max(8, _PENDING * int(self._ray.cluster_resources().get("CPU", 1)))
        try:
            while (waiting or self._pending) and not (self._fail_fast and self._failed):
                if waiting and len(self._pending) < most:
                    self._submit(waiting.popleft())
                else:
                    self._hear()
        finally:
            self._cancel()

    def _submit(self, task: Task) -> None:
        gpus = 1 / self._share if task.row.options.device.startswith("cuda") else 0
        if task.person not in self._analyses and task.row.preview is None:
            # only the person at hand: an object lives as long as somebody may want it
            self._analyses = {task.person: self._ray.remote(_analysis).options(num_gpus=gpus).remote(task)}
        run = self._ray.remote(_row).options(num_gpus=gpus)
        self._pending[run.remote(task, self._analyses.get(task.person), self._board)] = task

    def _hear(self) -> None:
        """Wait a moment for rows to end and tell what there is to tell."""
        ended, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=_TICK)
        with suppress(self._ray.exceptions.RayError):  # progress is worth no failure
            for index, progress in self._ray.get(self._board.take.remote(), timeout=_TICK).items():
                self._tell(News(index, progress=progress))
        for reference in ended:
            task = self._pending.pop(reference)
            try:
                outcome: Outcome = self._ray.get(reference)
            except self._ray.exceptions.RayError as problem:
                why = str(problem).strip().splitlines()[0]
                outcome = Outcome(Status.FAILED, error=f"its workers died ({type(problem).__name__}: {why})", code=1)
            self._failed = self._failed or outcome.status is Status.FAILED
            self._tell(News(task.index, outcome=outcome))

    def _cancel(self) -> None:
        """Stop the rows that are not done; they remove what they had begun."""
        for reference in self._pending:
            self._ray.cancel(reference)
        if self._pending:
            self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=_PATIENCE)


def _anywhere(row: Row) -> Row:
    """The row with names that mean the same in every working folder."""
    person, garment, output = (places.absolute(place) for place in (row.person, row.garment, row.output))
    back = None if row.back is None else places.absolute(row.back)
    return replace(row, person=person, garment=garment, output=output, back=back)


def _analysis(task: Task) -> tuple[str, bytes] | Outcome:
    """On a worker: the analysis of the task's person, or the outcome of all rows that want it."""
    cache, row = Cache.of_user(), task.row
    single_thread()
    try:
        with staging(cache.folder / STAGING) as own:
            person = places.fetched(row.person, cache, own)
            return reuse.packed_people(cache, replace(row.options, person=person), silent)
    except VtryonError as problem:
        return Outcome.failed(problem)


def _row(task: Task, analysis: tuple[str, bytes] | Outcome | None, board: Any) -> Outcome:
    """On a worker: one row, with the analysis that another worker has made."""
    if isinstance(analysis, Outcome):
        return analysis
    single_thread()
    cache = Cache.of_user()
    if analysis is not None:
        with suppress(VtryonError):  # then the row does without
            reuse.unpack_people(cache, *analysis)
    return work(task, cache, throttled(lambda at: board.put.remote(task.index, at), interval=1.0))
