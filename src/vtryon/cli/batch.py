"""``vtryon batch``: many rows, each a person in a garment."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtryon.cli import params
from vtryon.cli.board import board
from vtryon.cli.files import policy
from vtryon.cli.meter import clock_time
from vtryon.cli.rows import Columns, rows_of
from vtryon.cli.terminal import Terminal, reporting
from vtryon.errors import BatchError, UsageError

if TYPE_CHECKING:
    from vtryon.batch.estimate import Estimator
    from vtryon.batch.manifest import Line
    from vtryon.batch.plan import Plan
    from vtryon.batch.rows import News, Outcome
    from vtryon.batch.run import BatchOptions

ROWS = "Rows"
WORK = "Work"

_IF_STOPPED = "finished outputs stay; the same command goes on from there"


def _parse_jobs(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} is neither auto nor a number from 1")
    return int(text)


def batch(
    manifest: Annotated[
        Path | None,
        typer.Argument(
            metavar="MANIFEST",
            help="List of rows: CSV or .jsonl with person, garment, output and any option of vtryon run.",
            show_default=False,
            readable=False,
        ),
    ] = None,
    persons: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Videos, quoted: 'p/*.mp4'. May be repeated.", rich_help_panel=ROWS),
    ] = None,
    garments: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Pictures; each goes on each person.", rich_help_panel=ROWS),
    ] = None,
    out_dir: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where the outputs go.", rich_help_panel=ROWS)
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="Names of the outputs.", rich_help_panel=ROWS)
    ] = "{person}_{garment}.mp4",
    jobs: Annotated[
        int | None,
        typer.Option(
            parser=_parse_jobs,
            metavar="N|auto",
            help="Rows at a time; with --ray: rows that share a GPU.  \\[default: auto, by cores and memory]",
            show_default=False,
            rich_help_panel=WORK,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="auto|ADDRESS", help="Let the machines of a Ray cluster work.", rich_help_panel=WORK),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it takes.", rich_help_panel=WORK)
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first row that fails.", rich_help_panel=WORK)
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A JSON line for each row.  \\[default: MANIFEST.report.jsonl, or batch.report.jsonl in FOLDER]",
            rich_help_panel=WORK,
            readable=False,
        ),
    ] = None,
    back: params.Back = None,
    fit: params.FitChoice = params.Fit.REGULAR,
    length: params.Length = 1.0,
    warp_method: params.WarpChoice = params.WarpMethod.AUTO,
    device: params.Device = "auto",
    start: params.Start = None,
    end: params.End = None,
    max_pixels: params.MaxPixels = None,
    compare: params.Compare = False,
    preview: params.Preview = None,
    codec: params.CodecChoice = None,
    crf: params.Crf = 18,
    preset: params.Preset = "medium",
    pix_fmt: params.PixFmt = "yuv420p",
    lossless: params.Lossless = False,
    no_audio: params.NoAudio = False,
    yes: params.Yes = False,
    no: params.No = False,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Dress many: the rows of a list, or every person in every garment. Called again, it does what is not done yet."""
    settings = {
        "back": back,
        "fit": fit,
        "length": length,
        "warp_method": warp_method,
        "device": device,
        "start": start,
        "end": end,
        "max_pixels": max_pixels,
        "compare": compare,
        "preview": preview,
        "codec": codec,
        "crf": crf,
        "preset": preset,
        "pix_fmt": pix_fmt,
        "lossless": lossless,
        "no_audio": no_audio,
    }
    with reporting(verbose=verbose, quiet=quiet, if_stopped=_IF_STOPPED) as terminal:
        from vtryon.batch.estimate import Estimator
        from vtryon.batch.plan import check, make_plan
        from vtryon.batch.run import BatchOptions
        from vtryon.cache import Cache

        columns = Columns.of_run()
        lines = _lines(manifest, persons, garments, out_dir, name, columns)
        rows = rows_of(lines, columns, {**settings, "if_exists": policy(yes=yes, no=no)})
        check(rows)
        cache = Cache.of_user()
        estimator = Estimator.of(cache)
        plan = make_plan(rows, estimator, terminal.progress)
        terminal.clear()
        options = BatchOptions(cache, jobs, ray, fail_fast)
        if dry_run:
            _show_plan(terminal, plan, estimator, options, as_json=as_json)
        else:
            _work(terminal, plan, estimator, options, report or _default_report(manifest, out_dir), as_json=as_json)


def _lines(
    manifest: Path | None,
    persons: list[str] | None,
    garments: list[str] | None,
    out_dir: str | None,
    name: str,
    columns: Columns,
) -> list[Line]:
    from vtryon.batch.manifest import combinations, read_manifest

    if manifest is not None:
        if persons or garments or out_dir:
            raise UsageError(f"{manifest} names persons, garments and outputs; leave the options for them out")
        return read_manifest(manifest, columns.options.keys())
    if not persons or not garments or not out_dir:
        raise UsageError("name a list of rows, or --persons, --garments and --out-dir; see vtryon batch --help")
    return combinations(persons, garments, out_dir, name)


def _default_report(manifest: Path | None, out_dir: str | None) -> Path:
    from vtryon.batch.places import is_remote

    if manifest is not None:
        return manifest.with_suffix(".report.jsonl")
    return Path("." if out_dir is None or is_remote(out_dir) else out_dir, "batch.report.jsonl")


def _work(
    terminal: Terminal, plan: Plan, estimator: Estimator, options: BatchOptions, report: Path, *, as_json: bool
) -> None:
    from vtryon.batch.report import ReportFile, summary, table
    from vtryon.batch.run import run_batch

    began = time.monotonic()
    display = board(plan) if not terminal.quiet else None

    def tell(news: News) -> None:
        if display is not None:
            display.tell(news)

    try:
        with ReportFile(report) as file:
            outcomes = run_batch(
                plan, options, note=lambda index, outcome: file.add(plan.rows[index], outcome), tell=tell
            )
    finally:
        if display is not None:
            display.close()
    estimator.learn(options.cache, plan.tasks, [outcomes[task.index] for task in plan.tasks])
    numbers = summary(outcomes, time.monotonic() - began)
    text = "\n".join(part for part in (table(plan.rows, outcomes), _sentence(outcomes, numbers), str(report)) if part)
    terminal.result(text, {**numbers, "report": str(report)} if as_json else None)
    bad = numbers["failed"] + numbers["stopped"]
    if bad:
        raise BatchError(f"{bad} of {len(outcomes)} rows failed or were not done; {report} says why")


def _sentence(outcomes: list[Outcome], numbers: Any) -> str:
    parts = [f"{numbers[status]} {status}" for status in ("done", "skipped", "failed", "stopped") if numbers[status]]
    warnings = sum(len(outcome.warnings) for outcome in outcomes)
    parts += [f"{warnings} warning{'s' * (warnings != 1)}"] if warnings else []
    return f"{len(outcomes)} rows: {', '.join(parts)}, {numbers['frames']} frames in {clock_time(numbers['seconds'])}"


def _show_plan(terminal: Terminal, plan: Plan, estimator: Estimator, options: BatchOptions, *, as_json: bool) -> None:
    from vtryon.batch.resources import cores
    from vtryon.batch.rows import Status

    jobs = max(1, min(options.jobs or cores(), len(plan.tasks)))
    about = None if plan.seconds is None or options.ray is not None else plan.seconds / jobs
    entries = []
    for index, row in enumerate(plan.rows):
        settled = plan.settled.get(index)
        action = "make" if settled is None else "skip" if settled.status is Status.SKIPPED else "fail"
        error = None if settled is None else settled.error
        entries.append({"row": row.where, "output": row.output, "action": action, "error": error})
    counts = Counter(str(entry["action"]) for entry in entries)
    lines = [f"{e['action']:<5} {e['output']}{': ' + str(e['error']) if e['error'] else ''}" for e in entries]
    lines.append(f"{len(entries)} rows: {', '.join(f'{counts[a]} to {a}' for a in counts)}; {_time(about, jobs)}")
    if about is not None and not estimator.rows:
        lines.append("The time is that of another machine; after the first rows it is told from this one.")
    record = {"rows": entries, "jobs": jobs, "seconds": about, "learned_from_rows": estimator.rows}
    terminal.result("\n".join(lines), record if as_json else None)


def _time(seconds: float | None, jobs: int) -> str:
    if seconds is None:
        return "how long it takes cannot be told beforehand"
    return f"about {clock_time(seconds)} with {jobs} job{'s' * (jobs != 1)}"
