"""What the renderer learns from: rendered pairs with their whole truth, and photographs given back (issue 6).

A *pair* goes in dressed in one top and has to come out in another, laid by the shipped warp or by the truth disturbed.
A *photograph* has to come out as it went in: its own top is taken away, with more than it covered, and handed in as a
warped garment made wrong as real ones are: bent, its outline shifted, its light flattened. Sleeves are not taken off or
added there: in a pair what the warp has is worn, and the two lessons would contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from vtryon.render.filters import fill_in, luminance, masked_blur
from vtryon.render.flow import agreement
from vtryon.render.inputs import KEPT, View, light_hint
from vtryon.train import augment as aug
from vtryon.train import disturb
from vtryon.train.crops import open_crops
from vtryon.train.pairs import PRODUCT
from vtryon.train.scene_store import FRAMES, MOTION, ORIGIN, TOPS, SceneStore, open_scenes, others
from vtryon.train.store import Store
from vtryon.types import CROP_SIZE, WORN_TOP, Array, Label

_GREY = 255 * 0.70 ** (1 / 2.2)  # the rendered tops' albedo as a display value
_SAME = 10.0  # of 255: two pictures that differ by less show the same


@dataclass(frozen=True, eq=False)
class Example:
    """One frame and its truth, all on the crop grid (H, W).

    ``view`` what the network sees; ``truth`` (H, W, 3) uint8; ``mask`` (H, W) float32, the new garment where it is
    seen; ``keep`` (H, W) float32 and how far that is certain, ``keep_known``; ``gain`` (H, W, 3) float32, logarithm of
    the factor from the garment's colours to the truth's, and ``gain_known`` (H, W); ``kind`` (H, W) int8, which of the
    candidates the truth shows where it is to be painted, -1 elsewhere.
    """

    view: View
    truth: Array
    mask: Array
    keep: Array
    keep_known: Array
    gain: Array
    gain_known: Array
    kind: Array


@dataclass(frozen=True, eq=False)
class Clip:
    """Two frames: ``flow`` (H, W, 2) px from each pixel of ``now`` to its place ``before``, as the source's flow tells
    it, ``moved`` the same as it truly is for the result, ``valid`` (H, W) how far the first can be trusted."""

    before: Example
    now: Example
    flow: Array
    moved: Array
    valid: Array


@dataclass(frozen=True, eq=False)
class ExampleMaker:
    """Scenes, photographs, backgrounds (M, 256, 192, 3) and cloths (K, 256, 256, 3) uint8; shares of what is drawn.

    ``photographs`` share of photographs; ``placed`` share of pairs with the warp's own placing, the others have the
    true map, disturbed; ``strides`` over how many frames' time the motion of a photograph's clip goes (METHOD.md:
    {1, 2, 4}; the scenes' two frames have the one that they were rendered with); ``size`` (height, width) of the crops.
    """

    scenes: SceneStore
    people: Store
    backgrounds: Array
    cloths: Array
    photographs: float = 0.4
    placed: float = 0.75
    strides: tuple[int, ...] = (1,)
    size: tuple[int, int] = CROP_SIZE

    def frame(self, rng: np.random.Generator) -> Example:
        """One random frame; everything random comes from ``rng``."""
        if rng.random() < self.photographs:
            return self.photograph(int(rng.choice(self.people.train)), rng)
        return self.pair(int(rng.choice(self.scenes.train)), rng)[0]

    def frames(self, rng: np.random.Generator, count: int, _first: int) -> list[Example]:
        """Random frames; which ones does not depend on how far the training is."""
        return [self.frame(rng) for _ in range(count)]

    def clips(self, rng: np.random.Generator, count: int, _first: int) -> list[Clip]:
        """Random clips."""
        return [self.clip(rng) for _ in range(count)]

    def clip(self, rng: np.random.Generator) -> Clip:
        """Two frames of one person in motion."""
        if rng.random() < self.photographs:
            base = self.photograph(int(rng.choice(self.people.train)), rng)
            return in_motion(base, int(rng.choice(self.strides)), rng)
        scene = int(rng.choice(self.scenes.train))
        now, before, source, result = self.pair(scene, rng, clip=True)
        assert before is not None
        flow = source + disturb.field(source.shape[:2], 0.25, rng)
        return Clip(before, now, flow, result, agreement(before.view.rgb, now.view.rgb, flow))

    def validation(self, pairs: int, photographs: int) -> tuple[list[Example], list[Example]]:
        """Fixed examples of scenes and photographs that are never trained on, evenly spread."""
        scenes = self.scenes.validation[:: max(1, len(self.scenes.validation) // max(pairs, 1))][:pairs]
        people = self.people.validation[:: max(1, len(self.people.validation) // max(photographs, 1))][:photographs]
        clean = replace(self, placed=1.0)
        return (
            [clean.pair(int(n), np.random.default_rng([7, int(n)]), clean=True)[0] for n in scenes],
            [clean.photograph(int(n), np.random.default_rng([7, int(n)])) for n in people],
        )

    def pair(
        self, scene: int, rng: np.random.Generator, *, clip: bool = False, clean: bool = False
    ) -> tuple[Example, Example | None, Array, Array]:
        """A scene's person in one top to be dressed in another.

        Returns the example, the frame before it (None unless a ``clip`` is asked for) and, in crop px, the motion of
        the source and of the result from the one to the other. The scenes' second frame is taken as the one before:
        their flow starts at the first. ``clean`` leaves frame, pose and labels undisturbed.
        """
        new = int(rng.integers(TOPS))
        other = int(rng.integers(TOPS - 1))
        first = 0 if clip or clean else int(rng.integers(FRAMES))
        matrix, mirrored = self._window(scene, others(new)[other], first, rng, clean)
        draw = _PairDraw(
            scene, new, other, matrix, mirrored, aug.cloth_print(self.cloths, rng), aug.cloth_print(self.cloths, rng),
            aug.background(self.backgrounds, self.size, rng), disturb.look(rng),
            rng.random() < self.placed, None if clean else disturb.field(self.size, rng.choice([0.0, 1.0, 3.0]), rng),
        )  # fmt: skip
        hint = clean or rng.random() < 0.5
        now = self._pair_frame(draw, first, rng, hint, clean)
        if not clip:
            return now, None, np.zeros(0), np.zeros(0)
        before = self._pair_frame(draw, 1 - first, rng, hint, clean)
        source, result = (
            aug.sample(self.scenes.motion[scene, top].astype(np.float32) / MOTION, _half(matrix), self.size)
            @ matrix[:, :2].T.astype(np.float32)
            for top in (others(new)[other], new)
        )
        return now, before, source, result

    def _window(self, scene: int, top: int, frame: int, rng: np.random.Generator, clean: bool) -> tuple[Array, bool]:
        pose = self.scenes.pose[scene, top, frame]
        matte = self.scenes.picture[scene, top, frame, ..., 3]
        if clean:
            return aug.frame_crop(pose[:, :2], pose[:, 2], matte).matrix(self.size), False
        matrix = aug.shaken_matrix(aug.random_crop(pose[:, :2], pose[:, 2], matte, rng), self.size, rng)
        mirrored = bool(rng.random() < 0.5)
        if mirrored:
            matrix = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ matrix + np.array([[0, 0, self.size[1]], [0, 0, 0]])
        return matrix, mirrored

    def _pair_frame(self, draw: _PairDraw, frame: int, rng: np.random.Generator, hint: bool, clean: bool) -> Example:
        store, scene, new = self.scenes, draw.scene, draw.new
        old = others(new)[draw.other]
        source, labels, _ = self._worn(draw, old, frame, draw.old_print)
        truth, new_labels, colour = self._worn(draw, new, frame, draw.new_print)
        source, truth = (disturb.seen(p, draw.look) for p in (source, truth))
        if not clean:
            source = disturb.noisy(source, rng)
        mask = soft_edge(new_labels == Label.TOP)
        half = _half(draw.matrix, 0.0 if draw.placed else -0.5)
        if draw.placed:
            at = aug.sample(np.array(store.placed_origin[scene, new, draw.other, frame]), half, self.size)
            planes = aug.sample(np.array(store.placed[scene, new, draw.other, frame]), half, self.size)
            planes = planes.astype(np.float32) * np.float32(1 / 255)
        else:
            at = aug.sample(np.array(store.origin[scene, new, frame]), half, self.size)
            planes = np.zeros((*self.size, 4), np.float32)
            planes[..., 0], planes[..., 1] = _GREY / 255, mask
        at = at.astype(np.float32) / np.float32(ORIGIN)
        if draw.bend is not None:
            bend = draw.bend + (disturb.field(self.size, 0.4, rng) if frame else 0)  # no two placings are the same
            at, planes = disturb.moved(at, bend), disturb.moved(planes, bend)
        shade = np.maximum(planes[..., :1] * np.float32(255 / _GREY), 0.55)
        garment = np.clip(_printed(draw.new_print, at) * shade / 255, 0, 1)
        light = (truth.astype(np.float32) / 255 + 0.05) / (colour * shade / 255 + 0.05)
        same = np.abs(source.astype(np.float32) - truth).max(-1)
        touched = (labels == Label.TOP) | (mask > 0.02)
        hole, told = (disturb.worn(labels), labels) if clean else disturb.misread(labels, rng)
        points, visibility = self._pose(draw, old, frame, rng, clean)
        view = View(
            source, shares(told), hole, points, visibility, garment.astype(np.float32), planes[..., 1].copy(),
            planes[..., 2:].max(-1), _hint(source, hole, hint),
        )  # fmt: skip
        keep = ((same < _SAME) & ~touched & (hole < 0.5)).astype(np.float32)
        keep_known = np.maximum(keep, (touched | (hole > 0.5) | (same > 40)).astype(np.float32))
        gain_known = mask * np.clip(colour.max(-1) * shade[..., 0] / 100, 0, 1)
        gain = np.log(np.clip(light, 0.25, 4))
        return Example(view, truth, mask, keep, keep_known, gain, gain_known, kinds(new_labels, hole, mask))

    def _worn(self, draw: _PairDraw, top: int, frame: int, printed: Array) -> tuple[Array, Array, Array]:
        """Picture (H, W, 3) float32, labels, and the cloth's own colour at every pixel, 0 to 255."""
        store, scene = self.scenes, draw.scene
        rgba = aug.sample(np.array(store.picture[scene, top, frame]), draw.matrix, self.size).astype(np.float32)
        labels = aug.sample(np.array(store.labels[scene, top, frame]), draw.matrix, self.size, nearest=True)
        half = _half(draw.matrix)
        at = aug.sample(np.array(store.origin[scene, top, frame]), half, self.size).astype(np.float32) / ORIGIN
        known = aug.sample(np.array(store.known[scene, top, frame]), half, self.size) > 100
        colour = _printed(printed, at)
        colour[~known] = np.median(printed[::8, ::8].reshape(-1, 3), axis=0)
        soft = soft_edge(labels == Label.TOP)[..., None]
        rgb = rgba[..., :3] * (1 + soft * (colour * np.float32(1 / _GREY) - 1))
        alpha = rgba[..., 3:] * np.float32(1 / 255)
        return np.clip(rgb * alpha + draw.background * (1 - alpha), 0, 255), labels, colour

    def _pose(
        self, draw: _PairDraw, top: int, frame: int, rng: np.random.Generator, clean: bool
    ) -> tuple[Array, Array]:
        pose = self.scenes.pose[draw.scene, top, frame]
        points, visibility = pose[:, :2] @ draw.matrix[:, :2].T + draw.matrix[:, 2], pose[:, 2]
        if draw.mirrored:
            points, visibility = aug.turned(points, visibility)
        points = points.astype(np.float32)
        return (points, visibility) if clean else aug.faulty_pose(points, visibility, rng)

    def photograph(self, index: int, rng: np.random.Generator) -> Example:
        """A photograph to be given back, its own top bent and flattened as the garment."""
        store = self.people
        pose = store.pose[index]
        points, visibility = pose[:, :2], pose[:, 2]
        matrix = aug.shaken_matrix(aug.random_crop(points, visibility, store.matte[index], rng), self.size, rng)
        if rng.random() < 0.5:
            matrix = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ matrix + np.array([[0, 0, self.size[1]], [0, 0, 0]])
            points, visibility = aug.turned(points, visibility)
        points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        rgb = aug.sample(store.picture[index], matrix, self.size, border=128).astype(np.float32)
        labels = aug.sample(store.labels[index], matrix, self.size, nearest=True)
        if rng.random() < 0.15:
            rgb, labels = aug.occlude(rgb, labels, points, rng)
        rgb = aug.camera(aug.recolour(rgb, labels, rng), rng)
        if rng.random() < 0.6:  # in use, a dress below the new hem stays, as a skirt
            hem = float(points[23:25, 1].mean()) + rng.uniform(-0.3, 0.4) * abs(float(points[23, 1] - points[11, 1]))
            below = np.arange(labels.shape[0])[:, None] > hem
            labels = np.where((labels == Label.DRESS) & below, np.uint8(Label.LOWER), labels)
        mask = np.isin(labels, WORN_TOP).astype(np.float32)
        garment, cover, gain = _unworn(rgb, mask, rng)
        hole, told = disturb.misread(labels, rng)
        hole = np.maximum(hole, disturb.more_taken(labels, points, rng))
        points, visibility = aug.faulty_pose(points, visibility, rng)
        none = np.zeros((self.size[0] // 2, self.size[1] // 2), np.float32)  # the worn top's light would give it away
        view = View(rgb, shares(told), hole, points, visibility, garment, cover, np.zeros_like(cover), none)
        stays = ((mask < 0.5) & (hole < 0.5)).astype(np.float32)
        return Example(view, rgb, mask, stays, np.ones_like(stays), gain, mask, kinds(labels, hole, mask))


@dataclass(frozen=True, eq=False)
class _PairDraw:
    """What the frames of one pair share."""

    scene: int
    new: int
    other: int
    matrix: Array
    mirrored: bool
    old_print: Array
    new_print: Array
    background: Array
    look: Array
    placed: bool
    bend: Array | None


def shares(labels: Array) -> Array:
    """(7, H, W) float32 of ``KEPT`` from a label map."""
    table = np.zeros((len(Label), len(KEPT)), np.float32)
    for n, group in enumerate(KEPT):
        table[list(group), n] = 1
    return np.ascontiguousarray(table[labels].transpose(2, 0, 1))


def soft_edge(mask: Array) -> Array:
    """(H, W) float32: a label's edge is a pixel wide in pictures."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0.6))


_KINDS = np.full(len(Label), -1, np.int8)
_KINDS[Label.BACKGROUND] = 0
_KINDS[[Label.LEFT_ARM, Label.RIGHT_ARM]] = 1
_KINDS[Label.FACE] = 2
_KINDS[[Label.LOWER, Label.LEGS]] = 3
_KINDS[list(WORN_TOP)] = 4


def kinds(labels: Array, hole: Array, mask: Array) -> Array:
    """Which of the candidates the true labels mean, where something is painted; -1 elsewhere, and for other labels."""
    return np.asarray(np.where((hole > 0.5) | (mask > 0.5), _KINDS[labels], -1), np.int8)


def _half(matrix: Array, first: float = -0.5) -> Array:
    """The same map for arrays of every second pixel; ``first``: where their corner lies in the picture."""
    half: Array = matrix.copy()
    half[:, :2] *= 2
    half[:, 2] += matrix[:, :2] @ (first, first)
    return half


def _printed(cloth: Array, at: Array) -> Array:
    """(H, W, 3) float32 colours of a print (256, 256, 3) at product px ``at`` (H, W, 2)."""
    x, y = at[..., 0] * (256 / PRODUCT[1]) - 0.5, at[..., 1] * (256 / PRODUCT[0]) - 0.5
    found = cv2.remap(cloth.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(found, (3, 3), 0.6), np.float32)  # a print is finer than the crop


def _hint(rgb: Array, hole: Array, given: bool) -> Array:
    if not given:
        return np.zeros((hole.shape[0] // 2, hole.shape[1] // 2), np.float32)
    return light_hint(rgb, (hole > 0.5).astype(np.float32))


def _unworn(rgb: Array, mask: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A worn top (H, W) of a picture as a wrong warp would have it: colours, coverage, and what undoes the light."""
    light = luminance(rgb)
    solid = cv2.erode(mask, np.ones((3, 3), np.uint8))
    level = float(np.median(light[solid > 0.5])) if (solid > 0.5).sum() > 20 else 0.5
    coarse = masked_blur(light, np.maximum(solid, 1e-3), float(rng.uniform(2.0, 8.0)))
    flat = np.clip((coarse + 0.05) / (level + 0.05), 0.3, 3.0) ** rng.uniform(0.5, 1.0)
    # a product's cloth goes on past its outline
    picture = fill_in(rgb.astype(np.float32) / 255 / flat[..., None], solid)
    bright = float(np.percentile(picture[mask > 0.5], 95)) if mask.any() else 1.0
    exposure = np.exp(rng.normal(0, 0.05, 3)) * min(float(np.exp(rng.normal(0.1, 0.25))), 1.0 / max(bright, 0.05))
    bend = disturb.field(mask.shape, float(rng.choice([0.5, 1.5, 3.0])), rng)
    grown = disturb.outline(mask, rng)
    garment = disturb.moved(np.clip(picture * exposure, 0, 1).astype(np.float32), bend)
    gain = np.log(np.clip(flat[..., None] / exposure, 0.25, 4))
    return garment, disturb.moved(grown, bend), gain.astype(np.float32)


def in_motion(base: Example, stride: int, rng: np.random.Generator) -> Clip:
    """A photograph's example set in motion: camera and body move smoothly over ``stride`` frames, the flow is exact."""
    size = base.mask.shape
    flow = disturb.field(size, 1.2 * stride, rng) + disturb.camera_motion(size, stride, rng)
    view = base.view
    at = np.clip(view.points, 0, np.array(size[::-1]) - 1).astype(int)
    jitter = flow + disturb.field(size, 0.4, rng)  # no two placings are the same
    now = View(
        disturb.noisy(disturb.moved(view.rgb, flow), rng),
        disturb.moved(view.shares.transpose(1, 2, 0), flow).transpose(2, 0, 1).copy(),
        disturb.moved(view.hole, flow), view.points - flow[at[:, 1], at[:, 0]], view.visibility,
        disturb.moved(view.garment, jitter), disturb.moved(view.torso, jitter), disturb.moved(view.sleeves, jitter),
        view.light,
    )  # fmt: skip
    names = ("truth", "mask", "keep", "keep_known", "gain", "gain_known")
    truth = {name: disturb.moved(getattr(base, name), flow) for name in names}
    example = replace(base, view=now, kind=disturb.moved(base.kind, flow, nearest=True), **truth)
    told = flow + disturb.field(size, 0.25, rng)
    return Clip(base, example, told, flow, agreement(view.rgb, now.rgb, told))


def open_examples(cache: Path) -> ExampleMaker:
    """Over what is prepared in ``cache``; raises :class:`~vtryon.errors.MissingInputError` where something is not."""
    crops = open_crops(cache)
    return ExampleMaker(open_scenes(cache), crops.people, crops.backgrounds, crops.cloths)
