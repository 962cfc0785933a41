"""VVT in the two layouts that are about: ``fw_gan_vvt`` (as ShineOn reads it) and ``vvt_competition`` (CatV2TON,
SwiftTry)."""

from __future__ import annotations

from pathlib import Path

from vtryon.data.lists import Collected, read_list
from vtryon.data.shape import missing
from vtryon.data.tree import PICTURES, Footage, Layout, Sample, files, folders, footage_in

_SPLITS = ("train", "test")


def open_fw_gan(root: Path, pairs: Path | None) -> Collected:
    """Every clip in its own garment; test clips also in those of ``tryon_list.csv``, where that is there.

    Raises:
        MissingInputError: clips or garments are missing.
    """
    clothes = root / "clothes_person" / "img"
    if not clothes.is_dir():
        raise missing(root, Layout.FW_GAN_VVT, clothes)
    pictures = {folder.name.upper(): files(folder, PICTURES) for folder in folders(clothes)}
    clips = {split: footage_in(root / split / f"{split}_frames") for split in _SPLITS}
    if not any(clips.values()):
        raise missing(root, Layout.FW_GAN_VVT, root / "train" / "train_frames")
    collected = Collected()
    for split in _SPLITS:
        for name, shown in clips[split].items():
            owner, _, number = name.upper().partition("-")
            garment = _front(pictures.get(owner, ()), f"{owner}-{number}")
            wanted = clothes / owner / f"{owner}-{number}*cloth_front.*"
            parts = _fw_gan_parts(root / split, split, name)
            collected.add(*_sample(name, split, shown, garment, wanted, **parts))
    listed = pairs or root / "tryon_list.csv"
    own = {sample.id: sample.garment for sample in collected.samples if sample.split == "test"}
    if pairs is not None or listed.is_file():
        for cloth, name, *_ in read_list(listed, 2):
            place = next((p for base in (root, listed.parent) if (p := base / cloth).is_file()), None)
            if place is not None and place == own.get(name):
                continue  # paired, and there already
            parts = _fw_gan_parts(root / "test", "test", name)
            footage, frames = clips["test"].get(name), root / "test" / "test_frames" / name
            collected.add(*_unpaired(name, footage, frames, place, root / cloth, Path(cloth).stem, **parts))
    return collected


def _front(pictures: tuple[Path, ...], start: str) -> Path | None:
    """The garment from the front; any picture of it where none says so."""
    mine = [p for p in pictures if p.name.upper().startswith(start)]
    cloth = [p for p in mine if "cloth" in p.name.lower()]
    front = [p for p in cloth if "cloth_front" in p.stem.lower()]
    return next(iter([*front, *cloth]), None)


def _fw_gan_parts(folder: Path, split: str, name: str) -> dict[str, Path | None]:
    places = {
        "pose": folder / f"{split}_frames_keypoint" / name,
        "parsing": folder / f"{split}_frames_parsing" / name,
        "flow": folder / "optical_flow" / name,
    }
    return {part: place if place.is_dir() else None for part, place in places.items()}


def open_competition(root: Path, pairs: Path | None) -> Collected:
    """Every clip in its own garment; test clips also in those of ``test_person_clothes_pose_tuple.txt``. The third name
    of its lines, whose pose FW-GAN lends the person, is not used: the person moves as in the clip (CatV2TON does so).

    Raises:
        MissingInputError: clips or garments are missing.
    """
    clothes = root / "lip_clothes_person"
    if not clothes.is_dir():
        raise missing(root, Layout.VVT_COMPETITION, clothes)
    places = {"train": ("lip_train_frames",), "test": ("lip_test_frames", "test_frames")}
    clips: dict[str, dict[str, Footage]] = {}
    for split, options in places.items():
        place = next((root / name for name in options if (root / name).is_dir()), root / options[0])
        clips[split] = footage_in(place)
    if not any(clips.values()):
        raise missing(root, Layout.VVT_COMPETITION, root / "lip_train_frames")
    collected = Collected()
    for split in _SPLITS:
        for name, footage in clips[split].items():
            parts = _competition_parts(root, split, name)
            wanted = clothes / name / "*cloth*.jpg"
            collected.add(*_sample(name, split, footage, _cloth(clothes / name), wanted, **parts))
    listed = pairs or root / "test_person_clothes_pose_tuple.txt"
    if pairs is not None or listed.is_file():
        for name, cloth, *_ in read_list(listed, 2):
            if name == cloth:
                continue  # paired, and there already
            parts = _competition_parts(root, "test", name)
            garment, wanted = _cloth(clothes / cloth), clothes / cloth / "*cloth*.jpg"
            frames = root / "lip_test_frames" / name
            collected.add(*_unpaired(name, clips["test"].get(name), frames, garment, wanted, cloth, **parts))
    return collected


def _cloth(folder: Path) -> Path | None:
    """A garment's picture in its folder, where pictures of the person lie too."""
    if not folder.is_dir():
        return None
    pictures = files(folder, PICTURES)
    cloth = [p for p in pictures if "cloth" in p.name.lower()]
    return next(iter([*cloth, *(p for p in pictures if p.suffix.lower() == ".jpg")]), None)


def _competition_parts(root: Path, split: str, name: str) -> dict[str, Path | None]:
    pose = root / f"lip_{split}_frames_keypoint" / name
    return {"pose": pose if pose.is_dir() else None}


def _sample(
    name: str, split: str, footage: Footage, garment: Path | None, wanted: Path, **parts: Path | None
) -> tuple[Sample | None, str]:
    """A clip in its own garment, or what is missing."""
    if garment is None:
        return None, f"{wanted} is missing"
    return Sample(name, name, split, footage, garment, True, **parts), ""


def _unpaired(
    name: str, footage: Footage | None, frames: Path, garment: Path | None, wanted: Path, cloth: str,
    **parts: Path | None,
) -> tuple[Sample | None, str]:  # fmt: skip
    """A test clip in another garment, called ``cloth``, or what is missing."""
    if footage is None or garment is None:
        return None, f"{frames if footage is None else wanted} is missing"
    return Sample(f"{name}__{cloth}", name, "test", footage, garment, False, **parts), ""
