"""The composition: the new garment laid between the person's own pixels, by geometry alone (issue 3).

    result = w * garment * shading + (1 - w) * p                (eq. (5) as METHOD.md reads it)

p is the person with the old garment taken away: where it went, skin, trousers or background are continued from what
is seen of them. A trained renderer replaces ``reveal`` and ``shading``; order of layers, full-resolution sampling and
the untouched rest stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from vtryon.person.crop import picture_on
from vtryon.planes import largest, smoothstep
from vtryon.render.extent import Extent, extent
from vtryon.render.filters import GuidedUpsampler, apply_coefficients
from vtryon.render.flow import Flow, SourceFlow
from vtryon.render.layered import Layered, Window, enlarged
from vtryon.render.matting import Edge, split_edge
from vtryon.render.regions import regions
from vtryon.render.reveal import Revealed, reveal
from vtryon.render.shading import ShadingState, shading
from vtryon.render.sleeves import sleeves_continued
from vtryon.types import CROP_SIZE, Array, Crop, Part, Person
from vtryon.warp.lattice import Warp
from vtryon.warp.sampler import Layer, layers
from vtryon.warp.texture import Texture


@dataclass(frozen=True, eq=False)
class RenderState:
    """What the composition remembers: the last crop picture and where it lay, the steadied planes (h, w, C) on it,
    the slow light of the scene, and the memory of what refines it. Reset when ``shot`` changes."""

    shot: int
    crop: Crop
    picture: Array
    planes: Array
    light: ShadingState
    refined: Array | None = None


class Refining(Protocol):
    """Corrects a picture while it is still in its layers; its memory is handed in and out."""

    def __call__(
        self, layered: Layered, picture: Array, person: Person, flow: Flow | None, memory: Array | None, /
    ) -> tuple[Layered, Array | None]:
        """The layers as they should be, and the memory for the next frame. ``picture`` (256, 192, 3) uint8 is the crop
        of ``person``; ``flow`` the source's on it since the frame that ``memory`` is of, None where there is none."""
        ...


class Composer:
    """Puts a warped garment on a frame; ``refine`` corrects it while it is still in layers. Holds no state of its own
    beyond the flow engine; state goes in and out."""

    def __init__(self, refine: Refining | None = None) -> None:
        self._flow = SourceFlow()
        self._refine = refine

    def __call__(
        self,
        rgb: Array,
        person: Person,
        warp: Warp,
        texture: Texture,
        back: Texture | None,
        state: RenderState | None,
    ) -> tuple[Array, RenderState]:
        """Dress ``person`` in the frame ``rgb`` (H, W, 3) uint8.

        Returns a new picture of the same size, identical to ``rgb`` outside the edited region, and the state for the
        next frame.
        """
        picture = picture_on(person.crop, rgb)
        if state is not None and state.shot != person.shot:
            state = None
        where = regions(person)
        light, trust, light_state = shading(picture, where.worn, where.lit, rgb, state.light if state else None)
        planes = np.stack(
            [where.worn, where.front, where.left_arm, where.right_arm, light, where.left_covered, where.right_covered],
            -1,
        )
        flow = self._motion(picture, person.crop, state)
        planes = _steadied(planes, state, flow)
        with torch.inference_mode():
            small = layers(warp, texture, _crop_window(person.crop), CROP_SIZE, back)
            extents = extent(person, where, warp, small)
            covered = np.maximum(_coverage(small), largest(extents.snap) * planes[..., 0])
            shown = reveal(picture, person, where, planes[..., 0], covered, planes[..., 4])
            shown = replace(shown, arms=sleeves_continued(shown.arms, small, where, planes[..., 4], extents.wearing))
            window = _edited(rgb, person.crop, warp, np.maximum(shown.gone, covered))
            if window is None:
                return rgb.copy(), RenderState(person.shot, person.crop, picture, planes, light_state)
            sharp = layers(warp, texture, window.edges, window.size, back)
            canvas = _Canvas.of(window.of(rgb), picture, person.crop, window)
            canvas.uncover(shown)
            layered = _dressed(canvas, planes, trust, extents, sharp)
            refined = None
            if self._refine is not None:
                layered, refined = self._refine(layered, picture, person, flow, state.refined if state else None)
        out = rgb.copy()
        out[window.top : window.bottom, window.left : window.right] = layered.picture()
        return out, RenderState(person.shot, person.crop, picture, planes, light_state, refined)

    def _motion(self, picture: Array, crop: Crop, state: RenderState | None) -> Flow | None:
        """The source's flow since the frame before; None where there is none, or it was seen at quite another size."""
        if state is None or abs(math.log(state.crop.height / crop.height)) > 0.2:
            return None
        return self._flow(state.picture, picture)


def _dressed(canvas: _Canvas, planes: Array, trust: Array, extents: Extent, sharp: list[Layer]) -> Layered:
    """The garment's parts on the ``canvas``, farthest first, behind what is before each of them."""
    front, left, right = (canvas.kept(planes, which) for which in (1, 2, 3))
    # no edge to follow: an old sleeve
    left, right = (
        np.maximum(arm, enlarged(planes[..., i], canvas.crop, canvas.window)) for arm, i in ((left, 5), (right, 6))
    )
    cloth = canvas.fine(planes[..., 0])
    for layer in sharp:
        part = _box(extents.reached(layer.part, planes), canvas.crop, canvas.window)
        if part is None:
            continue
        at = part.within(canvas.window)
        before = front[at]
        if layer.part != Part.LEFT_SLEEVE:
            before = np.maximum(before, left[at])
        if layer.part != Part.RIGHT_SLEEVE:
            before = np.maximum(before, right[at])
        alpha = layer.alpha.cpu().numpy()[at] * _crisp(extents.room[..., layer.part - 1], canvas.crop, part)
        alpha = np.maximum(alpha, cloth[at] * _crisp(extents.snap[..., layer.part - 1], canvas.crop, part))
        if layer.part != Part.TORSO:
            side = layer.part - Part.LEFT_SLEEVE
            arm = (left, right)[side][at]
            alpha = alpha * (1.0 - arm * enlarged(extents.beyond[..., side], canvas.crop, part))
            alpha = np.maximum(alpha, arm * enlarged(extents.wearing[..., side], canvas.crop, part))
            alpha = np.maximum(alpha, canvas.fine(np.ascontiguousarray(extents.uppers[..., side]))[at])
        doubt = 1.0 - enlarged(trust, canvas.crop, part)
        light = enlarged(planes[..., 4], canvas.crop, part)
        canvas.lay(layer, part, alpha * (1.0 - before), light * _round(layer.across.cpu().numpy()[at], doubt))
    return canvas.layered()


def _steadied(planes: Array, state: RenderState | None, flow: Flow | None) -> Array:
    """Mix in the previous planes moved by the source's flow, where source and flow agree."""
    if state is None or flow is None:
        return planes
    share = 0.65 * flow.valid[..., None]
    return np.asarray(planes + share * (flow.carry(state.planes) - planes), np.float32)


@dataclass(frozen=True, eq=False)
class _Canvas:
    """A window of the frame while it is worked on: ``full`` the source and ``out`` what becomes of it under the new
    cloth, (h, w, 3) float32 in [0, 1]; ``small`` the source's crop; ``cover``, ``sleeves`` and ``cloth`` as in
    :class:`Layered`. Of each mask only the box that it fills is touched."""

    crop: Crop
    window: Window
    small: Array
    full: Array
    out: Array
    guide: GuidedUpsampler
    cover: Array
    sleeves: Array
    cloth: Array

    @classmethod
    def of(cls, source: Array, picture: Array, crop: Crop, window: Window) -> _Canvas:
        small, full = (p.astype(np.float32) / np.float32(255) for p in (picture, source))
        cover, sleeves, cloth = (np.zeros(shape, np.float32) for shape in (window.size, window.size, full.shape))
        return cls(crop, window, small, full, full.copy(), GuidedUpsampler(small), cover, sleeves, cloth)

    def fine(self, mask: Array) -> Array:
        """A mask at the window's pixels, along the source's edges."""
        result = np.zeros(self.window.size, np.float32)
        part = _box(mask, self.crop, self.window)
        if part is not None:
            edges = enlarged(self.guide.coefficients(mask), self.crop, part)
            at = part.within(self.window)
            # a label is a decision; half a hand is not
            result[at] = smoothstep(0.2, 0.8, apply_coefficients(edges, self.full[at]))
        return result

    def uncover(self, shown: Revealed) -> None:
        """Take the old garment away."""
        part = _box(shown.gone, self.crop, self.window)
        if part is None:
            return
        at = part.within(self.window)
        old = enlarged(shown.gone, self.crop, part)
        old = np.maximum(old, self.fine(shown.gone)[at] * (old > 0.02))[..., None]
        self.out[at] += old * (enlarged(shown.fill, self.crop, part) - self.out[at])
        # arms end as crisply as those that were always seen
        bare = old * _crisp(shown.bare, self.crop, part)[..., None]
        self.out[at] += bare * (enlarged(shown.arms, self.crop, part) - self.out[at])

    def kept(self, planes: Array, which: int) -> Array:
        """(h, w): one of the ``planes`` at the window's pixels, its edge to the old garment told by colour; there what
        stays comes back, without the old garment's share in it."""
        mask = self.fine(planes[..., which])
        edge = Edge.between(self.small, planes[..., which], planes[..., 0], one_colour=which in (2, 3))
        part = None if edge is None else _box(edge.told, self.crop, self.window)
        if edge is None or part is None:
            return mask
        at = part.within(self.window)
        kept, told, *cloths = (enlarged(p, self.crop, part) for p in (edge.kept, edge.told, *edge.cloths))
        mask[at], clean = split_edge(self.full[at], mask[at], kept, cloths, told)
        self.out[at] += (told * mask[at])[..., None] * (clean - self.out[at])
        return mask

    def lay(self, layer: Layer, part: Window, alpha: Array, shade: Array) -> None:
        """Lay a part of the garment on; ``alpha`` and ``shade`` (h, w) over ``part`` of the window."""
        at = part.within(self.window)
        colour = layer.rgb.cpu().numpy()[:, at[0], at[1]].transpose(1, 2, 0) * shade[..., None]
        self.cover[at] += alpha * (1.0 - self.cover[at])
        self.sleeves[at] += alpha * (float(layer.part != Part.TORSO) - self.sleeves[at])
        share = alpha / np.maximum(self.cover[at], 1e-3)  # of the cloth that is seen there
        self.cloth[at] += share[..., None] * (np.minimum(colour, 1.0) - self.cloth[at])

    def layered(self) -> Layered:
        """What has become of it."""
        return Layered(self.window, self.full, self.out, self.cover, self.sleeves, self.cloth)


def _round(across: Array, doubt: Array) -> Array:
    """A torso darkens towards its sides; only used where the old garment tells nothing about the light."""
    return np.asarray(1.0 - doubt * 0.22 * np.abs(across * across * across))


def _box(mask: Array, crop: Crop, window: Window) -> Window | None:
    """The part of ``window`` that holds what a mask on the crop grid covers, with room for soft edges."""
    rows, columns = np.flatnonzero(mask.max(1) > 0.02), np.flatnonzero(mask.max(0) > 0.02)
    if rows.size == 0:
        return None
    corners = np.array([[columns[0] - 5, rows[0] - 5], [columns[-1] + 6, rows[-1] + 6]], np.float32)
    (left, top), (right, bottom) = (corner.astype(int).tolist() for corner in np.rint(crop.to_frame(corners)))
    left, top = max(left, window.left), max(top, window.top)
    right, bottom = min(right, window.right), min(bottom, window.bottom)
    return Window(left, top, right, bottom) if right > left and bottom > top else None


_SLOPE = 0.35  # per crop px: how steep the soft edges of the masks are that are drawn crisp


def _crisp(mask: Array, crop: Crop, window: Window) -> Array:
    """:func:`enlarged` with an edge as soft as that of a picture, not as that of the coarse grid."""
    half = float(np.clip(_SLOPE * mask.shape[0] / crop.height, 0.05, 0.5))
    return smoothstep(0.5 - half, 0.5 + half, enlarged(mask, crop, window))


def _crop_window(crop: Crop) -> tuple[float, float, float, float]:
    return crop.left, crop.top, crop.left + crop.width, crop.top + crop.height


def _coverage(parts: list[Layer]) -> Array:
    open_ = torch.ones_like(parts[0].alpha)
    for layer in parts:
        open_ = open_ * (1.0 - layer.alpha)
    return np.asarray((1.0 - open_).cpu().numpy(), np.float32)


def _edited(rgb: Array, crop: Crop, warp: Warp, touched: Array) -> Window | None:
    """The frame's rectangle that holds every changed pixel, a little larger; None if nothing is changed in it."""
    rows, columns = np.flatnonzero(touched.max(1) > 0.01), np.flatnonzero(touched.max(0) > 0.01)
    if rows.size == 0:
        return None
    corners = np.array([[columns[0] - 3, rows[0] - 3], [columns[-1] + 4, rows[-1] + 4]], np.float32)
    low, high = crop.to_frame(corners)
    left, top = np.floor(low).astype(int)
    right, bottom = np.ceil(high).astype(int)
    # a garment that reaches out of the crop is still drawn whole
    points = np.concatenate([s.points.reshape(-1, 2) for s in warp.splines])
    margin = 0.06 * crop.height
    left, top = min(left, int(points[:, 0].min() - margin)), min(top, int(points[:, 1].min() - margin))
    right, bottom = max(right, int(points[:, 0].max() + margin)), max(bottom, int(points[:, 1].max() + margin))
    h, w = rgb.shape[:2]
    left, right = int(np.clip(left, 0, w)), int(np.clip(right, 0, w))
    top, bottom = int(np.clip(top, 0, h)), int(np.clip(bottom, 0, h))
    return Window(left, top, right, bottom) if right - left > 8 and bottom - top > 8 else None
