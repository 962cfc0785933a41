"""Rendered scenes as a data set that ``vtryon train`` and ``vtryon evaluate`` read: clips of two frames before a
background, garments with a print of their own, and the truth of a try-on, which no data set of photographs has.

Made by ``vtryon data make``; the layout is that of a plain folder of clips and garments (docs/DATASETS.md).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vtryon.errors import CannotCreateError, MissingInputError, WriteError
from vtryon.evaluate.scenes import Scene, every_scene, main_colour, make_background, make_print
from vtryon.progress import Progress, Report, silent
from vtryon.train.pairs import PRODUCT
from vtryon.types import Array

FRAMES = 2
FACING = 60.0
"""Degrees: of who is turned further the product picture shows too little."""

TRUTH = "truth"
"""Folder of the truth of the unpaired tests, by their names."""


@dataclass(frozen=True)
class Made:
    """What has been written: clips to train on and to test on, unpaired tests, and scenes that were left out."""

    train: int
    test: int
    unpaired: int
    left_out: int


def make_tree(data: Path, out: Path, *, seed: int = 0, report: Report = silent) -> Made:
    """Write the scenes of ``data/pairs`` to the new folder ``out``: each person in one of three tops.

    Validation scenes become tests, and are to be dressed in the next top too, with ``out/truth`` to tell how that
    looks. Who is turned away by more than ``FACING`` or is not found by MediaPipe is left out. Prints, backgrounds and
    the choice of tops follow ``seed``.

    Raises:
        MissingInputError: there are no scenes.
        CannotCreateError, WriteError: ``out`` is there already, or the disk refuses.
    """
    scenes = every_scene(data)
    if not scenes:
        raise MissingInputError(f"{data / 'pairs'}: no rendered scenes there; give the folder that holds pairs")
    used = [scene for scene in scenes if scene.found and abs(scene.yaw) < FACING]
    tests, pairs = [], []
    with _whole(out) as folder:
        for n, scene in enumerate(used):
            name = _write_scene(scene, folder, seed)
            if scene.validates:
                tests.append(name)
                pairs.append(f"{name} {_write_unpaired(scene, folder, seed)}")
            report(Progress("making clips", n + 1, len(used), "scene"))
        for listed, lines in (("test.txt", tests), ("pairs.txt", pairs)):
            (folder / listed).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return Made(len(used) - len(tests), len(tests), len(pairs), len(scenes) - len(used))


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its name when the body ends well, and is removed when it does not."""
    if out.exists():
        raise CannotCreateError(f"{out} exists; name a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as problem:
        raise CannotCreateError(f"{out}: cannot be made ({problem.strerror})") from problem
    try:
        for name in ("clips", "garments", TRUTH):
            (folder / name).mkdir()
        yield folder
        folder.chmod(0o755)  # mkdtemp makes folders that only their owner can read
        folder.rename(out)
    except OSError as problem:
        raise WriteError(f"{out}: cannot be written ({problem.strerror})") from problem
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_scene(scene: Scene, out: Path, seed: int) -> str:
    """The person in their own top, and its product; returns the name of both."""
    top = _own(scene, seed)
    name = f"{scene.folder.name}_{top}"
    _write_clip(scene, top, seed, out / "clips" / name)
    _write_product(scene, top, seed, out)
    return name


def _write_unpaired(scene: Scene, out: Path, seed: int) -> str:
    """The next top's product, and the person in it; returns the garment's name."""
    own = _own(scene, seed)
    other = (own + 1) % 3
    names = [f"{scene.folder.name}_{top}" for top in (own, other)]
    _write_clip(scene, other, seed, out / TRUTH / "__".join(names))
    _write_product(scene, other, seed, out)
    return names[1]


def _write_clip(scene: Scene, top: int, seed: int, folder: Path) -> None:
    folder.mkdir()
    # the same room whatever is worn, in the light that falls on the person
    background = scene.brightness(_own(scene, seed)) * make_background(_rng(scene, seed, 0))
    for frame in range(FRAMES):
        rgb = scene.worn(top, _cloth(scene, top, seed), background, frame)
        Image.fromarray(rgb).save(folder / f"{frame:03d}.png")


def _write_product(scene: Scene, top: int, seed: int, out: Path) -> None:
    cloth = _cloth(scene, top, seed)
    ground = np.broadcast_to(main_colour(cloth).astype(np.float32), (*PRODUCT, 3))  # unseen: no light fringe
    rgba = np.dstack([scene.product(top, cloth, ground), scene.product_alpha(top)])
    Image.fromarray(rgba).save(out / "garments" / f"{scene.folder.name}_{top}.png")


def _cloth(scene: Scene, top: int, seed: int) -> Array:
    return make_print(_rng(scene, seed, 1 + top))


def _own(scene: Scene, seed: int) -> int:
    return int(_rng(scene, seed, 4).integers(3))


def _rng(scene: Scene, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(scene.folder.name), purpose])
