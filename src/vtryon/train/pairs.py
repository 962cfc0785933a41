"""The rendered pairs, read for training: garments, true correspondence, and the same person in other tops.

What a network may see of the person (landmarks, labels) is always taken from a picture in *another* top of the same
scene, as in use: there the old garment is worn, and the new one's cut must not be read off the outline.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vtryon.errors import MissingInputError
from vtryon.train.prepare import PAIRS_LABELS
from vtryon.train.store import made, require
from vtryon.types import KEYPOINTS, Array, Garment, GarmentKind, Part
from vtryon.warp.lattice import garment_lattices
from vtryon.warp.placing import SHAPES

PICTURE = (384, 288)
PRODUCT = (512, 384)
VIEW_STEP = 2  # picture px per px of a view
MASK_STEP = 4  # product px per px of a product's part map
_SAMPLES = {Part.TORSO: 160, Part.LEFT_SLEEVE: 48, Part.RIGHT_SLEEVE: 48}


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pictures of the training or validation scenes with a known truth.

    ``rows`` one entry of each per picture: ``scene`` its number, ``yaw`` radians, ``keypoints`` (14, 2) product px,
    ``worn`` (14, 2) the same in the picture, ``sleeved``, of each part its ``_lattice``, samples ``_product`` and
    ``_picture`` px and whether it is ``_known``, ``marks`` (2, 33, 3) MediaPipe's landmarks and visibility of the
    person in two other tops, and ``view`` (2,) and ``garment`` which of ``views`` (V, 192, 144) uint8 labels and of
    ``parts`` (G, 128, 96) uint8 are theirs.
    """

    rows: dict[str, Tensor]
    views: Tensor
    parts: Tensor

    def __len__(self) -> int:
        return len(self.rows["yaw"])

    def only(self, keep: Tensor) -> Pairs:
        """Those rows for which ``keep`` (rows,) is True."""
        return Pairs({k: v[keep] for k, v in self.rows.items()}, self.views, self.parts)

    def take(self, rows: Tensor, variant: Tensor, *, parts: bool = False) -> dict[str, Tensor]:
        """A batch: some ``rows`` (B,), each with the person in other top number ``variant`` (B,): ``points``,
        ``visibility`` and ``labels`` (B, 192, 144) instead of ``marks`` and ``view``; ``parts`` (B, 128, 96) if asked
        for."""
        batch = {k: v[rows] for k, v in self.rows.items()}
        pick = torch.arange(len(rows)), variant
        marks = batch.pop("marks")[pick]
        batch["points"], batch["visibility"] = marks[..., :2], marks[..., 2]
        batch["labels"] = self.views[batch.pop("view")[pick]]
        garment = batch.pop("garment")
        if parts:
            batch["parts"] = self.parts[garment]
        return batch


def load_pairs(root: Path, cache: Path, validation: bool) -> Pairs:
    """Read the scenes in ``root``, once: what is read is kept in ``cache``."""
    from safetensors.torch import load_file, save_file

    path = cache / ("pairs_validation.safetensors" if validation else "pairs_training.safetensors")
    if not path.is_file():
        read = read_pairs(root, validation)
        partial = made(cache) / f"{path.stem}.partial"
        tensors = {f"rows.{k}": v for k, v in read.rows.items()} | {"views": read.views, "parts": read.parts}
        save_file({k: v.contiguous() for k, v in tensors.items()}, partial)
        partial.replace(path)
    tensors = load_file(path)
    rows = {k.removeprefix("rows."): v for k, v in tensors.items() if k.startswith("rows.")}
    return Pairs(rows, tensors["views"], tensors["parts"])


def read_pairs(root: Path, validation: bool, seed: int = 0) -> Pairs:
    """Every usable picture of the training (or validation) scenes.

    Raises :class:`~vtryon.errors.MissingInputError` where there is none.
    """
    require(root.parent, root.name)
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {}
    views: list[Array] = []
    parts: list[Array] = []
    for scene in sorted(p for p in root.glob("[0-9]*") if p.name.endswith("7") == validation and p.is_dir()):
        meta = json.loads((scene / "meta.json").read_text())
        garments = [read_garment(scene, j, meta) for j in range(len(meta["tops"]))]
        lattices = [dict(garment_lattices(g)) for g in garments]
        first_garment, first_view = len(parts), {}
        parts += [g.parts[MASK_STEP // 2 :: MASK_STEP, MASK_STEP // 2 :: MASK_STEP] for g in garments]
        for name in meta["images"]:
            first_view[name] = len(views)
            views.append(_labels(scene, name)[1::VIEW_STEP, 1::VIEW_STEP])
        for name, image in meta["images"].items():
            row = _truth(scene, name, image["kp"], garments, lattices, rng)
            others = [o for o in _others(name, meta["images"]) if meta["images"][o]["mediapipe"] is not None]
            if not row or not others:
                continue
            others = (others * 2)[:2]
            row["marks"] = np.asarray([meta["images"][o]["mediapipe"] for o in others], np.float32)
            row["view"] = np.asarray([first_view[o] for o in others])
            row["garment"] = np.asarray(first_garment + int(name[1]))
            row["scene"] = np.asarray(int(scene.name))
            row["yaw"] = np.radians(np.float32(meta["yaw"]))
            for key, value in row.items():
                rows.setdefault(key, []).append(value)
    if not rows:
        raise MissingInputError(f"{root}: no {'validation' if validation else 'training'} scenes in it")
    tensors = {key: torch.from_numpy(np.stack(values)) for key, values in rows.items()}
    return Pairs(tensors, torch.from_numpy(np.stack(views)), torch.from_numpy(np.stack(parts)))


def read_garment(scene: Path, top: int, meta: dict[str, Any]) -> Garment:
    """The product picture of one top of a rendered scene as a :class:`Garment`, from its exact labels."""
    from PIL import Image

    rgba = np.array(Image.open(scene / f"product_{top}.webp").convert("RGBA"))
    labels = np.array(Image.open(scene / f"product_{top}_lab.png"))
    inside = labels == 4
    alpha = rgba[..., 3].astype(np.float32) / 255.0 * ~inside
    sleeves = float(np.isin(labels, (2, 3)).sum()) / max(int((labels > 0).sum()), 1)
    kind = meta["tops"][top]["kind"]["sleeve_kind"]
    if kind in ("sleeveless", "tank"):
        garment_kind = GarmentKind.SLEEVELESS
    else:
        garment_kind = GarmentKind.LONG_SLEEVE if sleeves > 0.22 else GarmentKind.SHORT_SLEEVE
    parts = np.where(inside, 0, labels).astype(np.uint8)
    points = {n: np.asarray(v, np.float32) for n, v in meta["tops"][top]["product_kp"].items()}
    cloth = np.median(rgba[..., :3][alpha > 0.9], axis=0).astype(np.uint8)
    return Garment(rgba[..., :3].copy(), alpha.astype(np.float32), parts, garment_kind, points, cloth)


def read_correspondence(scene: Path, name: str) -> tuple[Array, Array]:
    """(N, 2) picture px and (N, 2) product px of every cloth pixel of picture ``name`` whose origin is known."""
    cor = cv2.imread(str(scene / f"{name}_cor.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    step = PICTURE[0] / cor.shape[0]  # second frames are stored at every second pixel
    y, x = np.nonzero(cor[..., 2])
    product = cor[y, x, :2].astype(np.float32) / 1023.0 * np.array([PRODUCT[1], PRODUCT[0]], np.float32)
    return np.stack([x * step + 0.5, y * step + 0.5], -1).astype(np.float32), product


def _labels(scene: Path, name: str) -> Array:
    from PIL import Image

    return np.asarray(PAIRS_LABELS[np.asarray(Image.open(scene / f"{name}_lab.png"))])


def _others(name: str, images: dict[str, Any]) -> list[str]:
    """The pictures of the same frame in other tops."""
    return [o for o in images if o[-1] == name[-1] and o != name]


def _truth(
    scene: Path,
    name: str,
    worn: dict[str, Any] | None,
    garments: list[Garment],
    lattices: list[dict[Part, Array]],
    rng: np.random.Generator,
) -> dict[str, Array]:
    """What is known about one picture; nothing where its key points are not complete."""
    if worn is None or any(worn.get(n) is None for n in KEYPOINTS):
        return {}
    garment, lattice = garments[int(name[1])], lattices[int(name[1])]
    picture, product = read_correspondence(scene, name)
    column, line = product.astype(int).T
    owner = garment.parts[line.clip(0, PRODUCT[0] - 1), column.clip(0, PRODUCT[1] - 1)]
    row: dict[str, Array] = {
        "keypoints": np.stack([garment.keypoints[n] for n in KEYPOINTS]),
        "worn": np.asarray([worn[n] for n in KEYPOINTS], np.float32),
        "sleeved": np.asarray(float(Part.LEFT_SLEEVE in lattice), np.float32),
    }
    for part, (r, c) in SHAPES.items():
        key, count = part.name.lower(), _SAMPLES[part]
        # a part that is not there gets a lattice that can be solved, and no samples
        grid = np.stack(np.meshgrid(np.arange(c), np.arange(r)), -1).astype(np.float32)
        row[f"{key}_lattice"] = lattice.get(part, grid).reshape(-1, 2)
        mine = np.flatnonzero(owner == part) if part in lattice else np.zeros(0, int)
        some = mine.size >= 12
        pick = rng.choice(mine, count) if some else np.zeros(0, int)
        row[f"{key}_product"] = product[pick] if some else np.zeros((count, 2), np.float32)
        row[f"{key}_picture"] = picture[pick] if some else np.zeros((count, 2), np.float32)
        row[f"{key}_known"] = np.asarray(float(some), np.float32)
    return row
