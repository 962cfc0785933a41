"""How much fits: cores and memory that are free here, within what a container allows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")

MARGIN = 1.25
"""Memory that is set aside for one more worker, as a multiple of the most that any worker has needed."""


def cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may use."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        count = os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdecimal() and period.strip().isdecimal():
        count = min(count, max(1, int(quota) // int(period)))
    return count


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that can be taken without swapping."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = _read(cgroup / "memory.max").strip(), _read(cgroup / "memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        pages = dict(line.split() for line in _read(cgroup / "memory.stat").splitlines())
        free = min(free, int(limit) - int(used) + int(pages.get("inactive_file", 0)))
    return free


def more_that_fit(used: Sequence[int], peak: int, available: int) -> int:
    """How many workers can be added, negative where there are too many.

    Args:
        used: bytes that each worker takes now.
        peak: the most bytes that any of them has taken; the others will grow to it.
        available: bytes that are free now.
    """
    promised = sum(max(0, peak - now) for now in used)
    return int((available - promised) // (MARGIN * peak))


def more_on_gpu(workers: int, free: int, total: int) -> int:
    """The same for a GPU: what is taken there is shared out among the workers that use it."""
    return int(free // (MARGIN * max(1, (total - free) / max(1, workers))))


def resident(pid: int) -> int:
    """Bytes of memory that a process takes, 0 where it has gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
