"""Training of the renderer: the temporally conditioned U-Net on rendered pairs and photographs (issue 6)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vtryon.device import Compute, choose, fastest
from vtryon.evaluate.similarity import Scores, mean_scores, scores
from vtryon.render.flow import agreement
from vtryon.render.inputs import network_input
from vtryon.render.loss import Perceptual, cached_vgg, flow_loss, frame_terms
from vtryon.render.unet import STATE_CHANNELS, RendererNet, RendererSize, clip, save_renderer
from vtryon.sheet import contact_sheet
from vtryon.train import disturb
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.parallel import ALONE, Ranks
from vtryon.train.prepare import Report, is_prepared, prepare
from vtryon.train.scene_store import prepare_scenes
from vtryon.train.tryon_data import Clip, Example, ExampleMaker, open_examples
from vtryon.types import Array

OURS = LoopConfig(steps=9000, batch=12, peak_rate=1.5e-3, warmup=200, average=0.998)
PAPER = LoopConfig(steps=400000, batch=32, peak_rate=1e-5, final_rate=0.0, warmup=0, hold=0.5, betas=(0.5, 0.999),
                   weight_decay=0.0)  # fmt: skip
PRESETS: Mapping[str, LoopConfig] = {"ours": OURS, "paper": PAPER}
"""Optimiser settings. The paper's are those of its section 1.3; its 400 epochs are taken as of 1000 batches each, on
data sets of the field as of so many frames as they have."""

PAPER_TREE: Mapping[str, Any] = {
    "strides": (1,), "clip_every": 1, "forgotten": 0.25, "remembered": 0.0, "still": 0, "small_steps": 0,
}  # fmt: skip
"""What else is the paper's on data sets of the field: every step sees consecutive frames, a quarter of them as if
nothing had come before, or the first frame of a clip would be drawn as nobody has taught it. Of the weights in eq. (7)
it says nothing; ours are kept. With eq. (8), in px, at 1 beside colours in [0, 1] the cloth soon went flat and dark."""

EPOCHS = 400
"""Of the paper; the rate decays from the 200th (METHOD.md section 2)."""

BEFORE = "before."
"""Prefix, in a batch, of what belongs to the frame before."""


@dataclass(frozen=True, kw_only=True)
class TryOnTraining:
    """Options of one run.

    ``cache`` holds the prepared pictures, made from ``data`` where they are missing; ``folder`` gets state, log,
    report, sample sheet and the weights. Every ``clip_every``-th step sees clips of two frames instead of single ones,
    half as many, the first of them drawn up to ``still`` more times; a share ``forgotten`` of the clips has to do
    without the frame before. ``flow_weight`` of eq. (8), 0 leaves it out;
    ``remembered`` share of single frames that are given a frame before, made up; ``perceptual`` weight of L_VGG, where
    its weights are on the machine. ``tree`` is a data set of the field to train on instead of ``data``; then the
    garments are laid by the network at ``warp`` (default: the shipped warp), and a ``loop`` of 0 steps is as long as
    ``EPOCHS`` of it.
    """

    cache: Path
    folder: Path
    data: Path | None = None
    tree: Path | None = None
    warp: Path | None = None
    loop: LoopConfig = OURS
    size: RendererSize = field(default_factory=RendererSize)
    device: str = "auto"
    photographs: float = 0.35
    placed: float = 0.75
    strides: tuple[int, ...] = (1, 2, 4)
    clip_every: int = 3
    forgotten: float = 0.0
    remembered: float = 0.3
    still: int = 3
    flow_weight: float = 0.05
    perceptual: float = 0.1
    small_crop: tuple[int, int] = (128, 96)  # height and width of the crops of the first steps: a quarter of the cost
    small_steps: int = 5000
    held_out: int = 48  # validation scenes, and as many photographs


class Source(Protocol):
    """Where examples come from; ``first`` is the number of the first one in the whole training."""

    def frames(self, rng: np.random.Generator, count: int, first: int, /) -> list[Example]: ...

    def clips(self, rng: np.random.Generator, count: int, first: int, /) -> list[Clip]: ...


@dataclass(frozen=True, eq=False)
class _Material:
    """Examples of the whole crop, the same of the ``small`` one, what is held out, and how many frames there are."""

    whole: Source
    small: Source
    held_out: Validation
    frames: int


def train_tryon(
    config: TryOnTraining,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_picture: Report | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train, or go on training, the renderer; returns the last validation report and writes ``report.json``.

    Raises :class:`~vtryon.errors.MissingInputError` where the pictures have not been prepared, and as
    :func:`~vtryon.train.tree.open_training` where it trains on a data set of the field.
    """
    material = _opened_tree(config, on_picture, ranks) if config.tree else _opened(config, on_picture, ranks)
    loop = config.loop
    if not loop.steps:
        loop = replace(loop, steps=max(1, EPOCHS * material.frames // loop.batch))
    torch.manual_seed(loop.seed)
    net = RendererNet(config.size).to(memory_format=torch.channels_last)
    compute = choose(config.device)
    features = cached_vgg() if config.perceptual > 0 else None
    perceptual = Perceptual(features).to(compute.device) if features is not None else None
    loss = partial(tryon_loss, perceptual=perceptual, config=config)

    def batch(rng: np.random.Generator, count: int, step: int) -> Batch:
        source = material.small if step < config.small_steps else material.whole
        first = step * loop.batch + ranks.rank * count
        if config.clip_every and step % config.clip_every == 0:
            # on a data set the frames that are judged make the batch; a made-up frame before costs as much as another
            clips = source.clips(rng, count if config.tree else max(1, count // 2), first)
            return forgetful(clip_batch(clips, int(rng.integers(config.still + 1))), config.forgotten, rng)
        return frame_batch(source.frames(rng, count, first), config.remembered, rng)

    if config.tree:
        compute = Compute(compute.device)  # float32: the same numbers wherever a run is stopped and goes on
    elif ranks.count == 1:
        sample = batch(np.random.default_rng(0), min(4, loop.batch), loop.steps)
        trial = copy.deepcopy(net)  # timing steps must not touch the running means of the network to train
        compute = fastest(compute, lambda c: _grad(trial, sample, c, loss), repeats=2)
    last: dict[str, Any] = {}

    def validate(model: nn.Module, _step: int) -> dict[str, Any]:
        assert isinstance(model, RendererNet)
        last.clear()
        last.update(material.held_out.measure(model, compute))
        write_sheet(config.folder / "sheet.png", model, material.held_out.sample(), compute)
        return last

    fit(net, Task(batch, loss, validate), loop, compute, config.folder, on_step, ranks)
    if not ranks.first:
        return last
    if not last:  # a finished run, asked for its report again
        validate(net, loop.last)
    hidden = ("cache", "folder", "data", "tree", "warp", "device", "loop", "size")
    about = {k: v for k, v in asdict(config).items() if k not in hidden} | {
        "loop": asdict(loop), "perceptual_used": perceptual is not None,
    }  # fmt: skip
    if config.tree:
        about |= {"tree": config.tree.name, "frames": material.frames}
    (config.folder / "report.json").write_text(json.dumps({"config": about, **last}, indent=1) + "\n")
    save_renderer(config.folder / "tryon.safetensors", net, {"training": about, "measures": last})
    return last


def _opened(config: TryOnTraining, report: Report | None, ranks: Ranks) -> _Material:
    """Our own rendered pairs and photographs."""
    if config.data is not None:
        if ranks.first:
            _prepared(config.data, config.cache, report)
        ranks.wait()
    maker = replace(
        open_examples(config.cache), photographs=config.photographs, placed=config.placed, strides=config.strides
    )
    held_out = Validation.of(maker, config.held_out)
    return _Material(maker, replace(maker, size=config.small_crop), held_out, len(maker.scenes.train))


def _opened_tree(config: TryOnTraining, report: Report | None, ranks: Ranks) -> _Material:
    """A data set of the field."""
    from vtryon.train.lay import Lay, lay_clips
    from vtryon.train.tree import open_training
    from vtryon.train.tree_tryon import TreeExamples

    assert config.tree is not None
    lay = Lay(config.warp)
    lay.fitter()  # what is missing is told before hours of analysis
    data = open_training(config.tree, config.cache, config.device, report=report, ranks=ranks)
    maker = TreeExamples(data, lay_clips(data, lay, report, ranks), config.loop.seed, config.strides)
    examples, clips = maker.held_out(config.held_out)
    small = replace(maker, size=config.small_crop)
    return _Material(maker, small, Validation({"worn": examples}, clips), len(data.places))


def _prepared(data: Path, cache: Path, report: Report | None) -> None:
    from vtryon.warp import fitter

    if not is_prepared(cache):
        prepare(data, cache, report)
    if not (cache / "scenes.npz").is_file():
        prepare_scenes(data / "pairs", cache, fitter(), report)


def _grad(net: nn.Module, batch: Batch, compute: Compute, loss: Callable[..., dict[str, Tensor]]) -> None:
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    terms = loss(net.to(compute.device), moved, compute)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]


def tryon_loss(
    net: nn.Module, batch: Batch, compute: Compute, *, perceptual: Perceptual | None, config: TryOnTraining
) -> dict[str, Tensor]:
    """Eq. (7) for single frames; for clips the second frame is judged, given what the network made of the first."""
    previous, state = None, batch.get("state")
    before = {name.removeprefix(BEFORE): value for name, value in batch.items() if name.startswith(BEFORE)}
    if before:
        with torch.no_grad(), compute.autocast():
            previous, state = net(before)
            still = before | {"valid": torch.ones_like(before["seen"])}
            for _ in range(int(batch["still"])):
                previous, state = net(still, state)
    with compute.autocast():
        drawn, _ = net(batch, state)
    terms = frame_terms(drawn, batch, batch)
    if previous is not None and config.flow_weight > 0:
        terms["flow"] = config.flow_weight * flow_loss(previous.result, drawn.result, batch["moved"], batch["region"])
    if perceptual is not None:
        with compute.autocast():
            terms["vgg"] = config.perceptual * perceptual(drawn.result, batch["picture"]).float()
    return terms


def tensors(example: Example) -> dict[str, Array]:
    """What the network sees of an example and its truth, channels first, without the batch dimension."""
    half = (example.mask.shape[1] // 2, example.mask.shape[0] // 2)

    def small(values: Array) -> Array:
        return np.asarray(cv2.resize(values, half, interpolation=cv2.INTER_AREA), np.float32)

    known = small(example.gain_known)
    gain = small(example.gain * example.gain_known[..., None]) / np.maximum(known, 1e-3)[..., None]
    return network_input(example.view) | {
        "picture": example.truth.transpose(2, 0, 1) * np.float32(1 / 255),
        "mask": example.mask[None],
        "keep": example.keep[None],
        "keep_known": example.keep_known[None],
        "gain": gain.transpose(2, 0, 1),
        "gain_known": known[None],
        "kind": example.kind[None, ::2, ::2].astype(np.float32),
    }


def frame_batch(examples: Sequence[Example], remembered: float, rng: np.random.Generator) -> Batch:
    """A batch of single frames; a share ``remembered`` has a frame before, in ``state`` and ``valid``.

    It was partly right and partly the garment simply laid over the source, a little shifted, and pieces of it are
    missing: a memory that is always right would be trusted, and then no mistake would ever be mended.
    """
    rows = []
    for example in examples:
        row = tensors(example)
        h, w = example.mask.shape
        state, valid = np.zeros((STATE_CHANNELS, h, w), np.float32), np.zeros((1, h, w), np.float32)
        if rng.random() < remembered:
            right, cover = np.concatenate([row["picture"], row["mask"]]), example.view.cover
            naive = np.concatenate([row["source"] + cover * (row["garment"] - row["source"]), cover[None]])
            planes = right + disturb.patches((h, w), rng) * (naive - right) + np.float32(rng.normal(0, 0.02))
            planes = np.ascontiguousarray(planes.transpose(1, 2, 0))
            state = disturb.moved(planes, disturb.field((h, w), 0.5, rng)).transpose(2, 0, 1).clip(0, 1)
            valid = disturb.patches((h, w), rng)[None]
        rows.append(row | {"state": state, "valid": valid})
    return _stacked(rows)


def clip_batch(clips: Sequence[Clip], still: int = 0) -> Batch:
    """A batch of clips: inputs of the frame before under ``BEFORE``, the frame to be judged, and what joins them.

    The frame before is drawn ``still`` more times, each given the one before, as when nobody moves: what a memory of
    its own making does over many frames has to be seen to be unlearned.
    """
    rows = []
    for one in clips:
        before = {BEFORE + name: value for name, value in network_input(one.before.view).items()}
        region = agreement(one.before.truth, one.now.truth, one.moved) * one.now.mask
        joins = {"flow": one.flow.transpose(2, 0, 1), "moved": one.moved.transpose(2, 0, 1)}
        rows.append(tensors(one.now) | before | joins | {"valid": one.valid[None], "region": region[None]})
    return dict(_stacked(rows)) | {"still": torch.tensor(still)}


def forgetful(clips: Batch, share: float, rng: np.random.Generator) -> Batch:
    """A batch of clips of which a ``share`` has no frame before: to be drawn, and judged, as the first of its shot."""
    if not share:
        return clips
    known = torch.from_numpy((rng.random((len(clips["valid"]), 1, 1, 1)) >= share).astype(np.float32))
    return dict(clips) | {name: clips[name] * known for name in ("valid", "region")}


def _stacked(rows: Sequence[Mapping[str, Array]]) -> Batch:
    return {name: torch.from_numpy(np.stack([np.asarray(row[name], np.float32) for row in rows])) for name in rows[0]}


@dataclass(frozen=True, eq=False)
class Validation:
    """Examples that are never trained on, in ``groups`` by name, and clips."""

    groups: Mapping[str, list[Example]]
    clips: list[Clip]

    @staticmethod
    def of(maker: ExampleMaker, count: int) -> Validation:
        """Scenes, photographs, and clips of both."""
        pairs, photographs = maker.validation(count, count)
        scenes = replace(maker.scenes, train=maker.scenes.validation)
        people = replace(maker.people, train=maker.people.validation)
        held_out = replace(maker, scenes=scenes, people=people)
        rng = np.random.default_rng(7)
        clips = [held_out.clip(rng) for _ in range(max(1, count // 3))]
        return Validation({"pairs": pairs, "photographs": photographs}, clips)

    def sample(self) -> list[Example]:
        """Some of each group, to look at."""
        return [example for n, group in enumerate(self.groups.values()) for example in group[:: 4 * (n + 1)]]

    @torch.inference_mode()
    def measure(self, net: RendererNet, compute: Compute) -> dict[str, Any]:
        """SSIM, PSNR and L1 of results and of copies of the source, and excess motion in px with and without memory."""
        report: dict[str, Any] = {}
        for name, examples in self.groups.items():
            found: list[Scores] = []
            copies: list[Scores] = []
            for example, picture in zip(examples, drawn_pictures(net, examples, compute), strict=True):
                region = np.maximum(example.view.hole, example.mask) > 0.5
                found.append(scores(example.truth, picture, region))
                copies.append(scores(example.truth, example.view.rgb, region))
            report[name] = {"result": mean_scores(found), "copy": mean_scores(copies)}
        return report | {"motion": self._motion(net, compute)}

    def _motion(self, net: RendererNet, compute: Compute) -> dict[str, float]:
        total = {"with_memory": 0.0, "without": 0.0}
        for one in self.clips:
            batch = {k: v.to(compute.device) for k, v in clip_batch([one]).items()}
            first = {k.removeprefix(BEFORE): v for k, v in batch.items() if k.startswith(BEFORE)}
            with compute.autocast():
                before, now = clip(net, [first, batch])
                alone, _ = net(batch)
            for name, drawn in (("with_memory", now), ("without", alone)):
                total[name] += float(flow_loss(before.result, drawn.result, batch["moved"], batch["region"]))
        return {name: round(value / len(self.clips), 4) for name, value in total.items()}


def drawn_pictures(net: nn.Module, examples: Sequence[Example], compute: Compute, batch: int = 12) -> list[Array]:
    """The results (256, 192, 3) uint8 for single examples, nothing remembered."""
    out: list[Array] = []
    for at in range(0, len(examples), batch):
        inputs = _stacked([network_input(e.view) for e in examples[at : at + batch]])
        with torch.inference_mode(), compute.autocast():
            drawn, _ = net({k: v.to(compute.device) for k, v in inputs.items()})
        out += list(_bytes(drawn.result.permute(0, 2, 3, 1)))
    return out


def _bytes(values: Tensor) -> Array:
    return np.asarray((values.float().clamp(0, 1) * 255 + 0.5).to(torch.uint8).cpu().numpy())


def write_sheet(path: Path, net: nn.Module, examples: Sequence[Example], compute: Compute, columns: int = 2) -> None:
    """Source, warped garment, result, truth of each example, ``columns`` of them side by side."""
    tiles = []
    for example, picture in zip(examples, drawn_pictures(net, examples, compute), strict=True):
        cover = example.view.cover[..., None]
        warped = np.asarray((example.view.garment * cover + 0.5 * (1 - cover)) * 255, np.uint8)
        tiles.append([example.view.rgb, warped, picture, example.truth])
    while len(tiles) % columns:
        tiles.append([np.full_like(tiles[0][0], 255)] * 4)
    rows = [list(chain.from_iterable(tiles[i : i + columns])) for i in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.ascontiguousarray(contact_sheet(rows)[..., ::-1]))
