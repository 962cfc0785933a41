"""The inside of a collar is cut out along one smooth, sharp line, whatever the labels fray."""

from __future__ import annotations

import numpy as np
import pytest

from vtryon.garment.anatomy import inside_share, split_parts
from vtryon.garment.network import SEGMENTS
from vtryon.garment.reader import SIDE, Reading
from vtryon.types import KEYPOINTS, Array, Part

SIZE = 512
LEFT, RIGHT, LOW = (330.0, 100.0), (180.0, 100.0), (255.0, 170.0)  # of the neckline, in the picture


def reading(inside: Array) -> Reading:
    """What the reader would see of a top whose back panel shows where ``inside`` (SIZE, SIZE) says."""
    step = SIZE // SIDE
    small = inside.reshape(SIDE, step, SIDE, step).mean((1, 3))
    labels = np.zeros((len(SEGMENTS), SIDE, SIDE), np.float32)
    cloth = np.zeros((SIDE, SIDE), np.float32)
    cloth[90 // step :, 100 // step : 412 // step] = 1
    labels[SEGMENTS.index("inside")] = small * cloth
    labels[SEGMENTS.index("torso")] = (1 - small) * cloth
    labels[SEGMENTS.index("background")] = 1 - cloth
    points = {name: np.array((255.0, 300.0), np.float32) for name in KEYPOINTS}
    points |= {
        "collar_l": np.array(LEFT, np.float32), "collar_r": np.array(RIGHT, np.float32),
        "collar_c": np.array(LOW, np.float32), "shoulder_l": np.array((400.0, 120.0), np.float32),
        "shoulder_r": np.array((110.0, 120.0), np.float32),
    }  # fmt: skip
    place = np.array([[SIDE / SIZE, 0, 0], [0, SIDE / SIZE, 0]], np.float32)
    return Reading(labels, place, points, dict.fromkeys(KEYPOINTS, 1.0), {})


def scene(fray: int) -> tuple[Array, Array, Array]:
    """Picture, outline, and where the back panel shows; a strip ``fray`` px thin of it is held for the front."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    deep = LOW[1] - (x - LOW[0]) ** 2 / 80
    panel = (y < deep) & (y > 90)
    alpha = ((y > 90) & (x > 100) & (x < 412)).astype(np.float32)
    rgb = np.where(panel[..., None], (90, 20, 25), (190, 50, 60)).astype(np.uint8)
    rgb[alpha == 0] = 245
    seen = panel & ~((y > deep - 10) & (y < deep - 10 + fray))
    return rgb, alpha, seen.astype(np.float32)


@pytest.mark.parametrize("fray", [0, 4])
def test_one_smooth_line(fray: int) -> None:
    rgb, alpha, seen = scene(fray)
    share = inside_share(reading(seen), rgb, alpha)
    painted = alpha * (1 - share)
    for column in range(200, 311, 5):
        kept = painted[:250, column] > 0.5
        assert np.count_nonzero(np.diff(kept.astype(int))) == 1, "no strip and no gap along the neckline"
        soft = (painted[:250, column] > 0.05) & (painted[:250, column] < 0.95)
        assert soft.sum() <= 6
        edge = int(np.argmax(kept))
        assert edge == pytest.approx(LOW[1] - (column + 0.5 - LOW[0]) ** 2 / 80, abs=14)  # above the strip or below it


def test_what_has_no_panel_is_whole() -> None:
    rgb, alpha, seen = scene(0)
    assert inside_share(reading(np.zeros_like(seen)), rgb, alpha).max() < 0.02


def test_the_seam_of_a_sleeve_that_lies_on_the_torso_is_smooth() -> None:
    seen = reading(np.zeros((SIZE, SIZE)))
    fray = np.where(np.arange(SIDE) % 2 == 0, 3, 0)[:, None]  # every other row of the labels says otherwise
    sleeve = (np.arange(SIDE)[None] > 0.6 * SIDE + fray) & (np.arange(SIDE)[:, None] > 0.3 * SIDE)
    torso = seen.labels[SEGMENTS.index("torso")]
    seen.labels[SEGMENTS.index("left sleeve")], torso[sleeve] = torso * sleeve, 0.0
    alpha = np.ones((SIZE, SIZE), np.float32)
    seam = (split_parts(seen, alpha)[220:380, :400] == Part.LEFT_SLEEVE).argmax(1)
    assert np.ptp(seam) <= 2
    assert seam.mean() == pytest.approx((0.6 * SIDE + 1.5) * SIZE / SIDE, abs=4)
