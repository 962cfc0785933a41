"""The parts that some data sets bring along, in the formats of the field: OpenPose joints, LIP labels, .flo flow."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from vtryon.data.tree import FootageKind, Sample
from vtryon.errors import BadInputError, MissingInputError
from vtryon.types import Array, Label

LIP = (
    Label.BACKGROUND, Label.HAIR, Label.HAIR, Label.CARRIED, Label.FACE,  # hat, hair, glove, sunglasses
    Label.TOP, Label.DRESS, Label.OUTER, Label.LEGS, Label.LOWER,  # upper clothes, dress, coat, socks, trousers
    Label.DRESS, Label.CARRIED, Label.LOWER, Label.FACE,  # jumpsuit, scarf, skirt, face
    Label.LEFT_ARM, Label.RIGHT_ARM, Label.LEGS, Label.LEGS, Label.LEGS, Label.LEGS,  # arms, legs, shoes
)  # fmt: skip
"""Our labels for the 20 of LIP, in their order."""

_LIP_TABLE = np.array(LIP, np.uint8)

OPENPOSE = {
    0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15, 8: 24, 9: 26, 10: 28, 11: 23, 12: 25, 13: 27, 14: 5, 15: 2, 16: 8,
    17: 7,
}  # fmt: skip
"""Joints of OpenPose's 18 (COCO) to MediaPipe's 33; the neck (1) has no counterpart."""

_HANDS = {15: (17, 19, 21), 16: (18, 20, 22)}  # landmarks that go with a wrist
_FLO = 202021.25  # the first number of every .flo file
_SURE = 0.05  # confidence below which OpenPose has not seen a joint


def part_path(sample: Sample, part: str, name: str) -> Path | None:
    """The file of ``part`` (``pose``, ``parsing`` or ``flow``) for the frame called ``name`` (without its ending).

    None where the data set does not have the part, or not for this frame: then it is computed. In folders of frames
    a label map may be called ``NAME_label.png`` or ``NAME.png``.
    """
    place: Path | None = getattr(sample, part)
    if place is None:
        return None
    if sample.person.kind == FootageKind.PICTURE:
        return place
    endings = {"pose": ("_keypoints.json",), "parsing": ("_label.png", ".png"), "flow": (".flo",)}[part]
    return next((path for ending in endings if (path := place / f"{name}{ending}").is_file()), None)


def read_joints(path: Path) -> tuple[Array, Array]:
    """Where OpenPose sees the first person's joints: (33, 2) float32 px and (33,) confidence in MediaPipe's order.

    Joints that it did not see, and landmarks that it does not know, have confidence 0.

    Raises:
        MissingInputError, BadInputError: the file cannot be read, or holds something else.
    """
    try:
        people = json.loads(path.read_text())["people"]
        numbers = people[0].get("pose_keypoints", people[0].get("pose_keypoints_2d")) if people else [0] * 54
        joints = np.asarray(numbers, np.float32).reshape(-1, 3)[:18]
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadInputError(f"{path}: not a pose of OpenPose (people[0].pose_keypoints, 18 x 3 numbers)") from problem
    if len(joints) < 18:
        raise BadInputError(f"{path}: {len(joints)} joints, 18 are wanted")
    points, sure = np.zeros((33, 2), np.float32), np.zeros(33, np.float32)
    for theirs, ours in OPENPOSE.items():
        if joints[theirs, 2] > _SURE:
            points[ours], sure[ours] = joints[theirs, :2], min(float(joints[theirs, 2]), 1.0)
    return points, sure


def with_joints(points: Array, visibility: Array, joints: Array, sure: Array) -> tuple[Array, Array]:
    """Landmarks (33, 2) and (33,) with those joints in place that were seen; hands go with their wrists."""
    points, visibility, before = points.copy(), visibility.copy(), points
    for wrist, hand in _HANDS.items():
        if sure[wrist] > 0:
            points[list(hand)] += joints[wrist] - before[wrist]
    seen = sure > 0
    points[seen], visibility[seen] = joints[seen], np.maximum(visibility[seen], sure[seen])
    return points, visibility


def read_lip(path: Path) -> Array:
    """A LIP label map (H, W) as our labels, uint8.

    Raises:
        MissingInputError, BadInputError: the file cannot be read, or is no picture of label numbers 0 to 19.
    """
    try:
        with Image.open(path) as picture:
            numbers = np.asarray(picture)
    except UnidentifiedImageError as problem:
        raise BadInputError(f"{path}: not a picture of labels") from problem
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    if numbers.ndim != 2 or numbers.dtype != np.uint8 or int(numbers.max(initial=0)) >= len(LIP):
        raise BadInputError(f"{path}: not a LIP label map (grey or palette picture of the numbers 0 to 19)")
    return np.asarray(_LIP_TABLE[numbers])


def read_flow(path: Path, size: tuple[int, int]) -> Array:
    """A Middlebury .flo file as (H, W, 2) float32 px on pictures of ``size`` = (H, W).

    It is read as ShineOn uses it: what is added to a pixel's place to find it in the frame before.

    Raises:
        MissingInputError, BadInputError: it cannot be read, or is not whole.
    """
    try:
        data = path.read_bytes()
        mark, w, h = struct.unpack_from("<fii", data)  # OpenCV's own reader fails badly on damaged files
        flow = np.frombuffer(data, "<f4", 2 * w * h, 12).reshape(h, w, 2)
    except OSError as problem:
        raise MissingInputError(f"{path}: cannot be read ({problem.strerror})") from problem
    except (struct.error, ValueError) as problem:
        raise BadInputError(f"{path}: not a whole .flo file") from problem
    if mark != _FLO or flow.size == 0 or not np.isfinite(flow).all():
        raise BadInputError(f"{path}: not a .flo file of finite numbers")
    if (h, w) != size:
        flow = cv2.resize(flow, size[::-1], interpolation=cv2.INTER_LINEAR) * np.array(
            [size[1] / w, size[0] / h], np.float32
        )
    return np.asarray(flow, np.float32)
