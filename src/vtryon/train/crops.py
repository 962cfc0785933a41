"""Training and validation crops for the parser from prepared photographs and rendered people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vtryon.errors import MissingInputError
from vtryon.train import augment as aug
from vtryon.train.store import Store, open_store
from vtryon.types import CROP_SIZE, Array, Label

_LINEAR_GREY = 0.70 ** (1 / 2.2)  # the rendered tops' albedo as a display value


@dataclass(frozen=True, eq=False)
class CropMaker:
    """Both stores, the backgrounds (M, 256, 192, 3) and cloths (K, 256, 256, 3) uint8, and the share of photographs.

    ``size`` (height, width) of the training crops; validation crops are always of the run-time size.
    """

    people: Store
    pairs: Store
    backgrounds: Array
    cloths: Array
    photographs: float = 0.6
    size: tuple[int, int] = CROP_SIZE

    def training(self, rng: np.random.Generator) -> aug.Crops:
        """One random crop; everything random comes from ``rng``."""
        if rng.random() < self.photographs:
            crop = self._person(int(rng.choice(self.people.train)), rng)
        else:
            crop = self._pair(int(rng.choice(self.pairs.train)), rng)
        return aug.mirrored(crop) if rng.random() < 0.5 else crop

    def validation(self) -> tuple[list[aug.Crops], list[aug.Crops]]:
        """Photographs as they are in the run-time window, and rendered scenes with fixed prints and backgrounds."""
        people = [self._person(int(i), None) for i in self.people.validation]
        pairs = [self._pair(int(i), np.random.default_rng([7, int(i)]), clean=True) for i in self.pairs.validation]
        return people, pairs

    def _person(self, index: int, rng: np.random.Generator | None) -> aug.Crops:
        store = self.people
        points, visibility = store.pose[index, :, :2], store.pose[index, :, 2]
        size = CROP_SIZE if rng is None else self.size
        if rng is None:
            matrix = aug.frame_crop(points, visibility, store.matte[index]).matrix()
        else:
            matrix = aug.shaken_matrix(aug.random_crop(points, visibility, store.matte[index], rng), size, rng)
        rgb = aug.sample(store.picture[index], matrix, size, border=128)
        labels = aug.sample(store.labels[index], matrix, size, nearest=True)
        matte = aug.sample(store.matte[index], matrix, size).astype(np.float32) / np.float32(255)
        points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        if rng is None:
            return aug.Crops(rgb, labels, matte, points, visibility)
        picture = rgb.astype(np.float32)
        if rng.random() < 0.5:
            mask = cv2.erode((labels > 0).astype(np.uint8), np.ones((2, 2), np.uint8)).astype(np.float32)
            alpha = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None]
            behind = aug.background(self.backgrounds, size, rng)
            picture = picture * alpha + behind * (1 - alpha)
        return _finish(aug.recolour(picture, labels, rng), labels, matte, points, visibility, rng)

    def _pair(self, index: int, rng: np.random.Generator, clean: bool = False) -> aug.Crops:
        store = self.pairs
        assert store.texture is not None
        points, visibility = store.pose[index, :, :2], store.pose[index, :, 2]
        size = CROP_SIZE if clean else self.size
        if clean:
            matrix = aug.frame_crop(points, visibility, store.matte[index]).matrix()
        else:
            matrix = aug.shaken_matrix(aug.random_crop(points, visibility, store.matte[index], rng), size, rng)
        rgba = aug.sample(store.picture[index], matrix, size).astype(np.float32)
        labels = aug.sample(store.labels[index], matrix, size, nearest=True)
        matte = aug.sample(store.matte[index], matrix, size).astype(np.float32) / np.float32(255)
        texture = aug.sample(store.texture[index], matrix, size, nearest=True)
        points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
        rgb, alpha = rgba[..., :3], rgba[..., 3:] / np.float32(255)
        rgb = _dress(rgb, labels, texture, aug.cloth_print(self.cloths, rng))
        rgb = aug.recolour(rgb, np.where(labels == Label.TOP, 0, labels), rng)
        inside = aug.sample(np.full(store.labels.shape[1:], 255, np.uint8), matrix, size) > 127
        picture = rgb * alpha + aug.background(self.backgrounds, size, rng) * (1 - alpha)
        picture[~inside] = 128
        if clean:
            return aug.Crops(np.clip(picture, 0, 255).astype(np.uint8), labels, matte, points, visibility)
        return _finish(picture, labels, matte, points, visibility, rng)


def _dress(rgb: Array, labels: Array, texture: Array, printed: Array) -> Array:
    """The grey top times a print: light and cloth separate (data/pairs/README.md)."""
    top = labels == Label.TOP
    colour = printed[texture[top][:, 1], texture[top][:, 0]]
    colour[texture[top][:, 2] == 0] = np.median(printed.reshape(-1, 3), axis=0)
    cloth = np.full_like(rgb, 255 * _LINEAR_GREY)
    cloth[top] = colour
    soft = cv2.GaussianBlur(top.astype(np.float32), (0, 0), 0.6)[..., None]
    return np.asarray(rgb * (1 - soft) + soft * rgb * cv2.blur(cloth, (2, 2)) / (255 * _LINEAR_GREY), np.float32)


def _finish(
    picture: Array, labels: Array, matte: Array, points: Array, visibility: Array, rng: np.random.Generator
) -> aug.Crops:
    if points[11, 0] - points[12, 0] > 20 and rng.random() < 0.15:
        picture, labels = aug.from_behind(picture, labels, points, rng)
        points, visibility = aug.turned(points, visibility)
    if rng.random() < 0.3:
        picture, labels = aug.occlude(picture, labels, points, rng)
    seen, trust = aug.faulty_pose(points, visibility, rng)
    return aug.Crops(aug.camera(picture, rng), labels, aug.faulty_matte(matte, rng), seen, trust)


def open_crops(cache: Path) -> CropMaker:
    """The crop maker over prepared stores in ``cache``; raises :class:`MissingInputError` where they are missing."""
    parts = {name: cache / f"{name}.npy" for name in ("back", "cloth")}
    for path in parts.values():
        if not path.is_file():
            raise MissingInputError(f"no prepared pictures at {path}: give the data too")
    back, cloth = (np.load(path, mmap_mode="r") for path in parts.values())
    return CropMaker(open_store(cache, "people"), open_store(cache, "pairs"), back, cloth)
