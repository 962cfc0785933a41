"""Which way the torso faces, in degrees, from the landmarks.

On the rendered pairs the line between the shoulders alone is as good as any mix with hips, elbows and head that a
linear fit finds (about 12 degrees mean error, most of it from landmarks that MediaPipe puts wrong), once its depth,
which MediaPipe makes too small, is stretched. What remains are frames where MediaPipe takes a back for a front: they
come singly and are overruled by their neighbours in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vtryon.types import Array

_DEPTH = 1.2  # true over seen depth of the shoulder line: least squares on the training scenes of data/pairs
_WIDTH = 0.33  # metres: shoulder line of an adult in MediaPipe's world landmarks
_FOCUS = 4.0  # concentration of the kernel around a direction: about 29 degrees either way
_TAKE_OVER = 3.0  # how much more support another direction needs before the torso is said to have jumped there


def heading(world: Array) -> Array:
    """(2,) cosine and sine of the torso's yaw from world landmarks (33, 3), shorter than 1 where they are unsure.

    This is the wearer's right-to-left shoulder line in x and z: it points to the picture's right from the front.
    """
    line = (world[11] - world[12])[[0, 2]].astype(np.float64) * (1.0, _DEPTH) / _WIDTH
    out: Array = line / max(1.0, float(np.linalg.norm(line)))
    return out


def torso_yaw(headings: Sequence[Array], weights: Array, last: float | None) -> float:
    """Degrees in (-180, 180]: the direction that most headings of a centred stretch of time agree on.

    A mode, not a mean: a front taken for a back among its neighbours does not drag the result sideways. ``last``, the
    yaw of the frame before, keeps to its mode unless another is far better supported.
    """
    vectors = np.stack(headings)
    mass = np.asarray(weights, np.float64) * np.linalg.norm(vectors, axis=1)
    angles = np.arctan2(vectors[:, 1], vectors[:, 0])
    starts = angles if last is None else np.append(angles, np.radians(last))
    modes = [_climb(float(start), angles, mass) for start in starts]
    best = max(modes, key=lambda mode: mode[1])
    if last is not None and best[1] < _TAKE_OVER * modes[-1][1]:
        best = modes[-1]
    degrees = float(np.degrees(best[0]))
    return 180.0 if degrees <= -180.0 else degrees


def _climb(start: float, angles: Array, mass: Array) -> tuple[float, float]:
    """Mean shift with a von Mises kernel from ``start``: (mode in radians within a turn, its support)."""
    mode = start
    for _ in range(12):
        kernel = mass * np.exp(_FOCUS * (np.cos(angles - mode) - 1))
        step = float(np.arctan2((kernel * np.sin(angles - mode)).sum(), (kernel * np.cos(angles - mode)).sum()))
        mode += step
        if abs(step) < 1e-4:
            break
    support = float((mass * np.exp(_FOCUS * (np.cos(angles - mode) - 1))).sum())
    return float(np.arctan2(np.sin(mode), np.cos(mode))), support
