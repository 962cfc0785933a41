"""The still-person test: a photograph as a clip with a camera's noise. Whatever moves in the result is our shaking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from vtryon.types import Array, Person
from vtryon.video import EncodeOptions, VideoWriter

HEIGHT = 640
"""Picture height in px to which all lengths are brought, so that clips of any size compare."""

_UPPER = slice(0, 25)  # head, arms, trunk
_SEEN = 0.6


def still_clip(
    picture: Array, path: Path, *, seconds: float = 3.0, fps: int = 24, noise: float = 2.0, crf: int = 18, seed: int = 0
) -> Path:
    """Write ``picture`` (H, W, 3) uint8 as an H.264 clip whose every frame has its own Gaussian noise.

    Args:
        noise: standard deviation in 8-bit steps, as a camera's sensor has it.
        crf: constant quality of the encoder; high values smooth the noise away and make the test easy.

    Returns ``path``; errors as :class:`vtryon.video.VideoWriter`.
    """
    rng = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    options = EncodeOptions(crf=crf)
    with VideoWriter(path, width=width, height=height, time_base=Fraction(1, fps), options=options) as writer:
        for pts in range(round(seconds * fps)):
            noisy = picture + rng.normal(0.0, noise, picture.shape)
            writer.write(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), pts)
    return path


@dataclass(frozen=True)
class Stillness:
    """How much the analysis of a still person moves; lengths in px of a picture of ``HEIGHT`` px.

    ``landmarks`` root mean square step of the visible upper-body landmarks from frame to frame, ``wander`` their root
    mean square distance from their own mean; ``crop`` largest step of the window's left, top or height; ``matte`` root
    mean square step of the matte's outline; ``labels`` share of the person's pixels that change label per frame;
    ``yaw`` standard deviation in degrees; ``missing`` frames without a person.
    """

    landmarks: float
    wander: float
    crop: float
    matte: float
    labels: float
    yaw: float
    missing: int


def stillness(people: Sequence[Person | None], height: int) -> Stillness:
    """Measure the analysis of a still clip whose frames are ``height`` px high.

    Raises ValueError where fewer than two frames show a person.
    """
    found = [p for p in people if p is not None]
    if len(found) < 2:
        raise ValueError("fewer than two frames show a person")
    scale = HEIGHT / height
    seen = np.mean([p.pose.visibility[_UPPER] for p in found], axis=0) > _SEEN
    points = np.stack([p.pose.points[_UPPER][seen] for p in found]) * scale
    crops = np.array([(p.crop.left, p.crop.top, p.crop.height) for p in found]) * scale
    winners = np.stack([p.labels.argmax(axis=0) for p in found])
    turned = np.radians([p.yaw for p in found])
    return Stillness(
        landmarks=_rms(np.linalg.norm(np.diff(points, axis=0), axis=-1)),
        wander=_rms(np.linalg.norm(points - points.mean(axis=0), axis=-1)),
        crop=float(np.abs(np.diff(crops, axis=0)).max()),
        matte=_outline_step([p.matte for p in found]) * float(crops[:, 2].mean()) / found[0].matte.shape[0],
        labels=float((np.diff(winners, axis=0) != 0).mean() / max(float((winners > 0).mean()), 1e-6)),
        yaw=float(np.degrees(np.std(np.angle(np.exp(1j * turned) / np.exp(1j * turned).mean())))),
        missing=len(people) - len(found),
    )


def _outline_step(mattes: Sequence[Array]) -> float:
    """Root mean square displacement, from frame to frame and in crop px, of where the mattes pass one half."""
    steps = []
    for a, b in pairwise(mattes):
        middle = (a + b) / 2
        slope = np.hypot(*np.gradient(middle))
        edge = (middle > 0.25) & (middle < 0.75) & (slope > 0.05)
        steps.append((a - b)[edge] / slope[edge])
    return _rms(np.concatenate(steps))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
