"""The paper's geometric matching network (1.1, METHOD.md section 1): two feature extractors, their correlation, and a
regression to offsets of control points.

It is used as a correction: what it is given is the garment as another stage has laid it on the person, drawn in the
same window as the person, and it answers how far each control point should move. Laid flat at a fixed place instead,
the same network has to find everything by itself, as the paper's does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon import weights
from vtryon.types import Part
from vtryon.warp.lattice import LATTICES
from vtryon.warp.planes import GARMENT_PLANES, PERSON_PLANES

STRIDES = 4
"""Convolutions of stride 2 in each extractor: features have a sixteenth of the window's size."""


@dataclass(frozen=True)
class MatchingSize:
    """Everything about the network's form; travels in the checkpoint.

    ``lattice`` a name of :data:`~vtryon.warp.lattice.LATTICES`; ``person`` and ``garment`` planes that go in;
    ``window`` (height, width) of those planes; ``widths`` channels of the first convolution and the four of stride 2;
    ``hidden`` units before the last layer; ``joined`` whether the regression sees the features and the control points'
    places beside the correlation (the paper's sees the correlation alone); ``agnostic`` whether the person is shown
    without what the worn garment decides (:func:`~vtryon.warp.planes.agnostic`).
    """

    lattice: str = "parts"
    person: int = PERSON_PLANES
    garment: int = GARMENT_PLANES
    window: tuple[int, int] = (128, 96)
    widths: tuple[int, ...] = (12, 24, 48, 96, 128)
    hidden: int = 256
    joined: bool = True
    agnostic: bool = False

    def __post_init__(self) -> None:
        if self.lattice not in LATTICES:
            raise ValueError(f"lattice must be one of {', '.join(LATTICES)}, got {self.lattice!r}")
        if len(self.widths) != STRIDES + 1:
            raise ValueError(f"widths must be {STRIDES + 1} numbers, got {self.widths}")
        if any(side % 2 ** (STRIDES + 1) for side in self.window):
            raise ValueError(f"the window's sides must be multiples of {2 ** (STRIDES + 1)}, got {self.window}")

    @property
    def shapes(self) -> Mapping[Part, tuple[int, int]]:
        return LATTICES[self.lattice]

    @property
    def points(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes.values())


def extractor(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """A convolution and four of stride 2, each normalised and rectified: (B, channels, H, W) to (B, C, H/16, W/16)."""
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1), nn.ReLU()]
    for a, b in pairwise(widths):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.GroupNorm(8, b), nn.ReLU()]
    return nn.Sequential(*layers)


def correlation(person: Tensor, garment: Tensor) -> Tensor:
    """(B, C, H, W) twice to (B, H * W, H, W): cosine of every garment feature with the person's at each place."""
    a = functional.normalize(person.float(), dim=1).flatten(2)
    b = functional.normalize(garment.float(), dim=1).flatten(2)
    return (b.mT @ a).reshape(len(a), -1, *person.shape[-2:])


class MatchingNet(nn.Module):
    """Person and garment planes to offsets (B, points, 2) of the control points, in body sizes."""

    def __init__(self, size: MatchingSize = MatchingSize()) -> None:
        super().__init__()
        self.size = size
        self.person = extractor(size.person, size.widths)
        self.garment = extractor(size.garment, size.widths)
        h, w = (side // 2**STRIDES for side in size.window)
        seen = h * w + (2 * size.widths[-1] if size.joined else 0)
        middle = size.widths[-1]
        self.regression = nn.Sequential(
            nn.Conv2d(seen, middle, 3, padding=1, bias=False),
            nn.GroupNorm(8, middle),
            nn.ReLU(),
            nn.Conv2d(middle, middle, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(8, middle),
            nn.ReLU(),
            nn.Flatten(),
        )
        numbers = size.points * 2 if size.joined else 0
        self.hidden = nn.Linear(middle * (h // 2) * (w // 2) + numbers, size.hidden)
        self.head = nn.Linear(size.hidden, size.points * 2)
        # the first answer is to leave everything where it lies
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, person: Tensor, garment: Tensor, start: Tensor) -> Tensor:
        """``person`` (B, P, H, W) and ``garment`` (B, G, H, W) planes of the window; ``start`` (B, points, 2) where the
        control points lie in them, in the torso's frame."""
        a, b = self.person(person), self.garment(garment)
        matched = correlation(a, b)
        if self.size.joined:
            matched = torch.cat([matched.to(a.dtype), a, b], 1)
        found = self.regression(matched)
        if self.size.joined:
            found = torch.cat([found, start.flatten(1).to(found.dtype)], 1)
        offsets: Tensor = self.head(functional.silu(self.hidden(found)))
        return offsets.reshape(-1, self.size.points, 2).float()


def load_matching(path: Path) -> MatchingNet:
    """The network of a checkpoint, ready for inference; errors as :func:`vtryon.weights.built`."""

    def build(checkpoint: weights.Checkpoint) -> MatchingNet:
        lists = {name: tuple(checkpoint.size[name]) for name in ("window", "widths")}
        return MatchingNet(MatchingSize(**{**checkpoint.size, **lists}))

    return weights.built(path, "warp", build)


def save_matching(path: Path, net: MatchingNet, notes: Mapping[str, object]) -> None:
    """Write the network in half precision with its description."""
    parts = tuple(part.name for part in net.size.shapes)
    weights.save(path, weights.Checkpoint("warp", asdict(net.size), parts, net.state_dict(), notes))
