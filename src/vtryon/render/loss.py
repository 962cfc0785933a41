"""Losses of the renderer: eq. (7), L = L_L1 + L_mask + L_VGG + L_flow, and eq. (8), the motion of the result.

Eq. (8) compares the flow of the result with that of the source. A flow algorithm inside a loss has no gradient, so the
result's flow F_c is estimated from where it should be: one Lucas-Kanade step (Lucas and Kanade 1981) from the source's
flow F_o gives F_c - F_o itself, in pixels, as the least-squares solution over a small window of

    gradient . (F_c - F_o) = result - (previous result at F_o)

The window's gradients count as constants: otherwise the loss could be lowered by steepening the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtryon.render.unet import Drawn, carried, compose

log = logging.getLogger(__name__)

_WINDOW = 7
_FLAT = 4e-5  # variance of the gradient under which a window has no motion of its own to see
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what ImageNet's networks expect


def l1(result: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference of (N, 3, H, W) pictures; ``weight`` (N, 1, H, W)."""
    return (weight * (result - truth).abs()).sum() / (result.shape[1] * weight.sum()).clamp_min(1.0)


def excess_motion(previous: Tensor, current: Tensor, flow: Tensor) -> Tensor:
    """(N, 2, H, W) px: F_c - F_o of eq. (8), how much farther than ``flow`` the pictures (N, C, H, W) really moved.

    ``flow`` (N, 2, H, W) leads from each pixel of ``current`` to its place in ``previous``. Trustworthy up to about
    the window's half width; 0 where nothing is to be seen. Gradients reach ``current`` and ``previous`` through their
    difference alone.
    """
    moved = carried(previous, flow)
    change = current.float() - moved
    middle = (0.5 * (current.float() + moved)).detach()
    dx = functional.pad((middle[..., 2:] - middle[..., :-2]) / 2, (1, 1, 0, 0))
    dy = functional.pad((middle[..., 2:, :] - middle[..., :-2, :]) / 2, (0, 0, 1, 1))
    xx, xy, yy = (_window(p) for p in (dx * dx, dx * dy, dy * dy))
    xt, yt = _window(dx * change), _window(dy * change)
    xx, yy = xx + _FLAT, yy + _FLAT
    determinant = xx * yy - xy * xy
    return torch.cat([(yy * xt - xy * yt) / determinant, (xx * yt - xy * xt) / determinant], 1)


def _window(products: Tensor) -> Tensor:
    return functional.avg_pool2d(products.mean(1, keepdim=True), _WINDOW, 1, _WINDOW // 2, count_include_pad=False)


def flow_loss(previous: Tensor, current: Tensor, flow: Tensor, region: Tensor) -> Tensor:
    """Eq. (8): mean | F_o - F_c |_1 in px over ``region`` (N, 1, H, W), the garment where the flow can be trusted."""
    excess = excess_motion(previous, current, flow).abs().sum(1, keepdim=True)
    return (region * excess.clamp(max=3.0)).sum() / region.sum().clamp_min(1.0)


class Perceptual(nn.Module):
    """L_VGG of eq. (7): mean absolute difference of a network's features at some layers (Johnson et al. 2016)."""

    def __init__(self, features: nn.Sequential, layers: tuple[int, ...] = (3, 8, 17)) -> None:
        super().__init__()
        self.features = features[: max(layers) + 1].eval().requires_grad_(False)
        self.layers = layers

    def forward(self, result: Tensor, truth: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, device=result.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        x, y = ((p - mean) / std for p in (result, truth))
        total = result.new_zeros(())
        for n, layer in enumerate(self.features):
            x, y = layer(x), layer(y)
            if n in self.layers:
                total = total + (x - y).abs().mean()
        return total / len(self.layers)


def cached_vgg() -> nn.Sequential | None:
    """VGG-19's features where torchvision's weights are on this machine; None, and a word in the log, where not.

    Nothing is downloaded.
    """
    from torchvision.models import VGG19_Weights, vgg19  # type: ignore[import-untyped]

    weights = VGG19_Weights.IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not path.is_file():
        log.warning("no VGG-19 weights at %s: training without the perceptual term of eq. (7)", path)
        return None
    net = vgg19()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    features: nn.Sequential = net.features
    return features


def frame_terms(drawn: Drawn, inputs: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """L_L1 and L_mask of eq. (7), part by part, for frames whose truth is known part by part.

    ``truth`` has ``picture`` (N, 3, H, W) in [0, 1], ``mask`` m and ``keep`` (N, 1, H, W) with the weight
    ``keep_known``, ``gain`` (N, 3, H/2, W/2) as a logarithm with the weight ``gain_known`` (N, 1, H/2, W/2), and
    ``kind`` (N, 1, H/2, W/2), the number of the candidate that is there, below 0 where none is meant. The light is
    judged by its own truth alone: a print that lies a little wrong is not to be mended with shadows.
    """
    picture, mask, keep = truth["picture"], truth["mask"], truth["keep"]
    hole = 1 - inputs["seen"]
    region = torch.maximum(hole, mask)
    weight = mask * drawn.weight
    light = functional.interpolate(drawn.gain.detach(), scale_factor=2.0, mode="bilinear", align_corners=False)
    result = compose(inputs["source"], inputs["garment"], drawn.person, drawn.mask * drawn.weight, drawn.keep, light)
    by_label = functional.binary_cross_entropy_with_logits(drawn.logits[:, :1], mask, weight=1 + 2 * region)
    # keep is judged after the hole has been cut out of it, where the network has no say
    stays = functional.binary_cross_entropy_with_logits(drawn.logits[:, 1:], keep, weight=truth["keep_known"])
    kind = truth["kind"][:, 0].long()
    chosen = functional.cross_entropy(drawn.kinds, kind.clamp_min(0), reduction="none")
    off = (drawn.gain.log() - truth["gain"]).abs()
    known = truth["gain_known"]
    return {
        "l1": l1(result, picture, 0.2 + region),
        "person": l1(drawn.person, picture, hole * (1 - mask)),
        "mask": 0.5 * by_label,
        "keep": 0.5 * stays,
        "kind": 0.2 * ((kind >= 0) * chosen).sum() / (kind >= 0).sum().clamp_min(1),
        "weight": 0.1 * (mask - weight).sum() / mask.sum().clamp_min(1.0),
        "gain": 0.3 * (known * off).sum() / (3 * known.sum()).clamp_min(1.0),
    }
