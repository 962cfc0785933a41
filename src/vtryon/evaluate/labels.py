"""The parser's measures (issue 4): IoU of its labels, flicker on still people and in real clips, time a crop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from vtryon import weights
from vtryon.device import Compute, choose
from vtryon.evaluate.still import still_clip
from vtryon.person import Labeller, analyse
from vtryon.person.crop import picture_on
from vtryon.person.parser import ParserLabeller, load_network
from vtryon.render.flow import Flow, SourceFlow
from vtryon.train.crops import open_crops
from vtryon.train.parser_measures import evaluate
from vtryon.train.prepare import is_prepared, prepare
from vtryon.types import CROP_SIZE, Array, Frame, Label
from vtryon.video import VideoReader

_AGREES = 0.5  # how far source and flow must agree for a pixel to count
_SETTLING = 8  # frames at the start of a clip that do not count: smoothing begins there


def measure_iou(data: Path, cache: Path) -> dict[str, Any]:
    """Of the shipped weights on the validation photographs and rendered people (:func:`~..parser_measures.evaluate`).

    The pictures are those that training prepares in ``cache``; they are made from ``data`` where they are missing.
    """
    if not is_prepared(cache):
        prepare(data, cache)
    net = load_network(weights.find("parser"))
    people, pairs = open_crops(cache).validation()
    compute = choose("cpu")
    sets = {"photographs": people, "rendered people": pairs}
    return {
        name: {"crops": len(crops)} | {k: round(v, 4) for k, v in evaluate(net, crops, compute).items()}
        for name, crops in sets.items()
    }


@dataclass(frozen=True)
class Flicker:
    """``share`` of the pixels in the person's box that change label from one frame to the next, of those that count;
    ``counted`` share of the box that does (1 where nothing moves); ``pairs`` what changes most, as "label/label" with
    its part of ``share``; ``frames`` steps from frame to frame."""

    share: float
    counted: float
    pairs: dict[str, float]
    frames: int


def still_flicker(picture: Array, labeller: Labeller, *, seconds: float = 3.0, seed: int = 0) -> Flicker:
    """Of a photograph (H, W, 3) uint8 as a clip with a camera's noise (:func:`still_clip`): nothing should change."""
    with TemporaryDirectory() as folder:
        clip = still_clip(picture, Path(folder, "still.mp4"), seconds=seconds, seed=seed)
        with VideoReader(clip) as frames:
            return label_flicker(frames, labeller, moving=False)


def label_flicker(frames: Iterable[Frame], labeller: Labeller, *, moving: bool) -> Flicker:
    """Of the labels that the whole person room gives.

    Where people move, the labels of the frame before are carried by the optical flow of the crops, and only pixels
    count where picture and flow agree: what is uncovered has no label before.
    """
    flow = SourceFlow()
    table = np.zeros((len(Label), len(Label)))
    inside = steps = 0
    box_pixels = 0
    before: tuple[Array, Array, int] | None = None
    for number, (frame, person) in enumerate(analyse(frames, labeller=labeller)):
        if person is None:
            before = None
            continue
        picture, now = picture_on(person.crop, frame.rgb), person.labels.argmax(axis=0)
        if before is not None and before[2] == person.shot and number >= _SETTLING:
            motion = flow(before[0], picture) if moving else _no_motion()
            was = _carried(before[1], motion)
            ys, xs = np.nonzero((now > 0) | (was > 0))
            box = np.zeros(now.shape, bool)
            box[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
            counts = box & (motion.valid > _AGREES)
            table += np.bincount(was[counts] * len(Label) + now[counts], minlength=table.size).reshape(table.shape)
            inside, box_pixels, steps = inside + int(counts.sum()), box_pixels + int(box.sum()), steps + 1
        before = picture, now, person.shot
    changed = (table + table.T) * (1 - np.eye(len(Label)))
    most = sorted(zip(*np.triu_indices(len(Label), 1), strict=True), key=lambda at: -changed[at])[:4]
    whole = max(inside, 1)
    return Flicker(
        share=round(float(changed.sum()) / 2 / whole, 5) if steps else float("nan"),
        counted=round(inside / max(box_pixels, 1), 3),
        pairs={f"{Label(a).name}/{Label(b).name}": round(float(changed[a, b]) / whole, 5) for a, b in most},
        frames=steps,
    )


def _no_motion() -> Flow:
    return Flow(np.zeros((*CROP_SIZE, 2), np.float32), np.ones(CROP_SIZE, np.float32))


def _carried(labels: Array, flow: Flow) -> Array:
    """Labels (H, W) of the picture before at this one's pixels: the nearest, never mixed."""
    x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in labels.shape[::-1]))
    x, y = x + flow.backward[..., 0], y + flow.backward[..., 1]
    moved = cv2.remap(labels.astype(np.uint8), x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.int64)


def measure_time(device: str, batches: Sequence[int], repeats: int = 12) -> dict[str, Any]:
    """Seconds that labelling a crop takes with the shipped weights, its input maps included, nothing carried: by the
    clock and of the CPU, in the format that is fastest on ``device`` and in float32."""
    labeller = ParserLabeller.load(device=device)
    plain = ParserLabeller(load_network(weights.find("parser")), Compute(labeller.compute.device))
    formats = {str(one.compute): one for one in (labeller, plain)}
    return {
        name: {f"batch {count}": _seconds(one, count, repeats) for count in batches} for name, one in formats.items()
    }


def _seconds(labeller: ParserLabeller, count: int, repeats: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (*CROP_SIZE, 3)).astype(np.uint8)
    points = rng.uniform(40, 150, (33, 2)).astype(np.float32)
    work = [(rgb, points, np.ones(33, np.float32), np.ones(CROP_SIZE, np.float32))] * count
    labeller.label(work)
    wall, cpu = [], []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        labeller.label(work)
        wall.append((time.perf_counter() - began[0]) / count)
        cpu.append((time.process_time() - began[1]) / count)
    return {"seconds": round(float(np.median(wall)), 5), "cpu_seconds": round(float(np.median(cpu)), 5)}
