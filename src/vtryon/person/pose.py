"""Body landmarks and matte of one person, frame by frame, from MediaPipe's BlazePose (no smoothing here).

MediaPipe 0.10.21 carries its models in the wheel, so nothing is downloaded. Its own smoothing is causal and therefore
late; it is switched off and replaced by the centred one in :mod:`vtryon.person.track`.
"""

from __future__ import annotations

import atexit
import math
import os
import re
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from vtryon.types import Array

LONG_SIDE = 640
"""Longest side in px of the copy that MediaPipe sees; more costs time and moves no landmark of a large person."""

SMALL = 0.45
"""A person whose box is below this share of the frame's long side is looked at through a window of its own."""

TRUNK = (11, 12, 23, 24)

Window = tuple[int, int, int, int]
"""A part of a frame: left, top, width, height."""


@dataclass(frozen=True, eq=False)
class Observation:
    """What MediaPipe saw in one frame.

    ``points`` (33, 2) float32 px of the frame, ``depth`` (33,) float32 px (smaller is nearer), ``visibility`` (33,)
    float32, ``world`` (33, 3) float32 metres: as in :class:`vtryon.types.Pose`. ``matte`` (h, w) uint8, person
    probability times 255 over the ``window`` = (left, top, width, height) of the frame, in frame px.
    """

    points: Array
    depth: Array
    visibility: Array
    world: Array
    matte: Array
    window: tuple[float, float, float, float]

    @property
    def size(self) -> float:
        """Body size in px, see :func:`body_size`."""
        return body_size(self.points)


def body_size(points: Array) -> float:
    """Trunk size in px of landmarks (33, 2): the longest of trunk length, shoulder width and 0.7 x nose to hips.

    The maximum changes little when a person turns or bends, when a single length would collapse.
    """
    shoulders, hips = points[11:13].mean(axis=0), points[23:25].mean(axis=0)
    lengths = (
        float(np.linalg.norm(shoulders - hips)),
        float(np.linalg.norm(points[11] - points[12])),
        0.7 * float(np.linalg.norm(points[0] - hips)),
    )
    return max(*lengths, 1.0)


_NOISE = re.compile(rb"^(INFO: Created TensorFlow|WARNING: All log messages before|[IW]\d{4} )")


@contextmanager
def quiet() -> Iterator[None]:
    """Drop MediaPipe's start-up chatter from stderr; whatever else was written meanwhile is passed on.

    It is written by C++ before its logging is set up, so no environment variable or Python logger reaches it.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            rest = b"".join(line for line in held if not _NOISE.match(line))
            if rest:
                os.write(2, rest)


_open: weakref.WeakSet[Landmarker] = weakref.WeakSet()


@atexit.register
def _close_open() -> None:
    """A graph that is still open while the interpreter shuts down waits for its threads for ever: a caller who leaves
    a loop over frames early must not hang at the end of the program."""
    for landmarker in list(_open):
        landmarker.close()


class Landmarker:
    """One MediaPipe landmarker for one run: call it with the frames in order, close it at the end.

    >>> with Landmarker() as landmarker:
    ...     seen = [landmarker(frame.rgb) for frame in frames]
    """

    def __init__(self) -> None:
        self._pose: Any = None
        self._stale = False  # the graph must forget its person
        self._talks = True  # MediaPipe logs while its graph starts, until the first person is found
        self._window: Window | None = None
        self._searched = 0  # parts of frames looked at since a person was last seen
        _open.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the models; the landmarker cannot be used afterwards."""
        if self._pose is not None:
            self._pose.close()
            self._pose = None

    def reset(self) -> None:
        """Forget where the person was: to be called at a scene change."""
        self._stale = self._talks = True
        self._window = None

    def __call__(self, rgb: Array) -> Observation | None:
        """The person in ``rgb`` (H, W, 3) uint8, or None."""
        seen = self._look(rgb, self._window)
        if seen is None and self._window is not None:  # gone from the window: search the whole frame
            self._window = None
            seen = self._look(rgb, None)
        if seen is None:  # small people escape the detector in the whole frame: one part of it per frame in turn
            parts = _parts(rgb.shape[0], rgb.shape[1])
            if parts:
                seen = self._look(rgb, parts[self._searched % len(parts)])
                self._searched += 1
        if seen is None or not plausible(seen):
            return None
        self._searched = 0
        window = _window_for(seen, (rgb.shape[0], rgb.shape[1]), self._window)
        if window != self._window:
            self._window = window
            # The first look through a new window starts from a region that belongs to the old one; the second is right.
            self._look(rgb, window)
            again = self._look(rgb, window)
            if again is not None and plausible(again):
                return again
        return seen

    def _look(self, rgb: Array, window: Window | None) -> Observation | None:
        height, width = rgb.shape[:2]
        left, top, w, h = window or (0, 0, width, height)
        view = rgb[top : top + h, left : left + w]
        scale = LONG_SIDE / max(w, h)
        if scale < 1:
            size = (max(1, round(w * scale)), max(1, round(h * scale)))
            view = cv2.resize(view, size, interpolation=cv2.INTER_AREA)
        found = self._process(np.ascontiguousarray(view))
        if found.pose_landmarks is None or found.segmentation_mask is None:
            return None
        image = np.array([(p.x, p.y, p.z, p.visibility) for p in found.pose_landmarks.landmark], np.float32)
        world = np.array([(p.x, p.y, p.z) for p in found.pose_world_landmarks.landmark], np.float32)
        return Observation(
            points=image[:, :2] * np.array([w, h], np.float32) + np.array([left, top], np.float32),
            depth=image[:, 2] * w,
            visibility=image[:, 3],
            world=world,
            matte=np.rint(np.clip(found.segmentation_mask, 0, 1) * 255).astype(np.uint8),
            window=(left, top, w, h),
        )

    def _process(self, view: Array) -> Any:
        if not self._talks:
            return self._pose.process(view)
        with quiet():  # around the start too: the graph starts in threads of its own, which outlive the call
            if self._pose is None:
                self._pose = _new_pose()
            elif self._stale:
                self._pose.reset()
            self._stale = False
            found = self._pose.process(view)
        self._talks = found.pose_landmarks is None
        return found


def _new_pose() -> Any:
    import mediapipe as mp

    return mp.solutions.pose.Pose(
        static_image_mode=False,
        model_complexity=1,
        smooth_landmarks=False,
        enable_segmentation=True,
        smooth_segmentation=False,
    )


def _parts(height: int, width: int) -> list[Window]:
    """Squares that cover a long frame with overlap, the middle first."""
    side = min(height, width)
    over = max(height, width) - side
    if over < 0.25 * side:
        return []
    starts = (over // 2, 0, over)
    return [(s, 0, side, side) if width > height else (0, s, side, side) for s in starts]


def _window_for(seen: Observation, shape: tuple[int, int], old: Window | None) -> Window | None:
    """The part of the frame to look at next time: None (all of it) for a large person, else about twice the person.

    The window stays while it still frames the person well, because MediaPipe's own tracking lives in it.
    """
    height, width = shape
    inside = seen.points[seen.visibility > 0.3]
    if len(inside) < 4 or max(height, width) <= LONG_SIDE:
        return None
    (x0, y0), (x1, y1) = inside.min(axis=0), inside.max(axis=0)
    extent = float(max(x1 - x0, y1 - y0, 1.0))
    if extent > SMALL * max(height, width):
        return None
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    if old is not None:
        left, top, w, h = old
        margin = 0.25 * extent
        framed_x = (x0 - margin >= left or left == 0) and (x1 + margin <= left + w or left + w == width)
        framed_y = (y0 - margin >= top or top == 0) and (y1 + margin <= top + h or top + h == height)
        if framed_x and framed_y and 0.3 < extent / max(w, h) < 0.7:
            return old
    side = 2.2 * extent
    left, top = max(0, math.floor(cx - side / 2)), max(0, math.floor(cy - side / 2))
    right, bottom = min(width, math.ceil(cx + side / 2)), min(height, math.ceil(cy + side / 2))
    return left, top, right - left, bottom - top


def plausible(seen: Observation) -> bool:
    """False for what MediaPipe imagines where nobody is: trunk unseen, matte empty, landmarks off the matte."""
    if float(np.sort(seen.visibility[list(TRUNK)])[-2:].mean()) < 0.5:
        return False
    left, top, w, h = seen.window
    rows, cols = seen.matte.shape
    scale = np.array([cols / w, rows / h], np.float32)
    if float(seen.matte.sum()) / 255 < 0.05 * body_size(seen.points * scale) ** 2:
        return False
    at = np.floor((seen.points - np.array([left, top], np.float32)) * scale).astype(int)
    inside = ((at >= 0) & (at < [cols, rows])).all(axis=1) & (seen.visibility > 0.5)
    inside[15:23] = False  # hands are thin, the matte often misses them
    if inside.sum() < 3:
        return False
    return bool((seen.matte[at[inside, 1], at[inside, 0]] > 64).mean() > 0.5)
