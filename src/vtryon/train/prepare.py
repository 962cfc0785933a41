"""Prepare the parser's training pictures once: landmarks, mattes and our labels, packed for memory-mapped reading.

Reads the layout of ``data/`` (people, pairs, garments; see their README) and writes what
:mod:`vtryon.train.store` opens: about 2.2 GB, in a few minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from PIL import Image

from vtryon.train.people import people_labels, read_names
from vtryon.train.store import made, require
from vtryon.types import LANDMARKS, Array, Label

PEOPLE_SIZE = (560, 384)
"""Height and width of the canvas that a photograph is put on, whole."""

PAIRS_SIZE = (384, 288)

PAIRS_LABELS = np.array([Label.BACKGROUND, Label.HAIR, Label.FACE, Label.TOP, Label.LOWER, Label.LEFT_ARM,
                          Label.RIGHT_ARM, Label.LEGS], np.uint8)  # fmt: skip
"""Label of each number in a rendered scene's label map."""

Report = Callable[[str, int, int], None]
"""Told the name of the store, pictures done, pictures in all."""


class _Analyst:
    """Landmarks and matte of single, unrelated pictures."""

    def __enter__(self) -> Self:
        import mediapipe

        self._pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1, enable_segmentation=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._pose.close()

    def __call__(self, rgb: Array) -> tuple[Array, Array] | None:
        """(33, 3) x, y px and visibility, (H, W) uint8 matte; None where nobody is found."""
        found = self._pose.process(np.ascontiguousarray(rgb))
        if found.pose_landmarks is None:
            return None
        h, w = rgb.shape[:2]
        points = np.array([[p.x * w, p.y * h, p.visibility] for p in found.pose_landmarks.landmark], np.float32)
        return points, (np.clip(found.segmentation_mask, 0, 1) * 255).astype(np.uint8)


class _Packer:
    """Writes one store picture by picture; the index comes last, so that a broken run leaves no store."""

    def __init__(self, cache: Path, name: str, count: int, parts: dict[str, tuple[int, ...]]) -> None:
        self._index = cache / f"{name}.npz"
        self._index.unlink(missing_ok=True)
        create: Any = np.lib.format.open_memmap
        self._arrays: dict[str, Any] = {
            part: create(cache / f"{name}_{part}.npy", "w+", np.uint8, (count, *shape)) for part, shape in parts.items()
        }
        self._pose = np.zeros((count, LANDMARKS, 3), np.float32)
        self._found = np.zeros(count, bool)
        self._ids: list[str] = []

    def add(self, identity: str, pose: Array | None, **parts: Array) -> None:
        at = len(self._ids)
        self._ids.append(identity)
        for part, value in parts.items():
            self._arrays[part][at] = value
        if pose is not None:
            self._pose[at], self._found[at] = pose, True

    def close(self) -> None:
        for array in self._arrays.values():
            array.flush()
        np.savez(self._index, pose=self._pose, ids=np.array(self._ids), ok=self._found)


def prepare(data: Path, cache: Path, report: Report | None = None) -> None:
    """Make all stores of ``cache`` from ``data``; raises :class:`MissingInputError` where a folder is not there."""
    require(data, "people/photos", "people/labels", "people/labels.txt", "pairs", "garments/images")
    made(cache)
    tell = report or (lambda _name, _done, _all: None)
    with _Analyst() as look:
        _people(data / "people", cache, look, tell)
        _backgrounds(data, cache, look, tell)
        _pairs(data / "pairs", cache, look, tell)
    _cloths(data / "garments" / "images", cache)


def is_prepared(cache: Path) -> bool:
    """Whether every store is there and complete."""
    return all((cache / name).is_file() for name in ("people.npz", "pairs.npz", "back.npy", "cloth.npy"))


def _people(folder: Path, cache: Path, look: _Analyst, tell: Report) -> None:
    names = read_names((folder / "labels.txt").read_text())
    files = sorted((folder / "labels").glob("*.png"))
    height, width = PEOPLE_SIZE
    parts = {"rgb": (height, width, 3), "lab": (height, width), "mat": (height, width)}
    packer = _Packer(cache, "people", len(files), parts)
    for done, file in enumerate(files):
        rgb = _rgb(folder / "photos" / f"{file.stem}.jpg")
        raw = np.asarray(Image.open(file))
        if raw.shape != rgb.shape[:2]:
            raw = cv2.resize(raw, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        seen = look(rgb)
        pose, matte = seen if seen else (np.zeros((LANDMARKS, 3), np.float32), np.zeros(raw.shape, np.uint8))
        labels = people_labels(raw, pose[:, :2], names) if seen else np.zeros_like(raw)
        scale = min(height / rgb.shape[0], width / rgb.shape[1])
        w, h = min(width, round(rgb.shape[1] * scale)), min(height, round(rgb.shape[0] * scale))
        left = (width - w) // 2
        border = (0, height - h, left, width - w - left)
        pose[:, :2] = pose[:, :2] * (w / rgb.shape[1], h / rgb.shape[0]) + (left, 0)
        packer.add(
            file.stem,
            pose if seen else None,
            rgb=_canvas(cv2.resize(rgb, (w, h), interpolation=cv2.INTER_AREA), border, cv2.BORDER_REPLICATE),
            lab=_canvas(cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST), border),
            mat=_canvas(cv2.resize(matte, (w, h), interpolation=cv2.INTER_AREA), border),
        )
        tell("people", done + 1, len(files))
    packer.close()


def _backgrounds(data: Path, cache: Path, look: _Analyst, tell: Report) -> None:
    """Every third unlabelled photograph with its person filled in from around, and rooms with garments."""
    labelled = {file.stem for file in (data / "people" / "labels").glob("*.png")}
    photos = sorted((data / "people" / "photos").glob("*.jpg"))
    photos = [f for f in photos if f.stem not in labelled and not f.stem.endswith("7")][::3]
    out = []
    for done, file in enumerate(photos):
        rgb = _rgb(file)
        seen = look(rgb)
        if seen:
            out.append(_without_person(rgb, seen[1]))
        tell("backgrounds", done + 1, len(photos))
    rooms = sorted((data / "garments" / "images").iterdir())[::12]
    out += [cv2.resize(_rgb(file), (192, 256), interpolation=cv2.INTER_AREA) for file in rooms]
    np.save(cache / "back.npy", np.stack(out))


def _without_person(rgb: Array, matte: Array) -> Array:
    """(256, 192, 3) uint8: what lies around the person, continued softly into where the person was."""
    small = cv2.resize(rgb, (192, 256), interpolation=cv2.INTER_AREA)
    hole = cv2.dilate((cv2.resize(matte, (192, 256)) > 30).astype(np.uint8), np.ones((17, 17), np.uint8))
    tiny = cv2.resize(small, (48, 64), interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(tiny, cv2.resize(hole, (48, 64), interpolation=cv2.INTER_NEAREST), 3, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 3)[..., None]
    return np.asarray(small * (1 - soft) + cv2.resize(filled, (192, 256)) * soft).astype(np.uint8)


def _pairs(folder: Path, cache: Path, look: _Analyst, tell: Report) -> None:
    """The first frame of each scene in each of its tops; MediaPipe sees it on a background, in a coloured top."""
    backgrounds, rng = np.load(cache / "back.npy", mmap_mode="r"), np.random.default_rng(0)
    files = sorted(folder.glob("*/t?_f0.webp"))
    height, width = PAIRS_SIZE
    parts = {"rgba": (height, width, 4), "lab": (height, width), "mat": (height, width), "cor": (height, width, 3)}
    packer = _Packer(cache, "pairs", len(files), parts)
    for done, file in enumerate(files):
        rgba = np.asarray(Image.open(file).convert("RGBA"))
        labels = PAIRS_LABELS[np.asarray(Image.open(file.with_name(f"{file.stem}_lab.png")))]
        code = cv2.imdecode(np.fromfile(file.with_name(f"{file.stem}_cor.png"), np.uint8), cv2.IMREAD_UNCHANGED)
        code = np.asarray(code, np.uint16)[..., ::-1]  # R, G in 0..1023, B: known
        place = np.dstack([code[..., :2] >> 2, np.where(code[..., 2:] > 0, 255, 0)]).astype(np.uint8)
        alpha = rgba[..., 3:] / 255.0
        behind = cv2.resize(np.asarray(backgrounds[rng.integers(len(backgrounds))]), (width, height))
        tint = np.where((labels == Label.TOP)[..., None], rng.uniform(0.3, 1.0, 3), 1.0)
        seen = look((rgba[..., :3] * tint * alpha + behind * (1 - alpha)).astype(np.uint8))
        matte = seen[1] if seen else np.zeros(labels.shape, np.uint8)
        packer.add(file.parent.name, seen[0] if seen else None, rgba=rgba, lab=labels, mat=matte, cor=place)
        tell("pairs", done + 1, len(files))
    packer.close()


def _cloths(folder: Path, cache: Path) -> None:
    """The middle of every fourth garment photograph as cloth to print with."""
    out = []
    for file in sorted(folder.iterdir())[5::4]:
        rgb = _rgb(file)
        h, w = rgb.shape[:2]
        middle = rgb[int(0.3 * h) : int(0.7 * h), int(0.32 * w) : int(0.68 * w)]
        out.append(cv2.resize(middle, (256, 256), interpolation=cv2.INTER_AREA))
    np.save(cache / "cloth.npy", np.stack(out))


def _rgb(path: Path) -> Array:
    return np.asarray(Image.open(path).convert("RGB"))


def _canvas(image: Any, border: Sequence[int], mode: int = cv2.BORDER_CONSTANT) -> Array:
    top, bottom, left, right = border
    return np.asarray(cv2.copyMakeBorder(image, top, bottom, left, right, mode))
