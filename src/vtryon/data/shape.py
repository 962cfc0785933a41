"""How the known data sets lie on disk: what tells them apart, what they need, and how to show it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vtryon.data.tree import Layout
from vtryon.errors import BadInputError, MissingInputError

EXPECTED: Mapping[Layout, str] = {
    Layout.VITON: """\
ROOT/train_pairs.txt, test_pairs.txt       lines: 000003_0.jpg 000003_1.jpg   (person, garment)
ROOT/train/image/*_0.jpg                   people
ROOT/train/cloth/*_1.jpg                   garments
ROOT/train/cloth-mask/*_1.jpg              optional; 128 and above is garment
ROOT/train/image-parse/*_0.png             optional; LIP labels
ROOT/train/pose/*_0_keypoints.json         optional
ROOT/test/...                              the same""",
    Layout.FW_GAN_VVT: """\
ROOT/clothes_person/img/<ID>/<ID>-<GARMENT>*cloth_front.*   in capitals
ROOT/train/train_frames/<id>-<garment>/*.png
ROOT/train/train_frames_keypoint/<id>-<garment>/*_keypoints.json   optional
ROOT/train/train_frames_parsing/<id>-<garment>/*_label.png         optional; or without _label
ROOT/train/optical_flow/<id>-<garment>/*.flo                       optional
ROOT/test/test_frames/...                                          the same with test
ROOT/tryon_list.csv                        optional; lines: path/to/cloth.png,<id>-<garment>   (unpaired tests)""",
    Layout.VVT_COMPETITION: """\
ROOT/lip_clothes_person/<id>/*cloth*.jpg
ROOT/lip_train_frames/<id>/*.png
ROOT/lip_train_frames_keypoint/<id>/*_keypoints.json   optional
ROOT/lip_test_frames/<id>/*.png            or test_frames/<id>/*.png, or test_frames/<id>.mp4
ROOT/lip_test_frames_keypoint/...          optional
ROOT/test_person_clothes_pose_tuple.txt    optional; lines: person garment pose   (unpaired tests)""",
    Layout.CLIPS: """\
ROOT/clips/NAME.mp4                        or a folder NAME of frames, or a picture NAME.jpg
ROOT/garments/NAME.jpg                     the garment that the person in NAME wears; others may lie beside it
ROOT/test.txt                              optional; names of the clips that are kept for tests, one a line
ROOT/pairs.txt                             optional; lines: clip garment   (unpaired tests)""",
}

_SIGNS: Mapping[Layout, tuple[str, ...]] = {
    Layout.FW_GAN_VVT: ("clothes_person", "train/train_frames", "test/test_frames"),
    Layout.VVT_COMPETITION: (
        "lip_clothes_person", "lip_train_frames", "lip_test_frames", "test_frames",
        "test_person_clothes_pose_tuple.txt",
    ),
    Layout.VITON: ("train_pairs.txt", "test_pairs.txt", "train/cloth", "test/cloth", "train/image", "test/image"),
    Layout.CLIPS: ("clips", "garments"),
}  # fmt: skip


def recognise(root: Path) -> Layout:
    """The layout that the folder ``root`` has.

    Raises:
        MissingInputError: no such folder.
        BadInputError: no sign of any layout.
    """
    if not root.is_dir():
        raise MissingInputError(f"{root}: no such folder")
    layout = recognised(root)
    if layout is None:
        trees = "\n\n".join(f"{layout}\n{text}" for layout, text in EXPECTED.items())
        raise BadInputError(f"{root}: none of the data sets that are known: {', '.join(EXPECTED)}", details=trees)
    return layout


def recognised(root: Path) -> Layout | None:
    """The layout of which most of the signs are there, None where there is no sign of any."""
    found = {layout: sum((root / sign).exists() for sign in signs) for layout, signs in _SIGNS.items()}
    best = max(found, key=lambda layout: found[layout])
    return best if found[best] else None


def missing(root: Path, layout: Layout, what: Path | str) -> MissingInputError:
    """The error for a tree of ``layout`` in which ``what``, a path or words, is missing; it shows what is expected."""
    line = f"{what} is missing" if isinstance(what, Path) else what
    return MissingInputError(f"{line}; {root} is taken for {layout}", details=f"{layout}\n{EXPECTED[layout]}")
