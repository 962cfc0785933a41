"""One row, whole: inputs fetched, the job done in a folder of its own, record and output put in their places."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vtryon import job
from vtryon.batch import places
from vtryon.batch.record import SUFFIX, Record, Standing, standing
from vtryon.batch.rows import Outcome, Status, Task
from vtryon.batch.staging import staging
from vtryon.cache import STAGING, Cache
from vtryon.errors import CannotCreateError, VtryonError, WriteError
from vtryon.job import RunResult
from vtryon.outputs import IfExists
from vtryon.progress import Report


def work(task: Task, cache: Cache, progress: Report) -> Outcome:
    """Make the output of a row; whatever goes wrong is in the outcome.

    A row that another process has finished in the meantime is done: so a row may be worked on more than once.
    """
    try:
        found, record = standing(task.row.output, task.fingerprint)
        if found is Standing.FINISHED and record is not None:
            return Outcome(Status.DONE, frames=record.frames, seconds=record.seconds)
        if found is not Standing.NOTHING and not task.replace:
            raise CannotCreateError(f"{task.row.output} was made by somebody else meanwhile; -y overwrites it")
        result = _make(task, cache, progress)
    except VtryonError as problem:
        return Outcome.failed(problem)
    except Exception as problem:
        return Outcome(
            Status.FAILED,
            error=" ".join(f"unexpected {type(problem).__name__}: {problem}".split()),
            code=1,
            crowded=_memory_ran_out(problem),
        )
    return Outcome(Status.DONE, frames=result.frames, seconds=result.seconds, warnings=result.warnings)


def _make(task: Task, cache: Cache, progress: Report) -> RunResult:
    row = task.row
    remote = places.is_remote(row.output)
    home = cache.folder / STAGING if remote else Path(row.output).resolve().parent
    names: dict[str, str] = {}
    with staging(home) as own, _named(names):

        def fetched(place: str) -> Path:
            file = places.fetched(place, cache, own)
            names[str(file)] = place
            return file

        made = own / places.name_of(row.output)
        names[str(made)] = row.output
        options = replace(
            row.options,
            person=fetched(row.person),
            garment=fetched(row.garment),
            back=None if row.back is None else fetched(row.back),
            output=made,
            if_exists=IfExists.REPLACE,
            encode=None if row.options.encode is None else replace(row.options.encode, threads=1),
            cache=cache,
        )
        if row.preview is None:
            result = job.run(options, progress=progress)
        else:
            result = job.preview(options, row.preview, progress=progress)
        record = own / (made.name + SUFFIX)
        _write(record, Record.of(result, task.fingerprint).text())
        if remote:
            places.send([(record, row.output + SUFFIX), (made, row.output)])
        else:
            _publish([record, made], home)
    return replace(result, warnings=tuple(_renamed(line, names) for line in result.warnings))


@contextmanager
def _named(names: Mapping[str, str]) -> Iterator[None]:
    """Errors about the files that are worked with speak of the places that the user has named."""
    try:
        yield
    except VtryonError as problem:
        raise type(problem)(_renamed(str(problem), names)) from problem


def _renamed(line: str, names: Mapping[str, str]) -> str:
    for file, place in names.items():
        line = line.replace(file, place)
    return line


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as problem:
        raise WriteError(f"{path}: writing failed ({problem.strerror}); nothing was written") from problem


def _publish(files: list[Path], folder: Path) -> None:
    try:
        for file in files:
            target = (folder / file.name).resolve()  # a link stays a link, its target is replaced
            os.replace(file, target)
    except OSError as problem:
        raise WriteError(f"{folder / file.name}: cannot be put there ({problem.strerror})") from problem


def _memory_ran_out(problem: Exception) -> bool:
    """Whether memory of the machine or of its GPU was too small for all that is going on."""
    return isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError"
