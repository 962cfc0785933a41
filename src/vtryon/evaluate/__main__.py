"""``python -m vtryon.evaluate NAME``: one measure, its figures as JSON on standard output."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vtryon.errors import VtryonError
from vtryon.person import Labeller
from vtryon.person.regions import label_regions
from vtryon.pipeline import default_drawer, default_labeller
from vtryon.render import Drawer
from vtryon.render.compose import Composer
from vtryon.types import WARP_METHODS

VIDEOS = (".mp4", ".mov", ".mkv", ".webm")


def parser() -> argparse.ArgumentParser:
    """The arguments of every measure."""
    top = argparse.ArgumentParser(prog="python -m vtryon.evaluate", description=__doc__)
    names = top.add_subparsers(dest="measure", required=True, metavar="NAME")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--warp", choices=WARP_METHODS, default="auto", help="what lays the garment on the body")
    drawn = argparse.ArgumentParser(add_help=False)
    drawn.add_argument("--no-refine", action="store_true", help="composed by geometry alone")
    labels = argparse.ArgumentParser(add_help=False)
    labels.add_argument("--labels", choices=("parser", "regions"), default="parser", help="network or geometry")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of people, pairs, ...")

    clip = names.add_parser("clip", parents=[common, drawn, labels], help="a clip against its truth")
    clip.add_argument("video", type=Path)
    clip.add_argument("garment", type=Path)
    clip.add_argument("--truth", type=Path, help="default: the clip itself, for a garment that is already worn")
    clip.add_argument("--step", type=int, default=6, help="every so many frames count")

    pairs = names.add_parser("pairs", parents=[common, drawn, labels, data], help="rendered scenes with true pairs")
    pairs.add_argument("--every", type=int, default=1, help="every so many scenes count")
    pairs.add_argument("--seed", type=int, default=0, help="of prints and backgrounds")

    laid = argparse.ArgumentParser(add_help=False, parents=[common, data])
    laid.add_argument(
        "--unseated", action="store_true", help="as the method lays it, before it goes to outlines nearby"
    )
    names.add_parser("texture", parents=[laid], help="where the cloth lies on rendered scenes")
    names.add_parser("folds", parents=[laid], help="where the warp turns over on rendered scenes")

    outline = names.add_parser("outline", parents=[laid, labels], help="where garments end on photographs")
    outline.add_argument("garments", type=Path, nargs="+", help="of each kind that counts, one or several")
    outline.add_argument("--every", type=int, default=1, help="every so many photographs count")

    still = names.add_parser("still", parents=[common, drawn, labels], help="hem jitter on photographs as noisy clips")
    still.add_argument("garment", type=Path)
    still.add_argument("pictures", type=Path, nargs="+", help="photographs, or videos whose first frame counts")
    still.add_argument("--seconds", type=float, default=3.0)
    still.add_argument("--seed", type=int, default=0, help="of the noise")

    rebuilt = names.add_parser(
        "reconstruction", parents=[common, drawn, labels, data], help="photographs of people back in their own top"
    )
    rebuilt.add_argument("--every", type=int, default=1, help="every so many photographs count")
    rebuilt.add_argument("--seed", type=int, default=0, help="of what is painted over them")

    damage = names.add_parser(
        "damage", parents=[common, drawn, labels, data], help="leftover and damage on photographs"
    )
    damage.add_argument("garments", type=Path, nargs="+")
    damage.add_argument("--every", type=int, default=1, help="every so many photographs count")
    _parser_measures(names, labels, data)
    return top


def _parser_measures(names: Any, labels: argparse.ArgumentParser, data: argparse.ArgumentParser) -> None:
    """The parser's own, without any garment."""
    iou = names.add_parser("iou", parents=[data], help="the parser's labels against those of validation pictures")
    iou.add_argument("--cache", type=Path, required=True, help="prepared pictures, made there from the data if missing")

    flicker = names.add_parser("flicker", parents=[labels], help="labels that change though nothing moves")
    flicker.add_argument("pictures", type=Path, nargs="+", help="photographs, as noisy clips, and videos")
    flicker.add_argument("--seconds", type=float, default=3.0, help="of each video, from its start")
    flicker.add_argument("--seed", type=int, default=0, help="of the noise on photographs")

    time = names.add_parser("crop-time", help="what labelling one crop costs")
    time.add_argument("--device", default="auto")
    time.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="crops at a time")


def run(options: argparse.Namespace) -> Any:
    """The measure that ``options`` name."""
    if options.measure in ("iou", "flicker", "crop-time"):
        return _parser(options)
    warp = options.warp
    if options.measure == "texture":
        from vtryon.evaluate.texture import measure_texture

        return measure_texture(options.data, warp=warp, seated=not options.unseated)
    if options.measure == "folds":
        from vtryon.evaluate.folds import measure_folds

        return measure_folds(options.data, warp=warp, seated=not options.unseated)
    labeller = named_labeller(options.labels)
    if options.measure == "outline":
        from vtryon.evaluate.outline import measure_outline

        return measure_outline(
            options.data, options.garments, labeller=labeller, warp=warp, seated=not options.unseated,
            every=options.every,
        )  # fmt: skip
    draw = Composer() if options.no_refine else default_drawer()
    if options.measure == "clip":
        from vtryon.evaluate.clip import measure_clip

        return measure_clip(
            options.video, options.garment, options.truth, labeller=labeller, warp=warp, draw=draw, step=options.step
        )
    if options.measure == "pairs":
        from vtryon.evaluate.pairs import measure_pairs

        return measure_pairs(
            options.data, labeller=labeller, warp=warp, draw=draw, every=options.every, seed=options.seed
        )
    if options.measure == "reconstruction":
        from vtryon.evaluate.reconstruction import measure_reconstruction

        return measure_reconstruction(
            options.data, labeller=labeller, warp=warp, draw=draw, every=options.every, seed=options.seed
        )
    if options.measure == "still":
        return _still(options, labeller, draw)
    from vtryon.evaluate.damage import measure_damage

    return measure_damage(options.data, options.garments, labeller=labeller, warp=warp, draw=draw, every=options.every)


def _parser(options: argparse.Namespace) -> dict[str, Any]:
    from vtryon.evaluate import labels

    if options.measure == "iou":
        return labels.measure_iou(options.data, options.cache)
    if options.measure == "crop-time":
        return labels.measure_time(options.device, options.batch)
    labeller = named_labeller(options.labels)
    return {str(path): asdict(_flicker(path, labeller, options)) for path in options.pictures}


def _flicker(path: Path, labeller: Labeller, options: argparse.Namespace) -> Any:
    from vtryon.evaluate import labels

    if path.suffix.lower() not in VIDEOS:
        return labels.still_flicker(first_picture(path), labeller, seconds=options.seconds, seed=options.seed)
    from vtryon.video import VideoReader

    with VideoReader(path, end=options.seconds) as frames:
        return labels.label_flicker(frames, labeller, moving=True)


def _still(options: argparse.Namespace, labeller: Labeller, draw: Drawer) -> dict[str, Any]:
    from vtryon.evaluate.hem import hem_jitter
    from vtryon.garment import load_garment

    garment = load_garment(options.garment)
    found = {
        str(path): asdict(
            hem_jitter(
                first_picture(path), garment, labeller=labeller, warp=options.warp, draw=draw, seconds=options.seconds,
                seed=options.seed,
            )
        )
        for path in options.pictures
    }  # fmt: skip
    names = [name for name in next(iter(found.values())) if name != "missing"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a measure that no picture has
        means = {name: round(float(np.nanmean([one[name] for one in found.values()])), 4) for name in names}
    return {"mean": means, "pictures": found}


def first_picture(path: Path) -> np.ndarray[Any, Any]:
    """A photograph, or a video's first frame, (H, W, 3) uint8, at an even size, as encoders want it."""
    if path.suffix.lower() in VIDEOS:
        from vtryon.video import VideoReader

        with VideoReader(path) as reader:
            rgb = next(iter(reader)).rgb
    else:
        from vtryon.garment import load_picture

        rgb, _ = load_picture(path)
    return rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]


def named_labeller(name: str) -> Labeller:
    """``regions``: geometry; ``parser``: the network, or geometry where its weights are missing."""
    return (default_labeller() if name == "parser" else None) or label_regions


def without_nan(value: Any) -> Any:
    """The same with None for figures that there are none of: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    try:
        report = {"command": " ".join(arguments), **run(options)}
    except VtryonError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(without_nan(report), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
