"""Training of the parsing network on photographs and rendered people (issue 4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon.device import Compute, choose, fastest
from vtryon.person.network import ParserNet, ParserSize
from vtryon.person.parser import network_input, save_network
from vtryon.train.augment import Crops
from vtryon.train.crops import open_crops
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.prepare import is_prepared, prepare
from vtryon.types import WORN_TOP, Array, Label

GROUPS: dict[str, tuple[Label, ...]] = {
    "hair": (Label.HAIR,),
    "face": (Label.FACE,),
    "top": WORN_TOP,
    "lower": (Label.LOWER,),
    "arms": (Label.LEFT_ARM, Label.RIGHT_ARM),
}
"""The five regions of the issue's measure."""

_WEIGHTS = {
    Label.BACKGROUND: 0.5, Label.HAIR: 1.3, Label.FACE: 1.5, Label.LEFT_ARM: 2.0, Label.RIGHT_ARM: 2.0,
    Label.CARRIED: 1.3,
}  # fmt: skip


@dataclass(frozen=True)
class ParserTraining:
    """Options of one run.

    ``cache`` holds the prepared pictures, made from ``data`` where they are missing; ``folder`` gets state, log,
    report, sample sheet and the weights.
    """

    cache: Path
    folder: Path
    data: Path | None = None
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=4000))
    size: ParserSize = field(default_factory=ParserSize)
    device: str = "auto"
    photographs: float = 0.6  # share of photographs among the crops
    small_crop: tuple[int, int] = (128, 96)  # height and width of the crops of the first steps: a quarter of the cost
    small_steps: int = 1800  # of all steps; the rest sees crops of the run-time size


def train_parser(
    config: ParserTraining, on_step: Callable[[int, dict[str, float]], None] | None = None
) -> dict[str, Any]:
    """Train, or go on training, the parser; returns the last validation report and writes ``report.json``.

    Raises :class:`~vtryon.errors.MissingInputError` where the pictures have not been prepared.
    """
    if config.data is not None and not is_prepared(config.cache):
        prepare(config.data, config.cache)
    maker = replace(open_crops(config.cache), photographs=config.photographs)
    small = replace(maker, size=config.small_crop)
    people, pairs = maker.validation()
    torch.manual_seed(config.loop.seed)
    net = ParserNet(config.size).to(memory_format=torch.channels_last)
    compute = choose(config.device)

    def batch(rng: np.random.Generator, count: int, step: int) -> Batch:
        source = small if step < config.small_steps else maker
        return collate([source.training(rng) for _ in range(count)])

    sample = batch(np.random.default_rng(0), min(4, config.loop.batch), config.loop.steps)
    compute = fastest(compute, lambda c: _grad(net, sample, c), repeats=2)
    last: dict[str, Any] = {}

    def validate(model: nn.Module, _step: int) -> dict[str, Any]:
        last.clear()
        last["people"] = evaluate(model, people, compute)
        last["pairs"] = evaluate(model, pairs, compute)
        return last

    fit(net, Task(batch, parser_loss, validate), config.loop, compute, config.folder, on_step)
    last = last or validate(net, config.loop.steps)
    about = {"loop": asdict(config.loop), "small_crop": config.small_crop, "small_steps": config.small_steps,
             "photographs": config.photographs}  # fmt: skip
    (config.folder / "report.json").write_text(json.dumps({"config": about, **last}, indent=1) + "\n")
    save_network(config.folder / "parser.safetensors", net, {"training": about, "measures": last})
    shown = sheet(net, people[::6] + pairs[::18], compute)
    cv2.imwrite(str(config.folder / "sheet.png"), np.ascontiguousarray(shown[..., ::-1]))
    return last


def _grad(net: nn.Module, batch: Batch, compute: Compute) -> None:
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    torch.stack(list(parser_loss(net.to(compute.device), moved, compute).values())).sum().backward()  # type: ignore[no-untyped-call]
    net.zero_grad(set_to_none=True)


def collate(crops: Sequence[Crops]) -> dict[str, Tensor]:
    """Batch of crops: ``image`` (N, 5, H, W), ``pose`` (N, 18, H/4, W/4), ``labels`` (N, H, W) int64."""
    inputs = [network_input(c.rgb, c.points, c.visibility, c.matte) for c in crops]
    image, pose = (torch.from_numpy(np.stack(part)) for part in zip(*inputs, strict=True))
    labels = torch.from_numpy(np.stack([c.labels for c in crops])).long()
    last = torch.channels_last
    return {
        "image": image.contiguous(memory_format=last),
        "pose": pose.contiguous(memory_format=last),
        "labels": labels,
    }


def parser_loss(net: nn.Module, batch: Batch, compute: Compute) -> dict[str, Tensor]:
    """Weighted cross-entropy and soft Dice over the labels present (Milletari et al. 2016)."""
    with compute.autocast():
        logits = net(batch["image"], batch["pose"])
    log_share = functional.log_softmax(logits.float(), dim=1)
    labels = batch["labels"]
    weight = torch.tensor([_WEIGHTS.get(label, 1.0) for label in Label], device=labels.device)
    entropy = functional.nll_loss(log_share, labels, weight)
    share = log_share.exp()
    picked = share.gather(1, labels[:, None])[:, 0]
    count = torch.bincount(labels.flatten(), minlength=len(Label)).float()
    hit = torch.zeros_like(count).index_add(0, labels.flatten(), picked.flatten())
    dice = (2 * hit + 1) / (share.sum(dim=(0, 2, 3)) + count + 1)
    return {"entropy": entropy, "dice": 0.5 * (1 - dice[count > 0]).mean()}


def predict(net: nn.Module, crops: Sequence[Crops], compute: Compute, batch: int = 16) -> Array:
    """(N, 11, H, W) float32 label probabilities of crops."""
    out = []
    for at in range(0, len(crops), batch):
        part = collate(crops[at : at + batch])
        with torch.inference_mode(), compute.autocast():
            logits = net(part["image"].to(compute.device), part["pose"].to(compute.device))
        out.append(logits.float().softmax(dim=1).cpu().numpy())
    return np.concatenate(out)


def evaluate(net: nn.Module, crops: Sequence[Crops], compute: Compute) -> dict[str, float]:
    """IoU over all pixels of ``crops``: the five regions, their mean, and every label by itself.

    A region's probability is the sum of its labels', and the most probable region wins. ``arms_sided`` is the mean of
    the left and the right arm, each told from the other.
    """
    owner = np.arange(len(Label))
    for group in GROUPS.values():
        owner[list(group)] = group[0]
    merged = np.eye(len(Label), dtype=np.float32)[owner].T  # (region, label)
    table = np.zeros((2, len(Label), 3))
    for at in range(0, len(crops), 16):
        share = predict(net, crops[at : at + 16], compute)
        truth = np.stack([c.labels for c in crops[at : at + 16]])
        table[0] += _counts(share.argmax(axis=1), truth)
        table[1] += _counts(np.einsum("gl,nlhw->nghw", merged, share).argmax(axis=1), owner[truth])
    single, grouped = (t[:, 0] / np.maximum(t[:, 1] + t[:, 2] - t[:, 0], 1) for t in table)
    report = {name: float(grouped[group[0]]) for name, group in GROUPS.items()}
    report["mean"] = float(np.mean([report[name] for name in GROUPS]))
    report["arms_sided"] = float(single[[Label.LEFT_ARM, Label.RIGHT_ARM]].mean())
    return report | {label.name: float(single[label]) for label in Label}


def _counts(found: Array, truth: Array) -> Array:
    """(11, 3) pixels per label: in both, found, true."""
    n = len(Label)
    both = np.bincount(truth[found == truth].ravel(), minlength=n)
    return np.stack([both, np.bincount(found.ravel(), minlength=n), np.bincount(truth.ravel(), minlength=n)], 1)


def sheet(net: nn.Module, crops: Sequence[Crops], compute: Compute, columns: int = 4) -> Array:
    """Sample sheet (H, W, 3) uint8: picture, truth, found for each crop."""
    share = predict(net, crops, compute)
    tiles = [
        np.hstack([c.rgb, overlay(c.rgb, c.labels), overlay(c.rgb, s.argmax(axis=0))])
        for c, s in zip(crops, share, strict=True)
    ]
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


COLOURS = np.array([
    (0, 0, 0), (120, 60, 20), (255, 200, 170), (60, 120, 255), (20, 200, 200), (200, 80, 220), (60, 160, 60),
    (255, 220, 0), (255, 120, 0), (150, 150, 90), (255, 0, 0),
], np.uint8)  # fmt: skip
"""RGB of each label in overlays."""


def overlay(rgb: Array, labels: Array) -> Array:
    """Picture (H, W, 3) uint8 with labels (H, W) in their colours over it."""
    return np.asarray(cv2.addWeighted(rgb, 0.4, COLOURS[labels], 0.6, 0), np.uint8)
