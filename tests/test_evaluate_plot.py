"""The plot over time: clips of any length, frames without a figure, nothing to draw."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vtryon.evaluate.plot import PANELS, mean_over_clips, series_of, temporal_plot
from vtryon.evaluate.protocol import Evaluation, MethodScore
from vtryon.evaluate.score import ClipScore

NAMES = [name for pair in ((name, other) for name, (other, _) in PANELS.items()) for name in pair]


def method(*clips: list[float | None]) -> MethodScore:
    """A method whose clips have these warping errors, and nothing else."""
    scores = (
        ClipScore(str(n), len(c), 0, {}, {name: [] for name in NAMES} | {"warp_error": c}) for n, c in enumerate(clips)
    )
    return MethodScore("ours", {}, tuple(scores))


def test_clips_of_any_length_have_one_mean() -> None:
    table = series_of(method([None, 1.0, 3.0], [None, 3.0], [None, None]), "warp_error")
    assert np.array_equal(table, [[np.nan, 1, 3], [np.nan, 3, np.nan]], equal_nan=True)
    assert np.array_equal(mean_over_clips(table), [np.nan, 2, 3], equal_nan=True)


def test_only_what_was_measured_is_drawn() -> None:
    picture = temporal_plot(Evaluation({}, (method([None, 0.1, 0.2]),), {}))
    assert picture is not None
    with Image.open(io.BytesIO(picture)) as drawn:
        width, height = drawn.size
    assert width > 2 * height, "one panel of two"
    assert temporal_plot(Evaluation({}, (method([None, None]),), {})) is None
    assert series_of(method([]), "warp_error").size == 0


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_has_its_source(name: str) -> None:
    assert PANELS[name][0] == f"source_{name}"
