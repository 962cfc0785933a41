"""Stand-ins for the heavy rooms, for tests of what is around them: they dress a person by painting the picture red.

``python tests/fakes.py run ...`` is the command line with these stand-ins; VTRYON_FAKE_DELAY slows every frame down by
so many seconds, and a line "frame N" on standard output tells a test how far it is.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vtryon.errors import MissingInputError
from vtryon.types import CROP_SIZE, KEYPOINTS, LANDMARKS, Crop, Frame, Garment, GarmentKind, Label, Person, Pose


def garment(*warnings: str) -> Garment:
    """A square of cloth."""
    side = 32
    ones = np.ones((side, side), np.float32)
    return Garment(
        rgb=np.full((side, side, 3), (200, 30, 30), np.uint8),
        alpha=ones,
        parts=ones.astype(np.uint8),
        kind=GarmentKind.SHORT_SLEEVE,
        keypoints={name: np.full(2, side / 2, np.float32) for name in KEYPOINTS},
        cloth=np.array((200, 30, 30), np.uint8),
        warnings=warnings,
    )


def load_garment(path: Path) -> Garment:
    """A garment from any file that is there."""
    if not path.exists():
        raise MissingInputError(f"{path}: no such file; check the name")
    return garment()


def person(shape: tuple[int, ...]) -> Person:
    """Somebody in the middle of a picture."""
    height, width = shape[:2]
    pose = Pose(
        points=np.full((LANDMARKS, 2), (width / 2, height / 2), np.float32),
        depth=np.zeros(LANDMARKS, np.float32),
        visibility=np.ones(LANDMARKS, np.float32),
        world=np.zeros((LANDMARKS, 3), np.float32),
    )
    labels = np.zeros((len(Label), *CROP_SIZE), np.uint8)
    return Person(pose, Crop(0.0, 0.0, height), np.ones(CROP_SIZE, np.float32), labels, yaw=0.0, shot=0)


def try_on(
    frames: Iterable[Frame], garment: Any, *, people: Iterable[Person | None] | None = None, **_: Any
) -> Generator[Any]:
    """Red over everything; nobody is seen in frames darker than 10."""
    from vtryon.pipeline import TryOnFrame

    given = iter(people) if people is not None else None
    delay = float(os.environ.get("VTRYON_FAKE_DELAY", "0"))
    for frame in frames:
        if delay:
            print("frame", frame.index, flush=True)
            time.sleep(delay)
        seen = next(given) if given is not None else person(frame.rgb.shape) if frame.rgb.max() > 10 else None
        red = frame.rgb.copy()
        if seen is not None:
            red[..., 0] = 255
        yield TryOnFrame(replace(frame, rgb=red), frame, seen)


def analyse(frames: Iterable[Frame], **_: Any) -> Iterator[tuple[Frame, Person | None]]:
    """Somebody in every frame that is not dark; VTRYON_FAKE_COUNT names a file that gets a line for each clip."""
    if "VTRYON_FAKE_COUNT" in os.environ:
        with open(os.environ["VTRYON_FAKE_COUNT"], "a") as file:
            file.write("analysed\n")
    for frame in frames:
        yield frame, person(frame.rgb.shape) if frame.rgb.max() > 10 else None


def install() -> None:
    """Put the stand-ins in the place of the rooms, in this process, and load nothing heavy in doing so."""
    import vtryon

    room = ModuleType("vtryon.garment")
    room.__path__ = [str(Path(vtryon.__file__).with_name("garment"))]
    vars(room)["load_garment"] = load_garment
    sys.modules["vtryon.garment"] = room

    import vtryon.batch.process
    import vtryon.job
    import vtryon.reuse

    vtryon.job.try_on = try_on
    vtryon.reuse.analyse = analyse
    vtryon.reuse.default_labeller = lambda _: None
    vtryon.reuse.device_type = lambda _: "cpu"
    vtryon.batch.process.single_thread = lambda: None


def main() -> None:
    from vtryon.cli import main as command_line

    install()
    sys.argv[0] = "vtryon"
    command_line()


if __name__ == "__mp_main__":  # a worker of a batch
    install()

if __name__ == "__main__":
    main()
