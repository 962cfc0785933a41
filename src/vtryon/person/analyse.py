"""Frames in, frames with what is known about the person out: the person room's one entrance."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from vtryon.person.crop import Framing, framing, matte_box, matte_on, picture_on, window
from vtryon.person.crop import follow as follow_framing
from vtryon.person.pose import Landmarker, Observation
from vtryon.person.regions import label_regions
from vtryon.person.shots import split
from vtryon.person.track import Slot, bridge, follow, smooth
from vtryon.person.turn import heading, yaw
from vtryon.types import Array, Crop, Frame, Person, Pose

Stage = Callable[[str], AbstractContextManager[None]]
"""Called with the name of a step, gives the context in which the step runs: the place for a stop-watch."""


class Labeller(Protocol):
    """What tells the regions of the person apart on the crop; its memory is handed in and out, never kept."""

    def __call__(self, rgb: Array, pose: Pose, matte: Array, state: Any) -> tuple[Array, Any]:
        """Label one crop.

        ``rgb`` (256, 192, 3) uint8; ``pose`` with ``points`` and ``depth`` in crop px; ``matte`` (256, 192) float32;
        ``state`` None at the start of a shot or of a newly found person, else what the last call gave.
        Returns labels (11, 256, 192) uint8, probability of each :class:`~vtryon.types.Label` times 255, and the state.
        """
        ...


def analyse(
    frames: Iterable[Frame], *, labeller: Labeller | None = None, lookahead: int = 8, on_stage: Stage | None = None
) -> Iterator[tuple[Frame, Person | None]]:
    """Every frame, in order, with its :class:`~vtryon.types.Person`, or None where nobody is seen.

    A generator with bounded memory: it reads ``lookahead`` and a few more frames ahead, which makes smoothing centred
    and lets it bridge short gaps. ``labeller`` defaults to the one that needs no weights. ``on_stage`` is asked for a
    context around each ``"pose"`` and ``"labels"`` step and the light rest, ``"track"``.
    """
    if lookahead < 0:
        raise ValueError(f"lookahead must not be negative, got {lookahead}")
    stage = on_stage or (lambda _name: nullcontext())
    state = _State()
    with Landmarker() as landmarker:
        slots = follow(_observe(frames, landmarker, stage))
        for around, centre in _centred(_frame(slots), lookahead):
            with stage("track"):
                found = _steady(around, centre)
            person = None
            if found is not None:
                with stage("labels"):
                    person, state = _person(around[centre].slot, *found, labeller or label_regions, state)
            yield around[centre].slot.frame, person


@dataclass(frozen=True)
class _State:
    """The labeller's memory and the body it belongs to."""

    body: int = -1
    labels: Any = None


@dataclass(frozen=True, eq=False)
class _Framed:
    """A slot with the held framing up to it (None before the body was first seen)."""

    slot: Slot
    framing: Framing | None


def _observe(frames: Iterable[Frame], landmarker: Landmarker, stage: Stage) -> Iterator[Slot]:
    last = 0
    for frame, shot in split(frames):
        with stage("pose"):
            if shot != last:
                landmarker.reset()
            seen = landmarker(frame.rgb)
        last = shot
        yield Slot(frame, shot, 0, seen)


def _frame(slots: Iterable[Slot]) -> Iterator[_Framed]:
    held: Framing | None = None
    body, seconds = -1, 0.0
    for slot in slots:
        if slot.body != body:
            held, body = None, slot.body
        if slot.seen is not None:
            height, width = slot.frame.rgb.shape[:2]
            wanted = framing(slot.seen.points, slot.seen.visibility, matte_box(slot.seen), (height, width))
            held = follow_framing(held, wanted, slot.frame.seconds - seconds)
            seconds = slot.frame.seconds
        yield _Framed(slot, held)


def _centred(items: Iterable[_Framed], reach: int) -> Iterator[tuple[list[_Framed], int]]:
    """Each item with up to ``reach`` neighbours on both sides, as (stretch, place in it)."""
    held: deque[_Framed] = deque()
    at = 0  # place in ``held`` of the next item to give
    for item in items:
        held.append(item)
        if len(held) - at > reach:
            yield list(held), at
            at += 1
            if at > reach:
                held.popleft()
                at -= 1
    while at < len(held):
        yield list(held), at
        at += 1
        if at > reach:
            held.popleft()
            at -= 1


def _steady(around: Sequence[_Framed], centre: int) -> tuple[Pose, Crop, Observation, float] | None:
    """Smoothed pose, crop, the observation that brings the matte, and yaw of the frame in the middle."""
    slot = around[centre].slot
    bridged = bridge([f.slot for f in around], centre)
    if bridged is None:
        return None
    middle, own_weight = bridged
    stretch = [(f, f.slot.seen) for f in around if f.slot.body == slot.body and f.slot.seen is not None]
    if slot.seen is None:
        stretch.append((around[centre], middle))
        stretch.sort(key=lambda pair: pair[0].slot.frame.index)
    place = next(i for i, (f, _) in enumerate(stretch) if f is around[centre])
    times = np.array([f.slot.frame.index for f, _ in stretch], np.float64)
    pose = smooth(times, [seen for _, seen in stretch], place, own_weight)
    near = np.exp(-0.5 * ((times - times[place]) / 4.0) ** 2)
    framings = [(f.framing, w) for (f, _), w in zip(stretch, near, strict=True) if f.framing is not None]
    crop = window([f for f, _ in framings], np.array([w for _, w in framings]))
    return pose, crop, middle, yaw([heading(seen.world) for _, seen in stretch], near)


def _person(
    slot: Slot, pose: Pose, crop: Crop, seen: Observation, degrees: float, labeller: Labeller, state: _State
) -> tuple[Person, _State]:
    matte = matte_on(crop, seen)
    scale = 256 / crop.height
    on_crop = replace(pose, points=crop.to_crop(pose.points), depth=(pose.depth * scale).astype(np.float32))
    memory = state.labels if state.body == slot.body else None
    labels, memory = labeller(picture_on(crop, slot.frame.rgb), on_crop, matte, memory)
    return Person(pose, crop, matte, labels, degrees, slot.shot), _State(slot.body, memory)
