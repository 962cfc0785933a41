"""Which way the torso faces."""

from __future__ import annotations

import numpy as np
import pytest

import bodies
from vtryon.person.turn import heading, torso_yaw


def yaws(true: list[float], reach: int = 4) -> list[float]:
    seen = [heading(bodies.world(y)) for y in true]
    out: list[float] = []
    for i in range(len(seen)):
        low, high = max(0, i - reach), min(len(seen), i + reach + 1)
        weights = np.exp(-0.5 * ((np.arange(low, high) - i) / 3.6) ** 2)
        out.append(torso_yaw(seen[low:high], weights, out[-1] if out else None))
    return out


def apart(a: float, b: float) -> float:
    return abs((a - b + 180) % 360 - 180)


@pytest.mark.parametrize("true", [0, 45, 90, 170, -45, -90, -170])
def test_sides_have_the_documented_sign(true: float) -> None:
    assert apart(yaws([true] * 9)[4], true) < 12  # depth is stretched for MediaPipe, which sees too little of it


def test_full_turn_is_followed_all_the_way() -> None:
    true = [5.0 * i for i in range(73)]
    found = np.unwrap(yaws(true), period=360)
    assert found[-1] - found[0] == pytest.approx(360, abs=25)  # half a window is missing at both ends
    assert np.diff(found).min() > 0
    assert apart(found[36], 180) < 10


def test_backs_taken_for_fronts_now_and_then_are_overruled() -> None:
    true = [175.0] * 30
    for i in (6, 7, 15, 22):
        true[i] = -5.0
    assert all(apart(y, 175) < 20 for y in yaws(true))


def test_a_lasting_change_is_believed() -> None:
    found = yaws([0.0] * 20 + [180.0] * 20)
    assert apart(found[5], 0) < 10
    assert apart(found[-5], 180) < 10
    assert all(-180 < y <= 180 for y in found)
