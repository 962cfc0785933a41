"""An evaluation as it is handed on: JSON, CSV, a Markdown table with its protocol, and a plot over time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vtryon.errors import CannotCreateError
from vtryon.evaluate.measures import MEASURES
from vtryon.evaluate.protocol import Evaluation, MethodScore
from vtryon.evaluate.temporal import mean_of
from vtryon.outputs import IfExists, beside

NOT_COMPUTED = "not computed"
FLOORS = {"warp_ratio": ("truth", "truth_warp_ratio"), "hem_jitter": ("source", "source_hem_jitter")}
"""What stands in brackets beside a measure: whose figure it is, what a faultless result would have."""

FILES = ("report.json", "table.md", "clips.csv", "frames.csv", "temporal.png")
"""What is written; the plot only where there are clips and steadiness was measured."""


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """All of it as JSON knows it; None where there is no figure."""
    return {
        "protocol": dict(evaluation.protocol),
        "not_computed": dict(evaluation.missing),
        "methods": [
            {
                "name": method.name,
                "values": {name: method.values[name] for name in evaluation.measures},
                "undressed": list(method.undressed),
                "clips": [
                    {"name": c.name, "frames": c.count, "without_person": c.without_person} | dict(c.values)
                    for c in method.clips
                ],
            }
            for method in evaluation.methods
        ],
    }


def as_markdown(evaluation: Evaluation) -> str:
    """A row a method, then why figures are missing, then the protocol."""
    heads = [f"{MEASURES[n].title} {'↑' if MEASURES[n].up else '↓'}" for n in evaluation.measures]
    rows = [["method", *heads], ["---"] * (len(heads) + 1)]
    rows += [[m.name, *(_shown(evaluation, m, n) for n in evaluation.measures)] for m in evaluation.methods]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if evaluation.missing:
        lines += ["", *(f"- {MEASURES[n].title} {NOT_COMPUTED}: {why}" for n, why in evaluation.missing.items())]
    undressed = [f"- {m.name} left as it was: {why}" for m in evaluation.methods for why in m.undressed]
    lines += ["", *undressed] if undressed else []
    return "\n".join([*lines, "", "Protocol", "", *(f"- {k}: {v}" for k, v in evaluation.protocol.items())])


def _shown(evaluation: Evaluation, method: MethodScore, name: str) -> str:
    value = method.values[name]
    if name in evaluation.missing:
        return NOT_COMPUTED
    if value is None:
        return "none"
    text = f"{value:.{MEASURES[name].digits}f}"
    who, floor = FLOORS.get(name, ("", ""))
    known = mean_of(clip.values[floor] for clip in method.clips) if floor else None
    return text if known is None else f"{text} ({who} {known:.{MEASURES[name].digits}f})"


def clips_csv(evaluation: Evaluation) -> str:
    """A line a clip."""
    columns = [*evaluation.methods[0].clips[0].values]
    rows = [
        [method.name, clip.name, clip.count, *(clip.values[name] for name in columns)]
        for method in evaluation.methods
        for clip in method.clips
    ]
    return _csv([["method", "clip", "frames", *columns], *rows])


def frames_csv(evaluation: Evaluation) -> str:
    """A line a frame, for every measure that frames have."""
    names = [*evaluation.methods[0].clips[0].frames]
    rows: list[list[Any]] = [["method", "clip", "frame", *names]]
    for method in evaluation.methods:
        for clip in method.clips:
            for number in range(clip.count):
                series = (clip.frames[name] for name in names)
                rows.append([method.name, clip.name, number, *(s[number] if s else None for s in series)])
    return _csv(rows)


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def check_folder(folder: Path, if_exists: IfExists, inputs: Sequence[Path] = ()) -> bool:
    """Whether a report is to be written to ``folder``; False where one is there and the policy is to skip.

    Raises:
        CannotCreateError: one is there and the policy is to refuse, ``folder`` cannot be made, or it lies in one of the
            folders ``inputs``, where it would be taken for a clip.
    """
    around = next((path for path in inputs if folder.absolute().is_relative_to(path.absolute())), None)
    if around is not None:
        raise CannotCreateError(f"{folder} lies in {around}, where it would be taken for a clip; write elsewhere")
    there = [folder / name for name in FILES if (folder / name).exists()]
    if there and if_exists is IfExists.SKIP:
        return False
    if there and if_exists is IfExists.REFUSE:
        raise CannotCreateError(f"{there[0]} exists; -y overwrites the report, -n leaves it and does nothing")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CannotCreateError(f"{folder}: cannot be made ({problem.strerror})") from problem
    return True


def write_report(evaluation: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write ``FILES`` to ``folder``, each whole or not at all; returns what was written.

    Raises:
        CannotCreateError, WriteError: the folder or the disk refuses.
    """
    texts = {
        "report.json": json.dumps(as_record(evaluation), indent=1) + "\n",
        "table.md": as_markdown(evaluation) + "\n",
        "clips.csv": clips_csv(evaluation),
        "frames.csv": frames_csv(evaluation),
    }
    for name, text in texts.items():
        with beside(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    written = [folder / name for name in texts]
    from vtryon.evaluate.plot import temporal_plot

    picture = temporal_plot(evaluation)
    if picture is not None:
        with beside(folder / "temporal.png") as temporary:
            temporary.write_bytes(picture)
        written.append(folder / "temporal.png")
    return tuple(written)
