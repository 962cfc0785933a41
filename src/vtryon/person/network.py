"""The parsing network: a residual U-Net that works at half resolution and below (issue 4)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon.person.heatmaps import POSE_CHANNELS
from vtryon.types import Label

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class UNetSize:
    """What every U-Net of this kind is described by: ``widths`` channels at 1/2, 1/4, ... of its grid, ``depths``
    residual blocks at each of them on the way down."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.depths) or len(self.widths) < 3:
            raise ValueError(f"widths and depths must have one length of at least 3, got {self.widths}, {self.depths}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


@dataclass(frozen=True)
class ParserSize(UNetSize):
    """Everything that describes the network; it travels in the checkpoint.

    ``widths`` channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the crop; ``depths`` residual blocks at each of them on the
    way down (the way up has one per level).
    """

    widths: tuple[int, ...] = (24, 48, 88, 128, 160)
    depths: tuple[int, ...] = (1, 2, 3, 3, 2)
    image_channels: int = 5
    pose_channels: int = POSE_CHANNELS
    labels: int = len(Label)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (over ``stride``), and its normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs, momentum=0.05)
    )


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = conv(width, width)
        last = self.second[1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class ParserNet(nn.Module):
    """Image (N, 5, H, W) and pose maps (N, 18, H/4, W/4) to label logits (N, 11, H, W); H and W multiples of 32.

    The pose maps join at a quarter of the resolution, where the network starts to think; the head predicts the four
    pixels of each half-resolution cell at once (Shi et al. 2016), so that no layer runs at full resolution.
    """

    def __init__(self, size: ParserSize) -> None:
        super().__init__()
        self.size = size
        widths, depths = size.widths, size.depths
        self.stem = conv(size.image_channels, widths[0], 5, 2)
        down = [conv(a, b, 3, 2) for a, b in pairwise(widths)]
        self.down = nn.ModuleList(down)
        self.pose = conv(size.pose_channels, widths[1], 1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(d))) for w, d in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(Block(w) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], size.labels * 4, 1)

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        x = functional.relu(self.stem(image))
        skips = [x := self.encoder[0](x)]
        for level, down in enumerate(self.down, start=1):
            x = down(x) + self.pose(pose) if level == 1 else down(x)
            skips.append(x := self.encoder[level](functional.relu(x)))
        for level in reversed(range(len(self.up))):
            coarse = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.decoder[level](functional.relu(coarse + skips[level]))
        return functional.pixel_shuffle(self.head(x), 2)


def fold(net: Net) -> Net:
    """A copy for inference: normalisations folded into their convolutions, channels last."""
    folded = copy.deepcopy(net).eval()
    for module in list(folded.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            conv = module[0]
            assert isinstance(conv, nn.Conv2d)
            module[0] = nn.utils.fusion.fuse_conv_bn_eval(conv, module[1])
            module[1] = nn.Identity()
    return folded.to(memory_format=torch.channels_last)
