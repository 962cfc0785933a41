"""Training the placing stage on the rendered pairs (issue 5).

Every picture of a scene gives true correspondences between product and picture. The lattice is fixed on the garment,
so where the spline puts a garment point is differentiable in the predicted points, and the loss is the distance to
where that point really is. Landmarks and outline come from *another* top of the same scene, as in use.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vtryon.device import Compute, choose
from vtryon.train.correspondence import distances
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.pairs import Pairs, load_pairs
from vtryon.train.placing_data import Disturbance, augment, silhouette
from vtryon.types import Part
from vtryon.warp.lattice import SLEEVE_SHAPE
from vtryon.warp.placing import (
    SHAPES,
    BodyFrame,
    GarmentFrame,
    PlacingNet,
    cast_rays,
    features,
    save_placing,
    split,
    turn_of,
)


@dataclass(frozen=True)
class PlacingTraining:
    """Everything that decides a run; ``data`` holds the rendered scenes, and what is read of them is kept in ``cache``
    (default: ``folder``). ``without`` leaves every second scene out of training, the even (0) or the odd ones (1)."""

    data: Path
    folder: Path
    cache: Path | None = None
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=2600, batch=192, weight_decay=2e-2, average=0.998)
    )
    width: int = 256
    depth: int = 3
    dropout: float = 0.15
    disturbance: Disturbance = field(default_factory=Disturbance)
    without: int | None = None
    keypoint_weight: float = 0.25
    smooth_weight: float = 0.02


def placed_by(net: nn.Module, batch: Batch) -> tuple[dict[Part, Tensor], BodyFrame]:
    """Where ``net`` puts the lattices of a batch, and the frame that is told in."""
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    rays = batch["rays"] if "rays" in batch else cast_rays(silhouette(batch), batch["points"], frame)
    seen = batch.get("seen_keypoints", batch["keypoints"])
    x, frame = features(batch["points"], batch["visibility"], batch["yaw"], seen, batch["sleeved"], rays)
    return split(net(x)), frame


def terms_of(net: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Unweighted terms: distances by part and of key points, in body sizes, and roughness."""
    placed, frame = placed_by(net, batch)
    return distances(placed, frame, turn_of(batch["yaw"]), batch) | {"smooth": _roughness(placed)}


def _roughness(placed: dict[Part, Tensor]) -> Tensor:
    """Second differences along rows and columns: unequal steps and bends, the zero set of eq. (1)."""
    total = torch.zeros(())
    for part, points in placed.items():
        grid = points.reshape(-1, *SHAPES[part], 2)
        for axis in (1, 2):
            total = total + grid.diff(n=2, dim=axis).abs().mean()
    return total


def train_placing(
    config: PlacingTraining, on_step: Callable[[int, dict[str, float]], None] | None = None
) -> dict[str, Any]:
    """Train, or go on training, the placing stage; returns the last validation report.

    Writes ``placing.safetensors`` and ``report.json`` into ``config.folder``.
    """
    cache = config.cache or config.folder
    training, held_out = (load_pairs(config.data, cache, validation) for validation in (False, True))
    if config.without is not None:
        training = training.only(half_of(training.rows) != config.without)
    torch.manual_seed(config.loop.seed)
    net = PlacingNet(config.width, config.depth, config.dropout)

    def batch(rng: np.random.Generator, count: int, _step: int) -> Batch:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = torch.randint(len(training), (count,), generator=generator)
        variant = torch.randint(2, (count,), generator=generator)
        return augment(training.take(rows, variant), config.disturbance, generator)

    def loss(model: nn.Module, batch: Batch, _compute: Compute) -> dict[str, Tensor]:
        terms = terms_of(model, batch)
        return {
            "torso": terms["torso"],
            "left_sleeve": 0.5 * terms["left_sleeve"],
            "right_sleeve": 0.5 * terms["right_sleeve"],
            "keypoints": config.keypoint_weight * terms["keypoints"],
            "smooth": config.smooth_weight * terms["smooth"],
        }

    last: dict[str, Any] = {}

    def validate_now(model: nn.Module, _step: int) -> dict[str, Any]:
        last.update(validate(model, held_out))
        return last

    _normalise(net, training.rows, batch)
    # splines are solved in float32 and the network is tiny: nothing to gain from a GPU or another format
    fit(net, Task(batch, loss, validate_now), config.loop, choose("cpu"), config.folder, on_step)
    measures = last or validate(net, held_out)
    about = {k: v for k, v in asdict(config).items() if k not in ("data", "cache", "folder")}
    (config.folder / "report.json").write_text(json.dumps({"config": about, "measures": measures}, indent=1) + "\n")
    save_placing(config.folder / "placing.safetensors", net, {"training": about, "measures": measures})
    return measures


def half_of(rows: Batch) -> Tensor:
    """(B,) 0 or 1: which half of the scenes each picture belongs to."""
    return rows["scene"] % 2


@torch.inference_mode()
def validate(net: nn.Module, data: Pairs) -> dict[str, float]:
    """The terms on undisturbed data, in body sizes."""
    batch = data.take(torch.arange(len(data)), torch.zeros(len(data), dtype=torch.long))
    return {k: round(float(v), 4) for k, v in terms_of(net.eval(), batch).items()}


def _normalise(
    net: PlacingNet, rows: dict[str, Tensor], batch: Callable[[np.random.Generator, int, int], Batch]
) -> None:
    """Set the input statistics, and start the output at a mean lattice."""
    xs = []
    for n in range(12):
        b = batch(np.random.default_rng([n, 17]), 192, 0)
        x, _ = features(b["points"], b["visibility"], b["yaw"], b["seen_keypoints"], b["sleeved"], b["rays"])
        xs.append(x)
    x = torch.cat(xs)
    net.mean.copy_(x.mean(0))
    net.std.copy_(x.std(0).clamp_min(0.05))
    frame = GarmentFrame.of(rows["keypoints"])
    torso = frame.inward(rows["torso_lattice"])[rows["sleeved"] > 0].median(0).values * 0.66
    torso[:, 1] -= 0.15
    # a sleeve's points lie on the arm and to either side of it, and it ends somewhere above the elbow
    across = torch.tensor([0.1, 0.0, -0.1]).repeat(SLEEVE_SHAPE[0])
    sleeve = torch.stack([torch.zeros_like(across), across], -1)
    net.base.copy_(torch.cat([torso, sleeve, sleeve]).flatten())
