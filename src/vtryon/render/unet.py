"""The temporally conditioned U-Net: coarse person, masks and light of one frame, given the frame before (issue 6).

    result = keep * source + (1 - keep) * (w * gain * garment + (1 - w) * p),  w = alpha * m

The inner sum is eq. (5) as METHOD.md reads it. ``keep`` leaves a pixel of the source exactly as it is; ``gain`` carries
the scene's light and folds onto the garment, which at the video's size is far sharper than what is seen here.
The frame before comes in as eq. (6) has it, the previous *output* moved by the source's flow. Its garment mask is moved
along: where mask and warped garment disagree, cloth has become skin or skin cloth, which is what the paper's flow
distinctiveness has to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon import weights
from vtryon.person.heatmaps import POSE_CHANNELS
from vtryon.person.network import Block, UNetSize, conv
from vtryon.render.inputs import CANDIDATES, IMAGE_CHANNELS

STATE_CHANNELS = 4
"""Of the state: the last result and its garment mask."""

MEMORIES = ("conditioned", "blended", "none")
"""What becomes of the previous output, moved by the source's flow: it is an input, eq. (6); or, as in ShineOn (2021), a
learned mask blends it with the coarse person; or every frame is drawn by itself, as in CP-VTON (2018)."""

_REACH = 1.5  # of the logarithm of ``gain``: from deep shadow to over-exposed
_COLOURS = 3


@dataclass(frozen=True)
class RendererSize(UNetSize):
    """Everything that describes the network; it travels in the checkpoint.

    ``widths`` channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the crop; ``depths`` residual blocks at each on the way down;
    ``memory`` one of :data:`MEMORIES`, what becomes of the frame before.
    """

    widths: tuple[int, ...] = (24, 48, 88, 128, 160)
    depths: tuple[int, ...] = (1, 1, 2, 2, 2)
    memory: str = "conditioned"

    def __post_init__(self) -> None:
        if self.memory not in MEMORIES:
            raise ValueError(f"memory must be one of {', '.join(MEMORIES)}, got {self.memory!r}")
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the network says of N frames (H, W).

    ``person`` p (N, 3, H, W) in [0, 1]; ``mask`` m, ``weight`` alpha and ``keep`` (N, 1, H, W) in [0, 1]; ``gain``
    (N, 3, H/2, W/2), factors on the garment's encoded colours; ``result`` (N, 3, H, W), the composition on the crop;
    for the losses, ``logits`` (N, 2, H, W) of mask and keep, and ``kinds`` (N, 5, H/2, W/2), those of the candidates.
    """

    person: Tensor
    mask: Tensor
    weight: Tensor
    keep: Tensor
    gain: Tensor
    result: Tensor
    logits: Tensor
    kinds: Tensor


class RendererNet(nn.Module):
    """A U-Net at half resolution and below; H and W are multiples of 32.

    ``forward(inputs, state)`` takes what :func:`~vtryon.render.inputs.network_input` makes, batched, and the state
    (N, 4, H, W) of the frame before or None; with a state ``inputs`` also has ``valid`` (N, 1, H, W) in [0, 1], how
    far it can be trusted, and ``flow`` (N, 2, H, W), px from each pixel to its place in the frame before (absent: it
    has been moved already). It returns :class:`Drawn` and the next state.
    """

    def __init__(self, size: RendererSize) -> None:
        super().__init__()
        self.size = size
        widths, depths = size.widths, size.depths
        self.stem = conv(IMAGE_CHANNELS + STATE_CHANNELS + 1, widths[0], 5, 2)
        self.colours = conv(CANDIDATES * _COLOURS + 1, widths[0], 1)
        self.down = nn.ModuleList(conv(a, b, 3, 2) for a, b in pairwise(widths))
        self.pose = conv(POSE_CHANNELS, widths[1], 1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(d))) for w, d in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(Block(w) for w in widths[:-1])
        self.masks = nn.Conv2d(widths[0], (4 if size.memory == "blended" else 3) * 4, 1)
        self.paint = nn.Conv2d(widths[0], CANDIDATES + 2 * _COLOURS, 1)
        for head in (self.masks, self.paint):
            nn.init.normal_(head.weight, std=0.01)
            assert head.bias is not None
            nn.init.zeros_(head.bias)
        assert self.masks.bias is not None
        with torch.no_grad():
            self.masks.bias[4:].fill_(2.0)  # at first garment and source are trusted, and what is drawn, not blended

    def forward(self, inputs: Mapping[str, Tensor], state: Tensor | None = None) -> tuple[Drawn, Tensor]:
        image = inputs["image"]
        moved = None
        if state is not None and self.size.memory != "none":
            moved = carried(state, inputs["flow"]) if "flow" in inputs else state
        before = self._before(inputs, moved if self.size.memory == "conditioned" else None)
        x = functional.relu(
            self.stem(torch.cat([image, before], 1))
            + self.colours(torch.cat([inputs["candidates"].flatten(1, 2), inputs["light"]], 1))
        )
        skips = [x := self.encoder[0](x)]
        for level, down in enumerate(self.down, start=1):
            x = down(x) + self.pose(inputs["pose"]) if level == 1 else down(x)
            skips.append(x := self.encoder[level](functional.relu(x)))
        for level in reversed(range(len(self.up))):
            coarse = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.decoder[level](functional.relu(coarse + skips[level]))
        masks, paint = functional.pixel_shuffle(self.masks(x), 2).float(), self.paint(x).float()
        drawn = self._composed(inputs, masks, paint, moved if self.size.memory == "blended" else None)
        return drawn, torch.cat([drawn.result, drawn.mask], 1)

    def _before(self, inputs: Mapping[str, Tensor], moved: Tensor | None) -> Tensor:
        """(N, 5, H, W): the state ``moved`` to this frame where it is valid, and how far it is."""
        image = inputs["image"]
        if moved is None:
            return image.new_zeros(image.shape[0], STATE_CHANNELS + 1, *image.shape[2:])
        return torch.cat([(moved * 2 - 1) * inputs["valid"], inputs["valid"]], 1)

    def _composed(self, inputs: Mapping[str, Tensor], masks: Tensor, paint: Tensor, blended: Tensor | None) -> Drawn:
        garment, source = inputs["garment"], inputs["source"]
        cover = inputs["image"][:, -2:].amax(1, keepdim=True)
        logits = torch.cat([masks[:, :1] + 6 * cover - 3, masks[:, 2:3]], 1)  # the warp's own outline to start from
        mask, weight = logits[:, :1].sigmoid(), masks[:, 1:2].sigmoid()
        keep = logits[:, 1:].sigmoid() * inputs["seen"]
        kinds = paint[:, :CANDIDATES]
        person = (kinds.softmax(1)[:, :, None] * inputs["candidates"]).sum(1)
        person = person + 0.5 * paint[:, CANDIDATES : CANDIDATES + _COLOURS].tanh()
        person = _doubled(person).clamp(0, 1)
        if blended is not None:
            old = (1 - masks[:, 3:].sigmoid()) * inputs["valid"]
            person = old * blended[:, :_COLOURS].clamp(0, 1) + (1 - old) * person
        gain = (_REACH * paint[:, -_COLOURS:].tanh()).exp()
        result = compose(source, garment, person, mask * weight, keep, _doubled(gain))
        return Drawn(person, mask, weight, keep, gain, result, logits, kinds)


def compose(source: Tensor, garment: Tensor, person: Tensor, weight: Tensor, keep: Tensor, gain: Tensor) -> Tensor:
    """Eq. (5), and the source where it is kept; colours (N, 3, H, W), ``weight`` and ``keep`` (N, 1, H, W)."""
    cloth = (garment * gain).clamp(0, 1)
    return keep * source + (1 - keep) * (weight * cloth + (1 - weight) * person)


def carried(state: Tensor, flow: Tensor) -> Tensor:
    """``state`` (N, C, H, W) taken from where ``flow`` (N, 2, H, W) px says each pixel was; float32, never autocast."""
    h, w = state.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(h, device=flow.device, dtype=torch.float32),
        torch.arange(w, device=flow.device, dtype=torch.float32),
        indexing="ij",
    )
    scale = torch.tensor([2.0 / w, 2.0 / h], device=flow.device)
    grid = (torch.stack([x, y], -1) + flow.float().permute(0, 2, 3, 1) + 0.5) * scale - 1
    with torch.autocast(state.device.type, enabled=False):
        return functional.grid_sample(state.float(), grid, padding_mode="border", align_corners=False)


def clip(net: RendererNet, frames: Iterable[Mapping[str, Tensor]], state: Tensor | None = None) -> Iterator[Drawn]:
    """The frames of a clip one after another, each given the one before; the first starts from ``state``."""
    for inputs in frames:
        drawn, state = net(inputs, state)
        yield drawn


def _doubled(planes: Tensor) -> Tensor:
    return functional.interpolate(planes, scale_factor=2.0, mode="bilinear", align_corners=False)


def load_renderer(path: Path) -> RendererNet:
    """The network of a checkpoint, ready for inference; errors as :func:`vtryon.weights.built`."""
    return weights.built(path, "tryon", lambda checkpoint: RendererNet(RendererSize.from_dict(checkpoint.size)))


def save_renderer(path: Path, net: RendererNet, notes: Mapping[str, Any] | None = None) -> None:
    """Write the network as a checkpoint that describes itself (:func:`vtryon.weights.save`)."""
    outputs = ("person", "mask", "weight", "keep", "gain")
    weights.save(path, weights.Checkpoint("tryon", net.size.to_dict(), outputs, net.state_dict(), notes or {}))
