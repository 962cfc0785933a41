"""What is installed and what it runs on: for bug reports and beside every measurement."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vtryon import __version__
from vtryon.errors import UnavailableError
from vtryon.video import CODECS, EncodeOptions
from vtryon.video.codecs import plan_encoding
from vtryon.weights import listing

PACKAGES = ("torch", "torchvision", "mediapipe", "opencv-contrib-python", "av", "numpy", "pillow", "safetensors")


@dataclass(frozen=True)
class Environment:
    """Versions and abilities of this machine.

    ``cpu_capability`` is the vector instruction set that torch uses, ``cpu_bfloat16`` whether the CPU multiplies that
    format in hardware; ``devices`` what ``--device`` may name, ``auto`` what it takes unasked, with its number format;
    ``codecs`` what ``--codec`` may name; ``weights`` name and SHA-256 of every network that is there.
    """

    vtryon: str
    python: str
    system: str
    cpu: str
    cores: int
    cpu_capability: str
    cpu_bfloat16: bool
    auto: str
    devices: tuple[str, ...]
    codecs: tuple[str, ...]
    packages: Mapping[str, str]
    weights: Mapping[str, str]


def describe() -> Environment:
    """Look around; imports torch, which takes a second or two."""
    import torch

    from vtryon.device import choose, has_fast_bfloat16

    return Environment(
        vtryon=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cpu_bfloat16=has_fast_bfloat16(),
        auto=str(choose()),
        devices=_devices(),
        codecs=tuple(name for name in CODECS if _encodes(name)),
        packages={name: _version(name) for name in PACKAGES},
        weights=listing(),
    )


def example(name: str) -> Path:
    """A file of ``examples/``: of the checkout, or the few that are part of the wheel.

    Raises:
        UnavailableError: it is in neither.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / name).is_file():
            return folder / name
    raise UnavailableError(f"the example {name} is not part of this installation; name a file of your own")


def _devices() -> tuple[str, ...]:
    import torch

    cuda = [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ("cpu", *cuda, *mps)


def _encodes(codec: str) -> bool:
    try:
        plan_encoding(Path("any.mkv"), EncodeOptions(codec=codec))
    except UnavailableError:
        return False
    return True


def _cpu_name() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
