"""A whole batch: the tasks of a plan worked on, here or on a cluster; every row has an outcome at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vtryon.batch import places
from vtryon.batch.plan import Plan
from vtryon.batch.record import Standing, standing
from vtryon.batch.rows import News, Outcome, Status, Task, Tell
from vtryon.batch.staging import sweep
from vtryon.cache import STAGING, Cache
from vtryon.errors import VtryonError

STOPPED = Outcome(Status.STOPPED, error="not done, the batch was stopped before")


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is worked on.

    ``jobs`` rows at a time, None for as many as there are cores and memory for; ``ray`` the address of a cluster that
    does the work in place of this machine (``auto``: the one that runs here); ``fail_fast`` stops at the first
    failure.
    """

    cache: Cache
    jobs: int | None = None
    ray: str | None = None
    fail_fast: bool = False


Note = Callable[[int, Outcome], None]
"""What is called once for each row, with its place and its outcome."""


def run_batch(plan: Plan, options: BatchOptions, *, note: Note, tell: Tell = lambda _: None) -> list[Outcome]:
    """Work on the tasks of a plan; the outcomes of all rows, in their order.

    ``note`` is called once for each row, settled ones first; ``tell`` with everything on the way. Where something
    else ends the batch (Ctrl-C), the rows that are not done are noted as stopped, and what was begun is removed.

    Raises:
        UnavailableError: Ray is not installed, or there is no cluster at the address.
    """
    outcomes: dict[int, Outcome] = {}
    begun: set[int] = set()

    def end(index: int, outcome: Outcome) -> None:
        outcomes[index] = outcome
        note(index, outcome)
        tell(News(index, outcome=outcome))

    def hear(news: News) -> None:
        if news.outcome is not None:
            end(news.index, news.outcome)
        else:
            begun.add(news.index)
            tell(news)

    for index, outcome in sorted(plan.settled.items()):
        end(index, outcome)
    folders = _homes(plan, options.cache)
    failed = any(outcome.status is Status.FAILED for outcome in outcomes.values())
    try:
        if plan.tasks and not (failed and options.fail_fast):
            _sweep(folders)
            _work(plan, options, hear)
    finally:
        _sweep(folders)
        for task in plan.tasks:
            if task.index not in outcomes:
                end(task.index, _finished(task) if task.index in begun else STOPPED)
    return [outcomes[index] for index in range(len(plan.rows))]


def _finished(task: Task) -> Outcome:
    """The outcome of a row that was being worked on at the end: it may have been finished and not told so."""
    try:
        found, record = standing(task.row.output, task.fingerprint)
    except VtryonError:
        return STOPPED
    if found is not Standing.FINISHED or record is None:
        return STOPPED
    return Outcome(Status.DONE, frames=record.frames, seconds=record.seconds)


def _work(plan: Plan, options: BatchOptions, tell: Tell) -> None:
    if options.ray is None:
        from vtryon.batch.pool import run_here

        run_here(plan.tasks, tell, cache=options.cache, jobs=options.jobs, fail_fast=options.fail_fast)
    else:
        from vtryon.batch.cluster import run_on_cluster

        run_on_cluster(plan.tasks, tell, address=options.ray, share=options.jobs, fail_fast=options.fail_fast)


def _homes(plan: Plan, cache: Cache) -> set[Path]:
    """The folders in which outputs are made."""
    here = {places.folder_of(task.row.output) for task in plan.tasks if not places.is_remote(task.row.output)}
    return {Path(folder) for folder in here} | {cache.folder / STAGING}


def _sweep(folders: set[Path]) -> None:
    for folder in folders:
        sweep(folder)
