"""Light and folds of the scene, read off the worn garment and carried onto the new one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.planes import smoothstep
from vtryon.render.filters import fill_in, luminance, masked_blur
from vtryon.types import Array


@dataclass(frozen=True, eq=False)
class ShadingState:
    """``level`` the worn garment's usual luminance and ``plain`` in [0, 1] how plain its cloth is, both slow;
    ``white`` how bright white is in this scene."""

    level: float
    plain: float
    white: float


_PACE = 0.05
_WORN = 0.9  # a garment on a body is darker than laid out for its photograph (median over the rendered pairs)


def shading(
    crop: Array, worn: Array, lit: Array, frame: Array, state: ShadingState | None
) -> tuple[Array, Array, ShadingState]:
    """Factors (h, w) on the new cloth's colours, how far they can be trusted (h, w), and the state.

    ``crop`` (h, w, 3) uint8, the old garment ``worn`` (h, w) and what of it tells the light, ``lit`` (h, w), both in
    [0, 1], on the crop grid; ``frame`` (H, W, 3) uint8 for the scene's white. On plain cloth, luminance over its usual
    level is light: folds and large shadows alike. On patterned cloth a dark stripe is not a shadow, so only the large
    scale is kept, and less of it. Where worn cloth does not tell, beside hair and round a badge, the light around it
    goes on.
    """
    light = luminance(crop)
    solid, whole = (cv2.erode(mask, np.ones((5, 5), np.uint8)) for mask in (lit, worn))
    measured = _measure(crop, light, whole, frame)  # all of it: what is left out may be a print
    if measured is not None:
        state = measured if state is None else _slowly(state, measured)
    if state is None:
        state = ShadingState(0.5, 0.0, 1.0)
    fine = masked_blur(light, solid, 1.2)
    coarse = masked_blur(light, solid, 9.0)
    # near black, noise and compression are as large as the folds: a floor under both keeps them out
    floor = 0.10
    folds = (fine + floor) / (coarse + floor)
    scene = (coarse + floor) / (state.level + floor)
    factor = np.power(np.clip(scene, 0.4, 1.8), 0.2 + 0.5 * state.plain) * np.power(
        np.clip(folds, 0.6, 1.5), 0.85 * state.plain
    )
    factor = fill_in(factor[..., None].astype(np.float32), solid)[..., 0]
    reach = np.clip(cv2.GaussianBlur(whole, (0, 0), 3.0) * 2.5, 0.0, 1.0)
    factor = 1.0 + (factor - 1.0) * reach
    exposure = _WORN * float(np.clip(state.white / 0.82, 0.35, 1.0))
    return (factor * exposure).astype(np.float32), reach.astype(np.float32), state


def _measure(crop: Array, light: Array, solid: Array, frame: Array) -> ShadingState | None:
    inside = solid > 0.8
    if inside.sum() < 60:
        return None
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    level = float(np.median(light[inside]))
    # folds change lightness slowly and colour hardly at all; prints change both, and sharply
    chroma = lab[..., 1:] - np.stack([masked_blur(lab[..., i], solid, 9.0) for i in (1, 2)], -1)
    sharp = lab[..., 0] - masked_blur(lab[..., 0], solid, 3.0)
    pattern = float(np.abs(chroma[inside]).mean()) / 5.0 + float(np.percentile(np.abs(sharp[inside]), 85)) / 18.0
    plain = 1.0 - float(smoothstep(0.55, 1.3, np.asarray(pattern)))
    white = float(np.percentile(frame[::8, ::8].max(-1), 98)) / 255.0
    return ShadingState(level, plain, white)


def _slowly(old: ShadingState, new: ShadingState) -> ShadingState:
    return ShadingState(*(o + _PACE * (n - o) for o, n in zip(_values(old), _values(new), strict=True)))


def _values(state: ShadingState) -> tuple[float, float, float]:
    return state.level, state.plain, state.white
