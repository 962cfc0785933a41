"""People to be dressed, with the truth, for the refiner's examples: rendered scenes, and photographs painted over.

What the network has to tell is where the source's own pixel is to be seen again. On a rendered scene in two tops that
is known; on a photograph it is made: an old top is painted over the person's own and over arms, hips and neck, and the
garment to put on is the person's own top, cut out, or another one, before which hands, hair and things carried stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from vtryon.errors import BadInputError
from vtryon.evaluate.scenes import Scene, dyed, make_background, make_print
from vtryon.garment import prepare
from vtryon.planes import smoothstep
from vtryon.render.filters import fill_in
from vtryon.train import augment as aug
from vtryon.train import disturb
from vtryon.train.pairs import PICTURE, PRODUCT
from vtryon.train.scene_store import TOPS, continued, others
from vtryon.train.store import Store
from vtryon.types import WORN_TOP, Array, Garment, GarmentKind, Label

_ALIKE = (0.16, 0.06)  # of a colour in [0, 1]: two pictures show the same thing
_SMALLEST = 60.0  # px from shoulders to hips: of anybody smaller nothing is to be learned
_LENGTHS = (1.0, 1.0, 0.5)  # of sleeves that are painted, beside any other length; 1 reaches the wrist
_LEAST = 300  # px that are painted beyond the own top
_ARMS = (Label.LEFT_ARM, Label.RIGHT_ARM)
_LEGS = (Label.LOWER, Label.LEGS)
_CHAINS = ((Label.LEFT_ARM, (11, 13, 15)), (Label.RIGHT_ARM, (12, 14, 16)))


@dataclass(frozen=True, eq=False)
class Case:
    """``garment`` to be put on the person of a picture (H, W), and what is known of the result.

    ``truth`` (H, W, 3) uint8 where ``known`` (H, W); ``stays`` (H, W), where the source's own pixel is to be seen, as
    far as that is ``told`` (H, W); all but ``truth`` float32 in [0, 1].
    """

    garment: Garment
    truth: Array
    known: Array
    stays: Array
    told: Array


def printed(cloths: Array, rng: np.random.Generator) -> Array:
    """(512, 384, 3) uint8 cloth: made up, or with a piece of a real one."""
    if rng.random() < 0.4:
        return make_print(rng)
    small = np.clip(aug.cloth_print(cloths, rng), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, PRODUCT[::-1], interpolation=cv2.INTER_LINEAR))


def in_cloth(garment: Garment, cloth: Array) -> Garment:
    """A grey garment of the scenes in ``cloth`` (512, 384, 3)."""
    inside = garment.alpha > 0.9
    rgb = continued(dyed(garment.rgb, cloth), inside)
    return replace(garment, rgb=rgb, cloth=np.median(rgb[inside], axis=0).astype(np.uint8))


def scene_cases(scene: Scene, backgrounds: Array, cloths: Array, rng: np.random.Generator) -> tuple[Array, list[Case]]:
    """The person of a scene in one of its tops (384, 288, 3) uint8, to be dressed in either of the others."""
    old = int(rng.integers(TOPS))
    table = disturb.look(rng) if rng.random() < 0.6 else np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)
    made = rng.random() < 0.5
    behind = scene.brightness(old) * make_background(rng) if made else aug.background(backgrounds, PICTURE, rng)
    source = disturb.seen(scene.worn(old, printed(cloths, rng), behind), table)
    everywhere, cases = np.ones(PICTURE, np.float32), []
    for new in others(old):
        cloth = printed(cloths, rng)
        truth = disturb.seen(scene.worn(new, cloth, behind), table)
        same = smoothstep(*_ALIKE, np.abs(truth.astype(np.float32) - source).max(-1) / np.float32(255))
        stays = same * (scene.labels(new) != Label.TOP)
        garment = in_cloth(scene.garment(new), cloth)
        cases.append(Case(garment, truth, everywhere, stays.astype(np.float32), everywhere))
    return _noisy(source, rng), cases


@dataclass(frozen=True, eq=False)
class Wardrobe:
    """Garments to put on people in photographs: those of some scenes, grey, and ``cloths`` (K, 256, 256, 3) uint8 to
    make them of."""

    garments: Sequence[Garment]
    cloths: Array

    @staticmethod
    def of(scenes: Sequence[Scene], cloths: Array) -> Wardrobe:
        return Wardrobe([scene.garment(top) for scene in scenes for top in range(TOPS)], cloths)

    def any(self, rng: np.random.Generator) -> Garment:
        """One of them, of any cloth."""
        return in_cloth(self.garments[int(rng.integers(len(self.garments)))], printed(self.cloths, rng))


def photograph_cases(
    people: Store, which: int, wardrobe: Wardrobe, rng: np.random.Generator
) -> tuple[Array, list[Case]] | None:
    """Photograph number ``which`` in a painted old top (H, W, 3) uint8, to be dressed in its own top and in another;
    None where nothing is to be learned from it."""
    rgb, labels, points = np.array(people.picture[which]), np.array(people.labels[which]), people.pose[which, :, :2]
    over = Over.some(labels, points, rng)
    if over is None:
        return None
    source = painted(rgb, labels, over.old, points, over.size, printed(wardrobe.cloths, rng), rng)
    cases = [_in_another(rgb, labels, over.old, over.along, wardrobe.any(rng))]
    if over.own_ends:
        try:
            garment = cut_out(rgb, over.own, 0.1 * over.size)
        except BadInputError:
            pass
        else:
            everywhere = np.ones(labels.shape, np.float32)
            cases.append(Case(garment, rgb, everywhere, (~over.old & ~over.own).astype(np.float32), everywhere))
    return _noisy(source, rng), cases


@dataclass(frozen=True, eq=False)
class Over:
    """Where an ``old`` top (H, W) bool may be painted over somebody and their ``own``; ``along`` each arm (H, W) how
    far down it a pixel is, 0 at the shoulder, 1 at the wrist; ``size`` px from shoulders to hips; ``own_ends``, whether
    it is seen where the own top ends: what is worn under a jacket ends where nobody sees it."""

    own: Array
    old: Array
    along: dict[Label, Array]
    size: float
    own_ends: bool

    @staticmethod
    def some(labels: Array, points: Array, rng: np.random.Generator) -> Over | None:
        """Over the person of ``labels`` (H, W) of :class:`Label` with landmarks ``points`` (33, 2) px; None where there
        is too little of a person or nothing to paint."""
        size = float(np.linalg.norm(points[[23, 24]].mean(0) - points[[11, 12]].mean(0)))
        own = np.isin(labels, WORN_TOP)
        if size < _SMALLEST or own.sum() < 0.15 * size * size:
            return None
        along = {label: _along(points[list(chain)], labels.shape) for label, chain in _CHAINS}
        old = old_top(labels, points, along, size, rng)
        if (old & ~own).sum() < _LEAST:
            return None
        return Over(own, old, along, size, bool((labels == Label.OUTER).sum() < 0.1 * own.sum()))


def old_top(labels: Array, points: Array, along: dict[Label, Array], size: float, rng: np.random.Generator) -> Array:
    """(H, W) bool: where an old top larger than the own one may have been: sleeves, a longer hem, a higher collar.

    ``labels`` (H, W) of :class:`Label`, ``points`` (33, 2) px, ``along`` each arm (H, W) how far down it a pixel is, 0
    at the shoulder, 1 at the wrist; ``size`` px from shoulders to hips.
    """
    rows = np.arange(labels.shape[0], dtype=np.float32)[:, None]
    region = np.isin(labels, WORN_TOP)
    if rng.random() < 0.85:
        length = rng.choice([*_LENGTHS, rng.uniform(0.3, 1)])
        for label, far in along.items():
            region |= (labels == label) & (far < length)
    if rng.random() < 0.7:
        region |= np.isin(labels, _LEGS) & (rows < points[[23, 24], 1].mean() + size * rng.uniform(-0.2, 0.35))
    if rng.random() < 0.5:
        chin = 1.75 * points[[9, 10], 1].mean() - 0.75 * points[0, 1]
        region |= (labels == Label.FACE) & (rows > chin + rng.uniform(0.02, 0.2) * size)
    k = int(rng.integers(1, max(2, int(0.08 * size))))
    wide = cv2.dilate(region.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * k + 1, 2 * k + 1))) > 0
    before = np.isin(labels, (Label.HAIR, Label.FACE, *_ARMS, Label.CARRIED))
    return np.asarray(region | (wide & ~before))


def painted(
    rgb: Array, labels: Array, where: Array, points: Array, size: float, cloth: Array, rng: np.random.Generator
) -> Array:
    """The picture (H, W, 3) uint8 with ``cloth`` (512, 384, 3) painted ``where`` (H, W) bool, in the light and with the
    folds of what it covers."""
    h, w = labels.shape
    light = rgb.astype(np.float32).mean(-1)
    shade = np.ones((h, w), np.float32)
    for kinds in (WORN_TOP, _ARMS, _LEGS, (Label.FACE,)):
        inside = np.isin(labels, kinds) & where
        if inside.sum() > 20:
            shade[inside] = np.clip(light[inside] / max(float(np.median(light[inside])), 8.0), 0.4, 1.7)
    nodes = rng.normal(0, 0.12, (int(h / (0.12 * size)) + 2, int(w / (0.12 * size)) + 2)).astype(np.float32)
    folds = cv2.resize(nodes, (w, h), interpolation=cv2.INTER_CUBIC)
    shade = cv2.GaussianBlur(shade, (0, 0), 0.02 * size) * np.exp(folds)
    zoom = float(rng.uniform(0.5, 1.2)) * size / 200
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x, y = (x - points[12, 0] + 40) / zoom + 90, (y - points[12, 1] + 60) / zoom + 60
    pattern = cv2.remap(cloth, x % PRODUCT[1], y % PRODUCT[0], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    exposure = np.percentile(rgb.max(-1), 95) / 255 * rng.uniform(0.75, 1.05)
    paint = np.clip(pattern * shade[..., None] * exposure, 0, 255)
    soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 0.8)[..., None]
    return np.asarray(np.clip(rgb + soft * (paint - rgb), 0, 255), np.uint8)


def _in_another(rgb: Array, labels: Array, old: Array, along: dict[Label, Array], garment: Garment) -> Case:
    """In a garment without truth: hair, things carried, hands and, unless its sleeves are long, forearms stay before
    it; arms in long sleeves do not, and the old top never does."""
    stays, covered = np.isin(labels, (Label.HAIR, Label.CARRIED)), old.copy()
    long = garment.kind == GarmentKind.LONG_SLEEVE
    for label, far in along.items():
        stays |= (labels == label) & (far > (1.05 if long else 0.6))
        covered |= (labels == label) & (far < 0.85) & long
    stays &= ~old
    return Case(garment, rgb, *(part.astype(np.float32) for part in (stays, stays, stays | covered)))


def cut_out(rgb: Array, own: Array, margin: float) -> Garment:
    """The top ``own`` (H, W) bool of a picture (H, W, 3) uint8 as a garment of its own, ``margin`` px around it; where
    hands and hair lay before it, cloth goes on under them. :class:`BadInputError` where it is not one."""
    solid = cv2.morphologyEx(own.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole: Any = cv2.drawContours(np.zeros_like(solid), outlines, -1, (1,), -1)
    picture = fill_in(rgb.astype(np.float32), own.astype(np.float32))
    picture = np.where(((whole > 0) & ~own)[..., None], picture, rgb).astype(np.uint8)
    ys, xs = np.nonzero(own)
    m = int(margin)
    at = slice(max(0, ys.min() - m), ys.max() + m), slice(max(0, xs.min() - m), xs.max() + m)
    zoom = max(1.0, 400 / (at[0].stop - at[0].start))
    picture, alpha = (
        cv2.resize(np.ascontiguousarray(p[at]), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
        for p in (picture, whole.astype(np.float32))
    )
    return prepare(picture, alpha)


def _noisy(picture: Array, rng: np.random.Generator) -> Array:
    noise = rng.normal(0, abs(float(rng.normal(0, 2))), picture.shape)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)


def _along(joints: Array, size: tuple[int, ...]) -> Array:
    """(H, W) float32: how far along shoulder (0), elbow (0.5) and wrist (1) the nearest place of an arm is, past 1 on
    the hand; ``joints`` (3, 2) px."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    best, along = np.full(size, np.inf, np.float32), np.zeros(size, np.float32)
    for n, (a, b, longest) in enumerate(((joints[0], joints[1], 1.0), (joints[1], joints[2], 1.6))):
        v = b - a
        t = np.clip(((x - a[0]) * v[0] + (y - a[1]) * v[1]) / max(float(v @ v), 1e-3), 0, longest)
        distance = np.hypot(x - a[0] - t * v[0], y - a[1] - t * v[1])
        nearer = distance < best
        best, along = np.where(nearer, distance, best), np.where(nearer, (n + t) / 2, along)
    return np.asarray(along, np.float32)


def misjudged(labels: Array, rng: np.random.Generator) -> Array:
    """Label shares (11, H, W) uint8 with the parser's worst mistakes: pieces of arms, hair and things carried beside
    the old top taken for it in part, and pieces of it for them. On what it was trained on it errs too little."""
    shares = labels.astype(np.float32)
    front = [Label.HAIR, Label.FACE, *_ARMS, Label.CARRIED]
    top = shares[list(WORN_TOP)].sum(0)
    reach = (int(rng.integers(5, 16)) | 1,) * 2
    lost, found = (_doubt(labels.shape[1:], rng) for _ in range(2))
    lost *= cv2.blur(cv2.dilate((top > 100).astype(np.float32), np.ones(reach)), (5, 5))
    moved = shares[front] * lost
    near = cv2.blur(shares[front].transpose(1, 2, 0), (15, 15)).transpose(2, 0, 1)
    found *= np.clip(near.sum(0) / 64, 0, 1) * 0.6
    back = shares[list(WORN_TOP)] * found
    shares[front] += back.sum(0) * near / np.maximum(near.sum(0), 1) - moved
    shares[list(WORN_TOP)] -= back
    shares[Label.TOP] += moved.sum(0)
    return np.asarray(np.clip(np.rint(shares), 0, 255), np.uint8)


def _doubt(size: tuple[int, ...], rng: np.random.Generator) -> Array:
    """(H, W) float32: soft spots of doubt, most of it without any."""
    nodes = rng.normal(-0.6, 1.0, (16, 12)).astype(np.float32)
    return np.clip(cv2.resize(nodes, size[::-1], interpolation=cv2.INTER_CUBIC), 0, 1) * np.float32(rng.uniform(0.4, 1))
