"""Augmentation of person crops: framing, background, cloth, camera, and faults of landmarks and matte.

Every function takes the random generator; the same generator state gives the same crop. Pictures are float32 RGB in
[0, 255] while they are worked on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtryon.person.crop import framing, window
from vtryon.person.pose import body_size
from vtryon.types import CROP_SIZE, LANDMARKS, Array, Crop, Label

_SWAP = np.arange(256, dtype=np.uint8)
_SWAP[[Label.LEFT_ARM, Label.RIGHT_ARM]] = (Label.RIGHT_ARM, Label.LEFT_ARM)
_MIRROR = np.arange(LANDMARKS)
for _a, _b in ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((i, i + 1) for i in range(11, 33, 2))):
    _MIRROR[[_a, _b]] = _b, _a
_CLOTHES = (Label.TOP, Label.OUTER, Label.DRESS, Label.LOWER)


@dataclass(frozen=True, eq=False)
class Crops:
    """One training crop: ``rgb`` (256, 192, 3) uint8, ``labels`` (256, 192) uint8, ``matte`` (256, 192) float32,
    ``points`` (33, 2) px and ``visibility`` (33,)."""

    rgb: Array
    labels: Array
    matte: Array
    points: Array
    visibility: Array


def frame_crop(points: Array, visibility: Array, matte: Array) -> Crop:
    """The window that the person room takes at run time, for landmarks (33, 2) and a matte (H, W) uint8 in px."""
    ys, xs = np.nonzero(matte[::4, ::4] > 127)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) * 4.0 if len(xs) else None
    return window([framing(points, visibility, box, matte.shape)], np.ones(1))  # type: ignore[arg-type]


def random_crop(points: Array, visibility: Array, matte: Array, rng: np.random.Generator) -> Crop:
    """The run-time window shaken, or a tighter one: half figures, head and shoulders, torso alone."""
    crop = frame_crop(points, visibility, matte)
    size = body_size(points)
    if rng.random() < 0.5:
        height = crop.height * float(np.exp(rng.normal(0, 0.08)))
        x, y = crop.left + crop.width / 2, crop.top + crop.height / 2
    else:
        neck = points[11:13].mean(axis=0)
        height = size * float(rng.uniform(1.3, 2.6))
        x, y = neck + size * np.array([rng.normal(0, 0.12), 0])
        above = 0.62 * size if rng.random() < 0.8 else float(rng.uniform(0.1, 0.6)) * size
        y += height / 2 - above - 0.1 * size * abs(float(rng.normal()))
    dx, dy = rng.normal(0, 0.04, 2) * height
    return Crop(float(x + dx - height * 3 / 8), float(y + dy - height / 2), float(height))


def shaken_matrix(crop: Crop, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """(2, 3) map to the crop's grid of ``size`` = (height, width) with a small turn and stretch."""
    matrix = crop.matrix(size)
    turn = np.deg2rad(rng.normal(0, 5))
    stretch = np.exp(rng.normal(0, 0.04))
    c, s = np.cos(turn), np.sin(turn)
    linear = np.array([[c * stretch, -s], [s, c / stretch]])
    middle = np.array(size[::-1]) / 2
    out = linear @ matrix
    out[:, 2] += middle - linear @ middle
    return out


def sample(image: Array, matrix: Array, size: tuple[int, int], nearest: bool = False, border: float = 0) -> Array:
    """``image`` through ``matrix`` (pixel centres at +0.5) onto a grid of ``size`` = (height, width)."""
    m = matrix.copy()
    m[:, 2] += m[:, :2] @ (0.5, 0.5) - 0.5
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    scale = float(np.sqrt(abs(np.linalg.det(m[:, :2]))))
    if not nearest and scale < 0.66:
        k = min(4, round(1 / scale))
        image = cv2.blur(image, (k, k))
    out: Array = cv2.warpAffine(image, m, size[::-1], flags=flags, borderValue=(border,) * 4)
    return out


def mirrored(crop: Crops) -> Crops:
    """Left and right exchanged: pixels, the two arms' labels, the landmarks' sides."""
    points = crop.points[_MIRROR] * (-1, 1) + (crop.rgb.shape[1], 0)
    return Crops(
        np.ascontiguousarray(crop.rgb[:, ::-1]), np.ascontiguousarray(_SWAP[crop.labels[:, ::-1]]),
        np.ascontiguousarray(crop.matte[:, ::-1]), points.astype(np.float32), crop.visibility[_MIRROR],
    )  # fmt: skip


def background(photographs: Array, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """(H, W, 3) float32: a photograph without its person, or a room: plain wall, soft light, some furniture.

    ``photographs`` (M, 256, 192, 3) uint8.
    """
    h, w = size
    if rng.random() < 0.5:
        photo = photographs[rng.integers(len(photographs))]
        zoom = rng.uniform(0.4, 1.0)
        ch, cw = int(photo.shape[0] * zoom), int(photo.shape[1] * zoom)
        y, x = rng.integers(photo.shape[0] - ch + 1), rng.integers(photo.shape[1] - cw + 1)
        out = cv2.resize(photo[y : y + ch, x : x + cw], (w, h)).astype(np.float32)
        return np.asarray(out[:, ::-1] if rng.random() < 0.5 else out, np.float32)
    corners = np.clip(rng.uniform(20, 245) + rng.normal(0, 12, 3) + rng.normal(0, 14, (3, 2, 1)), 0, 255)
    out = cv2.resize(corners.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(0, 5) if rng.random() < 0.6 else 0):
        x, y = rng.integers(-w // 5, w), rng.integers(-h // 5, h)
        x1, y1 = x + int(rng.integers(4, w // 2)), y + int(rng.integers(4, 3 * h // 4))
        out[max(y, 0) : max(y1, 0), max(x, 0) : max(x1, 0)] = rng.uniform(0, 255) + rng.normal(0, 25, 3)
    return np.asarray(cv2.GaussianBlur(np.clip(out, 0, 255), (0, 0), rng.uniform(0.4, 3) * h / 256), np.float32)


def recolour(rgb: Array, labels: Array, rng: np.random.Generator, share: float = 0.45) -> Array:
    """Clothes get another colour, independently of each other and of the rest; some are made plain."""
    for label in _CLOTHES:
        mask = labels == label
        if rng.random() > share or mask.sum() < 50:
            continue
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
        colour = random_colour(rng)
        light = rgb.mean(axis=2, keepdims=True)
        if rng.random() < 0.4:  # plain cloth with the folds that were there
            light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.5, 2.5))[..., None]
            contrast = rng.uniform(0.3, 1.0)
            new = colour * (light / max(float(light[mask].mean()), 8.0)) ** contrast
        else:
            mean = rgb[mask].mean(axis=0)
            new = (rgb - mean) * rng.uniform(0.5, 1.3) + mean
            new = new * np.clip(colour / np.maximum(mean, 12), 0.15, 4)
        rgb = rgb + soft * (np.clip(new, 0, 255) - rgb)
    return rgb


def random_colour(rng: np.random.Generator) -> Array:
    """(3,) float32 cloth colour: greys, black and white as often as hues."""
    value = rng.uniform(10, 245)
    if rng.random() < 0.45:
        return np.clip(value + rng.normal(0, 8, 3), 5, 250).astype(np.float32)
    hsv = np.array([[[rng.integers(180), rng.integers(60, 255), np.clip(value, 50, 245)]]], np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def cloth_print(cloths: Array, rng: np.random.Generator) -> Array:
    """(256, 256, 3) float32 print in product coordinates: plain, stripes, checks, real cloth, with or without logo."""
    base, other = random_colour(rng), random_colour(rng)
    out = np.broadcast_to(base, (256, 256, 3)).copy()
    kind = rng.random()
    ramp = np.arange(256)
    if kind < 0.15:
        out[(ramp // rng.integers(3, 24)) % 2 == 0] = other
    elif kind < 0.22:
        out[:, (ramp // rng.integers(3, 20)) % 2 == 0] = other
    elif kind < 0.32:
        period = rng.integers(4, 20)
        out[((ramp[:, None] // period) % 2) == ((ramp // period) % 2)] = other
    elif kind < 0.55:
        out = cloths[rng.integers(len(cloths))].astype(np.float32)
    if rng.random() < 0.25:
        x, y, w, h = rng.integers(90, 130), rng.integers(50, 110), rng.integers(10, 60), rng.integers(6, 60)
        cv2.ellipse(out, (int(x), int(y)), (int(w), int(h)), 0, 0, 360, random_colour(rng).tolist(), -1)
    if rng.random() < 0.25:
        text = "".join(chr(c) for c in rng.integers(65, 91, rng.integers(2, 7)))
        at = (int(rng.integers(70, 110)), int(rng.integers(70, 140)))
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_DUPLEX, rng.uniform(0.5, 1.6), random_colour(rng).tolist(), 2)
    return out


def occlude(rgb: Array, labels: Array, points: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Things worn or held over the garment: a strap, with or without badge or bag, or a phone or cup."""
    rgb, labels = np.ascontiguousarray(rgb), labels.copy()
    size = labels.shape
    thing = np.zeros(size, np.uint8)
    shoulders, hips = points[11:13], points[23:25]
    scale = float(np.linalg.norm(hips.mean(0) - shoulders.mean(0))) + 1

    def at(p: Array) -> tuple[int, int]:
        return int(np.clip(p[0], -999, 999)), int(np.clip(p[1], -999, 999))

    shade = np.broadcast_to(random_colour(rng), rgb.shape).copy()
    kind = rng.random()
    if kind < 0.45:  # a lanyard with a badge, under the hands
        _lanyard(thing, shade, shoulders, hips, rng)
        thing[(labels == Label.LEFT_ARM) | (labels == Label.RIGHT_ARM)] = 0
    elif kind < 0.7:
        side = int(rng.integers(2))
        width = max(1, round(scale * rng.uniform(0.015, 0.08)))
        cv2.line(thing, at(shoulders[side]), at(hips[1 - side]), (1,), width)
        if rng.random() < 0.5:
            cv2.ellipse(thing, at(hips[1 - side]), (int(0.25 * scale), int(0.3 * scale)), 0, 0, 360, (1,), -1)
    else:
        centre = shoulders.mean(0) + rng.normal(0, 0.3, 2) * scale + (0, 0.4 * scale)
        box = (tuple(centre.tolist()), tuple((scale * rng.uniform(0.1, 0.4, 2)).tolist()), float(rng.uniform(0, 180)))
        cv2.fillPoly(thing, [cv2.boxPoints(box).astype(np.int32)], (1,))
    on = (thing > 0) & ((labels != 0) | (cv2.dilate((labels > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0))
    shade = shade * (0.8 + 0.2 * rng.random(size)[..., None]).astype(np.float32)
    soft = cv2.GaussianBlur(on.astype(np.float32), (0, 0), 0.6)[..., None]
    labels[on] = Label.CARRIED
    return rgb + soft * (shade - rgb), labels


def _lanyard(thing: Array, shade: Array, shoulders: Array, hips: Array, rng: np.random.Generator) -> None:
    """Draw into the mask ``thing`` (H, W) and the colours ``shade`` (H, W, 3) a strap round the neck, as narrow as real
    ones are, and the card that hangs on it: light, with a picture or some lines, or of any colour."""
    neck, down = shoulders.mean(0), hips.mean(0) - shoulders.mean(0)
    scale = float(np.linalg.norm(down)) + 1
    across = np.array([down[1], -down[0]]) / scale
    end = neck + rng.uniform(0.35, 0.9) * down + across * rng.normal(0, 0.05) * scale
    width = max(1, round(scale * rng.uniform(0.01, 0.04)))
    for side in (-1, 1):
        start = neck - 0.05 * down + side * rng.uniform(0.1, 0.2) * scale * across
        cv2.line(thing, start.astype(int).tolist(), end.astype(int).tolist(), (1,), width, cv2.LINE_8)
    half = scale * np.array([rng.uniform(0.04, 0.09), rng.uniform(0.06, 0.13)])
    turn = float(np.degrees(np.arctan2(down[1], down[0]))) - 90 + rng.normal(0, 8)
    card = np.zeros_like(thing)
    for size, light in ((half, rng.uniform(150, 250)), (0.55 * half, rng.uniform(20, 250))):
        box = ((end + down / scale * half[1]).tolist(), (2 * size).tolist(), turn)
        card[:] = 0
        cv2.fillPoly(card, [cv2.boxPoints(box).astype(np.int32)], (1,))
        thing[card > 0] = 1
        shade[card > 0] = light if rng.random() < 0.7 else random_colour(rng)


def from_behind(rgb: Array, labels: Array, points: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """A person seen from the front made to look turned away: hair, short or long, where the face was.

    Few photographs show backs, and MediaPipe finds a face in any hair. The caller exchanges the landmarks' sides
    (:func:`turned`), as they are when a person really turns away; the arms' labels are exchanged here.
    """
    rgb, labels = rgb.copy(), _SWAP[labels]
    size = body_size(points)
    mouth, nose = points[[9, 10]].mean(axis=0), points[0]
    rows, columns = np.mgrid[0 : labels.shape[0], 0 : labels.shape[1]].astype(np.float32)
    on = (labels == Label.FACE) & (rows < mouth[1] + 0.1 * size)
    if rng.random() < 0.6:  # hair that falls over neck and back
        end = points[11:13, 1].mean() + rng.uniform(-0.1, 0.6) * size
        width = rng.uniform(0.16, 0.34) * size * (1 + 0.1 * np.sin(rows / (0.07 * size) + rng.uniform(0, 6)))
        on |= (np.abs(columns - nose[0]) < width) & (rows > nose[1]) & (rows < end) & (labels > 0)
    hair = labels == Label.HAIR
    if hair.sum() > 30 and rng.random() < 0.7:
        colour = rgb[hair].mean(axis=0)
    else:
        colour = np.array([1.0, rng.uniform(0.7, 0.95), rng.uniform(0.4, 0.85)]) * rng.uniform(15, 220)
    coarse = rng.normal(0, 1, (6, labels.shape[1])).astype(np.float32)
    strands = cv2.resize(coarse, labels.shape[::-1], interpolation=cv2.INTER_CUBIC)
    shade = colour * np.exp(rng.uniform(0.05, 0.3) * strands)[..., None]
    soft = cv2.GaussianBlur(on.astype(np.float32), (0, 0), 0.8)[..., None]
    labels[on] = Label.HAIR
    return np.asarray(rgb + soft * (shade - rgb), np.float32), labels


def turned(points: Array, visibility: Array) -> tuple[Array, Array]:
    """Landmarks (33, 2) and (33,) with their sides exchanged, in place: the same body seen from the other side."""
    return points[_MIRROR], visibility[_MIRROR]


_NOISE = np.random.default_rng(0).normal(0, 1, (320, 256, 3)).astype(np.float32)


def camera(rgb: Array, rng: np.random.Generator) -> Array:
    """Light, colour cast, blur, resolution, noise and compression of a real camera; (H, W, 3) uint8."""
    h, w = rgb.shape[:2]
    unit = h / CROP_SIZE[0]
    out = np.clip(rgb, 0, 255) / 255.0
    gamma = np.exp(rng.normal(0, 0.2))
    gain = np.exp(rng.normal(-0.05, 0.12)) * np.exp(rng.normal(0, 0.05, 3))
    if rng.random() < 0.12:
        gain = gain * rng.uniform(0.15, 0.5)
    if rng.random() < 0.3:  # light falls off to one side
        left, right = rng.uniform(0.5, 1.2, 2)
        out = out * np.linspace(left, right, w, dtype=np.float32)[None, :, None]
    out = np.power(np.maximum(out, 1e-4), gamma).astype(np.float32) * gain.astype(np.float32)
    mean = out.mean()
    out = (out - mean) * np.float32(np.exp(rng.normal(-0.03, 0.12))) + mean
    if rng.random() < 0.2:
        grey = out.mean(axis=2, keepdims=True)
        out = grey + (out - grey) * np.float32(rng.uniform(0.2, 1.4))
    kind = rng.random()
    if kind < 0.25:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 2.0) * unit)
    elif kind < 0.35:
        length = max(2, int(rng.integers(3, 12) * unit))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), (1.0,))
        out = cv2.filter2D(out, -1, kernel / max(kernel.sum(), 1))
    elif kind < 0.5:
        small = rng.uniform(0.3, 0.8) if unit == 1 else rng.uniform(0.5, 0.9)
        out = cv2.resize(cv2.resize(out, None, fx=small, fy=small, interpolation=cv2.INTER_AREA), (w, h))
    if rng.random() < 0.6:
        y, x = rng.integers(_NOISE.shape[0] - h + 1), rng.integers(_NOISE.shape[1] - w + 1)
        out = out + _NOISE[y : y + h, x : x + w] * np.float32(abs(rng.normal(0, 0.03)))
    picture: Array = (np.clip(out, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return picture


def faulty_pose(points: Array, visibility: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Landmarks with noise, single ones far off, limbs or the whole pose missing."""
    scale = body_size(points)
    noise = rng.normal(0, 1, points.shape) * scale * 0.02 * abs(rng.normal())
    wild = rng.random(LANDMARKS) < 0.02
    noise[wild] += rng.normal(0, 0.15 * scale, (int(wild.sum()), 2))
    visibility = visibility.copy()
    visibility[rng.random(LANDMARKS) < 0.03] = 0
    if rng.random() < 0.03:
        visibility[:] = 0
    return (points + noise).astype(np.float32), visibility


def faulty_matte(matte: Array, rng: np.random.Generator) -> Array:
    """The matte of a neighbouring frame, a blurred, grown, shrunken or missing one; (H, W) float32 in [0, 1]."""
    h = matte.shape[0]
    kind = rng.random()
    if kind < 0.05:
        return np.full_like(matte, rng.integers(2))
    if kind < 0.3:
        shift = np.array([[1, 0, rng.normal(0, h / 128)], [0, 1, rng.normal(0, h / 128)]], np.float64)
        matte = cv2.warpAffine(matte, shift, (matte.shape[1], h), borderMode=cv2.BORDER_REPLICATE)
    elif kind < 0.5:
        matte = cv2.GaussianBlur(matte, (0, 0), rng.uniform(0.7, 4) * h / 256)
    elif kind < 0.65:
        k = np.ones((max(2, int(rng.integers(2, 6) * h / 256)),) * 2, np.uint8)
        matte = cv2.erode(matte, k) if rng.random() < 0.5 else cv2.dilate(matte, k)
    if rng.random() < 0.2:  # a hole or a piece too much
        x, y = int(rng.integers(matte.shape[1])), int(rng.integers(matte.shape[0]))
        matte = matte.copy()
        cv2.circle(matte, (x, y), int(rng.integers(4, 24) * h / 256), (float(rng.integers(2)),), -1)
    return matte
