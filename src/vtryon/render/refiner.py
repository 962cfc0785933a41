"""The refining network at work: the composition's layers onto its grid, what it gives back at the video's pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from vtryon import weights
from vtryon.device import Compute, choose
from vtryon.person.heatmaps import pose_maps
from vtryon.person.network import fold
from vtryon.planes import largest, smoothstep
from vtryon.render.badges import hanging
from vtryon.render.filters import GuidedUpsampler, apply_coefficients, fill_in
from vtryon.render.flow import Flow
from vtryon.render.layered import Layered, Window, enlarged, reduced
from vtryon.render.refine import GRID, IN_FRONT, KINDS, PLANES, WORN, Refined, RefineNet, load_refine
from vtryon.types import Array, Crop, Label, Person

_DECIDED = (0.25, 0.75)  # what is given back is a decision, and the grid's pixels are coarse
_CARRIED = KINDS.index((Label.CARRIED,))
_SKIN = tuple(KINDS.index(kind) for kind in ((Label.FACE,), (Label.LEFT_ARM, Label.RIGHT_ARM)))
_LIKE = (0.35, 0.15)  # from the old top's colour, 0, to the skin's, 1: below, it is the old top
_DOUBTED = (0.95, 0.7)  # share of the labels that skin has: above, shadows may have any colour
_APART = (0.15, 0.3)  # of colours in [0, 1]: below, they are too alike to tell
_SEEN = 20  # grid px of skin or cloth from which its colour is known
_LEAST = 0.05  # of what is given back, as far as it makes a difference: less is left alone
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
    badge = hanging(person) * sums[_CARRIED]
    sums[_CARRIED] -= badge  # it goes with the top that it hangs on
    sums[WORN] += badge
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
        """The refiner with the weights ``refine``, or those at ``path``; errors as :func:`vtryon.weights.load` and
        :func:`vtryon.weights.find`. In float32 on a CPU: half precision gains a millisecond, and where the choice hangs
        on a race between the two, the same clip comes out in two ways."""
        return Refiner(load_refine(path or weights.find("refine")), choose(device))

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
        state = answer.state[0].cpu().numpy().transpose(1, 2, 0)
        return _given_back(layered, seen, answer, person.crop), np.ascontiguousarray(state)


def _run(net: RefineNet, inputs: dict[str, Array], before: Array | None, compute: Compute) -> Refined:
    batch = {k: torch.from_numpy(np.ascontiguousarray(v))[None].to(compute.device) for k, v in inputs.items()}
    state = None if before is None else torch.from_numpy(np.ascontiguousarray(before))[None].to(compute.device)
    batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), compute.autocast():
        return net(batch, state)  # type: ignore[no-any-return]


def _given_back(layered: Layered, seen: Sketch, answer: Refined, crop: Crop) -> Layered:
    """The layers with less cloth and more of the source."""
    given, share = (plane[0, 0].cpu().numpy() for plane in (answer.given, answer.share))
    back = share + seen.cover * (given - share)
    unlike = largest(np.abs(seen.under - seen.source))
    parts = _boxes(back * np.maximum(seen.cover, np.minimum(4 * unlike, 1)), crop, layered.window)
    if not parts:
        return layered
    guide = GuidedUpsampler(seen.source, radius=2, epsilon=1e-3)
    planes = guide.coefficients(back), *_old_top(seen, back)
    cover, under = layered.cover.copy(), layered.under.copy()
    for part in parts:
        at = part.within(layered.window)
        source = layered.source[at]
        edges, old, told = (enlarged(plane, crop, part, GRID) for plane in planes)
        near = smoothstep(*_NEAR, enlarged(back, crop, part, GRID))
        front = near * smoothstep(*_DECIDED, apply_coefficients(edges, source))
        front = front * (1 - told * smoothstep(*_LIKE, apply_coefficients(old, source)))
        rest = (1 - cover[at]) * (1 - front)
        shown = front / np.maximum(rest + front, 1e-3)  # of p, so that what eq. (5) gives is front before all else
        under[at] += shown[..., None] * (source - under[at])
        cover[at] *= 1 - front
    return replace(layered, cover=cover, under=under)


def _old_top(seen: Sketch, back: Array) -> tuple[Array, Array]:
    """Coefficients (H, W, 4) for where a colour lies between the old top's nearby, 0, and the skin's, 1; and how far
    (H, W) that decides what is given ``back`` (H, W): a cuff beside a hand is no hand."""
    skin, worn = seen.kinds[..., list(_SKIN)].sum(-1), seen.kinds[..., WORN]
    sure, cloth = (skin > 0.9) & (worn < 0.1), smoothstep(0.8, 0.95, worn) * (back < 0.1)
    if sure.sum() < _SEEN or cloth.sum() < _SEEN:
        return np.zeros((*GRID, 4), np.float32), np.zeros(GRID, np.float32)
    cloth = fill_in(seen.source, cloth)
    line = np.median(seen.source[sure], axis=0) - cloth
    square = np.maximum(np.square(line).sum(-1), 1e-3)
    slope = line / square[..., None]
    coefficients = np.dstack([slope, -(slope * cloth).sum(-1)]).astype(np.float32)
    rather = skin / np.maximum(seen.kinds[..., list(IN_FRONT)].sum(-1), 0.1)  # skin than hair or a thing carried
    told = rather * smoothstep(*_DOUBTED, skin) * smoothstep(*_APART, np.sqrt(square))
    return coefficients, np.asarray(told, np.float32)


def _boxes(plane: Array, crop: Crop, window: Window) -> list[Window]:
    """Parts of ``window`` that do not overlap and hold all that is not 0 in ``plane`` (H, W) of the grid."""
    wide = cv2.dilate((plane > _LEAST).astype(np.uint8), np.ones((7, 7), np.uint8))
    found = cv2.connectedComponentsWithStats(wide)[2][1:, :4].tolist()
    boxes = _apart([(x, y, x + w, y + h) for x, y, w, h in found])
    corners = [crop.to_frame(np.array(box, np.float32).reshape(2, 2), GRID) for box in boxes]
    parts = [
        Window(
            max(round(float(low[0])), window.left), max(round(float(low[1])), window.top),
            min(round(float(high[0])), window.right), min(round(float(high[1])), window.bottom),
        )
        for low, high in corners
    ]  # fmt: skip
    return [part for part in parts if min(part.size) > 0]


def _apart(boxes: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) with those that overlap made one."""
    found: list[tuple[int, int, int, int]] = []
    for box in boxes:
        left, top, right, bottom = box
        while over := [b for b in found if b[0] < right and left < b[2] and b[1] < bottom and top < b[3]]:
            found = [b for b in found if b not in over]
            left, top = min(left, *(b[0] for b in over)), min(top, *(b[1] for b in over))
            right, bottom = max(right, *(b[2] for b in over)), max(bottom, *(b[3] for b in over))
        found.append((left, top, right, bottom))
    return found


def _halved(plane: Array) -> Array:
    return cv2.resize(plane, GRID[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
