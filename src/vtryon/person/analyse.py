"""Frames in, frames with what is known about the person out: the person room's one entrance."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from vtryon.person.crop import Framing, framing, matte_box, picture_on, steady_matte, window
from vtryon.person.crop import follow as follow_framing
from vtryon.person.pose import Landmarker
from vtryon.person.regions import label_regions
from vtryon.person.shots import split
from vtryon.person.track import Slot, bridge, follow, rest, smooth
from vtryon.person.turn import heading, torso_yaw
from vtryon.types import CROP_SIZE, Array, Crop, Frame, Person, Pose

_CALM = 0.15
"""Seconds: standard deviation of the time window over which crop and yaw are averaged."""

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

    Where several people are in the picture it is the largest that is found, and then kept. ``Person.shot`` starts anew
    with every scene change and with everybody who is found after a loss: no state may be carried over it.
    """
    if lookahead < 0:
        raise ValueError(f"lookahead must not be negative, got {lookahead}")
    stage = on_stage or (lambda _name: nullcontext())
    label = labeller or label_regions
    memory: _Memory | None = None
    with Landmarker() as landmarker:
        slots = _frame(follow(_observe(frames, landmarker, stage)))
        for frame, stretch, centre in _centred(slots, lookahead):
            if memory is not None and memory.body != stretch[centre].body:
                memory = None
            with stage("track"):
                steady = _steady(stretch, centre, memory)
            if steady is None:
                yield frame, None
                continue
            with stage("labels"):
                person, memory = _label(frame, stretch[centre], steady, label, memory)
            yield frame, person


@dataclass(frozen=True, eq=False)
class _Steady:
    """Smoothed pose, crop and yaw, and the matte on the crop."""

    pose: Pose
    crop: Crop
    matte: Array
    yaw: float


@dataclass(frozen=True, eq=False)
class _Memory:
    """What one frame hands to the next of the same body; ``labels`` is the labeller's own."""

    body: int
    pose: Pose
    yaw: float
    labels: Any


def _observe(frames: Iterable[Frame], landmarker: Landmarker, stage: Stage) -> Iterator[tuple[Frame, Slot]]:
    last = 0
    for frame, shot in split(frames):
        with stage("pose"):
            if shot != last:
                landmarker.reset()
            seen = landmarker(frame.rgb)
        last = shot
        yield frame, Slot(frame.index, frame.seconds, shot, seen)


def _frame(slots: Iterable[tuple[Frame, Slot]]) -> Iterator[tuple[Frame, Slot]]:
    """Add the held framing, which starts anew with each body."""
    held: Framing | None = None
    body, seconds = -1, 0.0
    for frame, slot in slots:
        if slot.body != body:
            held, body = None, slot.body
        if slot.seen is not None:
            height, width = frame.rgb.shape[:2]
            wanted = framing(slot.seen.points, slot.seen.visibility, matte_box(slot.seen), (height, width))
            held = follow_framing(held, wanted, slot.seconds - seconds)
            seconds = slot.seconds
        yield frame, replace(slot, framing=held)


def _centred(slots: Iterable[tuple[Frame, Slot]], reach: int) -> Iterator[tuple[Frame, list[Slot], int]]:
    """Each frame with the slots of up to ``reach`` neighbours on both sides, as (frame, stretch, place in it).

    Pictures are kept only until their frame is handed on.
    """
    waiting: deque[Frame] = deque()
    held: deque[Slot] = deque()
    for frame, slot in slots:
        waiting.append(frame)
        held.append(slot)
        if len(waiting) > reach:
            yield waiting.popleft(), list(held), len(held) - 1 - reach
        if len(held) > 2 * reach:
            held.popleft()
    while waiting:
        past = len(held) - len(waiting)
        yield waiting.popleft(), list(held)[max(0, past - reach) :], min(past, reach)


def _steady(stretch: Sequence[Slot], centre: int, memory: _Memory | None) -> _Steady | None:
    """Everything about the frame in the middle that does not need its picture; None where nobody is seen."""
    here = stretch[centre]
    middle = bridge(stretch, centre)
    if middle is None:
        return None
    stretch = [replace(s, seen=middle) if s is here else s for s in stretch]
    pairs = [(s, s.seen) for s in stretch if s.body == here.body and s.seen is not None]
    seen = [observation for _, observation in pairs]
    place = next(i for i, observation in enumerate(seen) if observation is middle)
    times = np.array([s.seconds for s, _ in pairs], np.float64)
    own_weight = 0.0 if here.seen is None else 1.0
    pose = rest(smooth(times, seen, place, own_weight), None if memory is None else memory.pose)
    near = np.exp(-0.5 * ((times - times[place]) / _CALM) ** 2)
    framings = [(s.framing, w) for (s, _), w in zip(pairs, near, strict=True) if s.framing is not None]
    crop = window([f for f, _ in framings], np.array([w for _, w in framings]))
    yaw = torso_yaw([heading(o.world) for o in seen], near, None if memory is None else memory.yaw)
    return _Steady(pose, crop, steady_matte(crop, seen, place), yaw)


def _label(
    frame: Frame, slot: Slot, steady: _Steady, labeller: Labeller, memory: _Memory | None
) -> tuple[Person, _Memory]:
    pose, crop = steady.pose, steady.crop
    scale = CROP_SIZE[0] / crop.height
    on_crop = replace(pose, points=crop.to_crop(pose.points), depth=(pose.depth * scale).astype(np.float32))
    before = None if memory is None else memory.labels
    labels, after = labeller(picture_on(crop, frame.rgb), on_crop, steady.matte, before)
    matte = np.rint(steady.matte * 255).astype(np.float32) / np.float32(255)  # as it is kept: the same next time
    person = Person(pose, crop, matte, labels, steady.yaw, shot=slot.body)
    return person, _Memory(slot.body, pose, steady.yaw, after)
