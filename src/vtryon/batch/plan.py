"""What there is to do before anything is done: what is finished already, what is in the way, what shares its work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from vtryon import __version__, weights
from vtryon.batch import places
from vtryon.batch.estimate import Estimator
from vtryon.batch.record import Standing, standing
from vtryon.batch.rows import Outcome, Row, Status, Task
from vtryon.errors import BadInputError, CannotCreateError, VtryonError
from vtryon.outputs import IfExists
from vtryon.progress import Progress, Report, silent

_NOT_OF_THE_PICTURE = ("person", "garment", "back", "output", "if_exists", "max_pixels", "cache", "save_person")
"""Options on which the output does not depend; the files count by what is in them."""


@dataclass(frozen=True)
class Plan:
    """``tasks`` are to be worked on; ``settled`` has the outcome of all other rows, by their place in ``rows``;
    ``seconds`` is what the tasks will take one after the other, None where nothing tells."""

    rows: tuple[Row, ...]
    tasks: tuple[Task, ...]
    settled: Mapping[int, Outcome]
    seconds: float | None


def check(rows: Sequence[Row]) -> None:
    """Refuse a batch in which outputs collide with each other or with inputs.

    Raises:
        BadInputError: two rows have one output; an output is an input or lies in a folder of inputs.
    """
    folders = {places.folder_of(place): place for row in rows for place in row.inputs}
    seen: dict[str, Row] = {}
    for row in rows:
        output = places.join(places.folder_of(row.output), places.name_of(row.output))
        if output in seen:
            raise BadInputError(f"{row.where}: {row.output} is the output of {seen[output].where} too")
        seen[output] = row
        beside = folders.get(places.folder_of(row.output))
        if beside is not None:
            raise BadInputError(
                f"{row.where}: the output {row.output} lies in the folder of the input {beside}; name another folder, "
                "else the next batch takes outputs for inputs"
            )


def make_plan(rows: Sequence[Row], estimator: Estimator, progress: Report = silent) -> Plan:
    """Look at every input and output once. A row with an input that cannot be read is settled as failed."""
    identities: dict[str, str | VtryonError] = {}
    made_by = {"version": __version__, **weights.listing()}
    people: set[str] = set()
    tasks: list[Task] = []
    settled: dict[int, Outcome] = {}
    for index, row in enumerate(rows):
        progress(Progress("looking at what is there", index, len(rows), unit="row"))
        try:
            person, *garments = (_identity(place, identities) for place in row.inputs)
            fingerprint = _digest(made_by, person, garments, row)
            outcome, replace = _settle(row, fingerprint)
        except VtryonError as problem:
            settled[index] = Outcome.failed(problem)
            continue
        if outcome is not None:
            settled[index] = outcome
            continue
        key = f"{person} {row.options.start} {row.options.end} {row.options.device}"
        weight = estimator.seconds(row, shared=key in people)
        people.add(key)
        tasks.append(Task(index, row, fingerprint, key, replace, weight))
    known = all(task.weight for task in tasks)
    return Plan(tuple(rows), tuple(tasks), settled, sum(task.weight for task in tasks) if known else None)


def _identity(place: str, known: dict[str, str | VtryonError]) -> str:
    if place not in known:
        try:
            known[place] = places.identity(place)
        except VtryonError as problem:
            known[place] = problem
    found = known[place]
    if isinstance(found, VtryonError):
        raise found
    return found


def _digest(made_by: Mapping[str, str], person: str, garments: Sequence[str], row: Row) -> str:
    options = {k: v for k, v in asdict(row.options).items() if k not in _NOT_OF_THE_PICTURE}
    about = {"by": made_by, "person": person, "garments": garments, "options": options, "preview": row.preview}
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def _settle(row: Row, fingerprint: str) -> tuple[Outcome | None, bool]:
    """The outcome of a row that needs no work, and whether the work may replace what is there."""
    found, record = standing(row.output, fingerprint)
    if found is Standing.FINISHED and record is not None:
        return Outcome(Status.SKIPPED, frames=record.frames, seconds=record.seconds), False
    policy = row.options.if_exists
    if found is Standing.NOTHING or policy is IfExists.REPLACE:
        return None, found is not Standing.NOTHING
    if policy is IfExists.SKIP:
        return Outcome(Status.SKIPPED), False
    why = "was made from other inputs or with other options" if found is Standing.OTHER else "is not of this batch"
    raise CannotCreateError(f"{row.output} exists and {why}; -y overwrites it, -n leaves it")
