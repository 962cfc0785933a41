"""The dressed person once per second, as pictures: python examples/every_second.py person.mp4 shirt.jpg out/

Frames come one at a time and are gone when they are done with: memory does not grow with the video.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import vtryon


def main(person: Path, garment: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    due = 0.0
    with vtryon.VideoReader(person) as frames:
        for shown in vtryon.try_on(frames, vtryon.load_garment(garment)):
            if shown.frame.seconds >= due:
                Image.fromarray(shown.frame.rgb).save(folder / f"{due:04.0f}s.png")
                due += 1.0


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:4]))
    except vtryon.VtryonError as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
