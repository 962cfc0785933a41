"""The network that gives back what the composition covers by mistake: hands, arms, hair, things carried (issue 6).

A temporally conditioned U-Net. It sees the source, its labels and the composition in its layers and, as eq. (6) has it,
the previous *output* moved by the source's flow, all on a small grid; and it answers with a correction of eq. (5),

    m = cover * (1 - given)             less cloth than the composition has laid
    p = under + share * (source - under)  more of the source's own pixels

and with nothing else: it can show what the camera saw, it cannot paint. Both are held to where the labels see some
skin, hair or a thing carried and are not sure of the old top: there labels err, and a mistake is seen at once.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from vtryon.types import WORN_TOP, Label

GRID = (128, 96)
"""Height and width of the grid on the crop that the network works on."""

KINDS: tuple[tuple[Label, ...], ...] = (
    (Label.BACKGROUND,), (Label.HAIR,), (Label.FACE,), WORN_TOP, (Label.LOWER, Label.LEGS),
    (Label.LEFT_ARM, Label.RIGHT_ARM), (Label.CARRIED,),
)  # fmt: skip
"""Labels that are told apart, one channel each."""

SOURCE, LABELS, UNDER, CLOTH, COVER = 0, 3, 3 + len(KINDS), 6 + len(KINDS), 9 + len(KINDS)
"""First channels of the input: RGB of the source, shares of ``KINDS``, RGB under the cloth and of it, its cover, and
after that the part of the cover that sleeves are."""

PLANES = COVER + 2
STATE = 4
"""Of the state: the last result and its mask m."""

WORN = KINDS.index(WORN_TOP)
"""Of ``KINDS``, the old top."""

IN_FRONT = tuple(
    KINDS.index(kind) for kind in ((Label.HAIR,), (Label.FACE,), (Label.LEFT_ARM, Label.RIGHT_ARM), (Label.CARRIED,))
)
"""Of ``KINDS``, what may be before the cloth."""

_NECK = KINDS.index((Label.FACE,))
_SOME = (0.15, 0.4)  # share of the labels that may be before the cloth: none is given back below, all may be above
_OLD_TOP = (0.75, 0.5)  # the same of the old top


@dataclass(frozen=True)
class RefineSize(UNetSize):
    """Everything that describes the network; it travels in the checkpoint.

    ``widths`` channels at 1/2, 1/4, ... of the grid, ``depths`` residual blocks at each on the way down; ``fine``
    channels at the grid itself.
    """

    widths: tuple[int, ...] = (16, 28, 48, 64, 80)
    depths: tuple[int, ...] = (1, 1, 2, 2, 1)
    fine: int = 8


@dataclass(frozen=True, eq=False)
class Refined:
    """What the network says of N frames on its grid (H, W), each (N, 1, H, W) or, colours, (N, 3, H, W).

    ``logits`` of ``given`` and ``share`` and the ``gate`` that lets them through (N, 2, H, W); ``mask`` m, ``person``
    p, and the ``result`` of eq. (5).
    """

    logits: Tensor
    gate: Tensor
    given: Tensor
    share: Tensor
    mask: Tensor
    person: Tensor
    result: Tensor

    @property
    def state(self) -> Tensor:
        """(N, 4, H, W): what the next frame is to be told."""
        return torch.cat([self.result, self.mask], 1)


class RefineNet(nn.Module):
    """A U-Net; H and W of its grid are multiples of 2 to the number of ``widths``.

    ``forward(inputs, state)`` takes, batched, ``image`` (N, 18, H, W): colours in [-1, 1], shares in [0, 1]; ``pose``
    (N, 18, H/4, W/4); and with a state (N, 4, H, W), already moved to this frame, ``valid`` (N, 1, H, W) in [0, 1], how
    far it can be trusted.
    """

    def __init__(self, size: RefineSize = RefineSize()) -> None:
        super().__init__()
        self.size = size
        widths, depths, fine = size.widths, size.depths, size.fine
        self.stem = conv(PLANES + STATE + 1, widths[0], 5, 2)
        self.down = nn.ModuleList(conv(a, b, 3, 2) for a, b in pairwise(widths))
        self.pose = conv(POSE_CHANNELS, widths[1], 1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(d))) for w, d in zip(widths, depths, strict=True)
        )
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(Block(w) for w in widths[:-1])
        self.spread = nn.Conv2d(widths[0], fine * 4, 1)
        self.detail = conv(PLANES + STATE + 1, fine, 3, 1)
        self.heads = nn.Conv2d(fine, 2, 3, 1, 1)
        assert self.heads.bias is not None
        nn.init.normal_(self.heads.weight, std=0.01)
        nn.init.constant_(self.heads.bias, -1.0)  # at first what the composition did is believed

    def forward(self, inputs: Mapping[str, Tensor], state: Tensor | None = None) -> Refined:
        image = inputs["image"]
        if state is None:
            before = image.new_zeros(image.shape[0], STATE + 1, *image.shape[2:])
        else:
            before = torch.cat([(state * 2 - 1) * inputs["valid"], inputs["valid"]], 1).to(image.dtype)
        seen = torch.cat([image, before], 1)
        x = functional.relu(self.stem(seen))
        skips = [x := self.encoder[0](x)]
        for level, down in enumerate(self.down, start=1):
            x = down(x) + self.pose(inputs["pose"]) if level == 1 else down(x)
            skips.append(x := self.encoder[level](functional.relu(x)))
        for level in reversed(range(len(self.up))):
            coarse = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.decoder[level](functional.relu(coarse + skips[level]))
        x = functional.relu(functional.pixel_shuffle(self.spread(x), 2) + self.detail(seen))
        return refined(image.float(), self.heads(x).float())


def refined(image: Tensor, logits: Tensor) -> Refined:
    """Eq. (5) with the corrections ``logits`` (N, 2, H, W) of the composition in ``image`` (N, 18, H, W)."""
    source, under, cloth = ((image[:, at : at + 3] + 1) / 2 for at in (SOURCE, UNDER, CLOTH))
    gate = opened(image)
    given, share = (gate * logits.sigmoid())[:, :, None].unbind(1)
    mask = image[:, COVER : COVER + 1] * (1 - given)
    person = under + share * (source - under)
    return Refined(logits, gate, given, share, mask, person, person + mask * (cloth - person))


def opened(image: Tensor) -> Tensor:
    """(N, 2, H, W) in [0, 1]: how far cloth may be taken away and the source be shown, by the labels in ``image``
    (N, 18, H, W). A collar may lie over a neck: cloth stays there."""
    labels = image[:, LABELS : LABELS + len(KINDS)]
    before = labels[:, list(IN_FRONT)].sum(1)
    either = torch.stack([before - labels[:, _NECK], before], 1)
    return _step(*_SOME, either) * _step(*_OLD_TOP, labels[:, WORN : WORN + 1])


def _step(low: float, high: float, value: Tensor) -> Tensor:
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def load_refine(path: Path) -> RefineNet:
    """The network of a checkpoint, ready for inference; errors as :func:`vtryon.weights.built`."""
    return weights.built(path, "refine", lambda checkpoint: RefineNet(RefineSize.from_dict(checkpoint.size)))


def save_refine(path: Path, net: RefineNet, notes: Mapping[str, Any] | None = None) -> None:
    """Write the network as a checkpoint that describes itself (:func:`vtryon.weights.save`)."""
    weights.save(
        path, weights.Checkpoint("refine", net.size.to_dict(), ("given", "share"), net.state_dict(), notes or {})
    )
