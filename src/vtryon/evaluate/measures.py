"""The measures of ``vtryon evaluate``: what they are called, which way is better, and what they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vtryon.evaluate.footage import Item
from vtryon.evaluate.networks import LEAST
from vtryon.evaluate.pretrained import BACKBONES, INCEPTION

EXTRA = "needs the extra: pip install 'vtryon[evaluate]'"
_CLIPS = "needs clips: these are pictures"
_TRUTH = "needs truth (paired protocol)"
_SOURCES = "needs --sources"


@dataclass(frozen=True)
class Measure:
    """``title`` as in tables; ``up`` says that higher is better; ``digits`` after the point; ``how`` it is computed."""

    title: str
    up: bool
    digits: int
    how: str


MEASURES = {
    "ssim": Measure(
        "SSIM", True, 3,
        "Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, mean of R, G and B, range 255, without 5 px of border",
    ),
    "lpips": Measure("LPIPS", False, 3, "version 0.1, backbone {lpips}, RGB in [-1, 1], by torchmetrics"),
    "is": Measure(
        "IS", True, 2, "Inception v3 of 2015-12-05, 10 parts of the results, by torch-fidelity and torchmetrics"
    ),
    "fid": Measure(
        "FID", False, 1, "Inception v3 of 2015-12-05, 2048 features at 299 x 299, against all frames of {real}"
    ),
    "vmaf": Measure(
        "VMAF", True, 1,
        "model v0.6.1, 0 to 100 (papers often divide by 100), BT.601 luma 16 to 235, mean over frames, by vmaf-torch",
    ),
    "warp_ratio": Measure(
        "warp error ratio", False, 2,
        "squared difference to the frame before, carried by the source's optical flow (DIS, where both directions and "
        "the pictures agree), over the same of the source, {region}",
    ),
    "hem_jitter": Measure(
        "hem jitter", False, 3,
        "px at 640 px height by which edges along the worn top's outline move against the source's flow",
    ),
    "leftover": Measure("leftover", False, 4, "share of the worn top that is within 12 of 255 of the source"),
    "damage": Measure(
        "damage", False, 4, "share of what is to stay that differs by more than 12 of 255 from the source"
    ),
}  # fmt: skip
"""By name, in the order of tables; ``{lpips}``, ``{real}`` and ``{region}`` are filled in by the protocol."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for and what there is: all that decides which measures can be computed; ``least`` px is the
    shortest side of any picture."""

    measures: frozenset[str]
    items: Sequence[Item]
    least: int
    real: bool
    lpips: str
    weights: Path | None
    whole_frame: bool

    def missing(self) -> dict[str, str]:
        """Why measures of those asked for cannot be computed, by name; nothing of those that can."""
        found = {name: self._why(name) for name in MEASURES if name in self.measures}
        return {name: why for name, why in found.items() if why is not None}

    def _why(self, name: str) -> str | None:
        checks: dict[str, tuple[Callable[[], str | None], ...]] = {
            "ssim": (self._truth,),
            "lpips": (self._truth, self._large, lambda: _extra("torchmetrics"), self._backbone),
            "is": (self._inception,),
            "fid": (lambda: None if self.real else "needs --real or truth", self._inception),
            "vmaf": (self._truth, self._clips, self._large, lambda: _extra("vmaf_torch")),
            "warp_ratio": (self._clips, self._source),
            "hem_jitter": (self._clips, self._source, self._region),
            "leftover": (self._source, self._region, self._replaced),
            "damage": (self._source, self._region),
        }  # fmt: skip
        return next((why for check in checks[name] if (why := check()) is not None), None)

    def _truth(self) -> str | None:
        return None if all(item.truth for item in self.items) else _TRUTH

    def _source(self) -> str | None:
        return None if all(item.source for item in self.items) else _SOURCES

    def _clips(self) -> str | None:
        return None if any(item.is_clip for item in self.items) else _CLIPS

    def _region(self) -> str | None:
        return "needs --region garment" if self.whole_frame else None

    def _replaced(self) -> str | None:
        worn = all(item.truth is not None and item.truth == item.source for item in self.items)
        return "the garment is the one that is worn" if worn else None

    def _large(self) -> str | None:
        return None if self.least >= LEAST else "needs pictures of 32 x 32 px and more"

    def _backbone(self) -> str | None:
        return _lacks(BACKBONES[self.lpips].find(self.weights))

    def _inception(self) -> str | None:
        return _extra("torchmetrics") or _extra("torch_fidelity") or _lacks(INCEPTION.find(self.weights))


def _extra(module: str) -> str | None:
    return None if find_spec(module) is not None else EXTRA


def _lacks(found: Path | str) -> str | None:
    return found if isinstance(found, str) else None
