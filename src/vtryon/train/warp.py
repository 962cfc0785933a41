"""Training the matching network on the rendered pairs (issue 5): a correction of the placing stage, or the paper's
recipe from scratch."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vtryon import weights
from vtryon.device import Compute, choose, fastest
from vtryon.sheet import with_lines, with_points
from vtryon.train.correspondence import distances, forward_turn
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.pairs import PRODUCT, load_pairs
from vtryon.train.parallel import ALONE, Ranks
from vtryon.train.placing import PlacingTraining, train_placing
from vtryon.train.placing_data import Disturbance
from vtryon.train.warp_data import WarpData, colours
from vtryon.types import Array, Part
from vtryon.warp.loss import photometric, regularity
from vtryon.warp.network import MatchingNet, MatchingSize, save_matching
from vtryon.warp.placing import BodyFrame, PlacingNet, load_placing, turn_of
from vtryon.warp.planes import BOTTOM, LEFT, RIGHT, TOP
from vtryon.warp.tps import ThinPlate

_ROWS = 64  # validated at a time


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term: distance of true correspondences and of key points, the two of eq. (1), and eq. (3)."""

    correspondence: float = 1.0
    keypoints: float = 0.25
    length: float = 0.005
    slope: float = 0.005
    colour: float = 0.0


@dataclass(frozen=True)
class WarpTraining:
    """Everything that decides a run; ``data`` holds the rendered scenes, and what is read of them is kept in ``cache``
    (default: ``folder``).

    ``start``: ``placed`` corrects what the placing stage of the weights ``placing`` (default: the shipped ones) does;
    ``flat`` finds the garment's place from scratch. On its own scenes the placing stage errs far less than on others,
    so what is corrected in training comes from two that were trained, ``placing_steps`` long, on one half of the
    scenes each, and lay the other.
    """

    data: Path
    folder: Path
    cache: Path | None = None
    start: str = "placed"
    placing: Path | None = None
    placing_steps: int = 1500
    size: MatchingSize = field(default_factory=MatchingSize)
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=5000, batch=16, peak_rate=1e-3, weight_decay=0.2, average=0.998)
    )
    weights: LossWeights = field(default_factory=LossWeights)
    disturbance: Disturbance = field(default_factory=Disturbance)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.start not in ("placed", "flat"):
            raise ValueError(f"start must be placed or flat, got {self.start!r}")
        if self.start == "placed" and self.size.lattice != "parts":
            raise ValueError("the placing stage lays the lattice 'parts' only")


PRESETS: dict[str, dict[str, Any]] = {
    "ours": {},
    "paper": {
        "start": "flat",
        "size": MatchingSize(lattice="paper", joined=False),
        # METHOD.md section 1: Adam, 100 epochs of 2360 pictures, the rate decays from the 50th
        "loop": LoopConfig(
            steps=14750, batch=16, peak_rate=2e-5, final_rate=0.0, warmup=0, weight_decay=0.0, betas=(0.8, 0.899),
            hold=0.5,
        ),
        "weights": LossWeights(correspondence=0.0, keypoints=0.0, length=0.005, slope=0.005, colour=1.0),
    },
}  # fmt: skip
"""What :class:`WarpTraining` is given by name: our recipe, and the paper's lattice, network, loss and optimiser."""


def train_warp(
    config: WarpTraining, on_step: Callable[[int, dict[str, float]], None] | None = None, ranks: Ranks = ALONE
) -> dict[str, Any]:
    """Train, or go on training, the matching network; returns the last validation report.

    Writes ``warp.safetensors``, ``report.json`` and ``sheet.png`` into ``config.folder``.
    """
    cache = config.cache or config.folder
    if ranks.first:
        _made_ready(config, cache)
    ranks.wait()
    pairs, others = (load_pairs(config.data, cache, validation) for validation in (False, True))
    halves, whole = _placing(config) if config.start == "placed" else ((), ())
    training = WarpData(pairs, config.size, halves, config.disturbance)
    held_out = WarpData(others, config.size, whole, config.disturbance)
    torch.manual_seed(config.loop.seed)
    net = MatchingNet(config.size).to(memory_format=torch.channels_last)
    compute = choose(config.device)

    def batch(rng: np.random.Generator, count: int, _step: int) -> Batch:
        return training.training(rng, count)

    def loss(model: nn.Module, batch: Batch, compute: Compute) -> dict[str, Tensor]:
        return warp_terms(model, batch, config.size, config.weights, compute)

    last: dict[str, Any] = {}

    def validate_now(model: nn.Module, _step: int) -> dict[str, Any]:
        last.update(validate(model, held_out, compute))
        return last

    if ranks.count == 1:  # several processes must agree on a format
        sample = batch(np.random.default_rng(0), config.loop.batch, 0)
        trial = copy.deepcopy(net)
        compute = fastest(compute, lambda c: _grad(trial, sample, config, c), repeats=2)
    fit(net, Task(batch, loss, validate_now), config.loop, compute, config.folder, on_step, ranks)
    if not ranks.first:
        return last
    if not last:  # a finished run, asked for its report again
        validate_now(net, config.loop.steps)
    about = {k: v for k, v in asdict(config).items() if k not in ("data", "cache", "folder", "placing")}
    (config.folder / "report.json").write_text(json.dumps({"config": about, "measures": last}, indent=1) + "\n")
    save_matching(config.folder / "warp.safetensors", net, {"training": about, "measures": last})
    cv2.imwrite(str(config.folder / "sheet.png"), np.ascontiguousarray(sheet(net, held_out, compute)[..., ::-1]))
    return last


def _made_ready(config: WarpTraining, cache: Path) -> None:
    """What is read of the scenes is kept, and the two stages that lay garments in training are trained."""
    for validation in (False, True):
        load_pairs(config.data, cache, validation)
    if config.start == "placed":
        for half, folder in enumerate(_halves(config)):
            recipe = PlacingTraining(config.data, folder, cache, without=half, disturbance=config.disturbance)
            loop = replace(recipe.loop, steps=config.placing_steps, seed=config.loop.seed)
            train_placing(replace(recipe, loop=loop))


def _halves(config: WarpTraining) -> list[Path]:
    return [config.folder / f"placing_without_{half}" for half in (0, 1)]


def _placing(config: WarpTraining) -> tuple[tuple[PlacingNet, ...], tuple[PlacingNet, ...]]:
    """The two stages that lay garments in training, each what the other has seen, and the one that is corrected."""
    halves = tuple(load_placing(folder / "placing.safetensors") for folder in _halves(config))
    return halves, (load_placing(config.placing or weights.find("placing")),)


def _grad(net: nn.Module, batch: Batch, config: WarpTraining, compute: Compute) -> None:
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    terms = warp_terms(net.to(compute.device), moved, config.size, config.weights, compute)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]


def moved(net: nn.Module, batch: Batch, compute: Compute) -> Tensor:
    """(B, points, 2) control points after the network, in the torso's frame."""
    person, garment = (batch[name].contiguous(memory_format=torch.channels_last) for name in ("person", "garment"))
    with compute.autocast():
        offsets = net(person, garment, batch["start"])
    points: Tensor = batch["start"] + offsets.float()
    return points


def by_part(points: Tensor, size: MatchingSize) -> dict[Part, Tensor]:
    """(B, points, 2) to part -> (B, rows * columns, 2)."""
    counts = [rows * columns for rows, columns in size.shapes.values()]
    return dict(zip(size.shapes, torch.split(points, counts, 1), strict=True))


def warp_terms(
    net: nn.Module, batch: Batch, size: MatchingSize, weigh: LossWeights, compute: Compute
) -> dict[str, Tensor]:
    """The weighted terms of a batch; those of no weight are left out."""
    placed = by_part(moved(net, batch, compute), size)
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    turn = turn_of(batch["yaw"]) if Part.TORSO in placed else torch.zeros_like(batch["yaw"])
    terms: dict[str, Tensor] = {}
    if weigh.correspondence or weigh.keypoints:
        found = distances(placed, frame, turn, batch)
        for part in placed:
            name = part.name.lower()
            terms[name] = weigh.correspondence * (1.0 if part in (Part.TORSO, Part.NONE) else 0.5) * found[name]
        terms["keypoints"] = weigh.keypoints * found["keypoints"]
    if weigh.length or weigh.slope:
        grids = [points.reshape(-1, *size.shapes[part], 2) for part, points in placed.items()]
        terms["regularity"] = torch.stack([regularity(grid, weigh.length, weigh.slope) for grid in grids]).sum()
    if weigh.colour:
        terms["colour"] = weigh.colour * _colour(placed, frame, turn, batch)
    return terms


def _colour(placed: dict[Part, Tensor], frame: BodyFrame, turn: Tensor, batch: Batch) -> Tensor:
    """Eq. (3) on the pixels whose origin is known: the print where the spline takes it from, and where it is from.

    What hides the garment hides its correspondence too, so that nothing hidden counts.
    """
    total = []
    for part, points in placed.items():
        name = part.name.lower()
        lattice, true = batch[f"{name}_lattice"], batch[f"{name}_product"]
        if part == Part.TORSO:
            true = forward_turn(true, lattice, turn)
        used = ThinPlate.fit(points, lattice, stiffness=1e-3)(frame.inward(batch[f"{name}_picture"]))
        seen = batch[f"{name}_known"][:, None].expand(true.shape[:2])
        total.append(photometric(colours(batch, used, PRODUCT), colours(batch, true, PRODUCT), seen))
    return torch.stack(total).mean()


@torch.inference_mode()
def validate(net: nn.Module, data: WarpData, compute: Compute) -> dict[str, Any]:
    """Mean distances in body sizes before and after the network, over all pictures and those facing the camera."""
    facing = data.pairs.rows["yaw"].abs() < np.radians(20)
    report = {}
    for group, rows in (("all", torch.arange(len(facing))), ("yaw under 20", torch.nonzero(facing)[:, 0])):
        for stage in ("start", "moved"):
            chunks = torch.split(rows, _ROWS)
            parts = [_measured(net, data, chunk, stage == "moved", compute) for chunk in chunks]
            share = [len(chunk) / len(rows) for chunk in chunks]
            mean = {k: sum(p[k] * s for p, s in zip(parts, share, strict=True)) for k in parts[0]}
            report[f"{group}, {stage}"] = {k: round(v, 4) for k, v in mean.items()}
    return report


def _measured(net: nn.Module, data: WarpData, rows: Tensor, after: bool, compute: Compute) -> dict[str, float]:
    batch = {k: v.to(compute.device) for k, v in data.validation(rows).items()}
    placed = by_part(moved(net, batch, compute) if after else batch["start"], data.size)
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    turn = turn_of(batch["yaw"]) if Part.TORSO in placed else torch.zeros_like(batch["yaw"])
    return {k: float(v) for k, v in distances(placed, frame, turn, batch).items()}


@torch.inference_mode()
def sheet(net: nn.Module, data: WarpData, compute: Compute, count: int = 8) -> Array:
    """(H, W, 3) uint8: some held-out people, the lattices as they were laid (red) and moved (green), and where the true
    key points are (white)."""
    rows = torch.linspace(0, len(data.pairs) - 1, count).long()
    batch = {k: v.to(compute.device) for k, v in data.validation(rows).items()}
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    after = moved(net, batch, compute).cpu()
    worn = frame.inward(batch["worn"]).cpu()
    return np.concatenate(
        [
            _drawn(batch["person"][n].cpu(), batch["start"][n].cpu(), after[n], worn[n], data.size)
            for n in range(len(rows))
        ],
        axis=1,
    )


def _drawn(person: Tensor, before: Tensor, after: Tensor, worn: Tensor, size: MatchingSize) -> Array:
    zoom = 2
    colour = torch.stack([person[6], person[2] + person[3] + person[4], person[5] + 0.5 * person[1]], -1)
    picture = np.asarray((colour.clamp(0, 1) * 110 + 25).byte().numpy())
    h, w = size.window[0] * zoom, size.window[1] * zoom
    picture = np.asarray(cv2.resize(picture, (w, h), interpolation=cv2.INTER_NEAREST))
    scale = np.array([w / (RIGHT - LEFT), h / (BOTTOM - TOP)])
    for points, tone in ((before, (200, 60, 60)), (after, (60, 230, 60))):
        for part, shape in zip(by_part(points[None], size).values(), size.shapes.values(), strict=True):
            grid = ((part[0].numpy() - (LEFT, TOP)) * scale).reshape(*shape, 2)
            picture = with_lines(picture, [*grid, *grid.transpose(1, 0, 2)], tone)
    return with_points(picture, (worn.numpy() - (LEFT, TOP)) * scale, (255, 255, 255))
