"""How good the parser is on single crops: IoU of regions and labels, sample sheets (issue 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vtryon.device import Compute
from vtryon.person.outfit import DRESS, dress_share
from vtryon.person.parser import decided, network_input, torso_down
from vtryon.sheet import with_labels
from vtryon.train.augment import Crops
from vtryon.types import WORN_TOP, Array, Label

GROUPS: dict[str, tuple[Label, ...]] = {
    "hair": (Label.HAIR,),
    "face": (Label.FACE,),
    "top": WORN_TOP,
    "lower": (Label.LOWER,),
    "arms": (Label.LEFT_ARM, Label.RIGHT_ARM),
}
"""The five regions of the issue's measure."""


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


def predict(net: nn.Module, crops: Sequence[Crops], compute: Compute, batch: int = 16) -> Array:
    """(N, 11, 256, 192) float32 label probabilities of crops, each by itself, decided as at run time."""
    out = []
    for at in range(0, len(crops), batch):
        part = collate(crops[at : at + batch])
        with torch.inference_mode(), compute.autocast():
            logits = net(part["image"].to(compute.device), part["pose"].to(compute.device))
        for crop, share in zip(crops[at:], logits.float().softmax(dim=1).cpu().numpy(), strict=False):
            down = torso_down(crop.points, crop.visibility)
            in_dress = dress_share(share, down) > DRESS
            out.append(decided(share, crop.rgb, crop.points, down, in_dress))
    return np.stack(out)


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
        np.hstack([c.rgb, with_labels(c.rgb, c.labels), with_labels(c.rgb, s.argmax(axis=0))])
        for c, s in zip(crops, share, strict=True)
    ]
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
