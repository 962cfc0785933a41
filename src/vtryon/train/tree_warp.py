"""Training the matching network on a data set of the field, as the paper does (1.1, 1.2): the garment's picture is bent
until it lies where it is worn, eq. (3), and the lattice stays even, eq. (1)(2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon.device import Compute, choose
from vtryon.sheet import contact_sheet
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.parallel import ALONE, Ranks
from vtryon.train.prepare import Report
from vtryon.train.tree import CANVAS, Worn, open_training
from vtryon.train.warp import PRESETS, LossWeights, moved
from vtryon.types import CROP_SIZE, KEYPOINTS, WORN_TOP, Array, Label, Part
from vtryon.warp.loss import photometric, regularity
from vtryon.warp.network import MatchingNet, MatchingSize, save_matching
from vtryon.warp.outline import Silhouette
from vtryon.warp.placing import BodyFrame, silhouette
from vtryon.warp.planes import agnostic, garment_planes, person_planes, window_points
from vtryon.warp.single import flat_start, single_lattice
from vtryon.warp.tps import ThinPlate

EPOCHS = 100
"""Of the paper; the rate decays from the 50th (METHOD.md section 1)."""

_STEP = 4  # window px between the points where the spline is evaluated: it is smooth
_MASK_STEP = 2  # garment px per pixel of the part map that the network is shown
_HIDING = (Label.HAIR, Label.LEFT_ARM, Label.RIGHT_ARM, Label.CARRIED)
_SHOWN = 24  # held-out frames that are measured


@dataclass(frozen=True)
class TreeWarpTraining:
    """Everything that decides a run; ``data`` is the data set, ``cache`` keeps what is computed of it. A ``loop`` of 0
    steps is as long as ``EPOCHS`` of the data set."""

    data: Path
    folder: Path
    cache: Path
    loop: LoopConfig = field(default_factory=lambda: replace(PRESETS["paper"]["loop"], steps=0))
    size: MatchingSize = field(default_factory=lambda: MatchingSize(lattice="paper", joined=False, agnostic=True))
    weights: LossWeights = field(default_factory=lambda: PRESETS["paper"]["weights"])
    device: str = "auto"


def train_warp_tree(
    config: TreeWarpTraining,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_picture: Report | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train, or go on training, the paper's matching network; returns the last validation report.

    Writes ``warp.safetensors``, ``report.json`` and ``sheet.png`` into ``config.folder``. Computed in float32, so that
    a run that was stopped goes on to the same numbers.

    Raises:
        VtryonError: as :func:`~vtryon.train.tree.open_training` and :func:`~vtryon.train.loop.fit`.
    """
    data = open_training(config.data, config.cache, config.device, report=on_picture, ranks=ranks)
    loop = config.loop
    if not loop.steps:
        loop = replace(loop, steps=max(1, EPOCHS * len(data.places) // loop.batch))
    compute = Compute(choose(config.device).device)
    torch.manual_seed(loop.seed)
    net = MatchingNet(config.size).to(memory_format=torch.channels_last)
    last: dict[str, Any] = {}

    def batch(_rng: np.random.Generator, count: int, step: int) -> Batch:
        places = data.turn(loop.seed, step * loop.batch + ranks.rank * count, count)
        return tree_batch([(data.train[i], int(n)) for i, n in places], config.size)

    def loss(model: nn.Module, batch: Batch, compute: Compute) -> dict[str, Tensor]:
        return tree_terms(model, batch, config.size, config.weights, compute)

    def validate_now(model: nn.Module, _step: int) -> dict[str, Any]:
        last.update(validate(model, held_out, config.size, compute))
        return last

    held_out = tree_batch(data.shown(_SHOWN), config.size)
    fit(net, Task(batch, loss, validate_now), loop, compute, config.folder, on_step, ranks)
    if not ranks.first:
        return last
    if not last:  # a finished run, asked for its report again
        validate_now(net, loop.last)
    about = {"data": config.data.name, "frames": len(data.places), "loop": asdict(loop)}
    about |= {"size": asdict(config.size), "weights": asdict(config.weights)}
    (config.folder / "report.json").write_text(json.dumps({"config": about, "measures": last}, indent=1) + "\n")
    save_matching(config.folder / "warp.safetensors", net, {"training": about, "measures": last})
    cv2.imwrite(str(config.folder / "sheet.png"), np.ascontiguousarray(sheet(net, held_out, compute)[..., ::-1]))
    return last


def tree_batch(places: list[tuple[Worn, int]], size: MatchingSize) -> Batch:
    """What the network sees of some frames, and what it is judged by.

    ``person``, ``garment`` and ``start`` as :class:`~vtryon.warp.network.MatchingNet` takes them; ``lattice``
    (B, points, 2) px of the garment on its canvas; ``texture`` (B, 4, 256, 192) its colours times its coverage, and the
    coverage; ``worn`` (B, 4, h, w) the same of the garment as it is worn, over the window; ``visible`` (B, h, w)
    where the garment, or that there is none, can be seen.
    """
    rows = [_row(worn, n, size.shapes[Part.NONE]) for worn, n in places]
    at = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
    frame = BodyFrame.of(at["points"], at["visibility"], at["yaw"])
    body = Silhouette(at["labels"], torch.eye(2, 3).expand(len(rows), 2, 3))  # the picture is the crop
    person = person_planes(body, at["points"], at["visibility"], frame, size.window)
    start = flat_start(at["lattice"], at["keypoints"])
    sleeved = torch.ones(len(rows))
    garment = garment_planes({Part.NONE: start}, at["lattice"], at["parts"], _MASK_STEP, sleeved, size.window)
    where = frame.outward(window_points(size.window).reshape(1, -1, 2).expand(len(rows), -1, 2))
    grid = where / torch.tensor([float(CROP_SIZE[1]), float(CROP_SIZE[0])]) * 2 - 1
    seen = functional.grid_sample(at["seen"], grid.reshape(-1, *size.window, 2), align_corners=False)
    return {
        "person": agnostic(person) if size.agnostic else person, "garment": garment, "start": start,
        "lattice": at["lattice"], "texture": at["texture"], "worn": seen[:, :4], "visible": seen[:, 4],
    }  # fmt: skip


def _row(worn: Worn, n: int, shape: tuple[int, int]) -> dict[str, Array]:
    """The arrays of one frame and its garment, whose lattice has ``shape``."""
    moment, garment = worn.clip[n], worn.garment.read()
    on = np.isin(moment.labels, WORN_TOP).astype(np.float32)
    visible = 1 - np.isin(moment.labels, _HIDING).astype(np.float32)
    colours = np.dstack([moment.rgb.astype(np.float32) * (on / 255)[..., None], on, visible])
    h, w = garment.alpha.shape
    texture = np.zeros((*CANVAS, 4), np.float32)
    texture[:h, :w, :3] = garment.rgb * (garment.alpha / 255)[..., None]
    texture[:h, :w, 3] = garment.alpha
    parts = np.zeros(CANVAS, np.uint8)
    parts[:h, :w] = garment.parts
    return {
        "points": moment.points,
        "visibility": moment.visibility.astype(np.float32),
        "yaw": np.radians(np.float32(moment.yaw)),
        "labels": silhouette(moment.person()).labels[0].numpy(),
        "seen": np.ascontiguousarray(colours.transpose(2, 0, 1).astype(np.float32)),
        "texture": np.ascontiguousarray(texture.transpose(2, 0, 1)),
        "parts": parts[_MASK_STEP // 2 :: _MASK_STEP, _MASK_STEP // 2 :: _MASK_STEP],
        "lattice": single_lattice(garment, shape).reshape(-1, 2),
        "keypoints": np.stack([garment.keypoints[name] for name in KEYPOINTS]).astype(np.float32),
    }


def tree_terms(
    net: nn.Module, batch: Batch, size: MatchingSize, weigh: LossWeights, compute: Compute
) -> dict[str, Tensor]:
    """Eq. (4): the sum of eq. (1)(2) over the lattice, unless it has no weight, and eq. (3) over what can be seen of
    the garment."""
    points = moved(net, batch, compute)
    terms = {"colour": weigh.colour * photometric(warped(points, batch, size), batch["worn"], batch["visible"])}
    if weigh.length or weigh.slope:
        grid = points.reshape(-1, *size.shapes[Part.NONE], 2)
        terms["regularity"] = regularity(grid, weigh.length, weigh.slope)
    return terms


def warped(points: Tensor, batch: Batch, size: MatchingSize) -> Tensor:
    """(B, 4, h, w): C_A of eq. (3), the garment's colours times its coverage, and the coverage, over the window, by
    control ``points`` (B, points, 2) in the torso's frame."""
    h, w = size.window
    where = window_points(size.window, _STEP).reshape(1, -1, 2).to(points).expand(len(points), -1, 2)
    origin = ThinPlate.fit(points, batch["lattice"], stiffness=1e-3)(where)
    coarse = origin.mT.reshape(len(points), 2, h // _STEP, w // _STEP)
    full = functional.interpolate(coarse, scale_factor=_STEP, mode="bilinear", align_corners=False)
    extent = torch.tensor([float(CANVAS[1]), float(CANVAS[0])], device=points.device)
    grid = full.permute(0, 2, 3, 1) / extent * 2 - 1
    return functional.grid_sample(batch["texture"], grid, align_corners=False)


@torch.inference_mode()
def validate(net: nn.Module, batch: Batch, size: MatchingSize, compute: Compute) -> dict[str, float]:
    """Eq. (3) on frames that are held out: as the garment is laid flat at first, and moved; eq. (1) of the moved
    lattice in body sizes, unweighted; and the overlap of the moved garment with the worn one where that can be seen."""
    batch = {name: value.to(compute.device) for name, value in batch.items()}
    start = warped(batch["start"], batch, size)
    points = moved(net, batch, compute)
    after = warped(points, batch, size)
    seen = batch["visible"] > 0.5
    ours, true = (after[:, 3] > 0.5) & seen, (batch["worn"][:, 3] > 0.5) & seen
    return {
        "start": round(float(photometric(start, batch["worn"], batch["visible"])), 5),
        "moved": round(float(photometric(after, batch["worn"], batch["visible"])), 5),
        "regularity": round(float(regularity(points.reshape(-1, *size.shapes[Part.NONE], 2))), 3),
        "overlap": round(float((ours & true).sum() / (ours | true).sum().clamp_min(1)), 4),
    }


@torch.inference_mode()
def sheet(net: nn.Module, batch: Batch, compute: Compute, count: int = 6) -> Array:
    """(H, W, 3) uint8: garment, garment as it is laid, as it is worn, of some frames."""
    assert isinstance(net, MatchingNet)
    batch = {name: value[:count].to(compute.device) for name, value in batch.items()}
    shown = (batch["texture"], warped(moved(net, batch, compute), batch, net.size), batch["worn"])
    tall = [functional.interpolate(planes, size=CROP_SIZE, mode="bilinear", align_corners=False) for planes in shown]
    pictures = [_on_white(planes) for planes in tall]
    return contact_sheet([[column[n] for column in pictures] for n in range(len(batch["start"]))])


def _on_white(planes: Tensor) -> list[Array]:
    rgb = planes[:, :3] + 1 - planes[:, 3:4]
    return list((rgb.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).cpu().numpy())
