"""Steadiness over time, as a picture."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from vtryon.evaluate.protocol import Evaluation, MethodScore
from vtryon.types import Array

PANELS = {
    "warp_error": ("source_warp_error", "warping error (mean square, values in 0 to 1)"),
    "hem_jitter": ("source_hem_jitter", "hem jitter (px at 640 px height)"),
}
"""What is drawn: by measure, its counterpart in the source and the heading."""


def temporal_plot(evaluation: Evaluation) -> bytes | None:
    """A PNG: each method's clips as thin lines, their mean as a thick one, the source's mean dashed.

    None where no steadiness was measured.
    """
    shown = [name for name in PANELS if any(series_of(m, name).size for m in evaluation.methods)]
    if not shown:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3 * len(shown)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(shown, 1):
        _panel(figure.add_subplot(len(shown), 1, place), evaluation, name)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _panel(axes: Any, evaluation: Evaluation, name: str) -> None:
    other, label = PANELS[name]
    for number, method in enumerate(evaluation.methods):
        lines = series_of(method, name)
        colour = f"C{number}"
        axes.plot(lines.T, color=colour, linewidth=0.5, alpha=0.4)
        axes.plot(mean_over_clips(lines), color=colour, linewidth=1.8, label=method.name)
    source = series_of(evaluation.methods[0], other)
    if source.size:
        axes.plot(mean_over_clips(source), color="black", linestyle="--", linewidth=1.2, label="source")
    axes.set(title=label, xlabel="frame", ylim=(0, None))
    axes.legend(frameon=False)


def series_of(method: MethodScore, name: str) -> Array:
    """(clips, frames) float64 of a per-frame measure, NaN where there is none; empty where no clip has any."""
    rows = [[np.nan if v is None else v for v in clip.frames[name]] for clip in method.clips]
    rows = [row for row in rows if not np.isnan(row).all()] if any(rows) else []
    table = np.full((len(rows), max(map(len, rows), default=0)), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table


def mean_over_clips(table: Array) -> Array:
    """(frames,) mean of the clips that have a value at a frame, NaN where none has."""
    there = np.isfinite(table)
    total: Array = np.where(there, table, 0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)
