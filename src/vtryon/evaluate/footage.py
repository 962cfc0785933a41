"""What is scored: results matched by name with their truth and their source, and brought to one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vtryon.data import Footage, FootageKind, Sample, read_frames
from vtryon.data.tree import PICTURES, VIDEOS, footage_in
from vtryon.errors import BadInputError, MissingInputError
from vtryon.types import Array, Frame
from vtryon.video import probe

_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Item:
    """One try-on to be scored: ``result`` None where the model is to make it from ``source`` and ``garment``."""

    name: str
    result: Footage | None
    truth: Footage | None
    source: Footage | None
    garment: Path | None = None

    @property
    def is_clip(self) -> bool:
        """Whether time passes in it."""
        return self.footage.kind != FootageKind.PICTURE

    @property
    def footage(self) -> Footage:
        """The result, or what it is to be made from."""
        if (known := self.result or self.source) is None:
            raise ValueError(f"{self.name}: neither result nor source")
        return known


@dataclass(frozen=True)
class View:
    """How footage is looked at: ``size`` (height, width), None as it is; ``frames`` the first so many, None all."""

    size: tuple[int, int] | None = None
    frames: int | None = None

    def read(self, footage: Footage) -> Iterator[Frame]:
        """The frames that count, at the size at which they count."""
        return islice(map(self.seen, read_frames(footage)), self.frames)

    def count(self, footage: Footage) -> int | None:
        """About how many frames :meth:`read` will give; None where the file does not tell."""
        frames = len(footage.pictures())
        if footage.kind == FootageKind.VIDEO:
            estimate = probe(footage.path).frames_estimate
            if estimate is None:
                return self.frames
            frames = estimate
        return frames if self.frames is None else min(frames, self.frames)

    def seen(self, frame: Frame) -> Frame:
        """A frame at the size at which it counts."""
        return replace(frame, rgb=resized(frame.rgb, self.size))


def resized(rgb: Array, size: tuple[int, int] | None) -> Array:
    """A picture at ``size`` (height, width): mean of the pixels covered where it shrinks, bilinear where it grows."""
    if size is None or rgb.shape[:2] == size:
        return rgb
    way = cv2.INTER_AREA if size[0] <= rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size[::-1], interpolation=way), np.uint8)


def collection(path: Path) -> dict[str, Footage]:
    """Footage by name: everything in a folder, or a single video or picture under its own name.

    Raises:
        MissingInputError: there is no such folder or file, or nothing in it.
        BadInputError: a file that is neither.
    """
    if path.is_dir():
        found = footage_in(path)
        if not found:
            raise MissingInputError(f"{path}: no videos, folders of frames or pictures in it")
        return found
    if not path.exists():
        raise MissingInputError(f"{path}: no such folder; check the name")
    kinds = {FootageKind.VIDEO: VIDEOS, FootageKind.PICTURE: PICTURES}
    kind = next((kind for kind, endings in kinds.items() if path.suffix.lower() in endings), None)
    if kind is None:
        raise BadInputError(f"{path} is neither a folder nor a video or picture")
    return {path.stem: Footage(kind, path)}


def matched(results: Path, truth: Path | None, sources: Path | None, *, partial: bool = False) -> tuple[Item, ...]:
    """The results of a folder with the truth and the source of the same name.

    A single file goes with a single file, whatever they are called. Without ``sources`` the truth is the source: in the
    paired protocol of the field it is the very same clip. ``partial`` takes what there is on both sides.

    Raises:
        MissingInputError: a folder is missing, or a result, truth or source of some name, and not ``partial``.
        BadInputError: nothing matches at all.
    """
    ours = collection(results)
    others = [_named_as(results, ours, path) for path in (truth, sources)]
    for folder, there in zip((truth, sources), others, strict=True):
        if there is None or folder is None:
            continue
        if not ours.keys() & there.keys():
            shown = f"{results} has {_names(ours)}, {folder} has {_names(there)}"
            raise BadInputError(f"nothing in {folder} has the name of a result: {shown}")
        for where, lacking in ((folder, ours.keys() - there.keys()), (results, there.keys() - ours.keys())):
            if lacking and not partial:
                raise MissingInputError(
                    f"{where}: {_names(lacking)} missing, the other folder has it; --partial scores what is in both"
                )
    true, source = others
    names = [n for n in ours if all(there is None or n in there for there in others)]
    return tuple(
        Item(n, ours[n], true[n] if true else None, source[n] if source else true[n] if true else None) for n in names
    )


def _named_as(results: Path, ours: Mapping[str, Footage], path: Path | None) -> dict[str, Footage] | None:
    """The collection at ``path``; a single file under the name of the single result that it goes with."""
    there = None if path is None else collection(path)
    if there is None or path is None or results.is_dir() or path.is_dir():
        return there
    return dict(zip(ours, there.values(), strict=True))


def of_samples(
    samples: Sequence[Sample],
    results: Path | None,
    truth: Mapping[str, Footage] | None = None,
    *,
    partial: bool = False,
) -> tuple[Item, ...]:
    """The samples of a data set with their results; ``results`` None: they are to be made.

    The source is the sample's footage, and where the sample is paired it is the truth too; that of others is ``truth``
    by their names, where it is known.

    Raises:
        MissingInputError: samples without a result or, where there is a ``truth``, without one, and not ``partial``.
        BadInputError: no sample has a result.
    """
    ours: Mapping[str, Footage | None] = dict.fromkeys((s.id for s in samples), None)
    if results is not None:
        ours = collection(results)
        lacking = [s.id for s in samples if s.id not in ours]
        if len(lacking) == len(samples):
            raise BadInputError(f"{results} has none of the {len(samples)} samples: {_names(lacking)}")
        if lacking and not partial:
            raise MissingInputError(f"{results}: {_names(lacking)} missing; --partial scores what is there")
    untold = [s.id for s in samples if truth is not None and not s.paired and s.id not in truth]
    if untold and not partial:
        raise MissingInputError(f"--truth: {_names(untold)} missing; --partial scores what is there")
    told = truth or {}
    return tuple(
        Item(s.id, ours[s.id], s.person if s.paired else told.get(s.id), s.person, s.garment)
        for s in samples
        if s.id in ours and s.id not in untold
    )


def in_common(methods: Mapping[str, tuple[Item, ...]], *, partial: bool = False) -> dict[str, tuple[Item, ...]]:
    """The same items of every method, so that rows of a table compare.

    Raises:
        MissingInputError: a method lacks an item that another one has, and not ``partial``.
        BadInputError: no item is there of every method.
    """
    names = {method: {item.name for item in items} for method, items in methods.items()}
    every, common = set[str]().union(*names.values()), set.intersection(*names.values())
    for method, there in names.items():
        if every - there and not partial:
            raise MissingInputError(
                f"{method}: {_names(every - there)} missing, another method has it; --partial scores what all have"
            )
    if not common:
        raise BadInputError(f"{' and '.join(methods)} have no name in common")
    return {method: tuple(item for item in items if item.name in common) for method, items in methods.items()}


def _names(names: Mapping[str, object] | Sequence[str] | set[str]) -> str:
    listed = sorted(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_alike(item: Item, view: View) -> tuple[int, int]:
    """(height, width) at which an item is scored.

    Raises:
        BadInputError: truth, source and result have not one size, or folders of frames not one number of frames.
    """
    known = [f for f in (item.result, item.truth, item.source) if f is not None]
    sizes = {f: _size(f, view) for f in dict.fromkeys(known)}
    counts = {f: len(f.pictures()) for f in sizes if f.kind != FootageKind.VIDEO}
    first, *rest = sizes
    for other in rest:
        if sizes[first] != sizes[other]:
            (h, w), (high, wide) = sizes[first], sizes[other]
            raise BadInputError(
                f"{first.path} has {w} x {h} px, {other.path} {wide} x {high}; --size WxH brings them to one size"
            )
        if first in counts and other in counts:
            check_counts(first, counts[first], other, counts[other], view)
    return sizes[first]


def _size(footage: Footage, view: View) -> tuple[int, int]:
    height, width, _ = next(view.read(footage)).rgb.shape
    return height, width


def check_counts(one: Footage, frames: int, other: Footage, others: int, view: View) -> None:
    """Raises BadInputError where of the frames that count one has more than the other."""
    if view.frames is not None:
        frames, others = min(frames, view.frames), min(others, view.frames)
    if frames != others:
        least = min(frames, others)
        raise BadInputError(
            f"{one.path} has {frames} frames, {other.path} {others}; --frames {least} scores as many of each"
        )
