"""Made scenes in the layout of the rendered pairs, for tests of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import parsing
import scenes
from vtryon.train.pairs import PICTURE, PRODUCT
from vtryon.types import Array

SCALE, SHIFT = 0.5, np.float32([50.0, 80.0])  # where product pixels lie in the picture of a made scene


def write_scene(folder: Path, seed: int) -> Path:
    """A scene in the layout of the rendered pairs: three tops on one body, laid flat by SCALE and SHIFT."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    body = parsing.landmarks(1.0, (144.0, 210.0)) + rng.normal(0, 2, (33, 2)).astype(np.float32)
    tops: list[dict[str, Any]] = []
    images: dict[str, Any] = {}
    for top in range(3):
        garment = scenes.garment((160, 160, 160), longer=20 * top)
        labels = np.zeros(PRODUCT, np.uint8)
        h, w = (min(n, limit) for n, limit in zip(garment.parts.shape, PRODUCT, strict=True))
        labels[:h, :w] = garment.parts[:h, :w]
        rgba = np.dstack([np.full((*PRODUCT, 3), 160, np.uint8), (labels > 0).astype(np.uint8) * 255])
        Image.fromarray(rgba).save(folder / f"product_{top}.webp", lossless=True)
        Image.fromarray(labels).save(folder / f"product_{top}_lab.png")
        y, x = np.mgrid[: PICTURE[0], : PICTURE[1]].astype(np.float32) + 0.5
        at = (np.stack([x, y], -1) - SHIFT) / SCALE
        column, row = at[..., 0].astype(int).clip(0, PRODUCT[1] - 1), at[..., 1].astype(int).clip(0, PRODUCT[0] - 1)
        known = (labels[row, column] > 0) & (at > 0).all(-1)
        cor = np.dstack([at / (PRODUCT[1], PRODUCT[0]) * 1023, np.ones(PICTURE)]) * known[..., None]
        cv2.imwrite(str(folder / f"t{top}_f0_cor.png"), np.rint(cor).astype(np.uint16)[..., ::-1])
        matte = (parsing.draw(body, PICTURE)[1] > 0) | known
        worn = np.where(known, 3, np.where(matte, 2, 0)).astype(np.uint8)
        Image.fromarray(worn).save(folder / f"t{top}_f0_lab.png")
        points = {n: p.tolist() for n, p in garment.keypoints.items()}
        tops.append({"kind": {"sleeve_kind": "short"}, "product_kp": points})
        there = {n: (p * SCALE + SHIFT).tolist() for n, p in garment.keypoints.items()}
        images[f"t{top}_f0"] = {"kp": there, "mediapipe": (body_marks(rng, body)).tolist()}
    (folder / "meta.json").write_text(json.dumps({"yaw": 0.0, "tops": tops, "images": images}))
    return folder


def body_marks(rng: np.random.Generator, body: Array) -> Array:
    """(33, 3) landmarks as they are found: a little off, and fairly visible."""
    return np.concatenate([body + rng.normal(0, 0.5, body.shape), np.full((33, 1), 0.9)], 1)


def scenes_in(root: Path) -> Path:
    """Three scenes to train on and one to validate, in ``root``."""
    for seed, name in enumerate(("0001", "0002", "0003", "0007")):
        write_scene(root / name, seed)
    return root
