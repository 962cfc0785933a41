"""Folders in which outputs are made before they get their names; what a killed process leaves is told from work.

Each folder holds a lock as long as its process lives, whatever way that ends; a folder whose lock is free is left over.
The lock works between machines where the file system's locks do (local disks, NFS 4, Lustre).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vtryon.errors import CannotCreateError

PREFIX = ".vtryon-batch-"

_LOCK = ".lock"


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new folder of our own in ``folder``, which is made where it is not there; gone with all in it at the end.

    Raises:
        CannotCreateError: ``folder`` cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = None
        while lock is None:
            own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
            with suppress(Timeout, FileNotFoundError):  # swept in the moment before it was locked
                lock = FileLock(own / _LOCK).acquire(timeout=0)
    except OSError as problem:
        raise CannotCreateError(f"{folder}: cannot write there ({problem.strerror or problem})") from problem
    try:
        with lock:
            yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def sweep(folder: Path) -> int:
    """Remove what killed processes have left in ``folder``; how many folders that were."""
    swept = 0
    for left in folder.glob(PREFIX + "*"):
        try:
            with FileLock(left / _LOCK).acquire(timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except (Timeout, OSError):  # somebody works there, or has just finished
            continue
        swept += 1
    return swept
