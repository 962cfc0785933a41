"""What may be written where: the overwrite policy, checked before any work; files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from vtryon.errors import CannotCreateError, UsageError, WriteError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class IfExists(StrEnum):
    """What to do when the output is there already. Nothing is ever asked."""

    REFUSE = "refuse"
    REPLACE = "replace"
    SKIP = "skip"


def wanted(output: Path, *, inputs: Sequence[Path], if_exists: IfExists, suffixes: Sequence[str] | None = None) -> bool:
    """Whether ``output`` is to be made; False where it exists and the policy is to skip.

    Args:
        output: the final name.
        inputs: files that are read; the output may be none of them, whatever the policy.
        suffixes: allowed file name endings, lower case with the dot; None for any.

    Raises:
        UsageError: the name does not end as it should.
        CannotCreateError: the output exists, is an input or a folder, or cannot be made where it should be.
    """
    if output.is_dir():
        raise CannotCreateError(f"{output} is a folder; name a file in it, for example {output / 'out.mp4'}")
    if suffixes is not None and output.suffix.lower() not in suffixes:
        raise UsageError(f"{output}: the name must end in {' or '.join(suffixes)}")
    if any(_same(output, given) for given in inputs):
        raise CannotCreateError(f"{output} is one of the inputs; write to another name")
    if output.exists():
        if if_exists is IfExists.SKIP:
            return False
        if if_exists is IfExists.REFUSE:
            raise CannotCreateError(f"{output} exists; -y overwrites it, -n leaves it and does nothing")
    folder = output.absolute().parent
    if not folder.is_dir():
        raise CannotCreateError(f"{output}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotCreateError(f"{output}: the folder {folder} is not writable")
    return True


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of ``path``; renamed to it when the body ends well, removed when it does not.

    Raises:
        CannotCreateError: the folder refuses new files.
        WriteError: the disk is full or broke while the body wrote.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.absolute().parent)
    except OSError as problem:
        raise CannotCreateError(f"{path}: cannot write there ({problem.strerror})") from problem
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WriteError(f"{path}: the disk is full; nothing was written") from problem
        raise WriteError(f"{path}: writing failed ({problem.strerror or problem}); nothing was written") from problem
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
