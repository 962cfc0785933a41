"""Rendered scenes as small as they can be: a square of grey cloth that moves a little, before any background."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vtryon.types import KEYPOINTS, Array

GREY = round(255 * (1.055 * 0.7 ** (1 / 2.4) - 0.055))  # cloth of albedo 0.70 in full light
BOX = (100, 60)  # left and top of the worn square, 120 x 160 px; the product is twice as large at (70, 90)
STEP = (6, 4)  # px by which it has moved in the second moment


def square_scene(folder: Path, *, unseen: tuple[str, ...] = (), yaw: float = 0.0) -> Path:
    """One scene; the product's pixel (70 + 2 dx, 90 + 2 dy) is worn at BOX + (dx, dy). MediaPipe finds nobody in the
    pictures ``unseen``."""
    folder.mkdir(parents=True)
    product, parts = np.zeros((512, 384, 4), np.uint8), np.zeros((512, 384), np.uint8)
    product[90:410, 70:310] = (GREY, GREY, GREY, 255)
    parts[90:410, 70:310] = 1
    for top in range(3):
        Image.fromarray(product).save(folder / f"product_{top}.webp", lossless=True)
        cv2.imwrite(str(folder / f"product_{top}_lab.png"), parts)
        for frame in range(2):
            _write_picture(folder, f"t{top}_f{frame}", BOX[0] + frame * STEP[0], BOX[1] + frame * STEP[1])
    points = {name: [190.0, 90.0] for name in KEYPOINTS}
    points |= {"armpit_r": [70, 130], "armpit_l": [310, 130], "shoulder_r": [70, 90], "shoulder_l": [310, 90]}
    points |= {"hem_r": [70, 410], "hem_l": [310, 410], "hem_c": [190, 410]}
    names = [f"t{top}_f{frame}" for top in range(3) for frame in range(2)]
    marks = [[150.0, 100.0, 1.0]] * 33
    meta = {
        "yaw": yaw,
        "tops": [{"kind": {"sleeve_kind": "tank"}, "product_kp": points}] * 3,
        "images": {name: {"mediapipe": None if name in unseen else marks} for name in names},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def _write_picture(folder: Path, name: str, left: int, top: int) -> None:
    worn, labels = np.zeros((384, 288, 4), np.uint8), np.zeros((384, 288), np.uint8)
    worn[top : top + 160, left : left + 120] = (GREY, GREY, GREY, 255)
    labels[top : top + 160, left : left + 120] = 3
    y, x = np.mgrid[:160, :120]
    cor = np.zeros((384, 288, 3), np.uint16)  # OpenCV writes B, G, R
    cor[top : top + 160, left : left + 120] = np.stack(
        [np.ones_like(x), np.rint((91 + 2 * y) / 512 * 1023), np.rint((71 + 2 * x) / 384 * 1023)], -1
    )
    cor[top : top + 160, left : left + 20] = 0  # the cloth at its right cannot be seen in the product picture
    Image.fromarray(worn).save(folder / f"{name}.webp", lossless=True)
    cv2.imwrite(str(folder / f"{name}_lab.png"), labels)
    cv2.imwrite(str(folder / f"{name}_cor.png"), cor if name.endswith("f0") else cor[::2, ::2])


def halves() -> Array:
    """Cloth, green above row 250 and red below it."""
    cloth = np.full((512, 384, 3), (30, 140, 60), np.uint8)
    cloth[250:] = (180, 40, 40)
    return cloth
