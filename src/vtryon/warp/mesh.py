"""The map of a sleeve, which a bent arm folds: a mesh of triangles instead of a spline (issue 5)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vtryon.types import Array
from vtryon.warp.lattice import Spline


def through_mesh(spline: Spline, points: Tensor) -> tuple[Tensor, Tensor]:
    """Picture points (N, 2) to garment points on a sleeve, and (N,) how near to it they are, 1 on it.

    A bent arm folds the plane, so no spline of the plane can be run backwards. The lattice's own rows and columns are
    followed instead, on a mesh of triangles that reaches a little past the sleeve on every side. Where the mesh lies
    over itself the part nearer to the hand is seen; a point that no triangle holds is read off the least distant one.
    """
    garment, picture = (_mesh(values) for values in (spline.lattice, spline.points))
    index = torch.arange(garment.shape[0] * garment.shape[1]).reshape(garment.shape[:2])
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    corners = torch.stack([torch.stack([a, b, c], -1), torch.stack([d, c, b], -1)], 2)  # rows, columns, halves
    triangles = corners.reshape(-1, 3)
    place = torch.arange(len(corners))[:, None, None].expand(corners.shape[:3]).reshape(-1).float()
    p0, p1, p2 = (picture.reshape(-1, 2)[triangles[:, n]] for n in range(3))
    e1, e2 = p1 - p0, p2 - p0
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    # both barycentric weights are linear in the point: one product of matrices, from the middle, in single precision
    middle = picture.mean((0, 1))
    at, from_middle = (points - middle).float(), p0 - middle
    rows = [torch.stack([e2[:, 1], -e2[:, 0]]) / area, torch.stack([-e1[:, 1], e1[:, 0]]) / area]
    w1, w2 = (torch.addmm(-(r * from_middle.T).sum(0).float(), at, r.float()) for r in rows)
    # how far outside, in px: barycentric weights times the triangle's size, so that small triangles do not win or lose
    depth = torch.minimum(torch.minimum(w1, w2), 1.0 - w1 - w2) * area.abs().sqrt().float()
    turned_over = area * area.sum().sign() < 0
    rim = torch.ones(corners.shape[:3], dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    # what reaches past the sleeve's edges hides none of it, and the inside of the cloth is the last to be seen
    shown = 1e4 + place - len(corners) * (rim.reshape(-1).float() + 2.0 * turned_over.float())
    best = torch.where(depth >= 0, shown, depth - turned_over.float()).argmax(1)
    pick = torch.arange(len(points))
    g0, g1, g2 = (garment.reshape(-1, 2)[triangles[best, n]] for n in range(3))
    a1, a2 = w1[pick, best, None].clamp(-6, 6), w2[pick, best, None].clamp(-6, 6)
    result = g0 + a1.double() * (g1 - g0) + a2.double() * (g2 - g0)
    size = (picture.amax((0, 1)) - picture.amin((0, 1))).amax()
    near = (1.0 + depth[pick, best] / (0.03 * size)).clamp(0.0, 1.0)
    return result, near


def _mesh(lattice: Array) -> Tensor:
    """(rows, columns, 2) points to a finer mesh (17, 5, 2): cubic along the arm, straight across it, and a little past
    every edge."""
    nodes = torch.from_numpy(np.ascontiguousarray(lattice)).double()
    rows = nodes.shape[0]
    v = torch.cat([torch.linspace(0, rows - 1, 15).double(), torch.tensor([-0.3, rows - 0.7]).double()]).sort().values
    i = v.floor().clamp(0, rows - 2).long()
    t = (v - i)[:, None, None]
    slope = torch.cat([nodes[1:2] - nodes[:1], (nodes[2:] - nodes[:-2]) / 2, nodes[-1:] - nodes[-2:-1]])
    a, b, da, db = nodes[i], nodes[i + 1], slope[i], slope[i + 1]
    inner = (1 + 2 * t) * (1 - t) ** 2 * a + t * (1 - t) ** 2 * da + t * t * (3 - 2 * t) * b + t * t * (t - 1) * db
    beyond = torch.where(t < 0, a + t * da, b + (t - 1) * db)  # straight on past both ends
    along = torch.where((t < 0) | (t > 1), beyond, inner)
    outer, inward = along[:, :1] - along[:, 1:2], along[:, -1:] - along[:, -2:-1]
    return torch.cat([along[:, :1] + 0.25 * outer, along, along[:, -1:] + 0.25 * inward], 1)
