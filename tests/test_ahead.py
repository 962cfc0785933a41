"""What is made ahead comes in order, is bounded, raises where it would have, and ends when nobody wants it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator

import pytest

from vtryon.ahead import ahead


class Made:
    """Counts upwards; knows how many numbers were made, by which threads, and whether it was closed."""

    def __init__(self, upto: int, fails_at: int | None = None) -> None:
        self.upto, self.fails_at = upto, fails_at
        self.count, self.closed, self.threads = 0, False, set[int]()

    def numbers(self) -> Iterator[int]:
        try:
            for n in range(self.upto):
                self.threads.add(threading.get_ident())
                if n == self.fails_at:
                    raise ValueError("cannot count further")
                self.count += 1
                yield n
        finally:
            self.closed = True


def wait_for(made: Made, count: int) -> None:
    until = time.monotonic() + 5
    while made.count < count and time.monotonic() < until:
        time.sleep(0.002)


@pytest.mark.parametrize("count", [1, 3, 50])
def test_all_come_in_order_from_another_thread(count: int) -> None:
    made = Made(20)
    assert list(ahead(made.numbers(), count)) == list(range(20))
    assert made.closed
    assert threading.get_ident() not in made.threads


def test_no_more_than_asked_for_are_made_ahead() -> None:
    made = Made(100)
    coming = ahead(made.numbers(), 3)
    assert next(coming) == 0
    wait_for(made, 4)
    time.sleep(0.05)
    assert made.count == 4, "one handed out, three waiting"
    coming.close()


def test_what_goes_wrong_is_told_when_its_turn_comes() -> None:
    coming = ahead(Made(10, fails_at=4).numbers(), 3)
    assert [next(coming) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="cannot count"):
        next(coming)


def test_closed_early_it_closes_what_it_takes_from() -> None:
    made = Made(100)
    threads = threading.active_count()
    coming = ahead(made.numbers(), 3)
    next(coming)
    coming.close()
    assert made.closed
    assert made.count < 10
    assert threading.active_count() == threads
    with pytest.raises(StopIteration):
        next(coming)


def test_plain_iterators_serve_too() -> None:
    assert list(ahead(iter("abc"), 2)) == ["a", "b", "c"]
    assert list(ahead(iter(()), 2)) == []


def test_left_to_the_garbage_collector_in_the_thread_itself() -> None:
    """An abandoned generator may be closed by whichever thread collects it; the maker cannot wait for itself."""
    made = Made(100)
    box = [ahead(made.numbers(), 2)]
    next(box[0])
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        yield 0
        box.pop().close()
        closed.set()
        yield 1

    assert list(ahead(numbers(), 1)) == [0, 1]
    assert closed.is_set()
    holder: list[Generator[int]] = []

    def closes_itself() -> Iterator[int]:
        yield 0
        holder.pop().close()

    holder.append(ahead(closes_itself(), 1))
    assert next(holder[0]) == 0
    until = time.monotonic() + 5
    while holder and time.monotonic() < until:
        time.sleep(0.002)
    assert not holder
    until = time.monotonic() + 5
    while any(thread.name == "ahead" for thread in threading.enumerate()) and time.monotonic() < until:
        time.sleep(0.002)
    assert not any(thread.name == "ahead" for thread in threading.enumerate())


def test_a_program_ends_though_something_is_left_open() -> None:
    code = (
        "from vtryon.ahead import ahead\n"
        "def numbers():\n    try:\n        yield from range(100)\n    finally:\n        print('closed', flush=True)\n"
        "left = ahead(numbers(), 2)\nprint(next(left), flush=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["0", "closed"], "")
