"""Training of the parsing network on photographs and rendered people (issue 4)."""

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
from torch.nn import functional

from vtryon.device import Compute, choose, fastest
from vtryon.person.network import ParserNet, ParserSize
from vtryon.person.parser import save_network
from vtryon.train.crops import open_crops
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.parser_measures import collate, evaluate, sheet
from vtryon.train.prepare import Report, is_prepared, prepare
from vtryon.types import Label

_WEIGHTS = {
    Label.BACKGROUND: 0.5, Label.HAIR: 1.3, Label.FACE: 1.5, Label.LEFT_ARM: 2.0, Label.RIGHT_ARM: 2.0,
    Label.CARRIED: 1.3,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ParserTraining:
    """Options of one run; the defaults are those of the shipped weights.

    ``cache`` holds the prepared pictures, made from ``data`` where they are missing; ``folder`` gets state, log,
    report, sample sheet and the weights.
    """

    cache: Path
    folder: Path
    data: Path | None = None
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=6600))
    size: ParserSize = field(default_factory=ParserSize)
    device: str = "auto"
    photographs: float = 0.6  # share of photographs among the crops
    small_crop: tuple[int, int] = (128, 96)  # height and width of the crops of the first steps: a quarter of the cost
    small_steps: int = 1500  # of all steps; the rest sees crops of the run-time size


def train_parser(
    config: ParserTraining,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_picture: Report | None = None,
) -> dict[str, Any]:
    """Train, or go on training, the parser; returns the last validation report and writes ``report.json``.

    Raises :class:`~vtryon.errors.MissingInputError` where the pictures have not been prepared.
    """
    if config.data is not None and not is_prepared(config.cache):
        prepare(config.data, config.cache, on_picture)
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
    trial = copy.deepcopy(net)  # timing steps must not touch the running means of the network to train
    compute = fastest(compute, lambda c: _grad(trial, sample, c), repeats=2)
    last: dict[str, Any] = {}

    def validate(model: nn.Module, _step: int) -> dict[str, Any]:
        assert isinstance(model, ParserNet)
        last.clear()
        model = unweighted(model)
        last["people"] = evaluate(model, people, compute)
        last["pairs"] = evaluate(model, pairs, compute)
        return last

    fit(net, Task(batch, parser_loss, validate), config.loop, compute, config.folder, on_step)
    if not last:  # a finished run, asked for its report again
        validate(net, config.loop.steps)
    net = unweighted(net)
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


def unweighted(net: ParserNet) -> ParserNet:
    """A copy that gives true probabilities: the loss's label weights taken out of the last layer's bias again."""
    out = copy.deepcopy(net)
    bias = out.head.bias
    assert bias is not None
    weight = torch.tensor([_WEIGHTS.get(label, 1.0) for label in Label], device=bias.device)
    with torch.no_grad():
        bias -= weight.log().repeat_interleave(4)  # the head gives four pixels per label
    return out


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
