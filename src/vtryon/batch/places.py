"""Where rows read from and write to: files here, or addresses that fsspec knows (``s3://``, ``gs://``, ``https://``).

A remote input is copied into the cache and used from there; a remote output is made in the cache's folder and sent.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from vtryon.cache import Cache
from vtryon.errors import CannotCreateError, MissingInputError, UnavailableError, UsageError, WriteError
from vtryon.outputs import beside
from vtryon.reuse import file_digest


def is_remote(place: str) -> bool:
    """Whether it is an address and no file name."""
    return "://" in place


def name_of(place: str) -> str:
    """The last part, with its ending."""
    return PurePosixPath(place).name if is_remote(place) else Path(place).name


def stem_of(place: str) -> str:
    return Path(name_of(place)).stem


def folder_of(place: str) -> str:
    """What the place lies in, absolute: the same text for the same folder."""
    return place.rpartition("/")[0] if is_remote(place) else str(Path(place).resolve().parent)


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


def absolute(place: str) -> str:
    """The place as any process names it, wherever it is started."""
    return place if is_remote(place) else os.path.abspath(place)


def matches(pattern: str) -> list[str]:
    """The files that a name with ``*``, ``?``, ``[...]`` or ``**`` stands for, in order.

    Raises:
        MissingInputError: there are none.
    """
    if is_remote(pattern):
        with _remote(pattern, MissingInputError) as (system, path):
            found = [str(system.unstrip_protocol(hit)) for hit in system.glob(path)]
    else:
        found = [hit for hit in glob.glob(pattern, recursive=True) if os.path.isfile(hit)]
    if not found:
        raise MissingInputError(f"{pattern}: no such files; check the pattern (and quote it, for the shell)")
    return sorted(found)


def identity(place: str) -> str:
    """What tells a change of an input: the SHA-256 of a file; for an address, what its store says of the object.

    Raises:
        MissingInputError: it is not there or cannot be read.
    """
    if not is_remote(place):
        return file_digest(Path(place))
    with _remote(place, MissingInputError) as (system, path):
        system.info(path)  # raises where there is no such object
        return hashlib.sha256(f"{place} {system.ukey(path)}".encode()).hexdigest()


def fetched(place: str, cache: Cache, into: Path) -> Path:
    """The input as a file: itself, or a copy (a link to the cache's) in the folder ``into``.

    Raises:
        MissingInputError: it is not there or cannot be read.
        CannotCreateError, WriteError: there is no room for the copy.
    """
    if not is_remote(place):
        return Path(place)

    def make(entry: Path) -> None:
        with beside(entry) as temporary, _remote(place, MissingInputError) as (system, path):
            system.get_file(path, str(temporary))

    def read(entry: Path) -> Path:
        copy = into / f"{len(list(into.iterdir()))}-{name_of(place)}"
        try:
            os.link(entry, copy)
        except OSError:
            shutil.copyfile(entry, copy)
        return copy

    return cache.get("inputs", identity(place), make=make, read=read)


def size_of(place: str) -> int | None:
    """Bytes at a place; None where there is nothing."""
    if not is_remote(place):
        path = Path(place)
        return path.stat().st_size if path.is_file() else None
    with _remote(place, CannotCreateError) as (system, name), suppress(FileNotFoundError):
        return int(system.info(name)["size"])
    return None


def read_small(place: str) -> bytes | None:
    """All of a small file; None where there is none that can be read."""
    if not is_remote(place):
        with suppress(OSError):
            return Path(place).read_bytes()
        return None
    with _remote(place, CannotCreateError) as (system, path), suppress(FileNotFoundError):
        return bytes(system.cat_file(path))
    return None


def send(files: list[tuple[Path, str]]) -> None:
    """Put files to addresses, one after the other; whatever is at the last one is removed first.

    So the last one, the output, never stands beside a record that is not its own.

    Raises:
        WriteError: the store refuses or breaks off.
    """
    last = files[-1][1]
    with _remote(last, WriteError) as (system, path):
        if system.exists(path):
            system.rm_file(path)
    for file, place in files:
        with _remote(place, WriteError) as (system, path):
            system.makedirs(folder_of(path), exist_ok=True)
            system.put_file(str(file), path)


@contextmanager
def _remote(place: str, kind: type[MissingInputError | CannotCreateError | WriteError]) -> Iterator[tuple[Any, str]]:
    """The file system of an address and the path in it; what goes wrong there is an error of ``kind``.

    Raises:
        UnavailableError: fsspec, or what it needs for this protocol, is not installed.
        UsageError: no such protocol.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as problem:
        raise UnavailableError(
            f'{place}: addresses want fsspec; pip install fsspec (or vtryon with its extra "remote")'
        ) from problem
    try:
        system, path = url_to_fs(place)
    except ImportError as problem:
        raise UnavailableError(f"{place}: {problem}") from problem
    except ValueError as problem:
        raise UsageError(f"{place}: {problem}") from problem
    try:
        yield system, path
    except FileNotFoundError as problem:
        if kind is not MissingInputError:
            raise
        raise MissingInputError(f"{place}: there is no such object; check the address") from problem
    except (OSError, ValueError, RuntimeError) as problem:
        raise kind(f"{place}: {type(problem).__name__}: {problem}") from problem
