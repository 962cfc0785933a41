"""``vtryon run``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtryon.cli import params
from vtryon.cli.files import default_output, plain, policy, readable_garment
from vtryon.cli.meter import speed
from vtryon.cli.terminal import Terminal, reporting

if TYPE_CHECKING:
    from vtryon.job import RunOptions, RunResult


def run(
    person: params.Person,
    garment: params.GarmentPicture,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Video to write: .mp4, .mkv, .mov or .webm (with --preview: .png).  "
            "\\[default: PERSON's name with .vtryon.mp4, in the current folder]",
            show_default=False,
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
    save_person: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep the analysis of the person for the next garment.",
            rich_help_panel=params.REUSE,
            readable=False,
        ),
    ] = None,
    saved_person: Annotated[
        Path | None,
        typer.Option(
            "--person",
            metavar="FILE",
            help="Use a kept analysis of the same video, --start and --end.",
            rich_help_panel=params.REUSE,
            readable=False,
        ),
    ] = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Keep what is found out about person and garment in the cache, and take it from there.",
            rich_help_panel=params.REUSE,
        ),
    ] = False,
    yes: params.Yes = False,
    no: params.No = False,
    as_json: params.Json = False,
    verbose: params.Verbose = 0,
    quiet: params.Quiet = False,
) -> None:
    """Put GARMENT on the person of the video PERSON; size, timing and sound stay."""
    with reporting(verbose=verbose, quiet=quiet) as terminal, readable_garment(garment) as garment_file:
        from vtryon import job
        from vtryon.cache import Cache

        options = run_options(
            person=person,
            garment=garment_file,
            output=output or default_output(person, ".mp4" if preview is None else ".png"),
            back=back,
            start=start,
            end=end,
            fit=fit,
            length=length,
            warp_method=warp_method,
            device=device,
            codec=codec,
            crf=crf,
            preset=preset,
            pix_fmt=pix_fmt,
            lossless=lossless,
            no_audio=no_audio,
            compare=compare,
            max_pixels=max_pixels,
            if_exists=policy(yes=yes, no=no),
            cache=Cache.of_user() if cache else None,
            save_person=save_person,
            saved_person=saved_person,
        )
        if preview is None:
            result = job.run(options, progress=terminal.progress)
        else:
            result = job.preview(options, preview, progress=terminal.progress)
        show(terminal, result, as_json=as_json)


def run_options(
    *,
    output: Path,
    codec: str | None,
    crf: int,
    preset: str,
    pix_fmt: str,
    lossless: bool,
    no_audio: bool,
    max_pixels: int | None,
    warp_method: str,
    **same: Any,
) -> RunOptions:
    """What the library is told, by what the command line was told; ``same`` has the same name in both."""
    from vtryon.job import RunOptions
    from vtryon.video import MAX_PIXELS, EncodeOptions, default_codec

    codec_name = default_codec(output) if codec is None else str(codec)
    return RunOptions(
        output=output,
        warp=warp_method,
        encode=EncodeOptions(codec=codec_name, crf=crf, preset=preset, pix_fmt=pix_fmt, lossless=lossless),
        audio=not no_audio,
        max_pixels=max_pixels or MAX_PIXELS,
        **same,
    )


def show(terminal: Terminal, result: RunResult, *, as_json: bool) -> None:
    """Warnings and the final line, or the JSON object."""
    for warning in result.warnings:
        terminal.warn(warning)
    if as_json or not result.skipped:  # -n skips quietly
        terminal.result(describe(result), plain(result) if as_json else None)


def describe(result: RunResult) -> str:
    """One line: where, how much, how long, and what to know."""
    parts = [f"{result.frames} frame{'s' * (result.frames != 1)} in {result.seconds:.1f} s ({speed(result.fps)})"]
    if result.audio is not None:
        parts.append(f"sound {result.audio}")
    if result.frames_without_person:
        parts.append(f"no person in {result.frames_without_person}")
    if result.warnings:
        parts.append(f"{len(result.warnings)} warning{'s' * (len(result.warnings) != 1)}")
    return f"{result.output}: {', '.join(parts)}"
