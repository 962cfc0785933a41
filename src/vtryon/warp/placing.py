"""The placing stage: where a garment's lattice points lie, from landmarks, garment key points and the outline.

A small regressor (issue 5), trained on the exact correspondences of the rendered pairs. It looks at numbers, not at
pixels: landmarks and garment key points in frames of their own, which way the torso faces, and rays cast in the
person's outline (:mod:`vtryon.warp.outline`). So it is instant, and as steady as its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon import weights
from vtryon.types import KEYPOINTS, Array, Garment, Label, Part, Person
from vtryon.warp.anchored import FITS, FLATNESS, SHOULDERS, FitOptions
from vtryon.warp.lattice import LATTICES, SLEEVE_SHAPE, TORSO_SHAPE, Spline, Warp, garment_lattices
from vtryon.warp.outline import RAYS, Silhouette, ray_lengths

LANDMARKS_USED = (0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 19, 20, 23, 24, 25, 26)
SHAPES = LATTICES["parts"]
_ARMS = {Part.LEFT_SLEEVE: (11, 13, 15), Part.RIGHT_SLEEVE: (12, 14, 16)}  # landmarks of shoulder, elbow, wrist
_ELBOW = 0.55  # share of the upper arm in the whole
POINTS = sum(r * c for r, c in SHAPES.values())
FEATURES = len(LANDMARKS_USED) * 3 + 2 + 2 * len(KEYPOINTS) + 1 + RAYS


@dataclass(frozen=True, eq=False)
class BodyFrame:
    """The torso's frame of a batch: ``origin`` (B, 2) between the shoulder joints, ``axes`` (B, 2, 2) whose rows point
    across (to the picture's right) and down the torso, ``size`` (B,) its length in px."""

    origin: Tensor
    axes: Tensor
    size: Tensor

    @classmethod
    def of(cls, points: Tensor, visibility: Tensor, yaw: Tensor) -> BodyFrame:
        """From landmarks (B, 33, 2), (B, 33) and the torso's yaw (B,) in radians."""
        origin = points[:, 11:13].mean(1)
        spine = points[:, 23:25].mean(1) - origin
        length = spine.norm(dim=-1).clamp_min(1.0)
        down = spine / length[:, None]
        across = torch.stack([down[:, 1], -down[:, 0]], -1)
        # hips below the picture's edge are guessed by the pose model: then the shoulders have to give the size
        seen = visibility[:, 23:25].mean(1).clamp(0.05, 1.0)
        frontal = yaw.cos().square()
        by_width = (points[:, 11] - points[:, 12]).norm(dim=-1) / yaw.cos().abs().clamp_min(0.4) / SHOULDERS
        weight = frontal * (1.0 - 0.75 * seen)
        size = (length * (1 - weight) + by_width * weight).clamp_min(1.0)
        return cls(origin, torch.stack([across, down], 1), size)

    def inward(self, points: Tensor) -> Tensor:
        """Picture px (B, N, 2) to the frame, in body sizes."""
        return (points - self.origin[:, None]) @ self.axes.mT / self.size[:, None, None]

    def outward(self, points: Tensor) -> Tensor:
        """The inverse of :meth:`inward`."""
        return (points * self.size[:, None, None]) @ self.axes + self.origin[:, None]


@dataclass(frozen=True, eq=False)
class GarmentFrame:
    """The garment's frame of a batch: ``origin`` (B, 2) between the collar's corners, ``size`` (B,) distance of the
    armpits, both in garment px."""

    origin: Tensor
    size: Tensor

    @classmethod
    def of(cls, keypoints: Tensor) -> GarmentFrame:
        """From key points (B, 14, 2) in the order of ``KEYPOINTS``."""
        index = {name: i for i, name in enumerate(KEYPOINTS)}
        origin = (keypoints[:, index["collar_l"]] + keypoints[:, index["collar_r"]]) / 2
        size = (keypoints[:, index["armpit_l"]] - keypoints[:, index["armpit_r"]]).norm(dim=-1).clamp_min(1.0)
        return cls(origin, size)

    def inward(self, points: Tensor) -> Tensor:
        return (points - self.origin[:, None]) / self.size[:, None, None]


def features(
    points: Tensor, visibility: Tensor, yaw: Tensor, keypoints: Tensor, sleeved: Tensor, rays: Tensor
) -> tuple[Tensor, BodyFrame]:
    """The regressor's input (B, FEATURES) and the frame its output is in.

    ``points`` (B, 33, 2) px, ``visibility`` (B, 33), ``yaw`` (B,) radians, ``keypoints`` (B, 14, 2) garment px,
    ``sleeved`` (B,) 1 or 0, ``rays`` (B, RAYS) lengths in body sizes
    (:func:`vtryon.warp.outline.ray_lengths`).
    """
    frame = BodyFrame.of(points, visibility, yaw)
    used = list(LANDMARKS_USED)
    body = frame.inward(points)[:, used].clamp(-3, 3).flatten(1)
    garment = GarmentFrame.of(keypoints).inward(keypoints).clamp(-3, 3).flatten(1)
    turn = torch.stack([yaw.sin(), yaw.cos()], -1)
    return torch.cat([body, visibility[:, used], turn, garment, sleeved[:, None], rays], -1), frame


def turn_of(yaw: Tensor) -> Tensor:
    """The angle (radians) by which points go round the torso's ellipse when the torso has turned by ``yaw``."""
    return torch.atan2(FLATNESS * yaw.sin(), yaw.cos())


class PlacingNet(nn.Module):
    """Features (B, FEATURES) to lattice points (B, POINTS, 2) in the body's frame: torso, left, right sleeve.

    A sleeve's points are told along and across its arm, and how far down the arm it reaches: so that a sleeve goes
    with its arm in poses that training has hardly seen.
    """

    mean: Tensor
    std: Tensor
    base: Tensor

    def __init__(self, width: int = 384, depth: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.depth = width, depth
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("std", torch.ones(FEATURES))
        self.register_buffer("base", torch.zeros(POINTS * 2))
        outputs = POINTS * 2 + len(_ARMS)
        sizes = [FEATURES] + [width] * depth
        blocks: list[nn.Module] = []
        for a, b in pairwise(sizes):
            blocks += [nn.Linear(a, b), nn.SiLU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(width, outputs)
        self.skip = nn.Linear(FEATURES, outputs)
        for last in (self.head, self.skip):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        z = ((x - self.mean) / self.std).clamp(-4, 4)
        found = self.head(self.body(z)) + self.skip(z)
        points = (self.base + found[:, : POINTS * 2]).reshape(-1, POINTS, 2)
        reach = found[:, POINTS * 2 :].sigmoid()
        placed = split(points)
        landmarks = x[:, : 2 * len(LANDMARKS_USED)].reshape(len(x), -1, 2)
        for n, (part, joints) in enumerate(_ARMS.items()):
            arm = landmarks[:, [LANDMARKS_USED.index(j) for j in joints]]
            placed[part] = along_arm(placed[part], arm, reach[:, n], 1.0 if part == Part.LEFT_SLEEVE else -1.0)
        return torch.cat(list(placed.values()), 1)


def along_arm(offsets: Tensor, arm: Tensor, reach: Tensor, side: float) -> Tensor:
    """Points (B, rows * columns, 2) of a sleeve from their ``offsets`` along and outwards across an arm.

    ``arm`` (B, 3, 2) shoulder, elbow, wrist as they are seen; ``reach`` (B,) how far down the arm the last row lies, 1
    at the wrist; ``side`` 1 for the wearer's left arm, -1 for the right.
    """
    rows, columns = SLEEVE_SHAPE
    f = reach[:, None, None] * torch.linspace(0, 1, rows, device=arm.device)[:, None]
    upper, lower = arm[:, None, 1] - arm[:, None, 0], arm[:, None, 2] - arm[:, None, 1]
    middle = arm[:, None, 0] + upper * (f / _ELBOW).clamp(max=1) + lower * ((f - _ELBOW) / (1 - _ELBOW)).clamp(min=0)
    turned = torch.sigmoid((f - _ELBOW) / 0.06)
    # a bone that points at the camera has no direction of its own: then down is as good as any
    down = arm.new_tensor([0.0, 0.05])
    above, below = (functional.normalize(bone + down, dim=-1) for bone in (upper, lower))
    along: Tensor = above * (1 - turned) + below * turned
    along = along / along.norm(dim=-1, keepdim=True).clamp_min(0.3)
    outwards = side * torch.stack([along[..., 1], -along[..., 0]], -1)
    grid = offsets.reshape(-1, rows, columns, 2)
    points: Tensor = middle[:, :, None] + grid[..., :1] * along[:, :, None] + grid[..., 1:] * outwards[:, :, None]
    return points.reshape(offsets.shape)


def split(points: Tensor) -> dict[Part, Tensor]:
    """(B, POINTS, 2) to part -> (B, rows * columns, 2)."""
    counts = [r * c for r, c in SHAPES.values()]
    return dict(zip(SHAPES, torch.split(points, counts, 1), strict=True))


def cast_rays(body: Silhouette, points: Tensor, frame: BodyFrame) -> Tensor:
    """:func:`~vtryon.warp.outline.ray_lengths` in the frame of the torso."""
    return ray_lengths(body, points, frame.origin, frame.axes, frame.size)


@dataclass(frozen=True, eq=False)
class Placed:
    """A garment laid on a person, before it becomes splines: ``points`` (1, POINTS, 2) in ``frame``, ``yaw`` (1,)
    radians, and the ``lattices`` of the parts that the garment has."""

    points: Tensor
    frame: BodyFrame
    yaw: Tensor
    lattices: Mapping[Part, Array]

    def warp(self, person: Person, options: FitOptions) -> Warp:
        """Splines in frame px, as wide and long as the user asks, in the order in which they are drawn."""
        torso = TORSO_SHAPE[0] * TORSO_SHAPE[1]
        points = torch.cat([_adjusted(self.points[:, :torso], options), self.points[:, torso:]], 1)
        placed = split(self.frame.outward(points))
        splines = {
            part: Spline(part, lattice, placed[part][0].reshape(lattice.shape).numpy())
            for part, lattice in self.lattices.items()
        }
        return Warp(_ordered(person, splines), float(turn_of(self.yaw)[0]))


@dataclass(frozen=True, eq=False)
class PlaceState:
    """What placing remembers: the slowly followed ``rays`` (RAYS,) of the outline, and the ``shot`` they belong to."""

    rays: Array
    shot: int


_RAYS_PACE = 0.08  # share of the new frame: labels at an outline flicker, bodies change slowly


def silhouette(person: Person) -> Silhouette:
    """The person's outline as a batch of one: the likeliest labels inside the matte."""
    labels = person.labels.argmax(0).astype(np.uint8)
    # inside the matte somebody is there, whatever the parser calls it; outside it nobody is
    labels[(person.matte > 0.5) & (labels == Label.BACKGROUND)] = Label.TOP
    labels[person.matte <= 0.5] = Label.BACKGROUND
    to_grid = torch.from_numpy(person.crop.matrix().astype(np.float32))
    return Silhouette(torch.from_numpy(labels)[None], to_grid[None])


def load_placing(path: Path) -> PlacingNet:
    """The network of a checkpoint, ready for inference; errors as :func:`vtryon.weights.built`."""
    return weights.built(path, "placing", lambda checkpoint: PlacingNet(**checkpoint.size))


def save_placing(path: Path, net: PlacingNet, notes: Mapping[str, object]) -> None:
    """Write the network in half precision with its description."""
    size = {"width": net.width, "depth": net.depth}
    weights.save(path, weights.Checkpoint("placing", size, tuple(KEYPOINTS), net.state_dict(), notes))


@torch.inference_mode()
def lay(
    net: PlacingNet, person: Person, garment: Garment, state: PlaceState | None = None
) -> tuple[Placed, PlaceState]:
    """Lay ``garment`` on ``person`` by the regressor, as it is cut; and the next state."""
    points = torch.from_numpy(person.pose.points)[None]
    visibility = torch.from_numpy(person.pose.visibility)[None]
    yaw = torch.tensor([np.radians(person.yaw)], dtype=torch.float32)
    frame = BodyFrame.of(points, visibility, yaw)
    rays = cast_rays(silhouette(person), points, frame)[0].numpy()
    if state is not None and state.shot == person.shot:
        rays = state.rays + np.float32(_RAYS_PACE) * (rays - state.rays)
    lattices = garment_lattices(garment)
    keypoints = torch.from_numpy(np.stack([garment.keypoints[n] for n in KEYPOINTS]).astype(np.float32))[None]
    sleeved = torch.tensor([float(Part.LEFT_SLEEVE in lattices)])
    x, frame = features(points, visibility, yaw, keypoints, sleeved, torch.from_numpy(rays)[None])
    return Placed(net(x), frame, yaw, lattices), PlaceState(rays, person.shot)


def place(
    net: PlacingNet,
    person: Person,
    garment: Garment,
    options: FitOptions = FitOptions(),
    state: PlaceState | None = None,
) -> tuple[Warp, PlaceState]:
    """:func:`lay` as a :class:`Warp` in frame pixels, and the next state."""
    placed, state = lay(net, person, garment, state)
    return placed.warp(person, options), state


def _adjusted(torso: Tensor, options: FitOptions) -> Tensor:
    """The torso's points (1, 20, 2) made wider about their middle and longer below the armpits, as the user asks."""
    grid = torso.reshape(-1, *TORSO_SHAPE, 2)
    centre = grid.mean(2, keepdim=True)
    grid = centre + (grid - centre) * FITS[options.fit]
    below = grid[:, 1:2] + (grid[:, 1:] - grid[:, 1:2]) * options.length
    return torch.cat([grid[:, :1], below], 1).reshape(torso.shape)


def _ordered(person: Person, splines: Mapping[Part, Spline]) -> tuple[Spline, ...]:
    """Farthest first: a sleeve behind the torso is drawn before it."""
    depth = person.pose.depth
    middle = float(depth[[11, 12, 23, 24]].mean())
    size = max(float(np.linalg.norm(person.pose.points[[11, 12]].mean(0) - person.pose.points[[23, 24]].mean(0))), 1.0)
    behind = {Part.TORSO: 0.0}
    for part, (shoulder, elbow, wrist) in ((Part.LEFT_SLEEVE, (11, 13, 15)), (Part.RIGHT_SLEEVE, (12, 14, 16))):
        # an arm beside the torso counts as in front: its sleeve is seen whole; but a forearm that is bent forward is
        # hidden by the back
        bent = float(depth[wrist] - depth[elbow]) / size if abs(person.yaw) > 90 else 0.0
        behind[part] = (float(depth[[shoulder, elbow]].mean()) - middle) / size + 2.0 * max(0.0, bent - 0.5) - 0.25
    return tuple(sorted(splines.values(), key=lambda s: -behind[s.part]))
