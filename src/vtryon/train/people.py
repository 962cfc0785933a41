"""Clothing Co-Parsing photographs: their 59 labels as ours, and their one "skin" label split by pose."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from vtryon.types import Array, Label

_NAMES: dict[Label, tuple[str, ...]] = {
    Label.BACKGROUND: ("null",),
    Label.HAIR: ("hair", "hat"),
    Label.FACE: ("earrings", "glasses", "necklace", "sunglasses"),
    Label.TOP: (
        "blouse", "bodysuit", "bra", "hoodie", "intimate", "jumper", "shirt", "sweater", "sweatshirt", "t-shirt",
        "tie", "top",
    ),
    Label.OUTER: ("blazer", "cape", "cardigan", "coat", "jacket", "suit", "vest"),
    Label.DRESS: ("dress", "romper", "swimwear"),
    Label.LOWER: ("belt", "jeans", "leggings", "panties", "pants", "shorts", "skirt"),
    Label.LEGS: (
        "boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers", "socks", "stockings",
        "tights", "wedges",
    ),
    Label.CARRIED: ("accessories", "bag", "purse", "scarf", "wallet"),
}  # fmt: skip
_SKIN = ("skin", "bracelet", "gloves", "ring", "watch")
"""Skin, and what is worn on hands and wrists: split by pose."""

_UNSPLIT = 255

_CHEST, _WAIST = 0.5, 0.75
"""How far down from the shoulders (0) to the hips (1) cloth tells a shirt from jeans, and a dress from a skirt."""


def label_table(names: list[str]) -> Array:
    """Lookup table (N,) uint8 from a data set's label numbers to :class:`Label`; 255 is skin, still to be split.

    ``names[i]`` is the name of label ``i`` (``people/labels.txt``). Raises KeyError for a name that is not known.
    """
    known = {name: int(label) for label, group in _NAMES.items() for name in group}
    known |= dict.fromkeys(_SKIN, _UNSPLIT)
    return np.array([known[name] for name in names], np.uint8)


def read_names(text: str) -> list[str]:
    """Label names in order of their number from the lines ``<number> <name>``."""
    rows = sorted(
        (int(number), name.strip())
        for number, name in (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    )
    return [name for _, name in rows]


def people_labels(raw: Array, points: Array, names: list[str]) -> Array:
    """Label map (H, W) uint8 of :class:`Label` from a photograph's own map and its 33 landmarks (33, 2) in px.

    Skin goes to the nearest of head and neck, the two arms, and the legs; a suit's trousers and a dress's belt are
    put where they belong; a vest alone is a top. Two mistakes of the maps are put right: a "dress" that is not worn
    above the waist is a skirt or trousers (a third of all), and "jeans" there are a denim shirt or jacket.
    """
    labels = label_table(names)[raw]
    present = set(np.unique(raw).tolist())
    number = {name: i for i, name in enumerate(names)}
    hip = float(points[[23, 24], 1].mean())
    rows = np.arange(raw.shape[0], dtype=np.float32)[:, None] + 0.5
    if number["suit"] in present:
        labels[(raw == number["suit"]) & (rows > hip)] = Label.LOWER
    _separate(labels, float(points[[11, 12], 1].mean()), hip, rows)
    if (labels == Label.DRESS).any() and not (labels == Label.LOWER).sum() > 4 * (raw == number["belt"]).sum():
        labels[raw == number["belt"]] = Label.DRESS
    if number["vest"] in present and not ((labels == Label.TOP) & (rows < hip)).any():
        labels[raw == number["vest"]] = Label.TOP
    ys, xs = np.nonzero(labels == _UNSPLIT)
    if len(ys):
        labels[ys, xs] = skin_owner(np.stack([xs, ys], 1).astype(np.float32) + 0.5, points)
    return labels


def _separate(labels: Array, shoulders: float, hips: float, rows: Array) -> None:
    """Tell skirts from dresses and denim shirts from jeans, in place, by what covers the trunk."""
    size = hips - shoulders

    def above(label: Label, down: float) -> float:
        return float(((labels == label) & (rows > shoulders) & (rows < shoulders + down * size)).sum()) / size**2

    top = above(Label.TOP, _WAIST)
    if above(Label.DRESS, _WAIST) < max(0.85 * top, 0.05):
        labels[labels == Label.DRESS] = Label.LOWER
    if above(Label.LOWER, _CHEST) > 0.08:
        labels[(labels == Label.LOWER) & (rows < hips)] = Label.OUTER if top > 0.02 else Label.TOP


def skin_owner(where: Array, points: Array) -> Array:
    """Which body part bare skin at ``where`` (N, 2) px belongs to, as Label (N,) uint8, by the nearest bone."""
    neck = points[[11, 12]].mean(0)
    hips = points[[23, 24]].mean(0)
    chest = neck + 0.3 * (hips - neck)
    bones: list[tuple[Label, float, list[Array]]] = [
        (Label.FACE, 1.25, [points[0], neck, chest]),
        (Label.FACE, 1.25, [points[7], points[8]]),
        (Label.FACE, 1.0, [0.5 * (points[11] + neck), 0.5 * (points[12] + neck)]),
    ]
    for label, (s, e, w, h) in ((Label.LEFT_ARM, (11, 13, 15, 19)), (Label.RIGHT_ARM, (12, 14, 16, 20))):
        hand = points[h] + 0.4 * (points[h] - points[w])
        bones.append((label, 1.0, [points[s] + 0.1 * (points[e] - points[s]), points[e], points[w], hand]))
    for a, k, n, t in ((23, 25, 27, 31), (24, 26, 28, 32)):
        bones.append((Label.LEGS, 1.2, [points[a] + 0.15 * (points[k] - points[a]), points[k], points[n], points[t]]))
    best = np.full(len(where), np.inf, np.float32)
    owner = np.zeros(len(where), np.uint8)
    for label, reach, chain in bones:
        for start, end in pairwise(chain):
            distance = segment_distance(where, start, end) / reach
            closer = distance < best
            best[closer] = distance[closer]
            owner[closer] = label
    return owner


def segment_distance(where: Array, a: Array, b: Array) -> Array:
    """Distance in px from points (N, 2) to the segment from ``a`` to ``b``."""
    along = b - a
    t = ((where - a) @ along / max(float(along @ along), 1e-6)).clip(0.0, 1.0)
    return np.asarray(np.linalg.norm(where - a - t[:, None] * along, axis=1), np.float32)
