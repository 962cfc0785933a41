"""The fit to look at: the warped garment alone and over the person, with landmarks, key points and the splines'
lattices (``vtryon warp``)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vtryon.errors import BadInputError, MissingInputError
from vtryon.job import Options, RunResult, Tally, dress, garments, moments, notes, open_reader, result_of
from vtryon.outputs import PICTURES, IfExists, wanted
from vtryon.pipeline import TryOnFrame
from vtryon.progress import Report, silent
from vtryon.sheet import contact_sheet, on_grey, over, with_lines, with_points, with_skeleton, write_picture
from vtryon.types import Array, Frame, Garment
from vtryon.video import CONTAINERS, EncodeOptions, VideoWriter, default_codec
from vtryon.warp.lattice import garment_lattices

KEYPOINT_COLOUR = (0, 230, 255)
GRID_COLOUR = (0, 200, 0)


@dataclass(frozen=True)
class WarpOptions(Options):
    """Options of :func:`warp`: ``moments`` rows of the contact sheet; ``grid`` draws the splines' lattices, on the
    garment's own picture as they are and on the warped garment as they are deformed."""

    moments: int = 6
    grid: bool = False


def warp(options: WarpOptions, *, progress: Report = silent) -> RunResult:
    """Show how the garment is fitted: a contact sheet where the output is a picture, else a video.

    A row, and a frame of the video, shows the person with landmarks, the warped garment alone, and both together.

    Raises:
        VtryonError: one of its kinds; nothing is then left at ``options.output``.
    """
    if not wanted(
        options.output, inputs=options.inputs, if_exists=options.if_exists, suffixes=(*PICTURES, *CONTAINERS)
    ):
        return RunResult(options.output, skipped=True)
    began = time.perf_counter()
    make = _contact_sheet if options.output.suffix.lower() in PICTURES else _video
    return make(options, progress, began)


def _contact_sheet(options: WarpOptions, progress: Report, began: float) -> RunResult:
    garment, back = garments(options, progress)
    photograph = options.person.suffix.lower() in PICTURES
    tally = Tally(options.person, progress, 1 if photograph else options.moments, stage="fitting")
    shown = (
        dress([still(options.person, options.max_pixels)], garment, back, options, compose=False)
        if photograph
        else moments(options, garment, back, options.moments, compose=False)
    )
    rows = [_panels(one, options) for one in tally.count(shown)]
    sheet = contact_sheet([[_garment_picture(one, options) for one in (garment, back) if one is not None], *rows])
    write_picture(options.output, sheet)
    done = result_of(options.output, tally, began)
    return replace(done, width=sheet.shape[1], height=sheet.shape[0], warnings=notes(garment, back))


def _video(options: WarpOptions, progress: Report, began: float) -> RunResult:
    with ExitStack() as stack:
        reader = stack.enter_context(open_reader(options))
        info = reader.info
        writer = stack.enter_context(
            VideoWriter(
                options.output,
                width=info.width * 3,
                height=info.height,
                time_base=info.time_base,
                options=EncodeOptions(codec=default_codec(options.output)),
                source=info,
                audio_start=options.start,
                overwrite=options.if_exists is IfExists.REPLACE,
            )
        )
        garment, back = garments(options, progress)
        tally = Tally(options.person, progress, reader.frames_estimate, stage="fitting")
        for one in tally.count(dress(reader, garment, back, options, compose=False)):
            writer.write(np.concatenate(_panels(one, options), axis=1), one.frame.pts)
        report = writer.close()
    return replace(
        result_of(options.output, tally, began),
        width=info.width * 3,
        height=info.height,
        audio=report.audio,
        warnings=(*notes(garment, back), *reader.warnings, *report.warnings),
    )


def _panels(one: TryOnFrame, options: WarpOptions) -> list[Array]:
    """Person with landmarks; the garment alone; the garment over the person."""
    source = one.source.rgb
    person = source if one.person is None else with_skeleton(source, one.person.pose.points)
    if one.warped is None:
        return [person, np.full_like(source, 128), source]
    rgb, alpha = one.warped
    alone, both = on_grey(rgb, alpha), over(source, rgb, alpha)
    if options.grid and one.warp is not None:
        lattices = [spline.points for spline in one.warp.splines]
        alone, both = (_with_lattices(picture, lattices) for picture in (alone, both))
    return [person, alone, both]


def _with_lattices(picture: Array, lattices: Iterable[Array]) -> Array:
    """A copy with rows and columns of lattices (rows, columns, 2), px: the control points are where they cross."""
    return with_lines(picture, [line for at in lattices for line in (*at, *at.transpose(1, 0, 2))], GRID_COLOUR)


def _garment_picture(garment: Garment, options: WarpOptions) -> Array:
    picture = on_grey(garment.rgb, garment.alpha)
    if options.grid:
        picture = _with_lattices(picture, garment_lattices(garment).values())
    return with_points(picture, np.stack(list(garment.keypoints.values())), KEYPOINT_COLOUR)


def still(path: Path, max_pixels: int) -> Frame:
    """A picture of a person as the only frame of a video.

    Raises:
        MissingInputError: it is not there or may not be read.
        BadInputError: it is not a picture, or has more than ``max_pixels``.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > max_pixels:
                raise BadInputError(f"{path}: {picture.width} x {picture.height} is more than the {max_pixels} allowed")
            rgb = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except FileNotFoundError as problem:
        raise MissingInputError(f"{path}: no such file; check the name") from problem
    except PermissionError as problem:
        raise MissingInputError(f"{path}: may not be read; check its permissions") from problem
    except (UnidentifiedImageError, OSError, ValueError) as problem:
        raise BadInputError(f"{path}: this is not a picture that can be read") from problem
    return Frame(rgb, pts=0, time_base=Fraction(1, 25), index=0)
