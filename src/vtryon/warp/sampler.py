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

from vtryon.nearest import nearest
from vtryon.types import Array, Part
from vtryon.warp.lattice import Spline, Warp
from vtryon.warp.mesh import through_mesh
from vtryon.warp.texture import Texture
from vtryon.warp.tps import ThinPlate

_TORSO_STEP = 8  # spacing of the coarse grid, px
_SLEEVE_STEP, _SLEEVE_STEPS = 4, 60  # of a sleeve, which bends: px, and how many of them it is long at most


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
    spline: Spline, window: tuple[float, float, float, float], size: tuple[int, int], everywhere: bool = True
) -> tuple[Tensor, Tensor]:
    """(h, w, 2) garment points of the picture's pixels, and (h, w) in [0, 1], 0 where that is too far from the part to
    mean anything; what is far from a sleeve is left out unless ``everywhere``. ``window`` (left, top, right, bottom) in
    frame px is laid out on ``size`` = (h, w) pixels."""
    coarse, step = _coarse_map(spline, window, size, everywhere)
    full = _upsampled(coarse, size, step)
    if spline.part != Part.TORSO:
        torn = _torn(coarse, size, step)
        points, _ = through_mesh(spline, _coarse_grid(window, size, 1)[: size[0], : size[1]][torn])
        full[..., :2][torn] = points.float()
    return full[..., :2], full[..., 2]


_MARGIN = 0.15  # of a sleeve's length: farther off, its mesh is not
_TEAR = 3.0  # times the usual distance of neighbours in the garment: the map is not smooth there


def _torn(coarse: Tensor, size: tuple[int, int], step: int) -> Tensor:
    """(h, w) bool: where a forearm's cloth ends before its upper arm's, no value lies between those of the grid."""
    points = coarse[..., :2]
    right, down = (points.diff(dim=d).norm(dim=-1) for d in (1, 0))
    on_it = coarse[..., 2] > 0.0
    usual = right[on_it[:, 1:] & on_it[:, :-1]]
    limit = _TEAR * float(usual.median()) if usual.numel() else math.inf
    cells = torch.zeros(points.shape[0] - 1, points.shape[1] - 1, dtype=torch.bool)
    for far in (right[1:] > limit, right[:-1] > limit, down[:, 1:] > limit, down[:, :-1] > limit):
        cells |= far
    for corner in (on_it[1:, 1:], on_it[1:, :-1], on_it[:-1, 1:], on_it[:-1, :-1]):
        cells &= corner
    full = cells.repeat_interleave(step, 0).repeat_interleave(step, 1)
    result = torch.zeros(size, dtype=torch.bool)
    h, w = min(size[0], full.shape[0]), min(size[1], full.shape[1])
    result[:h, :w] = full[:h, :w]
    return result


def _coarse_map(
    spline: Spline, window: tuple[float, float, float, float], size: tuple[int, int], everywhere: bool = True
) -> tuple[Tensor, int]:
    """What :func:`backward_map` interpolates: (h', w', 3) float32, points and nearness, and how many px apart."""
    step = _step(spline, window, size)
    grid = _coarse_grid(window, size, step)
    flat = grid.reshape(-1, 2)
    if spline.part == Part.TORSO:
        points = _through_plate(spline, flat)
        near = torch.ones_like(points[:, 0])
    else:
        low, high = (torch.from_numpy(edge(spline.points, axis=(0, 1))).double() for edge in (np.min, np.max))
        margin = math.inf if everywhere else _MARGIN * float((high - low).max()) + 2 * step
        some = ((flat > low - margin) & (flat < high + margin)).all(1)
        points, near = torch.zeros_like(flat), torch.zeros(len(flat), dtype=flat.dtype)
        points[some], found = through_mesh(spline, flat[some])
        near[some] = found.double()
    return torch.cat([points, near[:, None]], -1).reshape(*grid.shape[:2], 3).float(), step


def _step(spline: Spline, window: tuple[float, float, float, float], size: tuple[int, int]) -> int:
    """Spacing of the coarse grid in px: a sleeve seen large is no more bent than one seen small."""
    if spline.part == Part.TORSO:
        return _TORSO_STEP
    extent = float(np.ptp(spline.points.reshape(-1, 2), axis=0).max()) * size[1] / (window[2] - window[0])
    return max(_SLEEVE_STEP, round(extent / _SLEEVE_STEPS))


def _flat(points: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(points.reshape(-1, 2))).double()


def _through_plate(spline: Spline, points: Tensor) -> Tensor:
    """Picture points (N, 2) to garment points, by the spline backwards: exact where nothing folds, as on a torso."""
    return ThinPlate.fit(_flat(spline.points), _flat(spline.lattice))(points)


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
        points, near = (t.to(device) for t in backward_map(spline, box, (bottom - top, right - left), everywhere=False))
        planes = texture.sample(points, slice(0, 7))
        cover = planes[5 if spline.part == Part.LEFT_SLEEVE else 6] * (near > 0.5)
        alpha[top:bottom, left:right] = cover
        rgb[:, top:bottom, left:right] = _gone_on(planes[:3], near > 0.5)
    none = torch.zeros_like(alpha)
    return Layer(spline.part, rgb, alpha, none, none)


def _gone_on(rgb: Tensor, known: Tensor) -> Tensor:
    """Colours (3, h, w) that go on past where a sleeve's mesh lies, ``known`` (h, w) bool, as at its nearest place:
    farther out its triangles say nothing about the cloth."""
    small = known[::2, ::2].cpu().numpy()  # enough for colours that nobody has seen
    if not small.any():
        return rgb
    index = torch.from_numpy(nearest(small)[0]).to(rgb.device)
    beyond = rgb[:, ::2, ::2].flatten(1)[:, index.flatten()].reshape(1, 3, *index.shape)
    beyond = functional.interpolate(beyond, scale_factor=2.0)[0, :, : rgb.shape[1], : rgb.shape[2]]
    return torch.where(known, rgb, beyond)


def _torso_layer(
    spline: Spline,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    turn: float,
    texture: Texture,
    back: Texture | None,
) -> Layer:
    device = texture.planes.device
    found, step = _coarse_map(spline, window, size)
    coarse = found[..., :2].to(device)
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
