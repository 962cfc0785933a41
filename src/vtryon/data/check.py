"""What is in a data set, what would have to be computed, and what is broken: without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vtryon.data.tree import FootageKind, Sample, Tree
from vtryon.errors import VtryonError

PARTS = ("pose", "parsing", "flow")


@dataclass(frozen=True)
class SplitReport:
    """Counts of one split: ``clips`` footage of people, whatever kind; ``frames`` of them (None for videos, which are
    not decoded here); ``paired`` and ``unpaired`` samples; ``garments`` different ones; ``given`` how many clips bring
    each of ``PARTS``, the others' are computed."""

    clips: int
    frames: int | None
    paired: int
    unpaired: int
    garments: int
    given: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TreeReport:
    """What :func:`check_tree` finds: counts by split, and a line for each fault, the first ones of ``faults``."""

    root: Path
    layout: str
    splits: dict[str, SplitReport]
    faults: int
    first: tuple[str, ...]


def check_tree(tree: Tree, *, first: int = 5, report: Callable[[int, int], None] | None = None) -> TreeReport:
    """Look at every file of a data set as far as its header; ``first`` faults are named.

    ``report`` is told how many clips have been looked at, and of how many.
    """
    faults = list(tree.broken)
    clips: dict[tuple[str, str], Sample] = {}
    for sample in tree.samples:
        clips.setdefault((sample.split, sample.person_id), sample)
    frames: dict[tuple[str, str], int | None] = {}
    for n, (name, sample) in enumerate(clips.items(), 1):
        frames[name], wrong = _look(sample)
        faults += wrong
        if report is not None:
            report(n, len(clips))
    for garment in sorted({s.garment for s in tree.samples}):
        faults += _picture(garment)
    faults = list(dict.fromkeys(faults))  # a clip may be in both splits
    splits = {split: _split(tree, split, clips, frames) for split in tree.splits}
    return TreeReport(tree.root, str(tree.layout), splits, len(faults), tuple(faults[:first]))


def _split(
    tree: Tree, split: str, clips: dict[tuple[str, str], Sample], frames: dict[tuple[str, str], int | None]
) -> SplitReport:
    samples = tree.select(split)
    mine = [sample for (of, _), sample in clips.items() if of == split]
    counts = [count for (of, _), count in frames.items() if of == split]
    known = [count for count in counts if count is not None]
    return SplitReport(
        clips=len(mine),
        frames=sum(known) if len(known) == len(counts) else None,
        paired=sum(s.paired for s in samples),
        unpaired=sum(not s.paired for s in samples),
        garments=len({s.garment for s in samples}),
        given={part: sum(getattr(s, part) is not None for s in mine) for part in PARTS},
    )


def _look(sample: Sample) -> tuple[int | None, list[str]]:
    """Number of frames (None: a video's are not counted), and what is wrong with a clip."""
    if sample.person.kind == FootageKind.VIDEO:
        return None, _video(sample.person.path)
    try:
        pictures = sample.person.pictures()
    except VtryonError as problem:
        return 0, [str(problem)]
    if not pictures:
        return 0, [f"{sample.person.path}: no frames in this folder"]
    wrong, size = [], None
    for path in pictures:
        found = _size(path)
        if isinstance(found, str):
            wrong.append(found)
        elif size not in (None, found):
            wrong.append(f"{path}: {found[0]} x {found[1]} px, the frames before it have another size")
        else:
            size = found
    return len(pictures), wrong


def _size(path: Path) -> tuple[int, int] | str:
    """Width and height of a picture, or what is wrong with it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.size
    except UnidentifiedImageError:
        return f"{path}: not a picture"
    except OSError as problem:
        return f"{path}: cannot be read ({problem.strerror or problem})"


def _picture(path: Path) -> list[str]:
    found = _size(path)
    return [found] if isinstance(found, str) else []


def _video(path: Path) -> list[str]:
    from vtryon.video import probe

    try:
        probe(path)
    except VtryonError as problem:
        return [str(problem)]
    return []


def table(found: TreeReport) -> str:
    """The report for people."""
    lines = [f"{found.root}: {found.layout}"]
    for name, split in found.splits.items():
        frames = "" if split.frames is None else f" of {_counted(split.frames, 'frame')}"
        lines.append(f"  {name}: {_counted(split.clips, 'clip')}{frames}, {_counted(split.garments, 'garment')}")
        lines.append(f"    pairs: {split.paired} in the garment that is worn, {split.unpaired} in another")
        for part in PARTS:
            given = split.given[part]
            told = "all given" if given == split.clips else f"{given} given, {split.clips - given} to be computed"
            lines.append(f"    {part}: {told if given else 'none given, to be computed'}")
    lines.append(f"  broken: {found.faults or 'nothing'}")
    lines += [f"    {line}" for line in found.first]
    if found.faults > len(found.first):
        lines.append(f"    ... and {found.faults - len(found.first)} more")
    return "\n".join(lines)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
