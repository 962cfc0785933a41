"""Which row is worked on when, by how many workers, and what becomes of rows whose worker is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from vtryon.batch.pool import run_here
from vtryon.batch.process import Report, Worker
from vtryon.batch.queue import TaskQueue
from vtryon.batch.resources import available_memory, cores, more_on_gpu, more_that_fit, resident
from vtryon.batch.rows import News, Outcome, Row, Status, Task
from vtryon.cache import Cache
from vtryon.job import RunOptions
from vtryon.progress import Progress

GB = 10**9
DONE = Outcome(Status.DONE)
FAILED = Outcome(Status.FAILED, error="no", code=65)
CROWDED = Outcome(Status.FAILED, error="out of memory", code=1, crowded=True)


def task(index: int, person: str = "a") -> Task:
    row = Row(f"row {index}", person, "g", f"{index}.mp4", RunOptions(Path(), Path(), Path()))
    return Task(index, row, "", person, False, 1.0)


def tasks(persons: str) -> list[Task]:
    return [task(index, person) for index, person in enumerate(persons)]


def taken(queue: TaskQueue) -> int | None:
    found = queue.take()
    return None if found is None else found.index


def test_rows_of_a_person_wait_for_the_analysis() -> None:
    given = tasks("aaabb")
    queue = TaskQueue(given)
    assert [taken(queue) for _ in range(3)] == [0, 3, None]
    queue.analysed(given[3])
    assert [taken(queue) for _ in range(2)] == [4, None]
    queue.analysed(given[0])
    queue.analysed(given[0])
    queue.ended(given[0])
    assert len(queue) == 2
    assert [taken(queue) for _ in range(3)] == [1, 2, None]
    assert len(queue) == 0


def test_another_row_leads_where_the_first_failed() -> None:
    given = tasks("aaa")
    queue = TaskQueue(given)
    assert taken(queue) == 0
    queue.ended(given[0])
    assert [taken(queue), taken(queue)] == [1, None]
    queue.analysed(given[1])
    assert taken(queue) == 2


def test_a_row_that_is_given_back_comes_again() -> None:
    given = tasks("ab")
    queue = TaskQueue(given)
    assert [taken(queue), taken(queue)] == [0, 1]
    queue.again(given[0])  # its analysis was not made
    queue.analysed(given[1])
    queue.again(given[1])  # its analysis was
    assert len(queue) == 2
    assert sorted([taken(queue), taken(queue)]) == [0, 1]
    assert taken(queue) is None


def test_memory_decides_how_many_fit() -> None:
    assert more_that_fit([GB], GB, 10 * GB) == 8  # a quarter is left as a margin
    assert more_that_fit([GB, GB // 2], GB, 3 * GB) == 2  # the second will grow
    assert more_that_fit([GB, GB], GB, GB) == 0
    assert more_that_fit([GB // 4, GB // 4], GB, GB) < 0
    assert more_on_gpu(2, free=12 * GB, total=16 * GB) == 4
    assert more_on_gpu(1, free=GB, total=16 * GB) == 0


def test_a_container_limits_cores_and_memory(tmp_path: Path) -> None:
    assert cores(tmp_path) >= 1
    free = available_memory(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert cores(tmp_path) == cores(tmp_path / "nothing")
    assert available_memory(tmp_path) == pytest.approx(free, rel=0.2)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 600000\ninactive_file 50000\n")
    assert cores(tmp_path) == 1
    assert available_memory(tmp_path) == 150_000


def test_memory_of_a_process() -> None:
    import os

    assert resident(os.getpid()) > 10**6
    assert resident(2**30) == 0


Act = Callable[["Actor", Task], None]


class Actor(Worker):
    """A worker without a process: what it says when it is given a task is a test's to decide."""

    act: Act
    size = GB
    all: list[Actor]

    def __init__(self, cache: Cache) -> None:
        self.connection, self.theirs = Pipe()
        self.task: Task | None = None
        self.warm = False
        self.peak = self.rss = 0
        self.gpu = None
        self.exitcode = 0
        Actor.all.append(self)

    def give(self, task: Task) -> None:
        self.task = task
        Actor.act(self, task)

    def say(self, what: Any) -> None:
        self.theirs.send(what)

    def die(self, code: int) -> None:
        self.exitcode = code
        self.theirs.close()

    @property
    def process(self) -> Any:
        return self

    def join(self, timeout: float) -> None:
        pass

    def measure(self) -> None:
        self.rss = self.peak = self.size

    @staticmethod
    def stop_all(workers: list[Any]) -> None:
        for worker in workers:
            worker.connection.close()


class Stage:
    """Runs batches with actors; ``most`` worked at a time."""

    def __init__(self) -> None:
        self.most = 0
        self.began: list[int] = []
        self.ended: dict[int, Outcome] = {}

    def play(self, act: Act, given: list[Task], **options: Any) -> dict[int, Outcome]:
        def watched(worker: Actor, task: Task) -> None:
            self.began.append(task.index)
            self.most = max(self.most, sum(other.task is not None for other in Actor.all if not other.theirs.closed))
            act(worker, task)

        Actor.act = staticmethod(watched)  # type: ignore[method-assign, assignment]
        run_here(given, self._tell, cache=Cache(Path()), **options)
        return self.ended

    def _tell(self, news: News) -> None:
        if news.outcome is not None:
            assert news.index not in self.ended
            self.ended[news.index] = news.outcome


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    Actor.all = []
    monkeypatch.setattr("vtryon.batch.pool.Worker", Actor)
    monkeypatch.setattr("vtryon.batch.pool._TICK", 0.01)
    monkeypatch.setattr("vtryon.batch.pool.cores", lambda: 8)
    monkeypatch.setattr("vtryon.batch.pool.available_memory", lambda: 100 * GB)
    yield Stage()
    for worker in Actor.all:
        worker.theirs.close()


def done(worker: Actor, _: Task) -> None:
    worker.say(Report(Progress("dressing", 3, 9)))
    worker.say(DONE)


def test_every_row_is_done_once(stage: Stage) -> None:
    ended = stage.play(done, tasks("aabbccdd"), jobs=3)
    assert ended == dict.fromkeys(range(8), DONE)
    assert sorted(stage.began) == list(range(8))
    assert stage.most == 3
    assert len(Actor.all) == 3


def test_auto_takes_the_cores_once_it_knows_the_memory(stage: Stage) -> None:
    stage.play(done, tasks("abcdefghijkl"))
    assert len(Actor.all) == 8


def test_auto_begins_with_one(stage: Stage) -> None:
    began_alone: list[int] = []

    def first(worker: Actor, task: Task) -> None:
        if not any(other.warm for other in Actor.all):
            began_alone.append(task.index)
        done(worker, task)

    stage.play(first, tasks("abcd"))
    assert began_alone == [0]


def test_auto_keeps_within_memory(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtryon.batch.pool.available_memory", lambda: (7 - len(Actor.all)) * GB)
    stage.play(done, tasks("abcdefghijkl"))
    assert 5 <= len(Actor.all) <= 6  # a gigabyte each of seven, and a margin


def test_auto_shares_a_gpu_as_far_as_its_memory_goes(stage: Stage) -> None:
    def on_gpu(worker: Actor, _: Task) -> None:
        worker.say(Report(Progress("dressing", 3, 9), gpu=((8 - 2 * len(Actor.all)) * GB, 8 * GB)))
        worker.say(DONE)

    stage.play(on_gpu, tasks("abcdefghijkl"))
    assert 2 <= len(Actor.all) <= 3


def test_out_of_memory_is_tried_again_with_fewer_beside(stage: Stage) -> None:
    tried: dict[int, int] = {}

    def act(worker: Actor, task: Task) -> None:
        tried[task.index] = tried.get(task.index, 0) + 1
        worker.say(CROWDED if task.index == 2 and tried[2] == 1 else DONE)

    ended = stage.play(act, tasks("abcdef"), jobs=3)
    assert ended == dict.fromkeys(range(6), DONE)
    assert tried[2] == 2


def test_out_of_memory_even_so_is_a_failure(stage: Stage) -> None:
    ended = stage.play(lambda worker, task: worker.say(CROWDED if task.index == 1 else DONE), tasks("abc"), jobs=2)
    assert ended == {0: DONE, 1: CROWDED, 2: DONE}
    assert stage.began.count(1) == 2


def test_a_row_whose_worker_is_killed_is_tried_again(stage: Stage) -> None:
    def act(worker: Actor, task: Task) -> None:
        if task.index == 1 and stage.began.count(1) == 1:
            worker.die(-9)
        else:
            worker.say(DONE)

    assert stage.play(act, tasks("abc"), jobs=2) == dict.fromkeys(range(3), DONE)


def test_a_row_that_kills_its_workers_fails(stage: Stage) -> None:
    def act(worker: Actor, task: Task) -> None:
        if task.index == 1:
            worker.die(-11)
        else:
            worker.say(DONE)

    ended = stage.play(act, tasks("abc"), jobs=2)
    assert ended[1].error == "the worker process was killed by SIGSEGV"
    assert (ended[0], ended[2]) == (DONE, DONE)


def test_fail_fast_begins_nothing_after_a_failure(stage: Stage) -> None:
    ended = stage.play(
        lambda worker, task: worker.say(FAILED if task.index == 1 else DONE), tasks("abcd"), jobs=1, fail_fast=True
    )
    assert ended == {0: DONE, 1: FAILED}
    assert stage.began == [0, 1]


def test_the_person_is_analysed_by_one_worker_while_the_others_wait(stage: Stage) -> None:
    order: list[str] = []

    def act(worker: Actor, task: Task) -> None:
        order.append(f"begin {task.index}")
        if task.index == 0:
            worker.say(Report(Progress("analysing the person", 1, 9)))
            assert order == ["begin 0"]
            worker.say(Report(Progress("dressing", 0, 9)))
        worker.say(DONE)

    assert len(stage.play(act, tasks("aaaa"), jobs=4)) == 4
    assert order[0] == "begin 0"
