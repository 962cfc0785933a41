"""Which row next: rows of one person wait until one of them has made the analysis, then run side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vtryon.batch.rows import Task


class TaskQueue:
    """The tasks that nobody works on yet.

    The first task of a person leads: the others of that person are held back until it says that the analysis is made.
    Persons whose analysis is there come before new ones, so that few analyses are in use at a time.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._waiting: dict[str, deque[Task]] = {}
        for task in tasks:
            self._waiting.setdefault(task.person, deque()).append(task)
        self._new = deque(self._waiting)
        self._ready: deque[str] = deque()
        self._leading: dict[str, int] = {}
        self._count = len(tasks)

    def __len__(self) -> int:
        return self._count

    def take(self) -> Task | None:
        """The next task; None where there is none or all wait for an analysis."""
        while self._ready and not self._waiting[self._ready[0]]:
            self._ready.popleft()
        if self._ready:
            person = self._ready[0]
        elif self._new:
            person = self._new.popleft()
            self._leading[person] = self._waiting[person][0].index
        else:
            return None
        self._count -= 1
        return self._waiting[person].popleft()

    def analysed(self, task: Task) -> None:
        """The analysis of the task's person is made; may be said more than once."""
        if self._leading.get(task.person) == task.index:
            del self._leading[task.person]
            self._ready.append(task.person)

    def ended(self, task: Task) -> None:
        """The task is at its end. If it led and made no analysis, another one leads."""
        if self._leading.get(task.person) == task.index:
            del self._leading[task.person]
            if self._waiting[task.person]:
                self._new.appendleft(task.person)

    def again(self, task: Task) -> None:
        """A task that was taken has to be done once more."""
        self._waiting[task.person].appendleft(task)
        self._count += 1
        self.ended(task)
        if task.person not in self._leading and task.person not in self._new and task.person not in self._ready:
            self._ready.append(task.person)
