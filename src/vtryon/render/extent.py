"""Where each part of the garment is drawn on a person, beyond and within where the warp lays it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.planes import largest, smoothstep
from vtryon.render.filters import attached
from vtryon.render.regions import Regions
from vtryon.render.sleeves import before_cuff, loose, past_cuff, past_sleeve, sleeved
from vtryon.types import Array, Part, Person
from vtryon.warp.lattice import Warp
from vtryon.warp.sampler import Layer

_YOKE = 0.1  # shoulders to hips: a neckline's upper end is above
_SKIRT = 1.25, 1.6  # shoulders to hips: how far down hems of tops are, and those of skirts


@dataclass(frozen=True, eq=False)
class Extent:
    """On the crop grid, float32 in [0, 1]: of torso, left and right sleeve (h, w, 3) where they are continued over the
    old garment's edge, ``snap``, and where they can be at all, ``room``; of the left and the right arm (h, w, 2) where
    it is in its new sleeve, ``wearing``, is raised out of it, ``beyond``, and is a bare upper one that belongs into it,
    ``uppers``."""

    snap: Array
    room: Array
    wearing: Array
    beyond: Array
    uppers: Array

    def reached(self, part: Part, planes: Array) -> Array:
        """(h, w): where a part may be drawn: around itself, and a sleeve on all of its arm; ``planes`` are the
        composition's."""
        own = self.snap[..., part - 1]
        if part == Part.TORSO:
            return np.asarray(own)
        side = part - Part.LEFT_SLEEVE
        arm = np.maximum(planes[..., 2 + side], planes[..., 5 + side])
        return np.asarray(np.maximum(own, arm * self.wearing[..., side]))


def extent(person: Person, where: Regions, warp: Warp, parts: list[Layer]) -> Extent:
    """Of the warped ``parts``, sampled on the crop grid, on ``person``."""
    room = _room(person, where, warp)
    snap = _snapped(parts, where) * room * before_cuff(past_cuff(person, warp, where.along), where)
    past = past_cuff(person, warp, where.raised)
    wearing = sleeved(past)
    uppers = where.uppers.transpose(1, 2, 0) * wearing
    snap[..., 1:] = np.maximum.reduce([snap[..., 1:], uppers, loose(where, wearing, parts)])
    return Extent(snap, room, wearing, past_sleeve(past), uppers)


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


def _snapped(parts: list[Layer], where: Regions) -> Array:
    """(h, w, 3): where each part (torso, left, right sleeve) is continued over the old garment's edge.

    Where the old outline lies just outside the new one, the new cloth takes it over: its colours go on past its
    outline, and a natural edge stays where it is instead of a sliver of guessed skin or background.
    """
    alphas = np.zeros((*where.worn.shape, 3), np.float32)
    for layer in parts:
        alphas[..., layer.part - 1] = layer.alpha.cpu().numpy()
    reach = [max(2, round(share * where.size)) for share in (0.06, 0.12)]
    # soft anyway, so at half the size; dilation by a disc is the dearest step of a frame otherwise
    half = cv2.resize(alphas, (alphas.shape[1] // 2, alphas.shape[0] // 2), interpolation=cv2.INTER_AREA)
    low, high = (
        cv2.resize(cv2.dilate(half, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (r | 1, r | 1))), alphas.shape[1::-1])
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
    owner = distance >= largest(distance)[..., None] - 1e-6
    room = np.repeat((1.0 - bare)[..., None], 3, axis=2)
    room[..., Part.TORSO - 1] *= _above_hem(alphas[..., Part.TORSO - 1], where.axis_y)
    # of the part itself only what is well inside: the video's pixels have a better edge than this grid
    inside = smoothstep(0.5, 1.0, cv2.GaussianBlur(alphas, (0, 0), 1.0))
    snapped = np.maximum(near * owner * room, inside)
    for i in range(3):
        snapped[..., i] *= attached(snapped[..., i], inside[..., i])  # beyond an armhole nothing is continued
    return np.asarray(snapped, np.float32)


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
