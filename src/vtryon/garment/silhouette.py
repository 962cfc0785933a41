"""What a garment is, read from its outline: key points, parts, kind. By plain geometry on a mask of fixed height."""

from __future__ import annotations

import cv2
import numpy as np

from vtryon.types import Array, GarmentKind, Part

_HEIGHT = 256


def find_keypoints(alpha: Array) -> dict[str, Array]:
    """Key points (2,) float32 px of an upright garment from its alpha (H, W): see ``vtryon.types.KEYPOINTS``."""
    rows = np.flatnonzero((alpha > 0.5).any(axis=1))
    scale = _HEIGHT / max(1, int(rows[-1] - rows[0] + 1))
    mask = cv2.resize(alpha, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) > 0.5
    axis = _axis(mask)
    outline = _outline(mask)
    points: dict[str, Array] = {}
    # the wearer's left is on the picture's right: side +1
    for side, name in ((1, "l"), (-1, "r")):
        points |= {f"{key}_{name}": p for key, p in _side(mask, outline, axis, side).items()}
    points |= _collar(mask, axis, points)
    bottom = np.flatnonzero(mask[:, round(axis)])
    points["hem_c"] = np.array([axis, bottom[-1] + 1.0])
    return {key: (np.asarray(p) / scale).astype(np.float32) for key, p in points.items()}


def split_parts(alpha: Array, points: dict[str, Array]) -> Array:
    """(H, W) uint8 of Part: a sleeve is what the outline from shoulder over the cuff to the armpit encloses."""
    parts = np.where(alpha > 0, int(Part.TORSO), int(Part.NONE)).astype(np.uint8)
    outline = _outline(alpha > 0)
    for name, part, side in (("l", Part.LEFT_SLEEVE, 1), ("r", Part.RIGHT_SLEEVE, -1)):
        sleeve = _stretch(outline, points[f"shoulder_{name}"], points[f"armpit_{name}"], side)
        if cv2.contourArea(sleeve.astype(np.float32)) > 0:
            inside = cv2.fillPoly(np.zeros(alpha.shape, np.uint8), [sleeve.astype(np.int32)], 1)
            parts[(inside > 0) & (alpha > 0)] = int(part)
    return parts


def _outline(mask: Array) -> Array:
    """(N, 2) int32: the longest outline, in picture order clockwise from its first point."""
    found = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    points = np.asarray(max(found, key=cv2.contourArea)[:, 0])
    return points if cv2.contourArea(points, oriented=True) > 0 else points[::-1]


def _stretch(outline: Array, start: Array, end: Array, side: int) -> Array:
    """The outline from the point nearest ``start`` to the one nearest ``end``: clockwise for side +1, else backwards."""
    path = outline[::side]
    first, last = (int(((path - p) ** 2).sum(axis=1).argmin()) for p in (start, end))
    return np.roll(path, -first, axis=0)[: (last - first) % len(path) + 1]


def classify(points: dict[str, Array]) -> GarmentKind:
    """Kind from lengths: sleeves against shoulder width, body against shoulder width."""
    width = float(np.linalg.norm(points["shoulder_l"] - points["shoulder_r"]))
    sleeve = np.mean(
        [
            np.linalg.norm(
                (points[f"cuff_out_{s}"] + points[f"cuff_in_{s}"] - points[f"shoulder_{s}"] - points[f"armpit_{s}"]) / 2
            )
            for s in "lr"
        ]
    )
    body = float(np.mean([points[f"hem_{s}"][1] - points[f"armpit_{s}"][1] for s in "lr"]))
    if body > 1.75 * width:
        return GarmentKind.DRESS
    if sleeve < 0.12 * width:
        return GarmentKind.SLEEVELESS
    return GarmentKind.SHORT_SLEEVE if sleeve < 0.75 * width else GarmentKind.LONG_SLEEVE


def _axis(mask: Array) -> float:
    """x of the line about which the mask mirrors best."""
    profile = mask.sum(axis=0).astype(np.float64)
    centre = float((profile * np.arange(len(profile))).sum() / profile.sum())
    best, score = centre, -1
    for twice in range(int(2 * centre) - 30, int(2 * centre) + 31):
        x = np.arange(mask.shape[1])
        mirror = twice - x
        ok = (mirror >= 0) & (mirror < mask.shape[1])
        same = int((mask[:, x[ok]] & mask[:, mirror[ok]]).sum())
        if same > score:
            best, score = twice / 2, same
    return best + 0.5


def _side(mask: Array, outline: Array, axis: float, side: int) -> dict[str, Array]:
    rows = np.flatnonzero(mask.any(axis=1))
    top, bottom = int(rows[0]), int(rows[-1])
    height = bottom - top
    reach = (outline[:, 0] + 0.5 - axis) * side
    hem_rows = (outline[:, 1] > bottom - 0.08 * height) & (reach > 0)
    near = outline[hem_rows] if hem_rows.any() else outline
    hem = near[np.argmax((near[:, 0] - axis) * side + 1.0 * near[:, 1])].astype(float)
    pit, depth = _armpit(outline, hem, axis, side, top, height)
    body = abs(hem[0] - axis)
    if pit is None:  # nothing sticks out at the side: sleeveless, or sleeves that touch the body
        pit = np.array([axis + side * body, top + 0.35 * height])
        column = reach[(outline[:, 1] > top + 0.3 * height) & (outline[:, 1] < top + 0.4 * height)]
        if len(column):
            pit[0] = axis + side * float(column.max())
    above = mask[: int(pit[1]), int(np.clip(pit[0] + side, 0, mask.shape[1] - 1))]
    shoulder = np.array([pit[0], float(np.flatnonzero(above)[0]) if above.any() else top + 0.1 * height])
    beyond = _stretch(outline, shoulder, pit, side).astype(float)
    root = (pit + shoulder) / 2
    if depth < 0.03 * height or not len(beyond):
        return {"shoulder": shoulder, "armpit": pit, "cuff_out": shoulder, "cuff_in": pit, "hem": hem}
    tip = beyond[np.argmax(((beyond - root) ** 2).sum(axis=1))]
    along = (tip - root) / np.linalg.norm(tip - root)
    ahead = (beyond - root) @ along
    cuff = beyond[ahead > ahead.max() - 0.12 * height]
    normal = np.array([along[1], -along[0]]) * side  # away from the body
    across = (cuff - root) @ normal + 0.5 * ((cuff - root) @ along)
    inner = -((cuff - root) @ normal) + 0.5 * ((cuff - root) @ along)
    return {
        "shoulder": shoulder, "armpit": pit, "hem": hem,
        "cuff_out": cuff[np.argmax(across)], "cuff_in": cuff[np.argmax(inner)],
    }  # fmt: skip


def _armpit(outline: Array, hem: Array, axis: float, side: int, top: int, height: int) -> tuple[Array | None, float]:
    hull = cv2.convexHull(outline, returnPoints=False)
    hull[::-1].sort(axis=0)
    defects = cv2.convexityDefects(outline, hull)
    best, depth = None, 0.0
    for _, _, far, d in defects[:, 0] if defects is not None else []:
        p = outline[far].astype(float)
        if (
            (p[0] - axis) * side > 0.1 * height
            and top + 0.15 * height < p[1] < hem[1] - 0.1 * height
            and d / 256 > depth
        ):
            best, depth = p, d / 256
    return best, depth


def _collar(mask: Array, axis: float, points: dict[str, Array]) -> dict[str, Array]:
    left, right = points["shoulder_l"], points["shoulder_r"]
    top = mask.argmax(axis=0)
    found: dict[str, Array] = {}
    span = abs(left[0] - right[0])
    for name, side in (("l", 1), ("r", -1)):
        xs = np.arange(round(axis + side * 0.08 * span), round(axis + side * 0.3 * span), side)
        xs = xs[(xs >= 0) & (xs < mask.shape[1])]
        rise = top[xs] + 0.25 * np.abs(xs - axis)  # the corner where the neckline meets the shoulder seam
        x = int(xs[np.argmin(rise)])
        found[f"collar_{name}"] = np.array([x + 0.5, float(top[x])])
    y = (found["collar_l"][1] + found["collar_r"][1]) / 2
    found["collar_c"] = np.array([axis, max(float(top[int(axis)]), y + 0.14 * span)])
    return found
