"""Networks of others that measures want: named files that are looked for and checked, never fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch


@dataclass(frozen=True)
class Pretrained:
    """A file of weights: its name in torch's cache, where it comes from, and how its SHA-256 begins."""

    file: str
    source: str
    sha256: str

    def find(self, folder: Path | None) -> Path | str:
        """The file in ``folder`` (None: torch's own cache), or why it cannot be used."""
        path = (folder or Path(torch.hub.get_dir()) / "checkpoints") / self.file
        if not path.is_file():
            return f"needs {path} ({self.source})"
        with path.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
        if not found.startswith(self.sha256):
            return f"{path} is damaged or another file (its SHA-256 begins {found[:8]}, not {self.sha256})"
        torch.load(path, map_location="cpu", weights_only=True)  # refuses what is more than tensors
        return path


INCEPTION = Pretrained("weights-inception-2015-12-05-6726825d.pth", "torch-fidelity's release v0.2.0", "6726825d")
BACKBONES = {
    "alex": Pretrained("alexnet-owt-7be5be79.pth", "torchvision's AlexNet_Weights.IMAGENET1K_V1", "7be5be79"),
    "vgg": Pretrained("vgg16-397923af.pth", "torchvision's VGG16_Weights.IMAGENET1K_V1", "397923af"),
    "squeeze": Pretrained(
        "squeezenet1_1-b8a52dc0.pth", "torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1", "b8a52dc0"
    ),
}


@contextmanager
def torch_cache_at(file: Path) -> Iterator[None]:
    """Within it torch finds ``file`` in its cache, wherever it lies: torchvision has no other way to be told."""
    before = torch.hub.get_dir()
    if file.parent == Path(before, "checkpoints"):
        yield
        return
    with TemporaryDirectory() as folder:
        Path(folder, "checkpoints").symlink_to(file.parent.absolute(), target_is_directory=True)
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(before)
