"""Flow of the source: what moved is carried along, what changed is not believed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vtryon.render.flow import SourceFlow
from vtryon.types import Array


def cloud(seed: int = 0) -> Array:
    """A picture (256, 192, 3) uint8 with detail everywhere, and room to shift it."""
    noise = np.random.default_rng(seed).random((296, 232, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.rint(smooth * 255).astype(np.uint8)


def part(picture: Array, dx: int = 0, dy: int = 0) -> Array:
    """The middle of it, moved by (dx, dy) px."""
    return picture[20 - dy : 276 - dy, 20 - dx : 212 - dx].copy()


@pytest.mark.parametrize("shift", [(0, 0), (4, -2), (-7, 5)])
def test_a_shift_is_found_and_undone(shift: tuple[int, int]) -> None:
    before, now = part(cloud()), part(cloud(), *shift)
    flow = SourceFlow()(before, now)
    inner = np.s_[16:-16, 16:-16]
    assert np.median(flow.backward[inner], axis=(0, 1)) == pytest.approx((-shift[0], -shift[1]), abs=0.3)
    error = np.abs(flow.carry(before.astype(np.float32)) - now)[inner]
    assert error.mean() < 3.0
    assert flow.valid[inner].mean() > 0.85


def test_planes_move_like_the_picture() -> None:
    before, now = part(cloud()), part(cloud(), 5, 3)
    planes = np.zeros((256, 192, 2), np.float32)
    planes[100:140, 80:120, 1] = 1
    carried = SourceFlow()(before, now).carry(planes)
    assert carried[108:138, 90:120, 1].mean() > 0.95
    assert carried[..., 0].max() == 0
    assert SourceFlow()(before, now).carry(planes[..., 1]).shape == (256, 192)


def test_what_does_not_agree_is_marked() -> None:
    before, now = part(cloud()), part(cloud(), 2, 0)
    now[100:160, 60:120] = (250, 20, 20)  # something new
    valid = SourceFlow()(before, now).valid
    assert valid[110:150, 70:110].mean() < 0.2
    assert valid[20:80, 20:170].mean() > 0.85


def test_another_picture_agrees_nowhere() -> None:
    assert SourceFlow()(part(cloud(0)), 255 - part(cloud(0))).valid.mean() < 0.35


def test_what_came_from_outside_the_picture_is_not_believed() -> None:
    before, now = part(cloud()), part(cloud(), 12, 0)
    flow = SourceFlow()(before, now)
    came_from = np.arange(192)[None, :] + flow.backward[..., 0]
    assert flow.valid[came_from < -1.5].max(initial=0.0) == 0.0
    assert (came_from < -1.5).any()
