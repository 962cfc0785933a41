"""vtryon: video virtual try-on. A video of a person and a picture of a garment in, the dressed video out.

    import vtryon
    from pathlib import Path

    garment = vtryon.load_garment(Path("shirt.jpg"))
    with vtryon.VideoReader(Path("person.mp4")) as frames:
        for shown in vtryon.try_on(frames, garment):
            ...  # shown.frame.rgb is (H, W, 3) uint8, shown.frame.seconds its time

or, with all that ``vtryon run`` does (sound, timing, checks, one verified file)::

    result = vtryon.run(vtryon.RunOptions(Path("person.mp4"), Path("shirt.jpg"), Path("out.mp4")))

Names are loaded when first used, so that ``import vtryon`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vtryon.errors import (
        BadInputError,
        BatchError,
        CannotCreateError,
        MissingInputError,
        UnavailableError,
        UsageError,
        VtryonError,
        WriteError,
    )
    from vtryon.garment import load_garment
    from vtryon.job import RunOptions, RunResult, preview, run
    from vtryon.outputs import IfExists
    from vtryon.person import analyse, clip_key, load_people, save_people
    from vtryon.pipeline import TryOnFrame, TryOnOptions, try_on
    from vtryon.progress import Progress
    from vtryon.types import Frame, Garment, GarmentKind, Person, Pose
    from vtryon.video import EncodeOptions, VideoInfo, VideoReader, VideoWriter, WriteReport, probe

__version__ = "0.1.0"

_HOMES = {
    "vtryon.errors": (
        "BadInputError",
        "BatchError",
        "CannotCreateError",
        "MissingInputError",
        "UnavailableError",
        "UsageError",
        "VtryonError",
        "WriteError",
    ),
    "vtryon.types": ("Frame", "Garment", "GarmentKind", "Person", "Pose"),
    "vtryon.garment": ("load_garment",),
    "vtryon.job": ("RunOptions", "RunResult", "preview", "run"),
    "vtryon.outputs": ("IfExists",),
    "vtryon.person": ("analyse", "clip_key", "load_people", "save_people"),
    "vtryon.pipeline": ("TryOnFrame", "TryOnOptions", "try_on"),
    "vtryon.progress": ("Progress",),
    "vtryon.video": ("EncodeOptions", "VideoInfo", "VideoReader", "VideoWriter", "WriteReport", "probe"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BadInputError",
    "BatchError",
    "CannotCreateError",
    "EncodeOptions",
    "Frame",
    "Garment",
    "GarmentKind",
    "IfExists",
    "MissingInputError",
    "Person",
    "Pose",
    "Progress",
    "RunOptions",
    "RunResult",
    "TryOnFrame",
    "TryOnOptions",
    "UnavailableError",
    "UsageError",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "VtryonError",
    "WriteError",
    "WriteReport",
    "__version__",
    "analyse",
    "clip_key",
    "load_garment",
    "load_people",
    "preview",
    "probe",
    "run",
    "save_people",
    "try_on",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vtryon' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # from now on an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
