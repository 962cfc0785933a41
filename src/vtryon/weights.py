"""Where the shipped weights are, and what a checkpoint says about itself. Safetensors only: pickles are never read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vtryon.errors import BadInputError, CannotCreateError, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor, nn

N = TypeVar("N", bound="nn.Module")

ENVIRONMENT = "VTRYON_WEIGHTS"
"""Environment variable that names another folder of weights."""

FORMAT = 1
"""Version of the metadata written here; readers refuse newer ones."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network's weights with its own description.

    ``network`` what it is for (``parser``, ``tps``, ...); ``size`` the arguments that build it; ``labels`` names of
    what its output channels mean; ``notes`` free facts (data, steps, measures).
    """

    network: str
    size: Mapping[str, Any]
    labels: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Checkpoint({self.network}, {len(self.tensors)} tensors)"


def folder() -> Path:
    """The folder of the weights: ``$VTRYON_WEIGHTS``, else the installed package's, else the checkout's."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    package = Path(__file__).parent
    installed = package / "weights"
    return installed if installed.is_dir() else package.parents[1] / "weights"


def find(name: str) -> Path:
    """Path of the weights ``name`` (``parser`` for ``parser.safetensors``); :class:`UnavailableError` if not there."""
    path = folder() / f"{name}.safetensors"
    if not path.is_file():
        raise UnavailableError(
            f"weights '{name}' not found at {path}: reinstall vtryon, or set {ENVIRONMENT} to the folder that has them"
        )
    return path


def load(path: Path, network: str) -> Checkpoint:
    """Read a checkpoint and check that it is one of a ``network`` that this version understands.

    Raises :class:`UnavailableError` where the file is missing, :class:`BadInputError` where it is something else.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UnavailableError(f"{path}: no such weights")
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(meta.get("vtryon", "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInputError(f"{path}: not a readable safetensors file ({error})") from error
    if not isinstance(about, dict) or not {"format", "network", "size", "labels"} <= about.keys():
        raise BadInputError(f"{path}: the weights do not describe their network; use weights made by vtryon train")
    if about["format"] > FORMAT:
        raise BadInputError(f"{path}: weights of a newer format ({about['format']}); update vtryon")
    if about["network"] != network:
        raise BadInputError(f"{path}: weights of a '{about['network']}' network, a '{network}' is needed")
    return Checkpoint(network, about["size"], tuple(about["labels"]), tensors, about.get("notes", {}))


def built(path: Path, network: str, build: Callable[[Checkpoint], N]) -> N:
    """The network of a checkpoint in float32, ready for inference; ``build`` makes the one that it describes, empty.

    Raises as :func:`load`, and :class:`BadInputError` where the weights do not fit what they describe.
    """
    checkpoint = load(path, network)
    try:
        net = build(checkpoint)
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in checkpoint.tensors.items()})
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise BadInputError(f"{path}: the weights do not fit the network they describe") from error
    return net.eval()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in half precision, beside its final name first; :class:`CannotCreateError` if it cannot."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    about = {
        "format": FORMAT,
        "network": checkpoint.network,
        "size": dict(checkpoint.size),
        "labels": list(checkpoint.labels),
        "notes": dict(checkpoint.notes),
    }
    half = {
        name: (value.half() if value.dtype.is_floating_point else value).detach().cpu().contiguous()
        for name, value in checkpoint.tensors.items()
    }
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(half, partial, metadata={"vtryon": json.dumps(about, sort_keys=True)})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise CannotCreateError(f"{path}: cannot write the weights ({error})") from error


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing(where: Path | None = None) -> dict[str, str]:
    """Name and SHA-256 of every weights file in ``where`` (default: :func:`folder`), in order of name."""
    return {path.stem: sha256(path) for path in sorted((where or folder()).glob("*.safetensors"))}
