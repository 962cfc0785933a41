"""Data sets of four tiny clips in each layout, made from the example clip: the same person, dressed in what they wear
and in other colours."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vtryon.types import Array
from vtryon.video import VideoReader

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FRAMES = 3
NAMES = ("4he21d00f-g11", "an621da9d-k11", "bb121e0ab-q12", "cs321e0aa-c11")
"""Names in the manner of VVT; the last one is for tests."""


@cache
def frames() -> tuple[Array, ...]:
    """Twelve frames (256, 192, 3) of the example."""
    with VideoReader(EXAMPLES / "person.mp4", end=1.0) as reader:
        pictures = [cv2.resize(f.rgb, (192, 256), interpolation=cv2.INTER_AREA) for f in reader]
    return tuple(pictures[: FRAMES * len(NAMES)])


@cache
def garment() -> Array:
    """The garment that the person wears, (256, 192, 3)."""
    with Image.open(EXAMPLES / "worn_by_person.jpg") as picture:
        return np.asarray(picture.convert("RGB").resize((192, 256), Image.Resampling.LANCZOS))


def save(path: Path, picture: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, compress_level=1)


def clip(number: int) -> tuple[Array, ...]:
    return frames()[FRAMES * number : FRAMES * (number + 1)]


def write_openpose(path: Path) -> None:
    """Eighteen joints, all at (96, 80) but the nose, which is at (96, 20), and the left knee, which is not seen."""
    joints = [[96.0, 80.0, 0.9] for _ in range(18)]
    joints[0], joints[12] = [96.0, 20.0, 0.8], [0.0, 0.0, 0.0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"people": [{"pose_keypoints": [v for joint in joints for v in joint]}]}))


def write_lip(path: Path) -> None:
    """Upper clothes in the middle of the picture, trousers below, nothing else."""
    labels = np.zeros((256, 192), np.uint8)
    labels[70:170, 60:130], labels[170:, 60:130] = 5, 9
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(labels, "P")
    picture.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    picture.save(path)


def viton(root: Path) -> Path:
    """Single pictures: three pairs to train on, one to test, dressed in another garment."""
    lists: dict[str, list[str]] = {"train": [], "test": []}
    for number in range(len(NAMES)):
        split = "test" if number == 3 else "train"
        name = f"{number:06d}"
        save(root / split / "image" / f"{name}_0.jpg", clip(number)[0])
        save(root / split / "cloth" / f"{name}_1.jpg", garment())
        lists[split].append(f"{name}_0.jpg {name}_1.jpg")
    save(root / "test" / "cloth" / "000009_1.jpg", garment())
    lists["test"] = ["000003_0.jpg 000009_1.jpg"]
    for split, lines in lists.items():
        (root / f"{split}_pairs.txt").write_text("\n".join(lines) + "\n")
    return root


def fw_gan(root: Path) -> Path:
    """Folders of frames beside each other, garments in capitals, a list of unpaired tests."""
    for number, name in enumerate(NAMES):
        split = "test" if number == 3 else "train"
        owner, sub = name.upper().split("-")
        save(root / "clothes_person" / "img" / owner / f"{owner}-{sub}@10=cloth_front.jpg", garment())
        save(root / "clothes_person" / "img" / owner / f"{owner}-{sub}@8=person_whole.jpg", clip(number)[0])
        for n, picture in enumerate(clip(number)):
            save(root / split / f"{split}_frames" / name / f"{name}_frame_{n:03d}.png", picture)
    (root / "tryon_list.csv").write_text(f"clothes_person/img/AN621DA9D/AN621DA9D-K11@10=cloth_front.jpg, {NAMES[3]}\n")
    return root


def competition(root: Path) -> Path:
    """The same under the names of the competition."""
    for number, name in enumerate(NAMES):
        split = "test" if number == 3 else "train"
        save(root / "lip_clothes_person" / name / f"{name}@10=cloth_front.jpg", garment())
        save(root / "lip_clothes_person" / name / f"{name}@8=person_whole.png", clip(number)[0])
        for n, picture in enumerate(clip(number)):
            save(root / f"lip_{split}_frames" / name / f"{n:03d}.png", picture)
    (root / "test_person_clothes_pose_tuple.txt").write_text(f"{NAMES[3]} {NAMES[0]} {NAMES[1]}\n")
    return root


def clips(root: Path) -> Path:
    """A folder of clips and one of garments, one clip a picture; the last clip is kept for tests."""
    for number, name in enumerate(NAMES):
        save(root / "garments" / f"{name}.jpg", garment())
        if number == 2:
            save(root / "clips" / f"{name}.jpg", clip(number)[0])
            continue
        for n, picture in enumerate(clip(number)):
            save(root / "clips" / name / f"{n:03d}.png", picture)
    (root / "test.txt").write_text(f"{NAMES[3]}\n")
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "viton": viton,
    "fw_gan_vvt": fw_gan,
    "vvt_competition": competition,
    "clips": clips,
}
