"""vtryon: video virtual try-on. A video of a person and a picture of a garment in, the dressed video out.

    import vtryon

    garment = vtryon.load_garment("shirt.jpg")
    with vtryon.VideoReader("person.mp4") as frames:
        for dressed in vtryon.try_on(frames, garment):
            ...  # dressed.frame.rgb is (H, W, 3) uint8, dressed.frame.pts its time

or, with everything that ``vtryon run`` does (sound, timing, checks, one result)::

    vtryon.run(vtryon.RunOptions("person.mp4", "shirt.jpg", output="out.mp4"))

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
    from vtryon.types import Frame, Garment, GarmentKind, Person, Pose

__version__ = "0.1.0"

_HOME = {
    "BadInputError": "vtryon.errors",
    "BatchError": "vtryon.errors",
    "CannotCreateError": "vtryon.errors",
    "Frame": "vtryon.types",
    "Garment": "vtryon.types",
    "GarmentKind": "vtryon.types",
    "MissingInputError": "vtryon.errors",
    "Person": "vtryon.types",
    "Pose": "vtryon.types",
    "UnavailableError": "vtryon.errors",
    "UsageError": "vtryon.errors",
    "VtryonError": "vtryon.errors",
    "WriteError": "vtryon.errors",
}
"""Public name -> the module it lives in."""

__all__ = [
    "BadInputError",
    "BatchError",
    "CannotCreateError",
    "Frame",
    "Garment",
    "GarmentKind",
    "MissingInputError",
    "Person",
    "Pose",
    "UnavailableError",
    "UsageError",
    "VtryonError",
    "WriteError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vtryon' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # asked once, then an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
