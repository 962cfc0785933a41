"""What the matching network sees: person and garment drawn in one window that stands upright on the torso.

The window is laid out in the torso's frame, so that neither the person's size, nor their place, nor a lean changes it.
Of the person there are label maps and bones, never pixels: worn cloth says nothing about the new garment, and labels
look alike on renders and photographs. Of the garment there are the parts' shapes and where on the part each pixel
lies; colours are left out, because nothing on the person's side could match them (CP-VTON+ found that they pull).
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vtryon.types import Array, Label, Part
from vtryon.warp.outline import Silhouette
from vtryon.warp.placing import BodyFrame
from vtryon.warp.tps import ThinPlate

LEFT, RIGHT, TOP, BOTTOM = -1.2, 1.2, -0.9, 2.3
"""The window's edges in the torso's frame, in body sizes; its aspect is 3 : 4."""

_SEEN: tuple[tuple[Label, ...], ...] = (
    tuple(label for label in Label if label != Label.BACKGROUND),
    (Label.HAIR,),
    (Label.FACE,),
    (Label.LEFT_ARM,),
    (Label.RIGHT_ARM,),
    (Label.LOWER, Label.LEGS),
    (Label.TOP, Label.OUTER, Label.DRESS),
)
_BONES = ((11, 13), (13, 15), (12, 14), (14, 16), (11, 12), (23, 24))
_BONE_REACH = 0.15  # body sizes at which a bone's plane has fallen to 1/e
PERSON_PLANES = len(_SEEN) + len(_BONES)
GARMENT_PLANES = 7
_BLUR = 16  # window px of the coarse outline
_COARSE = 4  # window px between the points where smooth things are computed


def window_points(size: tuple[int, int], step: int = 1) -> Tensor:
    """(h, w, 2) points in the torso's frame of the centres of a window's pixels, or of blocks of ``step`` of them."""
    h, w = size[0] // step, size[1] // step
    x = LEFT + (torch.arange(w) + 0.5) / w * (RIGHT - LEFT)
    y = TOP + (torch.arange(h) + 0.5) / h * (BOTTOM - TOP)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def person_planes(
    body: Silhouette,
    points: Tensor,
    visibility: Tensor,
    frame: BodyFrame,
    size: tuple[int, int],
    jitter: Tensor | None = None,
) -> Tensor:
    """(B, PERSON_PLANES, h, w) in [0, 1]: label maps, then bones.

    ``points`` (B, 33, 2) picture px, ``visibility`` (B, 33); ``jitter`` (B, h, w, 2) body sizes moves what is looked up
    (for training: labels err at their edges).
    """
    n, (h, w) = len(points), size
    where = window_points(size).expand(n, h, w, 2)
    if jitter is not None:
        where = where + jitter
    picture = frame.outward(where.reshape(n, -1, 2))
    grid = picture @ body.to_grid[:, :, :2].mT + body.to_grid[:, None, :, 2]
    x, y = grid[..., 0].floor().long(), grid[..., 1].floor().long()
    rows, columns = body.labels.shape[1:]
    inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    index = y.clamp(0, rows - 1) * columns + x.clamp(0, columns - 1)
    labels = body.labels.flatten(1).gather(1, index) * inside
    table = torch.zeros(len(Label), len(_SEEN))
    for plane, members in enumerate(_SEEN):
        table[list(members), plane] = 1.0
    maps = table[labels.long()].reshape(n, h, w, -1).permute(0, 3, 1, 2)
    return torch.cat([maps, _bones(frame.inward(points), visibility, size)], 1)


def agnostic(planes: Tensor) -> Tensor:
    """:func:`person_planes` without what the worn garment decides: the body's outline as coarse as CP-VTON has it,
    hair, face and bones; no arms, no lower garment, no top.

    For training on people in the garment that they wear, where all else would give the answer away.
    """
    kept = planes.clone()
    coarse = functional.avg_pool2d(planes[:, :1], _BLUR)
    kept[:, :1] = functional.interpolate(coarse, size=planes.shape[2:], mode="bilinear", align_corners=False)
    kept[:, 3 : len(_SEEN)] = 0
    return kept


def _bones(points: Tensor, visibility: Tensor, size: tuple[int, int]) -> Tensor:
    where = window_points(size, _COARSE).reshape(1, 1, -1, 2)
    a, b = (points[:, [bone[end] for bone in _BONES]][:, :, None] for end in (0, 1))
    along = b - a
    t = ((where - a) * along).sum(-1, keepdim=True) / along.square().sum(-1, keepdim=True).clamp_min(1e-6)
    distance = (where - a - t.clamp(0, 1) * along).norm(dim=-1)
    sure = (visibility[:, [i for i, _ in _BONES]] * visibility[:, [j for _, j in _BONES]]).clamp_min(0).sqrt()
    near = torch.exp(-distance / _BONE_REACH) * sure[..., None]
    coarse = near.reshape(len(points), len(_BONES), size[0] // _COARSE, size[1] // _COARSE)
    return functional.interpolate(coarse, scale_factor=_COARSE, mode="bilinear", align_corners=False)


def garment_planes(
    placed: Mapping[Part, Tensor],
    lattice: Tensor,
    parts: Tensor,
    step: float,
    sleeved: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """(B, GARMENT_PLANES, h, w): the garment as it is laid so far: the shape of its body with the places across and
    down it in [-1, 1], then of each sleeve the shape and the place along it in [0, 1].

    ``placed`` part -> (B, rows * columns, 2) in the torso's frame; ``lattice`` (B, rows * columns, 2) garment px, of
    the body; ``parts`` (B, H, W) uint8 of :class:`~vtryon.types.Part` with one pixel per ``step`` garment px;
    ``sleeved`` (B,) 1 or 0.
    A single spline over the whole garment is all body.
    """
    single = Part.NONE in placed
    body = Part.NONE if single else Part.TORSO
    mask = (parts > 0 if single else parts == Part.TORSO).float()[:, None]
    planes = [_body(placed[body], lattice, mask, step, size)]
    for part in (Part.LEFT_SLEEVE, Part.RIGHT_SLEEVE):
        if single:
            planes.append(torch.zeros(len(parts), 2, *size))
        else:
            drawn = [_sleeve(points, size) for points in placed[part].detach().cpu().numpy()]
            planes.append(torch.from_numpy(np.stack(drawn)) * sleeved[:, None, None, None])
    return torch.cat(planes, 1)


def _body(points: Tensor, lattice: Tensor, mask: Tensor, step: float, size: tuple[int, int]) -> Tensor:
    where = window_points(size, _COARSE).reshape(1, -1, 2).expand(len(points), -1, 2)
    origin = ThinPlate.fit(points.float(), lattice, stiffness=1e-3)(where)
    low, high = lattice.amin(1, keepdim=True), lattice.amax(1, keepdim=True)
    place = (origin - low) / (high - low).clamp_min(1.0) * 2 - 1
    extent = torch.tensor([mask.shape[-1], mask.shape[-2]]) * step
    both = torch.cat([origin / extent * 2 - 1, place], -1).mT
    coarse = both.reshape(len(points), 4, size[0] // _COARSE, size[1] // _COARSE)
    full = functional.interpolate(coarse, scale_factor=_COARSE, mode="bilinear", align_corners=False)
    shape = functional.grid_sample(mask, full[:, :2].permute(0, 2, 3, 1), align_corners=False)
    return torch.cat([shape, full[:, 2:].clamp(-1, 1) * shape], 1)


def _sleeve(points: Array, size: tuple[int, int]) -> Array:
    """(2, h, w) float32: a sleeve's shape and the place along it; ``points`` (15, 2) in the torso's frame."""
    scale = np.array([size[1] / (RIGHT - LEFT), size[0] / (BOTTOM - TOP)])
    at = ((points - (LEFT, TOP)) * scale * 16).reshape(-1, 3, 2)
    planes = np.zeros((2, *size), np.float32)
    corners = np.clip(np.rint(at), -(2**14), 2**14).astype(np.int32)
    for row in range(len(corners) - 1):
        for column in range(2):
            quad = corners[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]
            cv2.fillConvexPoly(planes[0], quad, (1.0,), shift=4)
            cv2.fillConvexPoly(planes[1], quad, ((row + 0.5) / (len(corners) - 1),), shift=4)
    return planes
