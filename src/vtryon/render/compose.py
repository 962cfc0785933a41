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

import cv2
import numpy as np
import torch

from vtryon.person.crop import picture_on
from vtryon.render.filters import GuidedUpsampler, apply_coefficients, smoothstep
from vtryon.render.flow import Flow, SourceFlow
from vtryon.render.layered import Layered, Window, enlarged
from vtryon.render.matting import Edge, split_edge
from vtryon.render.regions import Regions, regions
from vtryon.render.reveal import Revealed, reveal
from vtryon.render.shading import ShadingState, shading
from vtryon.render.sleeves import before_cuff, loose, past_cuff, past_sleeve, sleeved, sleeves_continued
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
        light, trust, light_state = shading(picture, where.lit, rgb, state.light if state else None)
        planes = np.stack(
            [where.worn, where.front, where.left_arm, where.right_arm, light, where.left_covered, where.right_covered],
            -1,
        )
        flow = self._motion(picture, person.crop, state)
        planes = _steadied(planes, state, flow)
        with torch.inference_mode():
            small = layers(warp, texture, _crop_window(person.crop), CROP_SIZE, back)
            covered = _coverage(small)
            snap = _snapped(small, planes[..., 0], where)
            room = _room(person, where, warp)
            snap *= room
            snap *= before_cuff(past_cuff(person, warp, where.along), where)
            past = past_cuff(person, warp, where.raised)
            wearing, beyond = sleeved(past), past_sleeve(past)
            uppers = where.uppers.transpose(1, 2, 0) * wearing
            snap[..., 1:] = np.maximum.reduce([snap[..., 1:], uppers, loose(where, wearing, small)])
            covered = np.maximum(covered, snap.max(-1) * planes[..., 0])
            shown = reveal(picture, person, where, planes[..., 0], covered, planes[..., 4])
            shown = replace(shown, arms=sleeves_continued(shown.arms, small, where, planes[..., 4], wearing))
            window = _edited(rgb, person.crop, warp, np.maximum(shown.gone, covered))
            if window is None:
                return rgb.copy(), RenderState(person.shot, person.crop, picture, planes, light_state)
            sharp = layers(warp, texture, window.edges, window.size, back)
            layered = self._compose(
                window.of(rgb),
                window,
                person,
                picture,
                planes,
                trust,
                shown,
                snap,
                room,
                wearing,
                beyond,
                uppers,
                sharp,
            )
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

    def _compose(
        self,
        source: Array,
        window: Window,
        person: Person,
        picture: Array,
        planes: Array,
        trust: Array,
        shown: Revealed,
        snap: Array,
        room: Array,
        wearing: Array,
        beyond: Array,
        uppers: Array,
        sharp: list[Layer],
    ) -> Layered:
        canvas = _Canvas.of(source, picture, person.crop, window)
        canvas.uncover(shown)
        front, left, right = (canvas.kept(planes, which) for which in (1, 2, 3))
        # no edge to follow: an old sleeve
        left, right = (
            np.maximum(arm, enlarged(planes[..., i], person.crop, window)) for arm, i in ((left, 5), (right, 6))
        )
        cloth = canvas.fine(planes[..., 0])
        for layer in sharp:
            part = _box(_reached(layer.part, snap, planes, wearing), person.crop, window)
            if part is None:
                continue
            at = part.within(window)
            before = front[at]
            if layer.part != Part.LEFT_SLEEVE:
                before = np.maximum(before, left[at])
            if layer.part != Part.RIGHT_SLEEVE:
                before = np.maximum(before, right[at])
            alpha = layer.alpha.cpu().numpy()[at] * _crisp(room[..., layer.part - 1], person.crop, part)
            alpha = np.maximum(alpha, cloth[at] * _crisp(snap[..., layer.part - 1], person.crop, part))
            if layer.part != Part.TORSO:
                side = layer.part - Part.LEFT_SLEEVE
                arm = (left, right)[side][at]
                alpha = alpha * (1.0 - arm * enlarged(beyond[..., side], person.crop, part))
                alpha = np.maximum(alpha, arm * enlarged(wearing[..., side], person.crop, part))
                alpha = np.maximum(alpha, canvas.fine(np.ascontiguousarray(uppers[..., side]))[at])
            doubt = 1.0 - enlarged(trust, person.crop, part)
            light = enlarged(planes[..., 4], person.crop, part)
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
    :class:`Layered`. Of
    each mask only the box that it fills is touched."""

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


def _reached(part: Part, snap: Array, planes: Array, wearing: Array) -> Array:
    """Where a part of the garment may be drawn: around itself, and a sleeve on all of its arm."""
    if part == Part.TORSO:
        return np.asarray(snap[..., part - 1])
    side = part - Part.LEFT_SLEEVE
    arm = np.maximum(planes[..., 2 + side], planes[..., 5 + side])
    return np.asarray(np.maximum(snap[..., part - 1], arm * wearing[..., side]))


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


_YOKE = 0.1  # shoulders to hips: a neckline's upper end is above
_SKIRT = 1.25, 1.6  # shoulders to hips: how far down hems of tops are, and those of skirts


def _room(person: Person, where: Regions, warp: Warp) -> Array:
    """(h, w, 3): where each part (torso, left, right sleeve) can be at all: the person's outline and a little more.

    Clothes hang on bodies, and the corner of a hem that shows on the far side of a bare arm is a mistake, so the torso
    keeps to the body without its arms. Below the hips there is more room for what reaches far below them, a skirt.
    """
    near, far = (max(2, round(share * where.size)) for share in (0.02, 0.25))
    shoulders, hips = (person.pose.points[joints].mean(0) for joints in ([11, 12], [23, 24]))
    down = (hips - shoulders) / max(float(np.linalg.norm(hips - shoulders)), 1.0) ** 2
    hem = float(((warp[Part.TORSO].points[-1] - shoulders) @ down).mean())
    skirt = smoothstep(*_SKIRT, np.asarray(hem)) * smoothstep(1.0, 1.3, where.axis_y)
    rooms = []
    for outline in (person.matte * (1.0 - np.maximum(where.left_arm, where.right_arm)), person.matte):
        close, wide = (
            cv2.GaussianBlur(cv2.dilate(outline, np.ones((2 * r + 1, 2 * r + 1), np.uint8)), (0, 0), 1.0)
            for r in (near, far)
        )
        rooms.append(smoothstep(0.2, 0.8, close + skirt * (wide - close)))
    return np.stack([rooms[0], rooms[1], rooms[1]], -1).astype(np.float32)


def _snapped(parts: list[Layer], worn: Array, where: Regions) -> Array:
    """(h, w, 3): where each part (torso, left, right sleeve) is continued over the old garment's edge.

    Where the old outline lies just outside the new one, the new cloth takes it over: its colours go on past its
    outline, and a natural edge stays where it is instead of a sliver of guessed skin or background.
    """
    alphas = np.zeros((*worn.shape, 3), np.float32)
    for layer in parts:
        alphas[..., layer.part - 1] = layer.alpha.cpu().numpy()
    reach = [max(2, round(share * where.size)) for share in (0.06, 0.12)]
    # soft anyway, so at half the size; dilation by a disc is the dearest step of a frame otherwise
    half = cv2.resize(alphas, (worn.shape[1] // 2, worn.shape[0] // 2), interpolation=cv2.INTER_AREA)
    low, high = (
        cv2.resize(cv2.dilate(half, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (r | 1, r | 1))), worn.shape[::-1])
        for r in reach
    )
    # shoulders are where outlines differ most and where a gap looks worst; a hem or a cuff has a place of its own
    shoulder = smoothstep(0.45, 0.25, where.axis_y)[..., None] * float(len(parts) > 1)  # a strap stays a strap
    near = cv2.GaussianBlur(low + shoulder * (high - low), (0, 0), 1.0)
    distance = cv2.GaussianBlur(alphas, (0, 0), reach[1])
    opening = np.maximum.reduce([layer.opening.cpu().numpy() for layer in parts])
    # nor is there cloth above a neckline, though the old collar was
    above = np.maximum.accumulate(opening[::-1], axis=0)[::-1] * smoothstep(_YOKE, 0.0, where.axis_y)
    opening = np.maximum(opening, above)
    bare = np.maximum(where.throat, cv2.dilate(opening, np.ones((3, 3), np.uint8)))
    owner = distance >= distance.max(-1, keepdims=True) - 1e-6
    room = np.repeat((1.0 - bare)[..., None], 3, axis=2)
    room[..., Part.TORSO - 1] *= _above_hem(alphas[..., Part.TORSO - 1], where.axis_y)
    # of the part itself only what is well inside: the video's pixels have a better edge than this grid
    inside = smoothstep(0.5, 1.0, cv2.GaussianBlur(alphas, (0, 0), 1.0))
    return np.asarray(np.maximum(near * owner * room, inside), np.float32)


def _above_hem(torso: Array, axis_y: Array) -> Array:
    """(h, w): 1 above the new hem and 0 below it. Its place is the garment's own, and what labels call the old top
    below it may be trousers."""
    lowest = np.where(torso > 0.5, axis_y, -np.inf).max(0)
    known = np.isfinite(lowest)
    if not known.any():
        return np.ones_like(axis_y)
    columns = np.arange(len(lowest))
    hem = cv2.blur(np.interp(columns, columns[known], lowest[known])[None].astype(np.float32), (9, 1))
    return smoothstep(0.02, 0.0, axis_y - hem)


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
