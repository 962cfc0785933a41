"""Packets of a file, read on after errors, and their time stamps made to rise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

_MAX_FAILURES = 16
"""Errors in a row, without a packet between them, after which reading a file is given up."""


def read_packets(container: InputContainer, *streams: Stream, failed: Callable[[], None]) -> Iterator[Packet[Any]]:
    """Packets of some streams (all if none is named) to the end of the file; ``failed`` is called for each error.

    PyAV's generator ends with the first error, but the file can be read on from there. An empty packet for each
    stream comes last: it flushes the decoder.
    """
    packets = container.demux(*streams)
    failures = 0
    while failures < _MAX_FAILURES:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            failures += 1
            failed()
            packets = container.demux(*streams)
            continue
        failures = 0
        yield packet


class RisingClock:
    """Time stamps that rise, from a stream whose own may be missing, repeat themselves or start anew.

    What rises already stays as it is. A stamp that does not gets the next free one; a stream that jumps back by more
    than a second has been joined from two, and goes on where it was. ``repaired`` counts what was changed.
    """

    def __init__(self, time_base: Fraction) -> None:
        self.repaired = 0
        self._second = max(1, round(1 / time_base))
        self._last: int | None = None
        self._offset = 0

    def read(self, stamp: int | None, step: int) -> int:
        """The next time stamp, in the stream's own units; ``stamp`` is what the stream says, ``step`` one frame."""
        last, said = self._last, stamp
        if stamp is None:
            stamp = 0 if last is None else last + step
        elif last is not None:
            stamp += self._offset
            if stamp < last - self._second:
                self._offset += last + step - stamp
                stamp = last + step
            elif stamp <= last:
                stamp = last + 1
        self.repaired += stamp != said
        self._last = stamp
        return stamp
