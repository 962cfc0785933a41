"""What the networks of the warp see in training: pairs in a mirror, landmarks and outlines that err as real ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vtryon.train.loop import Batch
from vtryon.train.pairs import PICTURE, PRODUCT, VIEW_STEP
from vtryon.types import KEYPOINTS, Label, Part
from vtryon.warp.outline import RAYS, Silhouette
from vtryon.warp.placing import SHAPES, BodyFrame, GarmentFrame, cast_rays

_MIRROR_BODY = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + 1 if i % 2 else i - 1 for i in range(11, 33)))
_MIRROR_GARMENT = tuple(
    KEYPOINTS.index(n[:-1] + {"l": "r", "r": "l"}.get(n[-1], n[-1])) for n in KEYPOINTS
)  # collar_c and hem_c map to themselves
_SIDES = {"labels": (Label.LEFT_ARM, Label.RIGHT_ARM), "parts": (Part.LEFT_SLEEVE, Part.RIGHT_SLEEVE)}


@dataclass(frozen=True)
class Disturbance:
    """How what is seen differs from what is: standard deviations in body sizes (landmarks), armpit widths (key points),
    degrees (swing of the sleeves in the product picture, yaw of the torso), body sizes (rays)."""

    landmarks: float = 0.02
    keypoints: float = 0.03
    sleeve_swing: float = 25.0
    yaw: float = 6.0
    rays: float = 0.02


def silhouette(batch: Batch) -> Silhouette:
    """The outline of a batch of :class:`~vtryon.train.pairs.Pairs`, in picture px."""
    to_grid = torch.eye(2, 3) / VIEW_STEP
    return Silhouette(batch["labels"], to_grid.expand(len(batch["labels"]), 2, 3))


def augment(batch: Batch, noise_of: Disturbance, generator: torch.Generator) -> dict[str, Tensor]:
    """Mirror half, disturb what the network sees as real landmarks, key points and mattes err; truth stays true."""
    batch = dict(batch)
    n = len(batch["yaw"])

    def noise(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator)

    flip = torch.rand(n, generator=generator) < 0.5
    mirrored = _mirrored({k: v[flip] for k, v in batch.items()})
    batch = {k: v.index_put((flip,), mirrored[k]) for k, v in batch.items()}

    size = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"]).size[:, None, None]
    blur = noise_of.landmarks * size * torch.exp(0.5 * noise(1, 1))
    batch["points"] = batch["points"] + blur * (noise(33, 2) + 0.7 * noise(1, 2))
    lost = torch.rand(n, 33, generator=generator) < 0.03
    batch["points"] = batch["points"] + lost[..., None] * 0.15 * size * noise(33, 2)
    batch["visibility"] = (batch["visibility"] * torch.where(lost, 0.3, 1.0) + 0.05 * noise(33)).clamp(0, 1)
    batch["yaw"] = batch["yaw"] + np.radians(noise_of.yaw) * noise()
    armpits = GarmentFrame.of(batch["keypoints"]).size[:, None, None]
    seen = batch["keypoints"] + noise_of.keypoints * armpits * (noise(14, 2) + 0.5 * noise(1, 2))
    batch["seen_keypoints"] = _swung(seen, np.radians(noise_of.sleeve_swing) * noise(2).clamp(-2, 2))
    frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
    rays = cast_rays(silhouette(batch), batch["points"], frame)
    rays = (rays * (1 + 0.03 * noise(1)) + noise_of.rays * noise(RAYS)).clamp(0, 1)
    gone = torch.rand(n, generator=generator) < 0.05
    batch["rays"] = torch.where(gone[:, None], torch.zeros(()), rays)
    return batch


def _mirrored(batch: Batch) -> dict[str, Tensor]:
    """The same scene in a mirror: left and right change places, in the picture and in the product."""
    result = dict(batch)
    for key, width in (("points", PICTURE[1]), ("worn", PICTURE[1]), ("keypoints", PRODUCT[1])):
        flipped = torch.stack([width - batch[key][..., 0], batch[key][..., 1]], -1)
        result[key] = flipped[:, list(_MIRROR_BODY if key == "points" else _MIRROR_GARMENT)]
    result["visibility"] = batch["visibility"][:, list(_MIRROR_BODY)]
    result["yaw"] = -batch["yaw"]
    for key, sides in _SIDES.items():
        if key in batch:
            result[key] = _swapped(batch[key].flip(-1), *sides)
    swap = {Part.TORSO: Part.TORSO, Part.LEFT_SLEEVE: Part.RIGHT_SLEEVE, Part.RIGHT_SLEEVE: Part.LEFT_SLEEVE}
    for part, other in swap.items():
        mine, theirs = part.name.lower(), other.name.lower()
        for kind, width in (("lattice", PRODUCT[1]), ("product", PRODUCT[1]), ("picture", PICTURE[1])):
            value = batch[f"{theirs}_{kind}"]
            result[f"{mine}_{kind}"] = torch.stack([width - value[..., 0], value[..., 1]], -1)
        if part == Part.TORSO:  # its columns run from the wearer's right to the left
            rows, columns = SHAPES[part]
            lattice = result[f"{mine}_lattice"].reshape(-1, rows, columns, 2).flip(2)
            result[f"{mine}_lattice"] = lattice.reshape(-1, rows * columns, 2)
        result[f"{mine}_known"] = batch[f"{theirs}_known"]
    return result


def _swapped(picture: Tensor, a: int, b: int) -> Tensor:
    """A map of numbers with two of them exchanged."""
    result = picture.clone()
    result[picture == a] = b
    result[picture == b] = a
    return result


def _swung(keypoints: Tensor, angles: Tensor) -> Tensor:
    """Turn each sleeve's cuff about the middle of its seam: products lie with their arms at any angle."""
    result = keypoints.clone()
    for n, (side, sign) in enumerate((("l", 1.0), ("r", -1.0))):
        index = {name: KEYPOINTS.index(f"{name}_{side}") for name in ("shoulder", "armpit", "cuff_out", "cuff_in")}
        pivot = (keypoints[:, index["shoulder"]] + keypoints[:, index["armpit"]]) / 2
        a = sign * angles[:, n]
        turn = torch.stack([torch.stack([a.cos(), -a.sin()], -1), torch.stack([a.sin(), a.cos()], -1)], -2)
        for name in ("cuff_out", "cuff_in"):
            result[:, index[name]] = ((keypoints[:, index[name]] - pivot)[:, None] @ turn.mT)[:, 0] + pivot
    return result
