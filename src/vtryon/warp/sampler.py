"""From a :class:`Warp` to pixels: where each picture pixel comes from in the garment, at any resolution.

The splines are solved once per frame on a few dozen points, evaluated on a coarse grid and interpolated: the map is
smooth, so the garment itself is sampled once, sharp, at the video's own resolution. Grids stay in float32, because
half-precision grids are visibly wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vtryon.types import Array, Garment, Part
from vtryon.warp.lattice import Spline, Warp, garment_lattices, has_sleeves
from vtryon.warp.tps import ThinPlate

_STEP = {Part.TORSO: 8, Part.LEFT_SLEEVE: 4, Part.RIGHT_SLEEVE: 4}  # spacing of the coarse grid, px: sleeves bend


@dataclass(frozen=True, eq=False)
class Texture:
    """A garment ready to be sampled.

    ``planes`` (1, 8, H, W) float32: colour in [0, 1], then the coverage of the torso, the torso seen from behind, the
    left and the right sleeve, and the torso with its side seams closed; ``scale`` texture px per garment px; ``rows``
    (R, 3) garment px of the torso's lattice: height, centre and half width; ``cloth`` (3,) plain colour in [0, 1];
    ``patterned`` 1 where the whole cloth has a pattern, 0 where it is plain but for a print.
    """

    planes: Tensor
    scale: float
    rows: Tensor
    cloth: Tensor
    patterned: float

    @classmethod
    def of(cls, garment: Garment, scale: float = 1.0, device: str | torch.device = "cpu") -> Texture:
        """``scale`` < 1 shrinks the picture first (by area), so that a large one does not alias in a small video."""
        import cv2

        alpha = garment.alpha
        # parts reach a little into each other, so that no gap opens along a seam where they bend apart
        overlap = max(3, round(0.012 * max(alpha.shape)) | 1)
        grow = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (overlap, overlap))
        sleeves = [_sleeve(garment, part, side) for part, side in ((Part.LEFT_SLEEVE, "l"), (Part.RIGHT_SLEEVE, "r"))]
        reach = [alpha * cv2.dilate(m.astype(np.uint8), grow) for m in sleeves]
        torso = alpha * ~(sleeves[0] | sleeves[1])
        planes = np.concatenate(
            [
                garment.rgb.astype(np.float32) / 255.0,
                np.stack([torso, _from_behind(garment, torso), *reach, _wrapped(garment, torso)], -1).astype(
                    np.float32
                ),
            ],
            -1,
        )
        if scale < 1.0:
            size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
            groups = (planes[..., :4], planes[..., 4:])  # OpenCV resizes at most four channels at a time
            planes = np.concatenate([cv2.resize(g, size, interpolation=cv2.INTER_AREA) for g in groups], -1)
            scale = size[0] / alpha.shape[1]
        else:
            scale = 1.0
        lattice = garment_lattices(garment)[Part.TORSO]
        rows = np.stack(
            [lattice[:, 0, 1], lattice.mean(1)[:, 0], np.maximum(lattice[:, -1, 0] - lattice[:, 0, 0], 2.0) / 2], -1
        )
        return cls(
            torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))[None].to(device),
            scale,
            torch.from_numpy(rows).float().to(device),
            torch.from_numpy(garment.cloth.astype(np.float32) / 255.0).to(device),
            _patterned(garment, lattice),
        )

    def sample(self, points: Tensor, planes: slice = slice(None)) -> Tensor:
        """Some of the planes (C, h, w), the first three among them, at garment points (h, w, 2). Outside the picture
        nothing is covered, but colours go on: an old garment that is wider is covered with them."""
        h, w = self.planes.shape[-2:]
        size = torch.tensor([w, h], dtype=points.dtype, device=points.device)
        grid = points * self.scale / size * 2.0 - 1.0
        chosen = self.planes[:, planes]
        result = functional.grid_sample(chosen, grid[None], padding_mode="border", align_corners=False)[0]
        result[3:] *= (grid.abs() <= 1.0).all(-1)
        return result


def _sleeve(garment: Garment, part: Part, side: str) -> Array:
    """(H, W) bool: the sleeve beyond the straight line from shoulder to armpit, where its lattice begins. An armhole
    curves into the torso; what lies inside the line goes with the torso, or a gap would open there."""
    if not has_sleeves(garment):
        return np.zeros(garment.alpha.shape, bool)
    shoulder, armpit = (np.asarray(garment.keypoints[f"{n}_{side}"], np.float32) for n in ("shoulder", "armpit"))
    y, x = np.mgrid[: garment.alpha.shape[0], : garment.alpha.shape[1]].astype(np.float32) + 0.5
    d = armpit - shoulder
    beyond = (x - shoulder[0]) * d[1] - (y - shoulder[1]) * d[0]
    return np.asarray((garment.parts == part) & ((beyond if part == Part.LEFT_SLEEVE else -beyond) > 0))


def _patterned(garment: Garment, lattice: Array) -> float:
    """Whether the cloth at the torso's sides, where prints do not reach, is anything but plain: 0 to 1."""
    import cv2

    lab = cv2.cvtColor(garment.rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    top, bottom = int(lattice[1, 0, 1]), int(lattice[-1, 0, 1])
    y, x = np.mgrid[: lab.shape[0], : lab.shape[1]]
    middle, half = float(lattice[..., 0].mean()), float(lattice[1:, -1, 0].mean() - lattice[1:, 0, 0].mean()) / 2
    u = np.abs(x - middle) / max(half, 1.0)
    sides = (u > 0.6) & (u < 0.92) & (y > top) & (y < bottom) & (garment.alpha > 0.9) & (garment.parts == Part.TORSO)
    if sides.sum() < 50:
        return 0.0
    colours = lab[sides]
    # folds and light move the lightness by some twenty levels; patterns move it farther, or the colour
    away = np.abs(colours - np.median(colours, 0))
    share = float(((away[:, 0] > 34) | (away[:, 1:].max(1) > 12)).mean())
    return float(np.clip((share - 0.08) / 0.1, 0.0, 1.0))


def _wrapped(garment: Garment, torso: Array) -> Array:
    """The torso's coverage continued to either side: on a turned body a side seam is no edge, the cloth goes on."""
    import cv2

    reach = round(0.12 * float(np.abs(garment.keypoints["armpit_l"][0] - garment.keypoints["armpit_r"][0])))
    wide = cv2.dilate(torso, np.ones((1, 2 * max(reach, 1) + 1), np.uint8))
    armpit = int(max(garment.keypoints["armpit_l"][1], garment.keypoints["armpit_r"][1]))
    wide[:armpit] = torso[:armpit]  # above lie the armholes and the slope of the shoulders
    return np.asarray(wide)


def _from_behind(garment: Garment, torso: Array) -> Array:
    """The torso's coverage as seen from the back, where the cloth reaches up to the nape: the neckline is filled."""
    import cv2

    k = garment.keypoints
    outline: Array = np.stack([k["collar_r"], k["collar_l"], k["armpit_l"], k["armpit_r"]])
    filled: Array = torso.copy()
    cv2.fillConvexPoly(filled, np.round(outline).astype(np.int32), (1.0,), lineType=cv2.LINE_AA)
    return np.maximum(torso, filled)


@dataclass(frozen=True, eq=False)
class Layer:
    """One part of the garment in the picture: ``rgb`` (3, h, w) in [0, 1], ``alpha`` (h, w), ``across`` (h, w): where
    on the torso's visible width the pixel lies, -1 to 1 (0 for sleeves), for shading that needs no old garment;
    ``opening`` (h, w): the neckline and armholes, where the body shows through the torso's outline."""

    part: Part
    rgb: Tensor
    alpha: Tensor
    across: Tensor
    opening: Tensor


def _upsampled(coarse: Tensor, size: tuple[int, int], step: int) -> Tensor:
    """(h', w', C) values on every ``step``-th pixel, from the first on, to (h, w, C)."""
    h, w = size
    planes = coarse.permute(2, 0, 1)[None]
    full = ((coarse.shape[0] - 1) * step + 1, (coarse.shape[1] - 1) * step + 1)
    return functional.interpolate(planes, size=full, mode="bilinear", align_corners=True)[0, :, :h, :w].permute(1, 2, 0)


def _coarse_grid(window: tuple[float, float, float, float], size: tuple[int, int], step: int) -> Tensor:
    """(h', w', 2) float64 frame points of every ``step``-th pixel's centre."""
    left, top, right, bottom = window
    h, w = size
    xs = left + (torch.arange(math.ceil((w - 1) / step) + 1, dtype=torch.float64) * step + 0.5) * (right - left) / w
    ys = top + (torch.arange(math.ceil((h - 1) / step) + 1, dtype=torch.float64) * step + 0.5) * (bottom - top) / h
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1)


def backward_map(
    spline: Spline, window: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """(h, w, 2) garment points of the picture's pixels, and (h, w) in [0, 1], 0 where that is too far from the part to
    mean anything. ``window`` (left, top, right, bottom) in frame px is laid out on ``size`` = (h, w) pixels."""
    full = _upsampled(_coarse_map(spline, window, size), size, _STEP[spline.part])
    return full[..., :2], full[..., 2]


def _coarse_map(spline: Spline, window: tuple[float, float, float, float], size: tuple[int, int]) -> Tensor:
    """What :func:`backward_map` interpolates: (h', w', 3) float32, points and nearness at every few pixels."""
    grid = _coarse_grid(window, size, _STEP[spline.part])
    flat = grid.reshape(-1, 2)
    if spline.part == Part.TORSO:
        points = _through_plate(spline, flat)
        near = torch.ones_like(points[:, 0])
    else:
        points, near = _through_mesh(spline, flat)
    return torch.cat([points, near[:, None]], -1).reshape(*grid.shape[:2], 3).float()


def _flat(points: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(points.reshape(-1, 2))).double()


def _through_plate(spline: Spline, points: Tensor) -> Tensor:
    """Picture points (N, 2) to garment points, by the spline backwards: exact where nothing folds, as on a torso."""
    return ThinPlate.fit(_flat(spline.points), _flat(spline.lattice))(points)


def _through_mesh(spline: Spline, points: Tensor) -> tuple[Tensor, Tensor]:
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
    place = torch.arange(len(corners), dtype=points.dtype)[:, None, None].expand(corners.shape[:3]).reshape(-1)
    p0, p1, p2 = (picture.reshape(-1, 2)[triangles[:, n]] for n in range(3))
    e1, e2 = p1 - p0, p2 - p0
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    r = points[:, None] - p0[None]
    w1 = (r[..., 0] * e2[:, 1] - r[..., 1] * e2[:, 0]) / area
    w2 = (e1[:, 0] * r[..., 1] - e1[:, 1] * r[..., 0]) / area
    # how far outside, in px: barycentric weights times the triangle's size, so that small triangles do not win or lose
    depth = torch.minimum(torch.minimum(w1, w2), 1.0 - w1 - w2) * area.abs().sqrt()
    turned_over = area * area.sum().sign() < 0
    shown = torch.where(turned_over, place - len(corners), place)  # the inside of the cloth is the last to be seen
    best = torch.where(depth >= 0, 1e6 + shown, torch.where(turned_over, depth - 1.0, depth)).argmax(1)
    pick = torch.arange(len(points))
    g0, g1, g2 = (garment.reshape(-1, 2)[triangles[best, n]] for n in range(3))
    a1, a2 = w1[pick, best, None].clamp(-6, 6), w2[pick, best, None].clamp(-6, 6)
    result = g0 + a1 * (g1 - g0) + a2 * (g2 - g0)
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


def turned(points: Tensor, rows: Tensor, turn: float) -> tuple[Tensor, Tensor, Tensor]:
    """Carry points of the torso's outline frame (h, w, 2) round the body by ``turn``.

    The visible width of a turned torso, -1 to 1, is the sine of the angle on its ellipse; the garment's picture shows
    the half from -90 to 90 degrees. Returns the garment points, ``across`` (h, w) in [-1, 1] and ``behind`` (h, w), 1
    where the back is seen. With ``turn`` 0 the points come back unchanged.
    """
    centre, half = _rows_at(points[..., 1], rows)
    t = (points[..., 0] - centre) / half
    if turn == 0:
        return points, t, torch.zeros_like(t)
    inside = t.clamp(-1.0, 1.0)
    angle = torch.asin(inside) - turn
    u = torch.sin(angle) + (t - inside) * math.copysign(1.0, math.cos(turn))
    behind = (torch.cos(angle) < 0).to(points.dtype)
    return torch.stack([centre + u * half, points[..., 1]], -1), t, behind


def _rows_at(y: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and half width of the torso at heights ``y``, linear between the lattice's rows."""
    heights = rows[:, 0].contiguous()
    i = torch.searchsorted(heights, y.contiguous()).clamp(1, len(heights) - 1)
    t = ((y - heights[i - 1]) / (heights[i] - heights[i - 1]).clamp_min(1e-3)).clamp(0.0, 1.0)
    values = rows[i - 1, 1:] * (1 - t)[..., None] + rows[i, 1:] * t[..., None]
    return values[..., 0], values[..., 1]


def layers(
    warp: Warp,
    texture: Texture,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    back: Texture | None = None,
) -> list[Layer]:
    """The garment's parts over ``window`` of the frame, drawn on ``size`` = (h, w) pixels, farthest first."""
    result = []
    for spline in warp.splines:
        if spline.part == Part.TORSO:
            result.append(_torso_layer(spline, window, size, warp.turn, texture, back))
        else:
            result.append(_sleeve_layer(spline, window, size, texture))
    return result


def _sleeve_layer(
    spline: Spline, window: tuple[float, float, float, float], size: tuple[int, int], texture: Texture
) -> Layer:
    """A sleeve is small: only its own box, and some room about it, is sampled."""
    device = texture.planes.device
    rgb, alpha = torch.zeros(3, *size, device=device), torch.zeros(size, device=device)
    scale = np.array([size[1] / (window[2] - window[0]), size[0] / (window[3] - window[1])])
    at = (spline.points.reshape(-1, 2) - np.array(window[:2])) * scale
    # with room for the colours that go on past its outline
    margin = 0.6 * float((at.max(0) - at.min(0)).max()) + 2
    left, top = np.clip(np.floor(at.min(0) - margin), 0, size[::-1]).astype(int).tolist()
    right, bottom = np.clip(np.ceil(at.max(0) + margin), 0, size[::-1]).astype(int).tolist()
    if right > left and bottom > top:
        low = np.array([left, top]) / scale + window[:2]
        high = np.array([right, bottom]) / scale + window[:2]
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        points, near = (t.to(device) for t in backward_map(spline, box, (bottom - top, right - left)))
        planes = texture.sample(points, slice(0, 7))
        rgb[:, top:bottom, left:right] = planes[:3]
        alpha[top:bottom, left:right] = planes[5 if spline.part == Part.LEFT_SLEEVE else 6] * (near > 0.5)
    none = torch.zeros_like(alpha)
    return Layer(spline.part, rgb, alpha, none, none)


def _torso_layer(
    spline: Spline,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    turn: float,
    texture: Texture,
    back: Texture | None,
) -> Layer:
    device = texture.planes.device
    coarse, step = _coarse_map(spline, window, size)[..., :2].to(device), _STEP[spline.part]
    # most people face the camera most of the time: then the turn is smooth enough for the coarse grid, and what only
    # turning shows need not be sampled
    turns = abs(math.sin(turn)) > 0.1 or math.cos(turn) < 0
    if turns:
        garment_points, across, behind = turned(_upsampled(coarse, size, step), texture.rows, turn)
    else:
        points, across, _ = turned(coarse, texture.rows, turn)
        full = _upsampled(torch.cat([points, across[..., None]], -1), size, step)
        garment_points, across, behind = full[..., :2], full[..., 2], torch.zeros(size, device=device)
    planes = texture.sample(garment_points, slice(None) if turns else slice(0, 5))
    rgb, front, filled = planes[:3], planes[3], planes[4]
    opening = (filled - front).clamp_min(0.0) * (1.0 - behind)
    if not turns:
        return Layer(Part.TORSO, rgb, front, across.clamp(-1.0, 1.0), opening)
    share = min(1.0, (abs(math.sin(turn)) - 0.1) / 0.3) if math.cos(turn) >= 0 else 1.0
    closed = torch.where(across.abs() < 1.0, planes[7] * share, 0.0)
    alpha = torch.maximum(front, closed) * (1.0 - behind) + torch.maximum(filled, closed) * behind
    if back is not None and bool((behind > 0).any()):
        seen = back.sample(_on_back(garment_points, texture, back), slice(0, 3))
        rgb = rgb * (1.0 - behind) + seen * behind
    else:
        # round the side the cloth goes on as it is there, mirrored; a print on the chest does not come up on the
        # back, unless the whole cloth is patterned
        centre, half = _rows_at(garment_points[..., 1], texture.rows)
        from_side = 1.0 - ((garment_points[..., 0] - centre) / half).abs()
        plain = behind * (1.0 - texture.patterned) * ((from_side - 0.15) / 0.25).clamp(0.0, 1.0)
        rgb = rgb * (1.0 - plain) + texture.cloth[:, None, None] * plain
    # a turned torso ends where its surface turns away, not where the picture of the garment ends
    limit = 1.0 + 0.2 * math.cos(turn) ** 4
    soft = 0.03
    alpha = alpha * ((limit + soft - across.abs()) / soft).clamp(0.0, 1.0)
    return Layer(Part.TORSO, rgb, alpha, across.clamp(-1.0, 1.0), opening)


def _on_back(points: Tensor, texture: Texture, back: Texture) -> Tensor:
    """Points of the front picture's torso to the picture of the back, which shows the other side, mirrored."""
    centre, half = _rows_at(points[..., 1], texture.rows)
    u = -(points[..., 0] - centre) / half
    top, bottom = texture.rows[0, 0], texture.rows[-1, 0]
    y = (points[..., 1] - top) / (bottom - top) * (back.rows[-1, 0] - back.rows[0, 0]) + back.rows[0, 0]
    centre, half = _rows_at(y, back.rows)
    return torch.stack([centre + u * half, y], -1)


def flatten(
    warp: Warp,
    texture: Texture,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    back: Texture | None = None,
) -> tuple[Array, Array]:
    """The warped garment alone: rgb (h, w, 3) float32 in [0, 1] and alpha (h, w) float32."""
    rgb = torch.zeros(3, *size)
    alpha = torch.zeros(size)
    for layer in layers(warp, texture, window, size, back):
        a = layer.alpha.cpu()
        rgb = layer.rgb.cpu() * a + rgb * (1 - a)
        alpha = a + alpha * (1 - a)
    colour = rgb / alpha.clamp_min(1e-4)
    return np.asarray(colour.permute(1, 2, 0).numpy()), np.asarray(alpha.numpy())
