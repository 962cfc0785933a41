"""Work done ahead, by a thread beside the caller's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL = 0.2  # seconds between looks whether the program has ended


def ahead(items: Iterator[T], count: int, start_with: Callable[[], object] = object) -> Generator[T]:
    """The same items in the same order, up to ``count`` (at least 1) of them made while the caller is busy with others.

    The thread that makes them first calls ``start_with``. What making them raises is raised when their turn comes.
    Closed early, this waits for the item that is being made, and closes ``items`` if that can be closed.
    """
    maker = _Maker(items, count, start_with)
    maker.start()
    try:
        while (made := maker.made.get()) is not None:
            maker.wanted.release()
            yield made[0]
        if maker.problem is not None:
            raise maker.problem
    finally:
        maker.leave()


class _Maker(threading.Thread, Generic[T]):
    """Puts items into ``made``, each in a tuple, at most as many as are ``wanted``; None is the end of them."""

    def __init__(self, items: Iterator[T], count: int, start_with: Callable[[], object]) -> None:
        super().__init__(name="ahead")
        self.made: SimpleQueue[tuple[T] | None] = SimpleQueue()
        self.wanted = threading.Semaphore(count)
        self.problem: BaseException | None = None
        self._items, self._start_with = items, start_with
        self._left = False

    def run(self) -> None:
        try:
            self._make()
        except BaseException as problem:
            self.problem = problem
        finally:
            self.made.put(None)

    def _make(self) -> None:
        end = object()
        try:
            self._start_with()
            while self._is_wanted() and (item := next(self._items, end)) is not end:
                self.made.put((item,))  # type: ignore[arg-type]
        finally:
            if isinstance(self._items, Generator):
                self._items.close()

    def _is_wanted(self) -> bool:
        """Wait until one more is; False where no more will be. A program that ends without having closed what it took
        from waits for its threads: they must not wait for it."""
        while not self.wanted.acquire(timeout=_POLL):
            if not threading.main_thread().is_alive():
                return False
        return not self._left

    def leave(self) -> None:
        """Make no more. The garbage collector may call this from the thread itself, which cannot wait for itself."""
        self._left = True
        self.wanted.release()
        if threading.current_thread() is not self:
            self.join()
