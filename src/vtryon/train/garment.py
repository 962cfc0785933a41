"""Training of the garment reader (issue 3) on rendered product pictures and photographs of real garments."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from vtryon.device import Compute, choose, fastest
from vtryon.garment.cutout import clean_mask, segment
from vtryon.garment.load import load_picture
from vtryon.garment.network import INSIDE_WEIGHT, KINDS, SEGMENTS, SIDE, ReaderNet, ReaderSize, decode_points
from vtryon.nearest import nearest
from vtryon.train.garment_data import Maker, Product, Sample, cuffs_to_sleeves, mirrored, relit
from vtryon.train.garment_scene import Photograph
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.store import made, require
from vtryon.types import KEYPOINTS, Array
from vtryon.weights import Checkpoint, save

PRODUCT_SIZE = (144, 192)
"""Width and height to which product pictures (384 x 512) are reduced."""

PHOTO_SIDE = 224
"""Long side to which photographs are reduced."""

_KINDS = {"T-Shirt": 1, "Polo": 1, "Longsleeve": 2, "Hoodie": 2, "Blazer": 2, "Undershirt": 0, "Dress": 3}
"""What the classes of ``garments/classes.csv`` say about the kind; the others say nothing."""


def held_out(scene: int) -> bool:
    """Whether a scene is for validation: numbers that end in 7 (of photographs: the id's first byte)."""
    return scene % 10 == 7


def read_products(data: Path, validation: bool) -> list[Product]:
    """The product pictures of ``data/pairs``, of the training or the validation scenes."""
    found = []
    for meta_path in sorted((data / "pairs").glob("*/meta.json")):
        meta = json.loads(meta_path.read_text())
        if held_out(meta["scene"]) != validation:
            continue
        for top, about in enumerate(meta["tops"]):
            rgba = np.asarray(Image.open(meta_path.with_name(f"product_{top}.webp")).convert("RGBA"), np.float32)
            labels = np.asarray(Image.open(meta_path.with_name(f"product_{top}_lab.png")))
            scale = PRODUCT_SIZE[0] / rgba.shape[1]
            alpha = rgba[..., 3] / 255
            weight = cv2.resize(alpha, PRODUCT_SIZE, interpolation=cv2.INTER_AREA)
            grey = cv2.resize(rgba[..., :3].mean(axis=2) * alpha, PRODUCT_SIZE, interpolation=cv2.INTER_AREA)
            small = cv2.resize(labels, PRODUCT_SIZE, interpolation=cv2.INTER_NEAREST)
            small = np.where(weight > 0.5, _spread(small), 0).astype(np.uint8)
            points = np.array([about["product_kp"][name] for name in KEYPOINTS], np.float32) * scale
            grey = np.clip(grey / np.maximum(weight, 1 / 255), 0, 255).astype(np.uint8)
            found.append(Product(grey, cuffs_to_sleeves(small), points))
    return found


def _spread(labels: Array) -> Array:
    """Labels (H, W) uint8 with every 0 replaced by the nearest other label: the outline's last pixel has none."""
    return np.asarray(labels.ravel()[nearest(labels > 0)[0]])


def read_photographs(data: Path, cache: Path) -> list[Photograph]:
    """Real garments with the mask that GrabCut alone finds, where that is plausible (whole, symmetric, off the border).

    Cutting takes a while; the result is kept in ``cache``.
    """
    if not cache.is_file():
        rows = list(csv.DictReader((data / "garments" / "classes.csv").open()))
        arrays: dict[str, Array] = {}
        for row in rows:
            if held_out(int(row["id"][:2], 16)):
                continue
            rgb, _ = load_picture(data / "garments" / "images" / f"{row['id']}.jpg")
            scale = PHOTO_SIDE / max(rgb.shape[:2])
            rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            mask = clean_mask(segment(rgb)[0], rgb)
            if plausible(mask):
                arrays[f"{row['class']}/{row['id']}"] = np.dstack([rgb, mask.astype(np.uint8)])
        np.savez(cache, **arrays)
    with np.load(cache) as file:
        items = [(name, file[name]) for name in file.files]
    return [Photograph(a[..., :3].copy(), a[..., 3] > 0, _KINDS.get(name.split("/")[0], -1)) for name, a in items]


def plausible(mask: Array) -> bool:
    """Whether a mask looks like a whole garment: of fair size, off the border, and its own mirror image."""
    if not 0.12 < mask.mean() < 0.85:
        return False
    if np.concatenate([mask[1], mask[-2], mask[:, 1], mask[:, -2]]).mean() > 0.03:
        return False
    middle = np.nonzero(mask)[1].mean()
    x = np.arange(mask.shape[1])
    best = 0.0
    for twice in range(int(2 * middle) - 24, int(2 * middle) + 25, 2):
        mirror = twice - x
        ok = (mirror >= 0) & (mirror < mask.shape[1])
        best = max(best, float((mask[:, x[ok]] & mask[:, mirror[ok]]).sum() / mask.sum()))
    return best > 0.86


def to_batch(samples: Sequence[Sample]) -> Batch:
    """Samples as tensors: picture (N, 4, S, S), labels (N, S, S), points (N, 14, 2) in cells of S/2, kind (N,)."""
    rgb = np.stack([s.rgb for s in samples]).astype(np.float32) / 127.5 - 1
    known = np.stack([s.known for s in samples])[..., None].astype(np.float32)
    return {
        "picture": torch.from_numpy(np.concatenate([rgb, known], -1)).permute(0, 3, 1, 2),
        "labels": torch.from_numpy(np.stack([s.labels for s in samples]).astype(np.int64)),
        "points": torch.from_numpy(np.stack([s.points for s in samples]) / 2),
        "kind": torch.tensor([s.kind for s in samples]),
    }


def reader_loss(net: nn.Module, batch: Batch, compute: Compute) -> dict[str, Tensor]:
    """Label cross-entropy ("some part" where the part is unknown), key point and kind cross-entropy."""
    with compute.autocast():
        segments, heat, scores = net(batch["picture"])
    segments, heat, scores = segments.float(), heat.float(), scores.float()
    labels, known = batch["labels"], batch["picture"][:, 3].amax((1, 2)) > 0
    part = labels < len(SEGMENTS)
    exact = functional.cross_entropy(segments, torch.where(part, labels, 0), reduction="none")
    some = segments.logsumexp(1) - segments[:, 1:].logsumexp(1)
    # a photograph that is already cut out teaches nothing about its outline
    useful = (~((~part).flatten(1).any(1) & known)).float()[:, None, None]
    weight = useful * (1 + (INSIDE_WEIGHT - 1) * (labels == SEGMENTS.index("inside")))
    cells = SIDE // 2
    axis = torch.arange(cells, device=heat.device) + 0.5
    target = torch.nan_to_num(batch["points"], nan=-1.0)
    valid = ((target > 0) & (target < cells)).all(-1).float()
    gx = torch.softmax(-((target[..., 0:1] - axis) ** 2) / 2, -1)
    gy = torch.softmax(-((target[..., 1:2] - axis) ** 2) / 2, -1)
    share = functional.log_softmax(heat.flatten(2), -1).view_as(heat)
    points = -(share * gy[..., :, None] * gx[..., None, :]).sum((2, 3))
    kind = functional.cross_entropy(scores, batch["kind"].clamp_min(0), reduction="none", label_smoothing=0.05)
    has_kind = (batch["kind"] >= 0).float()
    return {
        "labels": 3 * (torch.where(part, exact, some) * weight).mean(),
        "points": 0.5 * (points * valid).sum() / valid.sum().clamp_min(1),
        "kind": 0.3 * (kind * has_kind).sum() / has_kind.sum().clamp_min(1),
    }


def validation(maker: Maker, count: int) -> Callable[[nn.Module], dict[str, Any]]:
    """A function that measures a network on ``count`` made pictures of held-out products (SIDE px)."""
    samples = [maker.rendered() for _ in range(count)]
    batch = to_batch(samples)

    def measure(net: nn.Module) -> dict[str, Any]:
        device = next(net.parameters()).device
        outputs = [net(part.to(device)) for part in torch.split(batch["picture"], 32)]
        segments, heat, scores = (torch.cat(items).float().cpu() for items in zip(*outputs, strict=True))
        found = decode_points(heat)[..., :2] * SIDE
        error = (found - 2 * batch["points"]).norm(dim=-1)
        truth, guess = batch["labels"], segments.argmax(1)
        iou = [float(((truth == i) & (guess == i)).sum() / ((truth == i) | (guess == i)).sum()) for i in range(5)]
        kinds = batch["kind"] >= 0
        return {
            "points_px": float(error.nanmean()),
            "iou": dict(zip(SEGMENTS, iou, strict=True)),
            "kind": float((scores.argmax(1) == batch["kind"])[kinds].float().mean()),
        }

    return measure


@dataclass(frozen=True, kw_only=True)
class GarmentTraining:
    """Options of one run; ``data`` holds ``pairs`` and ``garments``, ``folder`` gets state, log, report and weights.

    ``prepared`` pictures are made beforehand and drawn from, mirrored and relit anew each time: making one costs more
    than learning from it.
    """

    data: Path
    folder: Path
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=1400, batch=32, clip=2.0, validate_every=200, save_every=60)
    )
    device: str = "auto"
    prepared: int = 8000


def train_garment(
    config: GarmentTraining,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_picture: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Train, or go on training, the reader; returns the last validation report.

    Writes ``garment.safetensors`` and ``report.json`` into ``config.folder``. ``on_picture`` is told what is being made
    beforehand, how many are done, and of how many. Raises :class:`~vtryon.errors.MissingInputError` where data is
    missing.
    """
    require(config.data, "pairs", "garments/images", "garments/classes.csv")
    made(config.folder)
    tell = on_picture or (lambda _what, _done, _all: None)
    torch.manual_seed(config.loop.seed)
    photographs = read_photographs(config.data, config.folder / "photographs.npz")
    maker = Maker(read_products(config.data, False), photographs, np.random.default_rng(config.loop.seed))
    samples = []
    for done in range(config.prepared):
        samples.append(maker.draw())
        tell("pictures", done + 1, config.prepared)

    def batch(rng: np.random.Generator, count: int, _step: int) -> Batch:
        drawn = [samples[i] for i in rng.integers(len(samples), size=count)]
        return to_batch([relit(mirrored(s) if rng.random() < 0.5 else s, rng) for s in drawn])

    measure = validation(Maker(read_products(config.data, True), photographs, np.random.default_rng(7)), 256)
    last: dict[str, Any] = {}

    def validate_now(model: nn.Module, _step: int) -> dict[str, Any]:
        last.update(measure(model))
        return last

    net = ReaderNet(ReaderSize()).to(memory_format=torch.channels_last)
    example = batch(np.random.default_rng(0), config.loop.batch, 0)
    trial = copy.deepcopy(net)  # timing steps must not touch the running means of the network to train
    compute = fastest(choose(config.device), lambda c: _grad(trial, example, c))
    trained = fit(net, Task(batch, reader_loss, validate_now), config.loop, compute, config.folder, on_step)
    measures = last or measure(trained)  # a finished run, asked for its report again
    about = {"loop": asdict(config.loop), "prepared": config.prepared, "kinds": list(KINDS)}
    (config.folder / "report.json").write_text(json.dumps({"config": about, "measures": measures}, indent=1) + "\n")
    notes = {"training": about, "measures": measures}
    checkpoint = Checkpoint("garment", net.size.to_dict(), SEGMENTS, trained.state_dict(), notes)
    save(config.folder / "garment.safetensors", checkpoint)
    return measures


def _grad(net: nn.Module, batch: Batch, compute: Compute) -> None:
    moved = {name: value.to(compute.device) for name, value in batch.items()}
    torch.stack(list(reader_loss(net.to(compute.device), moved, compute).values())).sum().backward()  # type: ignore[no-untyped-call]
