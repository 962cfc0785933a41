"""Training of the network that gives back hands, hair and things carried (issue 6)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon.device import Compute, choose, fastest
from vtryon.render.loss import flow_loss, l1
from vtryon.render.refine import COVER, SOURCE, Refined, RefineNet, RefineSize, save_refine
from vtryon.render.unet import carried
from vtryon.sheet import contact_sheet
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.prepare import Report, is_prepared, prepare
from vtryon.train.refine_batches import BEFORE, Batches, best, tensors, untouched, wanted
from vtryon.train.refine_data import Examples, open_refine
from vtryon.types import Array

_SHOW = 2.0  # how much worse it is to show the old top than to lose a hand
_GROUPS = {"scenes": True, "photographs": False}


@dataclass(frozen=True, kw_only=True)
class RefineTraining:
    """Options of one run; the defaults are those of the shipped weights.

    ``cache`` holds the prepared pictures and the examples, made from ``data`` where they are missing: of so many
    ``sources``, people of whom two examples are made each, and of ``held_out`` ones to validate with. ``folder`` gets
    state, log, report, sample sheet and the weights. Every ``clip_every``-th step sees clips of two frames instead of
    single ones, half as many; ``flow_weight`` of eq. (8), 0 leaves it out.
    """

    cache: Path
    folder: Path
    data: Path | None = None
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=3600, batch=16, peak_rate=1.5e-3, warmup=150, average=0.998)
    )
    size: RefineSize = field(default_factory=RefineSize)
    device: str = "auto"
    sources: int = 900
    held_out: int = 72
    rendered: float = 0.3  # share of rendered scenes among the examples
    remembered: float = 0.35  # share of single frames with a frame before, made up
    clip_every: int = 3
    flow_weight: float = 0.05


def train_refine(
    config: RefineTraining,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_picture: Report | None = None,
) -> dict[str, Any]:
    """Train, or go on training, the refiner; returns the last validation report and writes ``report.json``.

    Raises :class:`~vtryon.errors.MissingInputError` where examples are missing and cannot be made.
    """
    if config.data is not None and not is_prepared(config.cache):
        prepare(config.data, config.cache, on_picture)
    training, held_out = open_refine(
        config.data, config.cache, config.sources, config.held_out, device=config.device, report=on_picture
    )
    maker = Batches(training, config.rendered, config.remembered)
    torch.manual_seed(config.loop.seed)
    net = RefineNet(config.size).to(memory_format=torch.channels_last)
    compute = choose(config.device)
    loss = partial(refine_loss, flow_weight=config.flow_weight)

    def batch(rng: np.random.Generator, count: int, step: int) -> Batch:
        if config.clip_every and step % config.clip_every == 0:
            return maker.clips(rng, max(1, count // 2))
        return maker.frames(rng, count)

    sample = batch(np.random.default_rng(0), min(4, config.loop.batch), 1)
    trial = copy.deepcopy(net)  # timing steps must not touch the running means of the network to train
    compute = fastest(compute, lambda c: _grad(trial, sample, c, loss), repeats=2)
    last: dict[str, Any] = {}

    def validate(model: nn.Module, _step: int) -> dict[str, Any]:
        last.clear()
        last.update(measure(model, held_out, compute))
        write_sheet(config.folder / "sheet.png", model, held_out, compute)
        return last

    fit(net, Task(batch, loss, validate), config.loop, compute, config.folder, on_step)
    if not last:  # a finished run, asked for its report again
        validate(net, config.loop.steps)
    hidden = ("cache", "folder", "data", "device", "loop", "size")
    about = {k: v for k, v in asdict(config).items() if k not in hidden} | {
        "loop": asdict(config.loop), "examples": len(training), "examples_held_out": len(held_out),
    }  # fmt: skip
    (config.folder / "report.json").write_text(json.dumps({"config": about, **last}, indent=1) + "\n")
    save_refine(config.folder / "refine.safetensors", net, {"training": about, "measures": last})
    return last


def _grad(net: nn.Module, batch: Batch, compute: Compute, loss: Callable[..., dict[str, Tensor]]) -> None:
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    torch.stack(list(loss(net.to(compute.device), moved, compute).values())).sum().backward()  # type: ignore[no-untyped-call]


def refine_loss(net: nn.Module, batch: Batch, compute: Compute, *, flow_weight: float = 0.0) -> dict[str, Tensor]:
    """L_mask and L_L1 of eq. (7) where something may be given back, and eq. (8) for clips, of which the second frame is
    judged, given what the network made of the first."""
    previous, state = None, batch.get("state")
    before = {name.removeprefix(BEFORE): value for name, value in batch.items() if name.startswith(BEFORE)}
    if before:
        with torch.no_grad(), compute.autocast():
            previous = net(before)
            still = before | {"valid": torch.ones_like(batch["valid"])}
            for _ in range(int(batch["still"])):
                previous = net(still, previous.state)
        state = carried(previous.state, batch["flow"])
    with compute.autocast():
        answer: Refined = net(batch, state)
    stays, cover = batch["stays"], batch["image"][:, COVER : COVER + 1]
    want = wanted(dict(batch))
    cost = functional.binary_cross_entropy_with_logits(answer.logits, stays.expand(-1, 2, -1, -1), reduction="none")
    weight = torch.cat([answer.gate[:, :1] * cover, want], 1) * batch["told"] * (stays + _SHOW * (1 - stays))
    terms = {
        "mask": (weight * cost).sum() / weight.sum().clamp_min(1.0),
        # not against the truth: a print that lies a little wrong is not to be mended with the old top
        "l1": 2.0 * l1(answer.result, best(dict(batch)).result, batch["told"] * want),
    }
    if previous is not None and flow_weight > 0:
        terms["flow"] = flow_weight * flow_loss(previous.result, answer.result, batch["moved"], want)
    return terms


@torch.inference_mode()
def measure(net: nn.Module, held_out: Examples, compute: Compute) -> dict[str, Any]:
    """Where cloth lies and something may be given back: the share ``missed`` of what is to be seen, the share
    ``shown`` of what is not, and L1 of 255, each of the composition by itself (``before``) and refined; and of clips
    the excess motion in px with and without the frame before."""
    report: dict[str, Any] = {}
    for name, rendered in _GROUPS.items():
        totals = {
            when: dict.fromkeys(("missed", "seen", "shown", "hidden", "off", "known"), 0.0)
            for when in ("before", "after")
        }
        for batch in _pieces(held_out, np.flatnonzero(held_out.rendered == rendered)):
            answer = _answer(net, batch, compute)
            for when, found in (("before", untouched(batch)), ("after", answer)):
                _count(totals[when], batch, found)
        report[name] = {when: _shares(total) for when, total in totals.items()}
    return report | {"motion": _motion(net, held_out, compute)}


def _pieces(examples: Examples, which: Array, size: int = 12) -> list[dict[str, Tensor]]:
    return [tensors(examples, which[n : n + size].tolist()) for n in range(0, len(which), size)]


def _answer(net: nn.Module, batch: Mapping[str, Tensor], compute: Compute, state: Tensor | None = None) -> Refined:
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    with torch.inference_mode(), compute.autocast():
        answer: Refined = net(moved, None if state is None else state.to(compute.device))
    return Refined(*(getattr(answer, name).cpu() for name in Refined.__dataclass_fields__))


def _count(total: dict[str, float], batch: Mapping[str, Tensor], answer: Refined) -> None:
    cover, told = batch["image"][:, COVER : COVER + 1], batch["told"] > 0.5
    judged = (answer.gate[:, :1] * cover > 0.5) & told
    stays, gone = batch["stays"] > 0.5, answer.mask < 0.5 * cover
    total["seen"] += float((judged & stays).sum())
    total["missed"] += float((judged & stays & ~gone).sum())
    total["hidden"] += float((judged & ~stays).sum())
    total["shown"] += float((judged & ~stays & gone).sum())
    known = wanted(dict(batch)) * batch["known"]
    total["off"] += float((known * (answer.result - batch["truth"]).abs().mean(1, keepdim=True)).sum())
    total["known"] += float(known.sum())


def _shares(total: dict[str, float]) -> dict[str, float]:
    return {
        "missed": round(total["missed"] / max(total["seen"], 1), 4),
        "shown": round(total["shown"] / max(total["hidden"], 1), 4),
        "l1": round(255 * total["off"] / max(total["known"], 1), 2),
    }


def _motion(net: nn.Module, held_out: Examples, compute: Compute) -> dict[str, float]:
    rng, maker = np.random.default_rng(7), Batches(held_out, still=0)
    total, count = {"with_memory": 0.0, "without": 0.0}, 4
    for _ in range(count):
        batch = maker.clips(rng, 12)
        first = {name.removeprefix(BEFORE): value for name, value in batch.items() if name.startswith(BEFORE)}
        before = _answer(net, first, compute)
        moved = carried(before.state, batch["flow"])
        for name, state in (("with_memory", moved), ("without", None)):
            now = _answer(net, batch, compute, state)
            total[name] += float(flow_loss(before.result, now.result, batch["moved"], wanted(batch)))
    return {name: round(value / count, 4) for name, value in total.items()}


def write_sheet(path: Path, net: nn.Module, held_out: Examples, compute: Compute) -> None:
    """Source, composition, refined, truth of some held-out examples, two of them side by side."""
    tiles = []
    for batch in _pieces(held_out, np.arange(len(held_out))[:: max(1, len(held_out) // 24)]):
        image = batch["image"]
        plain = untouched(batch).result
        shown = ((image[:, SOURCE : SOURCE + 3] + 1) / 2, plain, _answer(net, batch, compute).result, batch["truth"])
        pictures = [(p.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).numpy() for p in shown]
        tiles += [[np.asarray(one) for one in row] for row in zip(*pictures, strict=True)]
    if len(tiles) % 2:
        tiles.append([np.full_like(tiles[0][0], 255)] * 4)
    rows = [tiles[n] + tiles[n + 1] for n in range(0, len(tiles), 2)]
    cv2.imwrite(str(path), np.ascontiguousarray(contact_sheet(rows)[..., ::-1]))
