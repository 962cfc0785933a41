"""The learned composition: the U-Net decides on the person's crop, the garment is drawn at the video's size (issue 6).

Called as :class:`~vtryon.render.compose.Composer` is, with weights of its own. What the network gives is smooth and is
enlarged; the garment is sampled from its picture at the video's pixels; what is kept is the source, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vtryon import weights
from vtryon.device import Compute, choose, fastest
from vtryon.person.crop import picture_on
from vtryon.person.network import fold
from vtryon.planes import smoothstep
from vtryon.render.filters import GuidedUpsampler, apply_coefficients
from vtryon.render.flow import SourceFlow
from vtryon.render.inputs import KEPT, View, kept_shares, light_hint, network_input
from vtryon.render.layered import Window, enlarged
from vtryon.render.regions import decided
from vtryon.render.unet import Drawn, RendererNet, load_renderer
from vtryon.types import CROP_SIZE, WORN_TOP, Array, Crop, Label, Part, Person
from vtryon.warp.lattice import Warp
from vtryon.warp.sampler import layers
from vtryon.warp.texture import Texture

_AROUND = np.ones((5, 5), np.uint8)  # as in training: the pixels along an edge are mixed with the old garment
_HEM = 6.0  # crop px over which a dress goes over into its skirt
_CLOTH = (0.2, 0.8)  # a mask is a decision, and the crop's pixels are coarse
_KEPT = (0.04, 0.96)  # below and above, the decision to keep a pixel of the source is taken


@dataclass(frozen=True, eq=False)
class RenderMemory:
    """What the renderer remembers: the last crop picture, where it lay, and the network's state (1, 4, 256, 192)."""

    shot: int
    crop: Crop
    picture: Array
    state: Tensor


@dataclass(frozen=True, eq=False)
class Cloth:
    """A warped garment, its parts laid over each other: ``rgb`` (h, w, 3) in [0, 1], coverage of torso and sleeves."""

    rgb: Array
    torso: Array
    sleeves: Array

    @property
    def alpha(self) -> Array:
        return np.maximum(self.torso, self.sleeves)


class Renderer:
    """Dresses the person by the network; the memory goes in and out, the object itself never changes."""

    def __init__(self, net: RendererNet, compute: Compute | None = None) -> None:
        self.compute = compute or choose("cpu")
        self.net = fold(net).to(self.compute.device)
        self._flow = SourceFlow()

    @staticmethod
    def load(path: Path | None = None, *, device: str = "auto") -> Renderer:
        """The renderer with the weights ``tryon``, or those at ``path``, in the fastest format of ``device``; errors as
        :func:`vtryon.weights.load` and :func:`vtryon.weights.find`."""
        net = load_renderer(path or weights.find("tryon"))
        folded, blank = fold(net), _blank()
        compute = fastest(choose(device), lambda c: _run(folded.to(c.device), network_input(blank), c))
        return Renderer(net, compute)

    def __call__(
        self,
        rgb: Array,
        person: Person,
        warp: Warp,
        texture: Texture,
        back: Texture | None,
        memory: RenderMemory | None,
    ) -> tuple[Array, RenderMemory]:
        """Dress ``person`` in the frame ``rgb`` (H, W, 3) uint8: a new picture, and the memory for the next frame."""
        picture = picture_on(person.crop, rgb)
        crop = person.crop
        with torch.inference_mode():
            edges = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
            view = _view(picture, person, laid(warp, texture, edges, CROP_SIZE, back))
            inputs = network_input(view)
            drawn, state = _run(self.net, inputs, self.compute, *self._before(picture, person, memory))
            window = _edited(1.0 - drawn.keep[0, 0].float().cpu().numpy(), crop, rgb.shape)
            out = rgb.copy()
            if window is not None:
                cloth = laid(warp, texture, window.edges, window.size, back)
                source = window.of(rgb)
                out[window.top : window.bottom, window.left : window.right] = _compose(
                    source, picture, cloth, drawn, inputs["garment"], crop, window
                )
        return out, RenderMemory(person.shot, crop, picture, state)

    def _before(
        self, picture: Array, person: Person, memory: RenderMemory | None
    ) -> tuple[Tensor | None, dict[str, Array]]:
        """The state, and what moves it to this frame; nothing at the start of a shot or after a jump of the crop."""
        if memory is None or memory.shot != person.shot:
            return None, {}
        if abs(math.log(memory.crop.height / person.crop.height)) > 0.2:
            return None, {}
        flow = self._flow(memory.picture, picture)
        return memory.state, {"flow": flow.backward.transpose(2, 0, 1), "valid": flow.valid[None]}


def _view(picture: Array, person: Person, cloth: Cloth) -> View:
    # a dress below the new hem stays, as a skirt: nothing tells what would be under it
    rows = np.arange(CROP_SIZE[0], dtype=np.float32)[:, None]
    hem = float(np.percentile(np.nonzero(cloth.torso > 0.5)[0], 97)) if (cloth.torso > 0.5).any() else 0.0
    skirt = person.probability(Label.DRESS) * smoothstep(hem, hem + _HEM, rows)
    worn = decided(np.maximum(person.probability(*WORN_TOP) - skirt, 0))
    shares = kept_shares(person.labels)
    shares[KEPT.index((Label.LOWER,))] += skirt
    points = person.crop.to_crop(person.pose.points)
    return View(
        picture, shares, cv2.dilate(worn, _AROUND), points, person.pose.visibility, cloth.rgb,
        cloth.torso, cloth.sleeves, light_hint(picture, worn),
    )  # fmt: skip


def laid(
    warp: Warp, texture: Texture, edges: tuple[float, float, float, float], size: tuple[int, int], back: Texture | None
) -> Cloth:
    """The warped garment over the frame's part ``edges`` (left, top, right, bottom), drawn on ``size`` = (h, w)."""
    rgb, cover = np.zeros((*size, 3), np.float32), np.zeros((*size, 2), np.float32)
    for layer in layers(warp, texture, edges, size, back):
        alpha = layer.alpha.cpu().numpy()
        colour = layer.rgb.cpu().numpy().transpose(1, 2, 0)
        rgb += alpha[..., None] * (colour - rgb)
        kind = 0 if layer.part == Part.TORSO else 1
        cover[..., kind] = np.maximum(cover[..., kind], alpha)
    solid = np.maximum(cover.max(-1), 1e-3)[..., None]
    return Cloth(np.clip(rgb / solid, 0, 1), cover[..., 0].copy(), cover[..., 1].copy())


def _compose(
    source: Array, picture: Array, cloth: Cloth, drawn: Drawn, garment: Array, crop: Crop, window: Window
) -> Array:
    """Eq. (5) over the window's pixels, ``source`` (h, w, 3) uint8, identical to it where it is kept."""
    keep, mask, weight, gain, person = (
        plane[0].float().cpu().numpy().transpose(1, 2, 0)
        for plane in (drawn.keep, drawn.mask, drawn.weight, drawn.gain, drawn.person)
    )
    full = source.astype(np.float32) * np.float32(1 / 255)
    guide = GuidedUpsampler(picture.astype(np.float32) / 255)
    kept = apply_coefficients(enlarged(guide.coefficients(keep[..., 0]), crop, window), full)
    # an edge of the source is followed where there is one; far from the decision the network has the last word
    coarse = enlarged(keep[..., 0], crop, window)
    kept = smoothstep(*_KEPT, np.where((coarse > 0.02) & (coarse < 0.98), kept, coarse))[..., None]
    # where cloth meets what is kept, the border is that of the kept: cloth goes on under it
    under = np.clip(mask / np.maximum(1 - keep, 0.1), 0, 1)
    cloth_there, weight = (enlarged(np.ascontiguousarray(p[..., 0]), crop, window)[..., None] for p in (under, weight))
    share = smoothstep(*_CLOTH, cloth_there) * weight
    beyond = enlarged(np.ascontiguousarray(garment.transpose(1, 2, 0)), crop, window)
    colour = beyond + cloth.alpha[..., None] * (cloth.rgb - beyond)
    lit = np.clip(colour * enlarged(cv2.resize(gain, CROP_SIZE[::-1]), crop, window), 0, 1)
    inner = enlarged(np.ascontiguousarray(person), crop, window)
    inner += share * (lit - inner)
    out = np.clip((full + (1 - kept) * (inner - full)) * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(np.where(kept >= 1, source, out))


def _edited(changed: Array, crop: Crop, shape: tuple[int, ...]) -> Window | None:
    """The frame's rectangle around all that is not wholly kept, ``changed`` (256, 192); None where nothing is."""
    rows, columns = np.flatnonzero(changed.max(1) > 0.02), np.flatnonzero(changed.max(0) > 0.02)
    if rows.size == 0:
        return None
    low, high = crop.to_frame(
        np.array([[columns[0] - 2, rows[0] - 2], [columns[-1] + 3, rows[-1] + 3]], np.float32)
    ).astype(int)
    left, right = np.clip([low[0], high[0] + 1], 0, shape[1]).tolist()
    top, bottom = np.clip([low[1], high[1] + 1], 0, shape[0]).tolist()
    return Window(left, top, right, bottom) if right > left and bottom > top else None


def _run(
    net: RendererNet,
    inputs: dict[str, Array],
    compute: Compute,
    state: Tensor | None = None,
    before: dict[str, Array] | None = None,
) -> tuple[Drawn, Tensor]:
    batch = {
        name: torch.from_numpy(np.ascontiguousarray(value, np.float32))[None].to(compute.device)
        for name, value in (inputs | (before or {})).items()
    }
    batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), compute.autocast():
        drawn, after = net(batch, state)
    return drawn, after


def _blank() -> View:
    nothing = np.zeros(CROP_SIZE, np.float32)
    half = np.zeros((CROP_SIZE[0] // 2, CROP_SIZE[1] // 2), np.float32)
    rgb = np.zeros((*CROP_SIZE, 3), np.uint8)
    shares = kept_shares(np.zeros((11, *CROP_SIZE), np.uint8))
    points, visibility = np.zeros((33, 2), np.float32), np.zeros(33, np.float32)
    return View(rgb, shares, nothing, points, visibility, rgb.astype(np.float32), nothing, nothing, half)
