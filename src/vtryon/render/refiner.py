"""The refining network at work: the composition's layers onto its grid, what it gives back at the video's pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from vtryon import weights
from vtryon.device import Compute, choose, fastest
from vtryon.person.heatmaps import pose_maps
from vtryon.person.network import fold
from vtryon.render.filters import GuidedUpsampler, apply_coefficients, smoothstep
from vtryon.render.flow import Flow
from vtryon.render.layered import Layered, Window, enlarged, reduced
from vtryon.render.refine import GRID, KINDS, PLANES, Refined, RefineNet, load_refine
from vtryon.types import LANDMARKS, Array, Crop, Person

_DECIDED = (0.25, 0.75)  # what is given back is a decision, and the grid's pixels are coarse
_NEAR = (0.02, 0.12)  # of it, enlarged: an edge of the source is followed no farther than this


@dataclass(frozen=True, eq=False)
class Sketch:
    """A composition on the network's grid, float32: ``source`` (H, W, 3), ``kinds`` (H, W, 7) shares of
    :data:`~vtryon.render.refine.KINDS`, ``under`` and ``cloth`` (H, W, 3), ``cover`` and ``sleeves`` (H, W), colours
    and shares in [0, 1]; the landmarks' ``points`` (33, 2) and ``visibility`` (33,)."""

    source: Array
    kinds: Array
    under: Array
    cloth: Array
    cover: Array
    sleeves: Array
    points: Array
    visibility: Array

    def image(self) -> Array:
        """(18, H, W) float32, as the network wants it."""
        image = np.empty((PLANES, *self.cover.shape), np.float32)
        at = 0
        for plane, signed in (
            (self.source, True), (self.kinds, False), (self.under, True), (self.cloth, True),
            (self.cover[..., None], False),
            (self.sleeves[..., None], False),
        ):  # fmt: skip
            channels = plane.transpose(2, 0, 1)
            image[at : at + len(channels)] = channels * 2 - 1 if signed else channels
            at += len(channels)
        return image

    def network_input(self) -> dict[str, Array]:
        """What the network takes, without the batch dimension."""
        return {"image": self.image(), "pose": pose_maps(self.points, self.visibility, GRID)}


def sketch(layered: Layered, picture: Array, person: Person) -> Sketch:
    """The ``layered`` picture of ``person`` on the grid; ``picture`` (256, 192, 3) uint8 is the crop."""
    crop, window = person.crop, layered.window
    source = _halved(picture) / np.float32(255)
    shares = np.dstack([layered.cover, layered.sleeves, np.ones(window.size, np.float32)])
    cover, sleeves, inside = np.ascontiguousarray(reduced(shares, crop, window, GRID).transpose(2, 0, 1))
    cloth = reduced(layered.cloth * layered.cover[..., None], crop, window, GRID)
    cloth /= np.maximum(cover, 1e-3)[..., None]
    # outside of the window nothing is changed
    under = reduced(layered.under, crop, window, GRID) + (1 - inside)[..., None] * source
    sums = [person.labels[list(kind)].sum(axis=0, dtype=np.float32) for kind in KINDS]
    kinds = np.stack([_halved(share) for share in sums], -1) / np.float32(255)
    return Sketch(
        source, np.minimum(kinds, 1), np.clip(under, 0, 1), np.clip(cloth, 0, 1), cover, sleeves,
        crop.to_crop(person.pose.points, GRID), person.pose.visibility,
    )  # fmt: skip


class Refiner:
    """Corrects a composition in its layers; the memory goes in and out, the object itself never changes."""

    def __init__(self, net: RefineNet, compute: Compute | None = None) -> None:
        self.compute = compute or choose("cpu")
        self.net = fold(net).to(self.compute.device)

    @staticmethod
    def load(path: Path | None = None, *, device: str = "auto") -> Refiner:
        """The refiner with the weights ``refine``, or those at ``path``, in the fastest format of ``device``; errors as
        :func:`vtryon.weights.load` and :func:`vtryon.weights.find`."""
        net, inputs = load_refine(path or weights.find("refine")), _nothing().network_input()
        folded = fold(net)
        return Refiner(net, fastest(choose(device), lambda compute: _run(folded, inputs, None, compute)))

    def __call__(
        self, layered: Layered, picture: Array, person: Person, flow: Flow | None, memory: Array | None
    ) -> tuple[Layered, Array]:
        """The layers as they should be, and the memory (128, 96, 4) for the next frame; ``flow`` is the source's on the
        crop since the frame that ``memory`` is of."""
        seen = sketch(layered, picture, person)
        inputs, before = seen.network_input(), None
        if flow is not None and memory is not None:
            # in pixels half as many
            back = cv2.resize(flow.backward, GRID[::-1], interpolation=cv2.INTER_AREA) * np.float32(0.5)
            valid = cv2.resize(flow.valid, GRID[::-1], interpolation=cv2.INTER_AREA)
            inputs["valid"], before = valid[None], Flow(back, valid).carry(memory).transpose(2, 0, 1)
        answer = _run(self.net, inputs, before, self.compute)
        given, share = (plane[0, 0].cpu().numpy() for plane in (answer.given, answer.share))
        state = answer.state[0].cpu().numpy().transpose(1, 2, 0)
        return _given_back(layered, seen, given, share, person.crop), np.ascontiguousarray(state)


def _run(net: RefineNet, inputs: dict[str, Array], before: Array | None, compute: Compute) -> Refined:
    batch = {k: torch.from_numpy(np.ascontiguousarray(v))[None].to(compute.device) for k, v in inputs.items()}
    state = None if before is None else torch.from_numpy(np.ascontiguousarray(before))[None].to(compute.device)
    with torch.inference_mode(), compute.autocast():
        return net.to(compute.device)(batch, state)  # type: ignore[no-any-return]


def _given_back(layered: Layered, seen: Sketch, given: Array, share: Array, crop: Crop) -> Layered:
    """The layers with less cloth and more of the source, on the grid ``given`` and ``share`` (H, W) of them."""
    unlike = np.abs(seen.under - seen.source).max(-1)
    part = _box(np.maximum(given * seen.cover, share * np.minimum(4 * unlike, 1)), crop, layered.window)
    if part is None:
        return layered
    at = part.within(layered.window)
    guide = GuidedUpsampler(seen.source, radius=2, epsilon=1e-3)
    source = layered.source[at]
    taken, shown = (_decided(guide, plane, source, crop, part) for plane in (given, share))
    cover, under = layered.cover.copy(), layered.under.copy()
    cover[at] *= 1 - taken
    under[at] += shown[..., None] * (source - under[at])
    return replace(layered, cover=cover, under=under)


def _decided(guide: GuidedUpsampler, plane: Array, source: Array, crop: Crop, part: Window) -> Array:
    """(h, w): a plane of the grid at the video's pixels, along the edges of the source (h, w, 3)."""
    coefficients = enlarged(guide.coefficients(plane), crop, part, GRID)
    near = enlarged(plane, crop, part, GRID)
    return np.asarray(smoothstep(*_DECIDED, apply_coefficients(coefficients, source)) * smoothstep(*_NEAR, near))


def _box(plane: Array, crop: Crop, window: Window) -> Window | None:
    """The part of ``window`` in which ``plane`` (H, W) of the grid is not 0; None if there is none."""
    rows, columns = np.flatnonzero(plane.max(1) > 0.02), np.flatnonzero(plane.max(0) > 0.02)
    if rows.size == 0:
        return None
    corners = np.array([[columns[0] - 2, rows[0] - 2], [columns[-1] + 3, rows[-1] + 3]], np.float32)
    (left, top), (right, bottom) = (np.rint(corner).astype(int).tolist() for corner in crop.to_frame(corners, GRID))
    left, top = max(left, window.left), max(top, window.top)
    right, bottom = min(right, window.right), min(bottom, window.bottom)
    return Window(left, top, right, bottom) if right > left and bottom > top else None


def _halved(plane: Array) -> Array:
    return cv2.resize(plane, GRID[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def _nothing() -> Sketch:
    plane, colours = np.zeros(GRID, np.float32), np.zeros((*GRID, 3), np.float32)
    kinds = np.zeros((*GRID, len(KINDS)), np.float32)
    points, visibility = np.zeros((LANDMARKS, 2), np.float32), np.zeros(LANDMARKS, np.float32)
    return Sketch(colours, kinds, colours, colours, plane, plane, points, visibility)
