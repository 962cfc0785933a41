"""Work done ahead, by a thread beside the caller's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], count: int, start_with: Callable[[], object] = object) -> Generator[T]:
    """The same items in the same order, up to ``count`` (at least 1) of them made while the caller is busy with others.

    The thread that makes them first calls ``start_with``.

    What making them raises is raised when their turn comes. Closed early, this waits for the item that is being made,
    and closes ``items`` if that can be closed.
    """
    end = object()
    with ThreadPoolExecutor(1, "ahead") as worker:

        def one_more() -> Future[object]:
            return worker.submit(next, items, end)

        worker.submit(start_with)
        coming = deque(one_more() for _ in range(count))
        try:
            while (item := coming.popleft().result()) is not end:
                coming.append(one_more())
                yield item  # type: ignore[misc]
        finally:
            for item_to_come in coming:
                item_to_come.cancel()
            if isinstance(items, Generator):
                worker.submit(items.close).result()
