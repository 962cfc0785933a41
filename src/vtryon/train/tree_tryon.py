"""What the renderer learns from on a data set of the field: people to be given back in the garment that they wear.

The worn garment is taken away, arms now and then with it, and its product picture comes in as the warp lays it; the
frame is the truth (METHOD.md section 2). Clips are two frames of the source, with the source's flow, eq. (8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vtryon.render.filters import luminance, masked_blur
from vtryon.render.flow import SourceFlow
from vtryon.render.inputs import View, light_hint
from vtryon.render.learned import Cloth
from vtryon.train import disturb
from vtryon.train.laid import LaidClip
from vtryon.train.tree import TreeData, Worn
from vtryon.train.tryon_data import Clip, Example, in_motion, kinds, shares, soft_edge
from vtryon.types import CROP_SIZE, WORN_TOP, Array

_SMOOTH = 4.0  # px: light is only told where it is coarser than the warp's mistakes


@dataclass(frozen=True, eq=False)
class TreeExamples:
    """Examples of a data set's frames; ``cloths`` the laid garments by the clip's name, ``strides`` how many moments
    lie between the frames of a clip, ``size`` (height, width) of the crops."""

    data: TreeData
    cloths: Mapping[str, LaidClip]
    seed: int
    strides: tuple[int, ...] = (1,)
    size: tuple[int, int] = CROP_SIZE

    def frames(self, rng: np.random.Generator, count: int, first: int) -> list[Example]:
        """Frames number ``first`` and following of the training (:meth:`~vtryon.train.tree.TreeData.turn`)."""
        places = self.data.turn(self.seed, first, count)
        return [cut(self.example(self.data.train[i], int(n), rng), *self._corner(rng), self.size) for i, n in places]

    def clips(self, rng: np.random.Generator, count: int, first: int) -> list[Clip]:
        """The same frames, each with one before it; single pictures are set in motion."""
        places = self.data.turn(self.seed, first, count)
        return [self._piece(self.clip(self.data.train[i], int(n), rng), rng) for i, n in places]

    def held_out(self, count: int) -> tuple[list[Example], list[Clip]]:
        """Fixed examples and clips of what is not trained on."""
        shown = self.data.shown(count)
        examples = [
            self.example(worn, n, np.random.default_rng([7, i]), clean=True) for i, (worn, n) in enumerate(shown)
        ]
        clips = [
            self.clip(worn, n, np.random.default_rng([7, i]), clean=True) for i, (worn, n) in enumerate(shown[::3])
        ]
        return examples, clips

    def clip(self, worn: Worn, n: int, rng: np.random.Generator, *, clean: bool = False) -> Clip:
        """Moment ``n`` and one before it, with the flow of the source between them."""
        strides = [stride for stride in self.strides if worn.clip.follows(n, stride)]
        now = self.example(worn, n, rng, clean=clean)
        if not strides:
            return in_motion(now, int(rng.choice(self.strides)), rng)
        stride = int(rng.choice(strides))
        before = self.example(worn, n - stride, rng, clean=clean)
        if stride == 1:
            moment = worn.clip[n]
            return Clip(before, now, moment.flow, moment.flow, moment.valid)
        flow = SourceFlow()(before.truth, now.truth)
        return Clip(before, now, flow.backward, flow.backward, flow.valid)

    def example(self, worn: Worn, n: int, rng: np.random.Generator, *, clean: bool = False) -> Example:
        """One frame to be given back; ``clean`` leaves labels as they are and takes away no more than the garment."""
        moment, cloth = worn.clip[n], self.cloths[worn.name][n]
        mask = soft_edge(np.isin(moment.labels, WORN_TOP))
        if clean:
            hole, told = disturb.worn(moment.labels), moment.labels
        else:
            hole, told = disturb.misread(moment.labels, rng)
            hole = np.maximum(hole, disturb.more_taken(moment.labels, moment.points, rng))
        hint = light_hint(moment.rgb, (hole > 0.5).astype(np.float32))
        if not clean and rng.random() < 0.5:
            hint = np.zeros_like(hint)
        view = View(
            moment.rgb, shares(told), hole, moment.points, moment.visibility, cloth.rgb, cloth.torso, cloth.sleeves,
            hint,
        )  # fmt: skip
        stays = ((mask < 0.02) & (hole < 0.5)).astype(np.float32)
        gain, known = _light(moment.rgb, cloth, mask)
        return Example(
            view, moment.rgb, mask, stays, np.ones_like(stays), gain, known, kinds(moment.labels, hole, mask)
        )

    def _corner(self, rng: np.random.Generator) -> tuple[int, int]:
        """A random place, even on both sides, for a piece of ``size`` in the crop."""
        top, left = (
            2 * int(rng.integers((whole - side) // 2 + 1)) for whole, side in zip(CROP_SIZE, self.size, strict=True)
        )
        return top, left

    def _piece(self, clip: Clip, rng: np.random.Generator) -> Clip:
        top, left = self._corner(rng)
        where = np.s_[top : top + self.size[0], left : left + self.size[1]]
        before, now = (cut(example, top, left, self.size) for example in (clip.before, clip.now))
        return Clip(before, now, clip.flow[where], clip.moved[where], clip.valid[where])


def cut(example: Example, top: int, left: int, size: tuple[int, int]) -> Example:
    """A piece of an example; ``top`` and ``left`` are even."""
    where = np.s_[top : top + size[0], left : left + size[1]]
    half = np.s_[top // 2 : (top + size[0]) // 2, left // 2 : (left + size[1]) // 2]
    view = example.view
    small = View(
        view.rgb[where], view.shares[:, where[0], where[1]], view.hole[where], view.points - (left, top),
        view.visibility, view.garment[where], view.torso[where], view.sleeves[where], view.light[half],
    )  # fmt: skip
    planes = {
        name: getattr(example, name)[where]
        for name in ("truth", "mask", "keep", "keep_known", "gain", "gain_known", "kind")
    }
    return replace(example, view=small, **planes)


def _light(rgb: Array, cloth: Cloth, mask: Array) -> tuple[Array, Array]:
    """Logarithm (H, W, 3) of how much lighter the garment is worn than in its picture, and how far it is known (H, W).

    Coarse: the warp does not lie true to the pixel.
    """
    both = np.asarray(mask * cloth.alpha, np.float32)
    solid = cv2.erode(both, np.ones((3, 3), np.uint8))
    worn, plain = (masked_blur(luminance(picture), solid, _SMOOTH) for picture in (rgb, cloth.rgb))
    gain = np.log(np.clip((worn + 0.05) / (plain + 0.05), 0.25, 4)).astype(np.float32)
    return np.repeat(gain[..., None], 3, axis=2), np.asarray(
        both * (masked_blur(solid, np.ones_like(solid), 2) > 0.2), np.float32
    )
