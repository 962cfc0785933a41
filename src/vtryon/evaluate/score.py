"""One try-on scored, frame by frame, by every measure that is wanted: constant memory, however long the clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
import torch

from vtryon.errors import BadInputError
from vtryon.evaluate.footage import Item, View
from vtryon.evaluate.networks import Distributions, Lpips, Vmaf
from vtryon.evaluate.similarity import ssim
from vtryon.evaluate.single import person_in
from vtryon.evaluate.temporal import Steadiness, mean_of
from vtryon.evaluate.worn import Kept, coverage, garment_region
from vtryon.person import Labeller, analyse
from vtryon.types import Array, Frame, Person


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame of a try-on: pictures (H, W, 3) uint8, and who is seen in source and result (None: nobody, or not asked).

    ``truth`` and ``source`` are None where the protocol has none.
    """

    result: Array
    truth: Array | None
    source: Array | None
    person: Person | None = None
    wearer: Person | None = None


@dataclass(frozen=True, eq=False)
class Scorers:
    """What scores: each is None where it is not wanted or not available.

    ``labeller`` tells worn tops apart; None counts all pixels. ``vmaf`` is the device it runs on.
    """

    likeness: bool = True
    lpips: Lpips | None = None
    vmaf: torch.device | None = None
    distributions: Distributions | None = None
    steadiness: bool = True
    kept: bool = True
    labeller: Labeller | None = None


@dataclass(frozen=True)
class ClipScore:
    """Figures of one try-on: ``values`` by measure, None where it has none; ``frames`` by measure, frame by frame."""

    name: str
    count: int
    without_person: int
    values: Mapping[str, float | None]
    frames: Mapping[str, list[float | None]] = field(default_factory=dict)


def watch(item: Item, results: Iterator[Frame], view: View, labeller: Labeller | None) -> Iterator[Moment]:
    """The moments of an item whose results are handed in, at the view's size.

    Raises:
        BadInputError: footage that ends before the others do.
    """
    streams = {"result": _analysed(results, labeller, item.is_clip)}
    if item.source is not None:
        streams["source"] = _analysed(view.read(item.source), labeller, item.is_clip)
    if item.truth is not None and item.truth != item.source:
        streams["truth"] = ((frame, None) for frame in view.read(item.truth))
    for count, row in enumerate(zip_longest(*streams.values())):
        at = dict(zip(streams, row, strict=True))
        ended = [name for name, value in at.items() if value is None]
        if ended:
            other = next(name for name in at if name not in ended)
            raise BadInputError(
                f"{item.name}: {ended[0]} has {count} frames, {other} has more; --frames {count} scores as many of each"
            )
        source, person = at.get("source", (None, None))
        true = at["truth"][0] if "truth" in at else source if item.truth is not None else None
        result, wearer = at["result"]
        yield Moment(result.rgb, true.rgb if true else None, source.rgb if source else None, person, wearer)


def _analysed(
    frames: Iterator[Frame], labeller: Labeller | None, is_clip: bool
) -> Iterator[tuple[Frame, Person | None]]:
    if labeller is None:
        return ((frame, None) for frame in frames)
    if is_clip:
        return analyse(frames, labeller=labeller)
    return ((frame, person_in(frame.rgb, labeller)) for frame in frames)


def score(item: Item, moments: Iterator[Moment], scorers: Scorers) -> ClipScore:
    """All that ``scorers`` say of one item's moments."""
    frames: dict[str, list[float | None]] = {name: [] for name in ("ssim", "lpips", "vmaf")}
    steady, kept = Steadiness(), Kept()
    vmaf = Vmaf(scorers.vmaf) if scorers.vmaf is not None and item.is_clip and item.truth is not None else None
    before: Moment | None = None
    count = without = 0
    for now in moments:
        count += 1
        without += now.person is None
        if now.truth is not None:
            if scorers.likeness:
                frames["ssim"].append(ssim(now.truth, now.result))
            if scorers.lpips is not None:
                frames["lpips"].append(scorers.lpips(now.result, now.truth))
            if vmaf is not None:
                vmaf.add(now.truth, now.result)
        if scorers.distributions is not None:
            scorers.distributions.add(now.result, real=False)
        if scorers.steadiness and item.is_clip and now.source is not None:
            _step(steady, before, now, scorers)
        if scorers.kept and now.source is not None and now.person is not None and now.wearer is not None:
            kept.add(now.source, now.result, now.truth, now.person, now.wearer)
        before = now
    frames["vmaf"] = [*vmaf.finish()] if vmaf is not None else []
    frames |= {
        "warp_error": steady.error, "truth_warp_error": steady.truth_error, "source_warp_error": steady.source_error,
        "hem_jitter": steady.jitter, "source_hem_jitter": steady.source_jitter,
    }  # fmt: skip
    values = {name: mean_of(series) for name, series in frames.items()}
    values |= {"warp_ratio": steady.ratio(steady.error), "truth_warp_ratio": steady.ratio(steady.truth_error)}
    values |= {"leftover": kept.leftover(), "damage": kept.damage()}
    return ClipScore(item.name, count, without, values, frames)


def _step(steady: Steadiness, before: Moment | None, now: Moment, scorers: Scorers) -> None:
    if before is None or before.source is None or now.source is None or _is_cut(before, now):
        steady.skip()
        return
    size = now.result.shape
    whole = scorers.labeller is None
    region = np.ones(size[:2], bool) if whole else garment_region(now.person, now.wearer, size)
    cloth = coverage(now.wearer, size[:2]) if now.wearer is not None else None
    true = None
    if before.truth is not None and now.truth is not None and now.truth is not now.source:
        true = before.truth, now.truth
    steady.add((before.result, now.result), true, (before.source, now.source), region, cloth)


def _is_cut(before: Moment, now: Moment) -> bool:
    shots = [m.person.shot for m in (before, now) if m.person is not None]
    return len(set(shots)) > 1
