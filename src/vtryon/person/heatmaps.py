"""What the parser is told beside the picture: where the pose says the body parts are, and which colour the skin has.

A heat map per joint tells a network little per channel; a map per *bone*, falling off exponentially with distance in
body sizes, tells it at every pixel how far each body part is, and two more maps give the place in torso coordinates.
With few hundred labelled pictures to learn from that is worth more than further layers (issue 4).
"""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import CROP_SIZE, Array

_MOUTH, _NECK, _HIPS = -1, -2, -3  # mid points, appended to the 33 landmarks in reverse order

BONES: tuple[tuple[tuple[int, int], ...], ...] = (
    ((7, 8), (0, _MOUTH)),  # head
    ((_MOUTH, _NECK),),  # neck
    ((11, 13),), ((13, 15),), ((15, 19), (15, 17)),  # left upper arm, forearm, hand
    ((12, 14),), ((14, 16),), ((16, 20), (16, 18)),  # the right ones
    ((11, 12),), ((11, 23),), ((12, 24),), ((23, 24),),  # shoulders, left and right side, hips
    ((23, 25),), ((25, 27),), ((24, 26),), ((26, 28),),  # left thigh and shin, right thigh and shin
)  # fmt: skip
POSE_CHANNELS = len(BONES) + 2
"""Channels of :func:`pose_maps`: one per bone, then the torso coordinates u and v."""

_REACH = 0.25  # of the body size: distance at which a bone's map has fallen to 1/e
_GRID = 4  # the maps are made on every 4th pixel: they are smooth


def pose_maps(points: Array, visibility: Array, size: tuple[int, int] = CROP_SIZE) -> Array:
    """(18, H/4, W/4) float32 maps of a body with landmarks (33, 2) px and (33,) visibility on a crop of ``size``.

    Bone maps lie in [0, 1] (scaled by the visibility of their ends); torso coordinates lie in [-1, 1]: u grows
    towards the wearer's left, v downwards, both 0 at mid shoulders and 0.5 one torso length away.
    All zero where every visibility is 0: no pose.
    """
    h, w = size[0] // _GRID, size[1] // _GRID
    out = np.zeros((POSE_CHANNELS, h, w), np.float32)
    if not (visibility > 0).any():
        return out
    pts = np.concatenate(
        [points, [points[[23, 24]].mean(0), points[[11, 12]].mean(0), points[[9, 10]].mean(0)]]
    ).astype(np.float32)
    vis = np.concatenate([visibility, [visibility[[23, 24]].min(), visibility[[11, 12]].min(), visibility[0]]])
    where = _centres(h, w)
    body = _body_size(pts, size)
    for channel, bones in enumerate(BONES):
        for a, b in bones:
            near = np.exp(-_distance(where, pts[a], pts[b]) / (_REACH * body)) * np.sqrt(vis[a] * vis[b])
            np.maximum(out[channel], near, out=out[channel])
    origin, down = pts[_NECK], pts[_HIPS] - pts[_NECK]
    left = pts[11] - pts[12]
    down = down / max(float(np.linalg.norm(down)), 1e-3)
    side = np.array([down[1], -down[0]], np.float32)
    if float(side @ left) < 0:
        side = -side
    turned = min(1.0, abs(float(side @ left)) / (0.3 * body))  # edge-on, left and right mean nothing
    out[-2] = np.clip((where - origin) @ side / (2 * body), -1, 1) * turned
    out[-1] = np.clip((where - origin) @ down / (2 * body), -1, 1)
    return out


def skin_map(rgb: Array, points: Array, visibility: Array) -> Array:
    """(H, W) float32 in [0, 1]: how much each pixel of a crop (H, W, 3) uint8 has the colour of the face.

    The face's colour is the median around nose, cheeks and mouth; light and dark count for less than hue. All zero
    where the face is not in the picture.
    """
    h, w = rgb.shape[:2]
    reach = max(2.0, 0.35 * float(np.linalg.norm(points[7] - points[8])))
    spots = [points[0], 0.5 * (points[0] + points[7]), 0.5 * (points[0] + points[8]), points[[9, 10]].mean(0)]
    reach = min(reach, 0.08 * h)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb)
    samples = []
    for x, y in spots:
        x0, x1 = (int(np.clip(v, 0, w)) for v in (x - 0.5 * reach, x + 0.5 * reach + 1))
        y0, y1 = (int(np.clip(v, 0, h)) for v in (y - 0.5 * reach, y + 0.5 * reach + 1))
        samples.append(lab[y0:y1, x0:x1].reshape(-1, 3))
    face = np.concatenate(samples)
    if len(face) < 8 or visibility[0] < 0.1:
        return np.zeros((h, w), np.float32)
    centre = np.median(face.astype(np.float32), axis=0)
    scale = np.array([1 / 60.0, 1 / 9.0, 1 / 9.0], np.float32)
    tables = [np.square((np.arange(256, dtype=np.float32) - c) * s) for c, s in zip(centre, scale, strict=True)]
    square = np.sum([table[lab[..., i]] for i, table in enumerate(tables)], axis=0)
    return np.asarray(np.exp(-0.5 * square), np.float32)


def _centres(h: int, w: int) -> Array:
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    return np.asarray(np.stack([x, y], -1) * _GRID + _GRID / 2, np.float32)


def _body_size(pts: Array, size: tuple[int, int]) -> float:
    torso = float(np.linalg.norm(pts[_HIPS] - pts[_NECK]))
    shoulders = float(np.linalg.norm(pts[11] - pts[12]))
    return max(torso, 1.2 * shoulders, 0.1 * size[0])


def _distance(where: Array, a: Array, b: Array) -> Array:
    along = b - a
    t = np.clip((where - a) @ along / max(float(along @ along), 1e-6), 0, 1)
    return np.asarray(np.hypot(*np.moveaxis(where - a - t[..., None] * along, -1, 0)), np.float32)
