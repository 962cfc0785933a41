"""Running the garment reader on a picture: what it sees, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from vtryon import weights
from vtryon.garment.cutout import Sight
from vtryon.garment.network import KINDS, SEGMENTS, SIDE, ReaderNet, ReaderSize, decode_points
from vtryon.types import KEYPOINTS, Array, GarmentKind

_GREY = 127

_NEAR_SLEEVE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
"""What counts as near, in the reader's pixels: half the width of the gap that an arm leaves to the body."""

_NECK = 0.4
"""How far to each side, and down, a neckline reaches from the middle of the shoulders, as a share of their width."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What the reader sees in one picture of (H, W).

    ``labels`` (5, SIDE, SIDE) float32 probabilities of SEGMENTS; ``place`` (2, 3) from picture pixels to the reader's;
    ``points`` name -> (2,) float32 px of the picture; ``trust`` name -> share of the key point's probability at its
    peak, in [0, 1]; ``kinds`` kind -> probability.
    """

    labels: Array
    place: Array
    points: Mapping[str, Array]
    trust: Mapping[str, float]
    kinds: Mapping[GarmentKind, float]

    @property
    def mean_trust(self) -> float:
        return float(np.mean(list(self.trust.values())))

    def enlarge(self, share: Array, shape: tuple[int, ...]) -> Array:
        """A map of the reader's size (SIDE, SIDE) float32, as a map of the picture's ``shape`` (H, W)."""
        return np.asarray(
            cv2.warpAffine(
                share,
                self.place,
                shape[1::-1],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )


class GarmentReader:
    """The trained network, ready to look at pictures."""

    def __init__(self, net: ReaderNet) -> None:
        self._net = net.eval().to(memory_format=torch.channels_last)

    @staticmethod
    def load() -> GarmentReader:
        """The shipped weights; errors as :func:`vtryon.weights.find` and :func:`vtryon.weights.built`."""
        path = weights.find("garment")
        return GarmentReader(weights.built(path, "garment", lambda c: ReaderNet(ReaderSize.from_dict(c.size))))

    def look(self, rgb: Array, mask: Array | None = None) -> Reading:
        """Look at a whole picture (H, W, 3) uint8, or with ``mask`` (H, W) bool at the garment cut out by it."""
        place = _letterbox(rgb.shape, mask)
        to_inside = cv2.INTER_AREA if place[0, 0] < 1 else cv2.INTER_LINEAR
        small = _reduce(rgb, place, to_inside)
        known = np.zeros((SIDE, SIDE), np.float32)
        if mask is not None:
            known = (_reduce(mask.astype(np.float32), place, to_inside) > 0.5).astype(np.float32)
            small = np.where(known[..., None] > 0, small, _GREY)
        picture = np.concatenate([small.astype(np.float32) / 127.5 - 1, known[..., None]], -1)
        with torch.inference_mode():
            batch = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).to(memory_format=torch.channels_last)
            segments, heat, scores = self._net(batch)
            found = decode_points(heat)[0].numpy()
            labels, kinds = segments[0].softmax(0).numpy(), scores[0].softmax(0).numpy()
        points = (found[:, :2] * SIDE - place[:, 2]) / place[0, 0]
        return Reading(
            labels=labels,
            place=_corner_affine(place),
            points={name: points[i].astype(np.float32) for i, name in enumerate(KEYPOINTS)},
            trust={name: float(found[i, 2]) for i, name in enumerate(KEYPOINTS)},
            kinds={GarmentKind(name): float(kinds[i]) for i, name in enumerate(KINDS)},
        )

    def first_sight(self, rgb: Array) -> Sight:
        """What a picture (H, W, 3) uint8 shows, before anything is cut out."""
        seen = self.look(rgb)
        cloth = 1 - seen.labels[SEGMENTS.index("background")]
        sleeves = seen.labels[SEGMENTS.index("left sleeve")] + seen.labels[SEGMENTS.index("right sleeve")]
        seams = seen.enlarge(cv2.dilate((sleeves > 0.5 * cloth).astype(np.float32), _NEAR_SLEEVE), rgb.shape)
        left, right = seen.points["shoulder_l"], seen.points["shoulder_r"]
        width, (x, y) = float(np.linalg.norm(left - right)), (left + right) / 2
        neck = np.zeros(rgb.shape[:2], np.float32)
        side = max(0, int(x - _NECK * width))
        neck[: max(0, int(y + _NECK * width)), side : max(0, int(x + _NECK * width))] = 1
        left, right = seen.points["armpit_l"], seen.points["armpit_r"]
        chest = slice(max(0, int(0.9 * right[0] + 0.1 * left[0])), max(0, int(0.9 * left[0] + 0.1 * right[0])))
        seams[: max(0, int(min(left[1], right[1]) - 0.2 * width))] = 0  # no gap above the armpits, none on the chest
        seams[:, chest] = 0
        return Sight(seen.enlarge(cloth, rgb.shape), seams, neck)


def _letterbox(shape: tuple[int, ...], mask: Array | None) -> Array:
    """(2, 3) scale and shift that centre the picture, or the garment with a margin, in the reader's square."""
    low, high = np.zeros(2), np.array(shape[1::-1], float)
    share = 1.0
    if mask is not None and mask.any():
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        low, high = np.array([xs[0], ys[0]], float), np.array([xs[-1], ys[-1]]) + 1.0
        share = 0.9
    scale = share * SIDE / float((high - low).max())
    shift = SIDE / 2 - scale * (low + high) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _reduce(picture: Array, place: Array, method: int) -> Array:
    """Resize by areas first, then shift: warpAffine alone would skip pixels."""
    scale = place[0, 0]
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)
        place = np.array([[1, 0, place[0, 2]], [0, 1, place[1, 2]]])
    return np.asarray(
        cv2.warpAffine(
            picture, _corner_affine(place), (SIDE, SIDE), borderValue=[_GREY] * 3 if picture.ndim == 3 else [0]
        )
    )


def _corner_affine(place: Array) -> Array:
    """The same map for OpenCV, which puts the centre of the first pixel at 0 and not at 0.5."""
    shifted = place.astype(np.float64).copy()
    shifted[:, 2] += 0.5 * (place[:, :2].sum(axis=1) - 1)
    return shifted
