"""What the refiner sees in training: examples mirrored, moved, in other light; alone, with a frame before that was made
up, or as two frames of somebody in motion with exact flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vtryon.person.heatmaps import pose_maps
from vtryon.render.refine import (
    CLOTH,
    COVER,
    GRID,
    IN_FRONT,
    KINDS,
    LABELS,
    SOURCE,
    UNDER,
    WORN,
    Refined,
    opened,
    refined,
)  # fmt: skip
from vtryon.render.unet import carried
from vtryon.train import disturb
from vtryon.train.refine_data import Examples, decoded

BEFORE = "before."
"""Prefix, in a batch, of what belongs to the frame before."""

_MIRRORED = (0, 1, 5, 6, 7, 2, 3, 4, 8, 10, 9, 11, 14, 15, 12, 13, 16, 17)
"""Pose channels with left and right exchanged."""

_SURE = 8.0  # logit
_WAVER = 0.5  # share of a label by which it wavers from frame to frame
_STRIDES = (1.0, 2.0, 4.0)
_SHAKEN = (0.0, 0.0, 1.5, 3.0)  # px of a crop of the usual size by which cloth is laid still more wrongly

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of ``examples``, a share ``rendered`` of them of scenes; a share ``remembered`` of single frames has a
    frame before, and clips are drawn up to ``still`` more times before they move."""

    examples: Examples
    rendered: float = 0.3
    remembered: float = 0.35
    still: int = 2

    def frames(self, rng: np.random.Generator, count: int) -> Tensors:
        """A batch of single frames; ``state`` and ``valid`` (0 where nothing is remembered) as the network wants them.

        What is remembered was partly right and partly what the composition does by itself, a little shifted, and pieces
        of it are missing: a memory that is always right would be trusted, and then no mistake would ever be mended.
        """
        batch = _shaken(augmented(self._any(rng, count), rng), rng)
        naive, right = untouched(batch).state, best(batch).state
        state = right + _patches(rng, count) * (naive - right) + 0.02 * _normal(rng, count, 1, 1, 1)
        some = torch.from_numpy((rng.random((count, 1, 1, 1)) < self.remembered).astype(np.float32))
        return batch | {
            "state": carried(state, _field(rng, count, 0.5)).clamp(0, 1),
            "valid": some * _patches(rng, count),
        }

    def clips(self, rng: np.random.Generator, count: int) -> Tensors:
        """A batch of two frames each: inputs of the first under ``BEFORE``, those of the second and its truth, ``flow``
        as it is found and ``moved`` as it is (N, 2, H, W) px, ``valid``, how often the first is drawn, ``still``."""
        first = augmented(self._any(rng, count), rng)
        stride = int(rng.choice(_STRIDES))
        shake = np.stack([disturb.camera_motion(GRID, stride, rng) for _ in range(count)]).transpose(0, 3, 1, 2)
        flow = _field(rng, count, 1.2 * stride) + torch.from_numpy(np.ascontiguousarray(shake))
        second = {name: carried(first[name], flow) for name in ("image", "truth", "known", "stays", "told")}
        second["pose"] = first["pose"]  # a quarter of the size, and moved by less than its pixels
        image = second["image"]
        image[:, CLOTH:] = carried(image[:, CLOTH:], _field(rng, count, 0.4))
        image[:, SOURCE : SOURCE + 3] += 0.015 * _normal(rng, count, 3, *GRID)
        _waver(image, _WAVER * _patches(rng, count))
        return (
            second
            | {BEFORE + name: first[name] for name in ("image", "pose")}
            | {"flow": flow + _field(rng, count, 0.25), "moved": flow, "valid": (2 * _patches(rng, count)).clamp(0, 1)}
            | {"still": torch.tensor(int(rng.integers(self.still + 1)))}
        )

    def _any(self, rng: np.random.Generator, count: int) -> Tensors:
        wanted = rng.random(count) < self.rendered
        groups = [np.flatnonzero(self.examples.rendered == kind) for kind in (False, True)]
        either = np.arange(len(self.examples))
        return tensors(
            self.examples,
            [int(rng.choice(groups[kind] if len(groups[kind]) else either)) for kind in wanted.astype(int)],
        )


def tensors(examples: Examples, which: Sequence[int]) -> Tensors:
    """Some examples as they are: ``image`` (N, 18, H, W) and ``pose`` (N, 18, H/4, W/4) of the network, ``truth``
    (N, 3, H, W) and ``known``, ``stays``, ``told`` (N, 1, H, W) in [0, 1]."""
    rows = list(which)
    poses = [pose_maps(p[:, :2], p[:, 2], GRID) for p in examples.pose[rows]]
    truth = torch.from_numpy(np.moveaxis(examples.truth[rows].astype(np.float32) / np.float32(255), -1, 1).copy())
    shares = dict(zip(("known", "stays", "told"), truth[:, 3:, None].unbind(1), strict=True))
    image, pose = torch.from_numpy(decoded(examples.planes[rows])), torch.from_numpy(np.stack(poses))
    return {"image": image, "pose": pose, "truth": truth[:, :3].contiguous()} | shares


def augmented(batch: Tensors, rng: np.random.Generator) -> Tensors:
    """In a mirror, elsewhere and larger or smaller, in other light; the truth with it."""
    count = len(batch["image"])
    flip = torch.from_numpy(rng.random((count, 1, 1, 1)) < 0.5)
    place = _places(rng, count)
    out = {}
    for name, value in batch.items():
        other = value.flip(-1)
        if name == "pose":
            other = other[:, list(_MIRRORED)]
        grid = functional.affine_grid(place, [count, 1, *value.shape[-2:]], align_corners=False)
        value = torch.where(flip, other, value)
        out[name] = functional.grid_sample(value, grid, padding_mode="border", align_corners=False)
    gamma, exposure = (
        torch.from_numpy(np.exp(rng.normal(0, s, (count, 1, 1, 1))).astype(np.float32)) for s in (0.15, 0.12)
    )
    cast = torch.from_numpy(np.exp(rng.normal(0, 0.05, (count, 3, 1, 1))).astype(np.float32)) * exposure

    def lit(colours: Tensor) -> Tensor:
        return (colours.clamp_min(1e-4) ** gamma * cast).clamp(0, 1)

    for at in (SOURCE, UNDER, CLOTH):
        out["image"][:, at : at + 3] = lit((out["image"][:, at : at + 3] + 1) / 2) * 2 - 1
    out["truth"] = lit(out["truth"])
    return out


def _places(rng: np.random.Generator, count: int) -> Tensor:
    """(N, 2, 3): small turns, shifts and changes of size."""
    h, w = GRID
    scale, turn, (dx, dy) = (
        np.exp(rng.normal(0, 0.08, count)),
        rng.normal(0, 0.06, count),
        rng.normal(0, 0.08, (2, count)),
    )
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    rows = np.stack([np.stack([c, -s * h / w, dx], -1), np.stack([s * w / h, c, dy], -1)], 1)
    return torch.from_numpy(rows.astype(np.float32))


def _shaken(batch: Tensors, rng: np.random.Generator) -> Tensors:
    """The cloth laid still more wrongly than it is."""
    amplitude = float(rng.choice(_SHAKEN))
    if amplitude:
        image = batch["image"].clone()
        image[:, CLOTH:] = carried(image[:, CLOTH:], _field(rng, len(image), amplitude))
        batch = batch | {"image": image}
    return batch


def _waver(image: Tensor, share: Tensor) -> None:
    """Let a ``share`` (N, 1, H, W) of what may be before the cloth be taken for the old top in ``image``, in place."""
    labels = image[:, LABELS : LABELS + len(KINDS)]
    moved = share * labels[:, list(IN_FRONT)]
    labels[:, list(IN_FRONT)] -= moved
    labels[:, WORN] += moved.sum(1)


def best(batch: Tensors) -> Refined:
    """What a network would say that knows what ``stays``."""
    logits = _SURE * (2 * batch["stays"] - 1)
    return refined(batch["image"], logits.expand(-1, 2, -1, -1))


def untouched(batch: Tensors) -> Refined:
    """The composition by itself."""
    return refined(batch["image"], torch.full_like(batch["image"][:, :2], -2 * _SURE))


def wanted(batch: Tensors) -> Tensor:
    """(N, 1, H, W) in [0, 1]: where giving something back makes a difference, and is allowed."""
    image = batch["image"]
    unlike = 0.5 * (image[:, SOURCE : SOURCE + 3] - image[:, UNDER : UNDER + 3]).abs().amax(1, keepdim=True)
    taken, shown = opened(image)[:, :, None].unbind(1)
    return torch.maximum(taken * image[:, COVER : COVER + 1], shown * (4 * unlike).clamp(max=1))


def _field(rng: np.random.Generator, count: int, amplitude: float) -> Tensor:
    fields = np.stack([disturb.field(GRID, amplitude, rng) for _ in range(count)])
    return torch.from_numpy(np.ascontiguousarray(fields.transpose(0, 3, 1, 2)))


def _patches(rng: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(np.stack([disturb.patches(GRID, rng) for _ in range(count)])[:, None])


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(0, 1, shape).astype(np.float32))
