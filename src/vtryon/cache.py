"""What was worked out once and is wanted again: a folder of entries named by what they were made from.

Entries are whole files, made beside their name and renamed, so several processes and machines may share a folder.
Whoever wants an entry that is not there makes it under a lock; others wait for it. Nothing in the folder is trusted:
an entry that cannot be read for what it should be is removed and made anew. When the folder grows above its limit,
the entries that have not been used for the longest time go.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vtryon.errors import BadInputError, CannotCreateError, MissingInputError, UsageError

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLDER = "VTRYON_CACHE"
"""Environment variable that names another folder."""

LIMIT = "VTRYON_CACHE_SIZE"
"""Environment variable with another limit: bytes, or a number with KB, MB, GB or TB."""

DEFAULT_LIMIT = 20 * 10**9

KINDS = ("people", "garments", "inputs", "clips", "laid")
"""Analyses of people, prepared garments, copies of remote inputs; of data sets: clips, and garments laid on them."""

STAGING = "staging"
"""The sub-folder in which remote outputs are made, before they are sent."""

_RECENT = 60.0
"""Seconds after its last use for which an entry is not removed: somebody may be about to open it."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)


@dataclass(frozen=True)
class Kept:
    """How many entries of a kind there are, and their size in bytes."""

    entries: int
    bytes: int


@dataclass(frozen=True)
class Cache:
    """Entries in ``folder``, at most ``limit`` bytes of them (more only while they are just being made)."""

    folder: Path
    limit: int = DEFAULT_LIMIT

    @classmethod
    def of_user(cls) -> Cache:
        """The folder and limit of the environment, else the user's cache folder and ``DEFAULT_LIMIT``.

        Raises:
            UsageError: the limit is no size.
        """
        from platformdirs import user_cache_path

        named = os.environ.get(FOLDER)
        size = os.environ.get(LIMIT)
        return cls(Path(named) if named else user_cache_path("vtryon"), parse_size(size) if size else DEFAULT_LIMIT)

    def get(self, kind: str, key: str, *, make: Callable[[Path], object], read: Callable[[Path], T]) -> T:
        """What ``read`` makes of the entry; where there is none that it accepts, ``make`` writes it first.

        Args:
            kind: one of ``KINDS``.
            key: hexadecimal digest of everything that the entry depends on.
            make: writes the file, whole or not at all (:func:`vtryon.outputs.beside`).
            read: raises BadInputError or MissingInputError where the file is not what it should be; it checks all
                of it that it does not read at once.

        Raises:
            CannotCreateError: the folder cannot be written.
            VtryonError: what ``make`` raises.
        """
        path = self.folder / kind / key[:2] / key
        found = _accepted(path, read)
        if found is None:
            with self._locked(kind, key):
                found = _accepted(path, read)  # another process may have made it while this one waited
                if found is None:
                    _make_room(path)
                    make(path)
                    found = (read(path),)
                    self.shrink()
        return found[0]

    def holds(self, kind: str, key: str) -> bool:
        """Whether there is such an entry; reading it may still show that it is damaged."""
        return (self.folder / kind / key[:2] / key).is_file()

    def contents(self) -> Mapping[str, Kept]:
        """What is kept, by kind."""
        found = {kind: list(self._entries(kind)) for kind in KINDS}
        return {kind: Kept(len(entries), sum(size for _, size, _ in entries)) for kind, entries in found.items()}

    def clear(self) -> int:
        """Remove everything that is kept; gives the number of bytes freed. Work that is going on is not disturbed."""
        freed = sum(kept.bytes for kept in self.contents().values())
        for kind in (*KINDS, "locks"):
            shutil.rmtree(self.folder / kind, ignore_errors=True)
        return freed

    def shrink(self) -> None:
        """Remove what was not used for the longest time until the limit is kept."""
        entries = sorted((used, size, path) for kind in KINDS for path, size, used in self._entries(kind))
        total = sum(size for _, size, _ in entries)
        for used, size, path in entries:
            if total <= self.limit or time.time() - used < _RECENT:
                return
            with suppress(OSError):  # on Windows an open file cannot be removed
                path.unlink()
                total -= size
                log.debug("cache: removed %s, %d bytes, to keep the limit", path, size)

    def _entries(self, kind: str) -> Iterator[tuple[Path, int, float]]:
        """Path, size in bytes and time of last use."""
        for path in (self.folder / kind).glob("*/*"):
            with suppress(OSError):  # it may go while we look
                about = path.stat()
                yield path, about.st_size, about.st_mtime

    @contextmanager
    def _locked(self, kind: str, key: str) -> Iterator[None]:
        from filelock import FileLock

        lock = self.folder / "locks" / f"{kind}-{key}"
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(lock).acquire()
        except OSError as problem:
            raise CannotCreateError(f"{self.folder}: the cache cannot be written ({problem.strerror})") from problem
        with held:
            yield


def parse_size(text: str) -> int:
    """Bytes from ``500MB`` or ``20 GB``.

    Raises:
        UsageError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a size; write a number of bytes or 500MB, 20GB")
    return int(float(found[1]) * 1000 ** " KMGT".index(found[2].upper() or " "))


def _accepted(path: Path, read: Callable[[Path], T]) -> tuple[T] | None:
    """What ``read`` gives, in a tuple; None, and no entry, where there is no entry that it accepts."""
    try:
        os.utime(path)
        return (read(path),)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (BadInputError, MissingInputError, OSError) as problem:
        log.debug("cache: %s is not used and made anew: %s", path, problem)
        with suppress(OSError):
            path.unlink()
        return None


def _make_room(path: Path) -> None:
    """Make the entry's folder; remove what a process that was killed while it made this entry has left."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)
    except OSError as problem:
        raise CannotCreateError(f"{path.parent}: the cache cannot be written ({problem.strerror})") from problem
