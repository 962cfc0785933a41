"""The garment reader: a small U-Net that says where in a picture the garment, its parts and its key points are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon.types import KEYPOINTS

SIDE = 128
"""The reader sees the picture letterboxed into SIDE x SIDE."""

SEGMENTS = ("background", "torso", "left sleeve", "right sleeve", "inside")
"""Classes of the label map; the first four are numbered as in :class:`vtryon.types.Part`."""

INSIDE_WEIGHT = 3.0
"""How much more a pixel of the rare inside counts in training than any other."""

KINDS = ("sleeveless", "short-sleeve", "long-sleeve", "dress")
"""Order of the kind scores."""


@dataclass(frozen=True)
class ReaderSize:
    """Everything that describes the network; it travels in the checkpoint. ``widths``: channels at 1/2 ... 1/32."""

    widths: tuple[int, ...] = (16, 24, 48, 64, 88)
    segments: int = len(SEGMENTS)
    keypoints: int = len(KEYPOINTS)
    kinds: int = len(KINDS)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ReaderSize:
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return ReaderSize(**known)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class ReaderNet(nn.Module):
    """(N, 4, 128, 128) to label logits (N, 5, 128, 128), key point logits (N, 14, 64, 64) and kind logits (N, 4).

    Inputs are RGB in [-1, 1] and a mask: 0 where nothing is known yet; on the second look, when the garment is cut
    out (its background grey), 1 on the garment.
    """

    def __init__(self, size: ReaderSize) -> None:
        super().__init__()
        self.size = size
        widths = size.widths
        self.stem = _conv(4, widths[0], 5, 2)
        self.down = nn.ModuleList(_conv(a, b, 3, 2) for a, b in pairwise(widths))
        self.encoder = nn.ModuleList(_Block(w) for w in widths)
        self.up = nn.ModuleList(_conv(b, a, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_Block(w) for w in widths[:-1])
        self.labels = nn.Conv2d(widths[0], size.segments * 4, 1)
        self.points = nn.Conv2d(widths[0], size.keypoints, 1)
        self.kind = nn.Linear(widths[-1] * 16, size.kinds)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.relu(self.stem(picture))
        skips = [x := self.encoder[0](x)]
        for level, down in enumerate(self.down, start=1):
            skips.append(x := self.encoder[level](functional.relu(down(x))))
        kind = self.kind(x.flatten(1))
        for level in reversed(range(len(self.up))):
            coarse = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.decoder[level](functional.relu(coarse + skips[level]))
        return functional.pixel_shuffle(self.labels(x), 2), self.points(x), kind


def decode_points(logits: Tensor) -> Tensor:
    """(N, K, h, w) key point logits to (N, K, 3): x, y in [0, 1] of the picture's side, and the share at the peak.

    The mean of the softmax within three cells of its peak: precise below a cell and deaf to a second, lower peak.
    """
    n, k, h, w = logits.shape
    share = logits.float().flatten(2).softmax(2)
    peak = share.argmax(2)
    px, py = (peak % w)[..., None, None], (peak // w)[..., None, None]
    ys, xs = torch.meshgrid(torch.arange(h, device=logits.device), torch.arange(w, device=logits.device), indexing="ij")
    near = ((xs - px).abs() <= 3) & ((ys - py).abs() <= 3)
    local = share.view(n, k, h, w) * near
    mass = local.sum((2, 3)).clamp_min(1e-9)
    x = (local * (xs + 0.5)).sum((2, 3)) / mass / w
    y = (local * (ys + 0.5)).sum((2, 3)) / mass / h
    return torch.stack([x, y, mass], -1)
