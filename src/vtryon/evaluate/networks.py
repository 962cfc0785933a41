"""Measures that pretrained networks and libraries of others give: LPIPS, FID and IS, VMAF (extra ``evaluate``)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import torch

from vtryon.evaluate.pretrained import torch_cache_at
from vtryon.types import Array

if TYPE_CHECKING:
    from collections.abc import Callable

    Extractor = Callable[[torch.Tensor], Sequence[torch.Tensor]]

FEATURES, LOGITS = 2048, 1008
LEAST = 32
"""Shortest side in px of pictures for VMAF and LPIPS, whose pyramids have no room in smaller ones."""

_VMAF_CHUNK = 32  # frames at a time


def _tensor(pictures: Sequence[Array], device: torch.device) -> torch.Tensor:
    """(N, 3, H, W) uint8 of RGB pictures (H, W, 3)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device)


class Lpips:
    """Learned perceptual distance (Zhang et al. 2018, version 0.1 of its weights) between pictures, by torchmetrics."""

    def __init__(self, backbone: Path, net: str, device: torch.device) -> None:
        """``backbone`` the file of ``net``: alex, vgg or squeeze."""
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

        with torch_cache_at(backbone):
            metric: Any = LearnedPerceptualImagePatchSimilarity(
                net_type=cast(Any, net), reduction="mean", normalize=True
            )
        self._metric, self._device = metric.to(device), device

    @torch.inference_mode()
    def __call__(self, result: Array, truth: Array) -> float:
        """Distance of two pictures (H, W, 3) uint8."""
        ours, true = (_tensor([p], self._device).float() / 255 for p in (result, truth))
        value = float(self._metric(ours, true))
        self._metric.reset()
        return value


def inception(weights: Path, device: torch.device) -> Extractor:
    """The network of FID and IS: (N, 3, H, W) uint8 to features (N, 2048) and logits (N, 1008), as torch-fidelity."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    names = ["2048", "logits_unbiased"]
    net = FeatureExtractorInceptionV3("inception-v3-compat", names, feature_extractor_weights_path=str(weights))
    return net.to(device)  # type: ignore[no-any-return]


class _AsIs(torch.nn.Module):
    """Lets torchmetrics take features that are computed already: FID and IS share one pass of the network."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


class Distributions:
    """FID of results against real pictures and IS of the results, by torchmetrics from features of ``extract``."""

    def __init__(self, extract: Extractor, device: torch.device, features: int = FEATURES, batch: int = 16) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.inception import InceptionScore

        self._fid = FrechetInceptionDistance(feature=_AsIs(features), reset_real_features=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it keeps all logits
            self._score = InceptionScore(feature=_AsIs(LOGITS))
        self._extract, self._device, self._batch = extract, device, batch
        self._waiting: dict[bool, list[Array]] = {True: [], False: []}
        self.counts = {True: 0, False: 0}

    def add(self, picture: Array, *, real: bool) -> None:
        """A picture (H, W, 3) uint8 of the real ones or of the results."""
        waiting = self._waiting[real]
        if waiting and waiting[0].shape != picture.shape:
            self._flush(real)
        waiting.append(picture)
        self.counts[real] += 1
        if len(waiting) == self._batch:
            self._flush(real)

    def new_results(self) -> None:
        """Forget the results, keep the real pictures: for the next method."""
        self._waiting[False].clear()
        self.counts[False] = 0
        self._fid.reset()
        self._score.reset()

    @torch.inference_mode()
    def _flush(self, real: bool) -> None:
        if not self._waiting[real]:
            return
        features, logits = self._extract(_tensor(self._waiting[real], self._device))
        self._fid.update(features.cpu(), real=real)
        if not real:
            self._score.update(logits.cpu())
        self._waiting[real].clear()

    def fid(self) -> float | None:
        """Distance of the two sets; None with fewer than two pictures in either."""
        self._flush(True)
        self._flush(False)
        return float(self._fid.compute()) if min(self.counts.values()) >= 2 else None

    def inception_score(self) -> float | None:
        """Score of the results over ten parts of them in random, but always the same, order; None without any."""
        self._flush(False)
        if not self.counts[False]:
            return None
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no standard deviation of a single part
            torch.manual_seed(0)
            return float(self._score.compute()[0])


class Vmaf:
    """VMAF (model v0.6.1) of one clip, frame by frame, by vmaf-torch; frames are handed in in order."""

    def __init__(self, device: torch.device) -> None:
        from vmaf_torch import VMAF

        self._model: Any = VMAF(clip_score=True).to(device).eval()
        self._device = device
        self._frames: list[tuple[Array, Array]] = []
        self._scores: list[float] = []
        self._overlap = 0

    def add(self, truth: Array, result: Array) -> None:
        """The next frame, pictures (H, W, 3) uint8."""
        self._frames.append((luma(truth), luma(result)))
        if len(self._frames) == _VMAF_CHUNK:
            self._judge(final=False)

    def finish(self) -> list[float]:
        """The score of every frame, 0 to 100."""
        if len(self._frames) > self._overlap:
            self._judge(final=True)
        return self._scores

    @torch.inference_mode()
    def _judge(self, *, final: bool) -> None:
        # motion looks one frame back and one ahead: both are kept round each chunk, so that chunks change nothing
        true, ours = (torch.from_numpy(np.stack(f)[:, None]).to(self._device) for f in zip(*self._frames, strict=True))
        scores = self._model(true, ours)[:, 0].tolist()
        end = len(scores) if final else len(scores) - 1
        self._scores += scores[self._overlap : end]
        self._frames = self._frames[-2:]
        self._overlap = 1


def luma(rgb: Array) -> Array:
    """(H, W) float32 luma, 16 to 235, by ITU-R BT.601, of (H, W, 3) uint8: what FFmpeg hands to libvmaf from RGB."""
    weights = np.array([[65.481, 128.553, 24.966]], np.float32) / 255
    return np.asarray(cv2.transform(rgb.astype(np.float32), weights) + np.float32(16))
