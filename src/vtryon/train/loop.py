"""One training loop for all our networks: AdamW, warm-up and cosine decay, averaged weights, exact resume.

What a step sees depends only on (seed, step): batches are made from a generator seeded with both, so that a run that
was stopped and resumed goes through the same batches as one that was not. The state is kept in safetensors. Several
processes (:mod:`vtryon.train.parallel`) share each batch; the first of them writes and validates.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vtryon.device import Compute
from vtryon.errors import BadInputError, WriteError
from vtryon.train.batches import batches, seed_of
from vtryon.train.parallel import ALONE, Ranks
from vtryon.train.record import record
from vtryon.train.store import made

Batch = Mapping[str, Tensor]
log = logging.getLogger(__name__)
STATE = "state.safetensors"


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast a network learns; ``steps`` fixes the schedule's end (a resumed run may raise it).

    ``stop`` ends the run earlier and leaves the schedule as it is; ``batch`` is that of all processes together;
    ``workers`` make batches beside the training, as processes of their own (0: a thread does). They change no number.
    """

    steps: int
    batch: int = 16
    peak_rate: float = 2e-3
    final_rate: float = 0.01  # share of the peak
    warmup: int = 100
    hold: float = 0.0  # share of the steps before the rate begins to fall
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 1e-2
    clip: float = 1.0
    average: float = 0.995  # per-step decay of the averaged weights, reached after a start of plain averaging
    seed: int = 0
    validate_every: int = 500  # steps
    save_every: float = 240.0  # seconds
    stop: int | None = None
    workers: int = 0

    @property
    def last(self) -> int:
        """Steps after which this run ends."""
        return self.steps if self.stop is None else min(self.stop, self.steps)

    def rate(self, step: int) -> float:
        """Learning rate of ``step``: linear warm-up, ``hold``, then a half cosine to ``final_rate`` of the peak."""
        if step < self.warmup:
            return self.peak_rate * (step + 1) / self.warmup
        begin = max(self.warmup, round(self.hold * self.steps))
        done = min(1.0, max(0.0, (step - begin) / max(1, self.steps - begin)))
        return self.peak_rate * (self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True, eq=False)
class Task:
    """What is particular to one network.

    ``batch`` makes a process's share of a batch from its random generator, its size and the step; ``loss`` gives named
    terms, which are summed; ``validate`` takes the averaged network and a step and returns numbers for the report.
    """

    batch: Callable[[np.random.Generator, int, int], Batch]
    loss: Callable[[nn.Module, Batch, Compute], dict[str, Tensor]]
    validate: Callable[[nn.Module, int], dict[str, Any]]


def fit(
    net: nn.Module, task: Task, config: LoopConfig, compute: Compute, folder: Path,
    on_step: Callable[[int, dict[str, float]], None] | None = None, ranks: Ranks = ALONE,
) -> nn.Module:  # fmt: skip
    """Train ``net`` from where ``folder`` left off, or from the start; returns it with the averaged weights.

    Writes ``state.safetensors`` (weights, averages, optimiser) every ``save_every`` seconds and one line to
    ``log.jsonl`` and ``log.csv`` at each validation. Raises :class:`BadInputError` where the state is of another
    network, :class:`UsageError` where the batch cannot be shared by the processes.
    """
    made(folder)
    net = net.to(compute.device)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.AdamW(_groups(net, config.weight_decay), lr=config.peak_rate, betas=config.betas)
    start = load_state(folder / STATE, net, average, optimiser) if (folder / STATE).is_file() else 0
    ranks.share(config.batch)  # refused before anything is set up
    shared = ranks.shared(net)
    saved, clock, begun = time.monotonic(), time.process_time(), time.monotonic()
    mean: dict[str, float] = {}
    with closing(batches(task, config, start, ranks)) as coming:
        for step, batch in zip(range(start, config.last), coming, strict=True):
            torch.manual_seed(int(np.random.SeedSequence(seed_of(config, step, ranks)).generate_state(1)[0]))  # dropout
            terms = _step(shared, optimiser, task, config, compute, batch, step)
            _average(average, net, min(config.average, (step + 1) / (step + 10)))
            for name, value in terms.items():
                mean[name] = value if name not in mean else 0.98 * mean[name] + 0.02 * value
            if not ranks.first:
                continue
            if on_step is not None:
                on_step(step, mean)
            last = step + 1 == config.last
            if last or time.monotonic() - saved > config.save_every:
                save_state(folder / STATE, net, average, optimiser, step + 1)
                saved = time.monotonic()
            if last or (step + 1) % config.validate_every == 0:
                report = _validate(net, average, task, step + 1)
                cost = {"seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - clock}
                record(folder, {"step": step + 1, "rate": config.rate(step), **cost, "loss": mean, **report})
                log.info("step %d: %s", step + 1, ", ".join(f"{name} {value:.4f}" for name, value in mean.items()))
    net.load_state_dict(average)
    return net.eval()


def _step(
    net: nn.Module, optimiser: torch.optim.Optimizer, task: Task, config: LoopConfig, compute: Compute,
    batch: Batch, step: int,
) -> dict[str, float]:  # fmt: skip
    for group in optimiser.param_groups:
        group["lr"] = config.rate(step)
    net.train()
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    terms = task.loss(net, moved, compute)
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(net.parameters(), config.clip)
    if bool(torch.isfinite(norm)):
        optimiser.step()
    return {name: float(value.detach()) for name, value in terms.items()}


def _groups(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Decay on weights only, none on biases and normalisations."""
    params = list(net.parameters())
    return [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0},
    ]


@torch.no_grad()
def _average(average: dict[str, Tensor], net: nn.Module, decay: float) -> None:
    for name, value in net.state_dict().items():
        if value.dtype.is_floating_point:
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def _validate(net: nn.Module, average: dict[str, Tensor], task: Task, step: int) -> dict[str, Any]:
    current = {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(average)
    net.eval()
    with torch.inference_mode():
        report = task.validate(net, step)
    net.load_state_dict(current)
    return report


def save_state(
    path: Path, net: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer, step: int
) -> None:
    """Everything that a later run needs to go on as if it had not stopped, written beside and renamed."""
    tensors = {f"net.{n}": v for n, v in net.state_dict().items()}
    tensors |= {f"average.{n}": v for n, v in average.items()}
    for name, parameter in net.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"adam.{key}.{name}"] = value
    tensors = {n: v.detach().cpu().clone(memory_format=torch.contiguous_format) for n, v in tensors.items()}
    partial = path.with_suffix(".partial")
    try:
        save_file(tensors, partial, metadata={"step": str(step)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise WriteError(
            f"{path}: cannot write the training state ({error}); the one before it is still there"
        ) from error


def load_state(path: Path, net: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> int:
    """The inverse of :func:`save_state`, in place; returns the number of steps done."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            step = int(file.metadata()["step"])
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: not a training state; start in an empty folder") from error
    try:
        net.load_state_dict({n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")})
        for name, value in average.items():
            value.copy_(tensors[f"average.{name}"])
    except (KeyError, RuntimeError) as error:
        raise BadInputError(f"{path}: the training state is of another network; start in an empty folder") from error
    for name, parameter in net.named_parameters():
        kept = {k: tensors.get(f"adam.{k}.{name}") for k in ("step", "exp_avg", "exp_avg_sq")}
        if all(v is not None for v in kept.values()):
            device = {k: v if k == "step" else v.to(parameter.device) for k, v in kept.items() if v is not None}
            optimiser.state[parameter] = device
    return step
