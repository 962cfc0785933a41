"""Made-up clips with known motion: a textured scene that slides, and what can go wrong with a result of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vtryon.types import Array

HEIGHT, WIDTH = 96, 128


def scene(seed: int = 0, size: tuple[int, int] = (HEIGHT + 64, WIDTH + 64)) -> Array:
    """A smooth coloured texture (h, w, 3) float32 that optical flow can hold on to."""
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip((smooth - smooth.mean()) * 5 + 128, 20, 235)


def sliding(count: int = 6, step: tuple[float, float] = (1.0, 0.0), seed: int = 0, aside: float = 0.0) -> list[Array]:
    """``count`` frames (HEIGHT, WIDTH, 3) uint8 of a scene that moves by ``step`` (x, y) px a frame, all of it
    ``aside`` px to the right."""
    whole = scene(seed)
    frames = []
    for n in range(count):
        matrix = np.array([[1, 0, step[0] * n - 32 + aside], [0, 1, step[1] * n - 32]], np.float32)
        moved = cv2.warpAffine(whole, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        frames.append(np.rint(moved).astype(np.uint8))
    return frames


def flickering(frames: list[Array], by: int) -> list[Array]:
    """Every second frame brighter by ``by``."""
    return [np.clip(f.astype(int) + by * (n % 2), 0, 255).astype(np.uint8) for n, f in enumerate(frames)]


def noisy(frames: list[Array], sigma: float, seed: int = 1) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.clip(np.rint(f + rng.normal(0, sigma, f.shape)), 0, 255).astype(np.uint8) for f in frames]


def save_frames(folder: Path, frames: list[Array]) -> Path:
    """A folder of PNG frames, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, picture in enumerate(frames):
        Image.fromarray(picture).save(folder / f"{n:03d}.png")
    return folder
