"""Training pictures for the garment reader, made on the fly.

Rendered product pictures (grey, with exact parts and key points) get a made or a real print, turned sleeves, a longer
skirt, wrinkles and a background; photographs of real garments come with the mask that the classical cut-out found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.garment.network import SIDE
from vtryon.train.garment_scene import Photograph, background, camera, cloth, colour, hang, noise, shadowed
from vtryon.types import KEYPOINTS, Array

_ID = {name: i for i, name in enumerate(KEYPOINTS)}
_MIRROR = [_ID[n[:-1] + {"l": "r", "r": "l"}.get(n[-1], n[-1])] if n[-2] == "_" else _ID[n] for n in KEYPOINTS]
_SWAP = np.array([0, 1, 3, 2, 4, 5], np.uint8)
_SEAM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))
_GREY = 127.0


@dataclass(frozen=True, eq=False)
class Product:
    """A rendered product picture: ``grey`` (H, W) uint8, ``labels`` (H, W) uint8 0..4, ``points`` (14, 2) px."""

    grey: Array
    labels: Array
    points: Array


@dataclass(frozen=True, eq=False)
class Sample:
    """One training picture of SIDE x SIDE.

    ``rgb`` uint8 and ``known`` (the mask that the second look is given) uint8 0 or 1; ``labels`` uint8 0..4, 5 for a
    garment's unknown part; ``points`` (14, 2) float32 px, NaN where unknown; ``kind`` -1 where unknown.
    """

    rgb: Array
    known: Array
    labels: Array
    points: Array
    kind: int


def mirrored(sample: Sample) -> Sample:
    """The same picture in a mirror: left is right."""
    points = (sample.points[_MIRROR] * [-1, 1] + np.array([SIDE, 0])).astype(np.float32)
    return Sample(sample.rgb[:, ::-1], sample.known[:, ::-1], _SWAP[sample.labels[:, ::-1]], points, sample.kind)


def relit(sample: Sample, rng: np.random.Generator) -> Sample:
    """The same picture a little lighter, darker or tinted."""
    gain = np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    rgb = np.clip(sample.rgb * gain + np.float32(rng.normal(0, 6)), 0, 255).astype(np.uint8)
    return Sample(rgb, sample.known, sample.labels, sample.points, sample.kind)


def cuffs_to_sleeves(labels: Array) -> Array:
    """The inside that shows in the cuffs (label 4 beside a sleeve) counted to the sleeve: it moves with it."""
    count, piece = cv2.connectedComponents((labels == 4).astype(np.uint8))
    fixed = labels.copy()
    for i in range(1, count):
        ring = (cv2.dilate((piece == i).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (labels > 0) & (labels != 4)
        votes = np.bincount(labels[ring], minlength=4)[:4] if ring.any() else np.zeros(4)
        if votes[2:].sum() > votes[1]:
            fixed[piece == i] = 2 + int(np.argmax(votes[2:]))
    return fixed


@dataclass(frozen=True, eq=False)
class _Pose:
    """How a product is laid out: sleeves turned by (2, 3) maps in product pixels, the body below the armpits longer by
    ``stretch`` and wider by ``flare`` at the hem."""

    turns: dict[str, Array]
    pit: Array
    length: float
    stretch: float
    flare: float

    def torso(self, points: Array) -> Array:
        below = np.maximum(points[:, 1] - self.pit[1], 0)
        wide = 1 + (self.flare - 1) * np.clip(below / self.length, 0, 1)
        x = self.pit[0] + (points[:, 0] - self.pit[0]) * wide
        return np.stack([x, points[:, 1] + below * (self.stretch - 1)], 1)

    def torso_back(self, points: Array) -> Array:
        below = np.maximum(points[:, 1] - self.pit[1], 0) / self.stretch
        wide = 1 + (self.flare - 1) * np.clip(below / self.length, 0, 1)
        x = self.pit[0] + (points[:, 0] - self.pit[0]) / wide
        return np.stack([x, points[:, 1] - below * (self.stretch - 1)], 1)

    def all_points(self, points: Array) -> Array:
        moved = self.torso(points)
        for side, turn in self.turns.items():
            ids = [_ID[f"cuff_out_{side}"], _ID[f"cuff_in_{side}"]]
            moved[ids] = _apply(turn, points[ids])
        return moved


class Maker:
    """Draws samples; ``rng`` makes them repeatable."""

    def __init__(
        self, products: Sequence[Product], photographs: Sequence[Photograph], rng: np.random.Generator
    ) -> None:
        self.products, self.photographs, self.rng = products, photographs, rng

    def draw(self) -> Sample:
        """A rendered garment three times out of five, else a photographed one."""
        return self.rendered() if self.rng.random() < 0.6 else self.photographed()

    def rendered(self) -> Sample:
        """A product picture: labels, key points and kind are exact."""
        product = self.products[self.rng.integers(len(self.products))]
        picture = self.dye(product)
        second = self.rng.random() < 0.45
        pose = self._pose(product.points.astype(np.float64))
        rgb, labels, points = self._lay_out(product, picture, pose, second)
        mask = labels > 0
        known = np.zeros(mask.shape, np.uint8)
        if second:
            rgb, known = self._second_look(rgb, mask)
        else:
            rgb = self._compose(rgb, mask, points)
        kind = kind_of(points, pose.stretch)
        return Sample(camera(self.rng, rgb), known, labels, points.astype(np.float32), kind)

    def photographed(self) -> Sample:
        """A photograph: only garment or not, and perhaps its kind, is known."""
        rng = self.rng
        photo = self.photographs[rng.integers(len(self.photographs))]
        height, width = photo.mask.shape
        second = rng.random() < 0.35
        centre, scale = np.array([width, height]) / 2, float(SIDE / max(height, width))
        if second:
            ys, xs = np.nonzero(photo.mask)
            centre = np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / 2
            scale = float(rng.uniform(0.84, 0.96) * SIDE / max(np.ptp(xs), np.ptp(ys)))
        elif rng.random() < 0.5:
            scale = float(scale * rng.uniform(0.85, 1.25))
        tilt = rng.normal(0, 4) if rng.random() < 0.9 else rng.uniform(-25, 25)
        place = _about(centre, np.radians(tilt), scale)
        place[:, 2] += SIDE / 2 - centre + rng.uniform(-2, 2, 2)
        rgb = cv2.warpAffine(photo.rgb, place, (SIDE, SIDE), borderValue=(_GREY, _GREY, _GREY)).astype(np.float32)
        mask = cv2.warpAffine(photo.mask.astype(np.uint8), place, (SIDE, SIDE), flags=cv2.INTER_NEAREST) > 0
        known = np.zeros(mask.shape, np.uint8)
        if second:
            rgb, known = self._second_look(rgb, mask)
        elif rng.random() < 0.3:  # on another background
            rgb = self._compose(rgb, cv2.erode(mask.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0, None)
        unknown = np.full((len(KEYPOINTS), 2), np.nan, np.float32)
        return Sample(camera(rng, rgb), known, np.where(mask, 5, 0).astype(np.uint8), unknown, photo.kind)

    def dye(self, product: Product) -> Array:
        """(H, W, 3) float32 picture of the product in some cloth."""
        rng = self.rng
        height, width = product.grey.shape
        dyed = cloth(rng, self.photographs, height, width)
        if rng.random() < 0.45:
            self._print(product, dyed)
        inside = product.labels == 4
        if inside.any():
            self._line(product, dyed, inside)
        shade: Array = (product.grey.astype(np.float32) / 217) ** rng.uniform(0.3, 1.3)
        if rng.random() < 0.7:  # wrinkles of cloth that lies
            shade = shade * (1 + rng.uniform(0.02, 0.14) * noise(rng, height, width, int(rng.integers(4, 20))))
        return np.asarray(dyed * shade[..., None], np.float32)

    def _print(self, product: Product, dyed: Array) -> None:
        """A print on the chest, drawn into ``dyed``."""
        rng = self.rng
        left, right = product.points[_ID["armpit_l"]], product.points[_ID["armpit_r"]]
        half = rng.uniform([0.07, 0.05], [0.3, 0.4]) * abs(left[0] - right[0]) + 1
        centre = np.array([(left[0] + right[0]) / 2 + rng.normal(0, 3), left[1] + rng.uniform(-8, 25)])
        size = np.array(dyed.shape[1::-1])
        (x0, y0), (x1, y1) = (np.clip(centre + s * half, 0, size).astype(int) for s in (-1, 1))
        if x1 <= x0 + 2 or y1 <= y0 + 2:
            return
        shape = np.ones((y1 - y0, x1 - x0), np.float32)
        if rng.random() < 0.5:
            shape[:] = 0
            middle = (int(x1 - x0) // 2, int(y1 - y0) // 2)
            cv2.ellipse(shape, middle, middle, 0, 0, 360, [1.0], -1)
        patch = cloth(rng, self.photographs, y1 - y0, x1 - x0)
        dyed[y0:y1, x0:x1] += (patch - dyed[y0:y1, x0:x1]) * shape[..., None]

    def _line(self, product: Product, dyed: Array, inside: Array) -> None:
        """Shade the inside of the collar, perhaps in another colour and with the maker's label."""
        rng = self.rng
        if rng.random() < 0.3:
            dyed[inside] = colour(rng)
        dyed[inside] *= rng.uniform(0.6, 1.05)
        if rng.random() < 0.5:
            x = product.points[_ID["collar_c"], 0]
            top = max(
                (product.points[_ID["collar_l"], 1] + product.points[_ID["collar_r"], 1]) / 2 + rng.uniform(0, 4), 0
            )
            box = np.zeros(inside.shape, bool)
            box[int(top) : int(top + rng.uniform(4, 9)), int(x - rng.uniform(3, 8)) : int(x + rng.uniform(3, 8))] = True
            dyed[box & inside] = colour(rng)

    def _pose(self, points: Array) -> _Pose:
        rng = self.rng
        pit = (points[_ID["armpit_l"]] + points[_ID["armpit_r"]]) / 2
        long = rng.random() < 0.3
        stretch = rng.uniform(1.25, 2.6) if long else rng.uniform(0.85, 1.2)
        flare = rng.uniform(0.9, 1.7) if long else 1.0
        hem = max(points[_ID[f"hem_{s}"], 1] for s in "lrc")
        both = _turn_angle(rng)
        turns = {}
        for side, sign in (("l", 1), ("r", -1)):
            angle = sign * np.radians(both + rng.normal(0, 5) if rng.random() < 0.75 else _turn_angle(rng))
            share = 0.1 if angle * sign > 0 else 0.75  # about the shoulder when hanging, about the armpit when raised
            pivot = points[_ID[f"shoulder_{side}"]] * (1 - share) + points[_ID[f"armpit_{side}"]] * share
            turns[side] = _about(pivot, angle, np.exp(rng.normal(0, 0.06)))
        return _Pose(turns, pit, max(float(hem - pit[1]), 1.0), float(stretch), float(flare))

    def _lay_out(self, product: Product, picture: Array, pose: _Pose, second: bool) -> tuple[Array, Array, Array]:
        """Torso and both sleeves drawn into a SIDE x SIDE canvas, each by its own map: rgb, labels, key points."""
        rng = self.rng
        moved = pose.all_points(product.points.astype(np.float64))
        place = self._placing(moved, second)
        wobble = np.stack([noise(rng, SIDE, SIDE, int(rng.integers(3, 7))) for _ in "xy"], -1) * rng.uniform(0, 2.0)
        grid = np.stack(np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5), -1) + wobble
        back = _apply(_inverse(place), grid.reshape(-1, 2))
        rgb, labels = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.uint8)
        for layer in ("torso", "l", "r") if rng.random() < 0.7 else ("l", "r", "torso"):
            if layer == "torso":
                source, own = pose.torso_back(back), (product.labels == 1) | (product.labels == 4)
            else:
                source = _apply(_inverse(pose.turns[layer]), back)
                # with a hem under the torso's edge, so that a turned sleeve leaves no gap at the seam
                sleeve = (product.labels == (2 if layer == "l" else 3)).astype(np.uint8)
                own = (cv2.dilate(sleeve, _SEAM) > 0) & (product.labels > 0) & (product.labels != 4)
            mx, my = (source.reshape(SIDE, SIDE, 2) - 0.5).astype(np.float32).transpose(2, 0, 1)
            seen = cv2.remap(np.where(own, product.labels, 0).astype(np.uint8), mx, my, cv2.INTER_NEAREST)
            tint = cv2.remap(picture, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            drawn = (seen > 0) & ((labels == 0) | (seen > 1) | (layer == "torso"))
            rgb[drawn], labels[drawn] = tint[drawn], seen[drawn]
        points = _apply(place, moved)
        x, y = np.clip(points, 0, SIDE - 1).astype(int).T
        return rgb, labels, points - wobble[y, x]

    def _placing(self, moved: Array, second: bool) -> Array:
        """(2, 3) map from the laid-out product to the canvas: size, tilt, aspect and shift drawn at random."""
        rng = self.rng
        low, high = moved.min(axis=0) - 3, moved.max(axis=0) + 3
        share = rng.uniform(0.84, 0.96) if second else rng.uniform(0.5, 0.95)
        tilt = rng.normal(0, 5) if rng.random() < 0.8 else rng.uniform(-25, 25)
        place = _about((low + high) / 2, np.radians(tilt), share * SIDE / max(high - low))
        place[:, :2] = place[:, :2] @ np.diag(np.exp(rng.normal(0, 0.05, 2)))
        slack = 2.0 if second else (1 - share) * SIDE * 0.45
        centre = _apply(place, (low + high) / 2)
        place[:, 2] += SIDE / 2 - centre + rng.uniform(-slack, slack, 2)
        return place

    def _second_look(self, rgb: Array, mask: Array) -> tuple[Array, Array]:
        """The garment on grey with its mask, now and then a little too wide or too narrow."""
        known = mask.astype(np.uint8)
        if self.rng.random() < 0.3:
            change = cv2.dilate if self.rng.random() < 0.5 else cv2.erode
            known = np.asarray(change(known, np.ones((3, 3), np.uint8)), np.uint8)
        return np.where(known[..., None] > 0, rgb, _GREY), known

    def _compose(self, rgb: Array, mask: Array, points: Array | None) -> Array:
        """Put the garment on a background with its shadow and perhaps a hanger."""
        rng = self.rng
        back = background(rng, self.photographs, SIDE)
        if rng.random() < 0.75:
            back = shadowed(rng, back, mask)
        if points is not None and rng.random() < 0.3:
            width = float(np.linalg.norm(points[_ID["shoulder_l"]] - points[_ID["shoulder_r"]]))
            hang(rng, back, (points[_ID["collar_l"]] + points[_ID["collar_r"]]) / 2, width)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0.6)[..., None]
        return np.asarray(rgb * soft + back * (1 - soft))


def kind_of(points: Array, stretch: float = 1.0) -> int:
    """Index into KINDS from the proportions of key points (14, 2), -1 where between top and dress."""
    p = {name: points[i] for name, i in _ID.items()}
    width = float(np.linalg.norm(p["shoulder_l"] - p["shoulder_r"]))
    body = float(np.linalg.norm((p["hem_l"] + p["hem_r"] - p["armpit_l"] - p["armpit_r"]) / 2))
    if stretch > 1.25:
        return 3 if body > 1.9 * width else -1
    ends = (p["cuff_out_l"] + p["cuff_in_l"] - p["shoulder_l"] - p["armpit_l"]) / 2
    sleeve = float(np.linalg.norm(ends)) / width
    return 0 if sleeve < 0.105 else 1 if sleeve < 0.62 else 2


def _turn_angle(rng: np.random.Generator) -> float:
    """Degrees that a sleeve is turned, positive towards hanging."""
    return float(rng.choice([rng.uniform(-50, 10), rng.normal(0, 10), rng.uniform(5, 50)], p=[0.25, 0.35, 0.4]))


def _about(pivot: Array, angle: float, scale: float) -> Array:
    """(2, 3) turn by ``angle`` radians and scaling about a point."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    return np.concatenate([turn, (pivot - turn @ pivot)[:, None]], 1)


def _apply(place: Array, points: Array) -> Array:
    return np.asarray(points @ place[:, :2].T + place[:, 2])


def _inverse(place: Array) -> Array:
    back = np.linalg.inv(place[:, :2])
    return np.concatenate([back, (-back @ place[:, 2])[:, None]], 1)
