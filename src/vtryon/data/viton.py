"""VITON as CP-VTON lays it out: single pictures of people, pictures of garments, and lists of pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vtryon.data.lists import Collected, read_list
from vtryon.data.shape import missing
from vtryon.data.tree import Footage, FootageKind, Layout, Sample, names


def open_viton(root: Path, pairs: Path | None) -> Collected:
    """The pairs of ``train_pairs.txt`` and ``test_pairs.txt``; of the test people, also in their own garments.

    Raises:
        MissingInputError: a list or a folder is missing.
    """
    collected = Collected()
    lists = {split: root / f"{split}_pairs.txt" for split in ("train", "test")}
    if pairs is not None:
        lists["test"] = pairs
    there = {split: path for split, path in lists.items() if path.is_file()}
    if not there:
        raise missing(root, Layout.VITON, lists["train"])
    for split, path in there.items():
        folders = _Folders.of(root, root / split)
        wanted = [(person, garment) for person, garment, *_ in read_list(path, 2)]
        if split == "test":
            wanted = [*_own(wanted, folders), *wanted]
        for person, garment in dict.fromkeys(wanted):
            collected.add(*folders.sample(split, person, garment))
    return collected


@dataclass(frozen=True, eq=False)
class _Folders:
    """The folders of one split and the names of the files in them."""

    folder: Path
    names: dict[str, frozenset[str]]

    @classmethod
    def of(cls, root: Path, folder: Path) -> _Folders:
        for needed in ("image", "cloth"):
            if not (folder / needed).is_dir():
                raise missing(root, Layout.VITON, folder / needed)
        inside = ("image", "cloth", "cloth-mask", "image-parse", "pose")
        return cls(folder, {name: names(folder / name) for name in inside})

    def sample(self, split: str, person: str, garment: str) -> tuple[Sample | None, str]:
        """The sample, or None and what is missing."""
        for kind, name in (("image", person), ("cloth", garment)):
            if name not in self.names[kind]:
                return None, f"{self.folder / kind / name} is missing"
        stem, paired = Path(person).stem, _number(person) == _number(garment)
        footage = Footage(FootageKind.PICTURE, self.folder / "image" / person)
        sample = Sample(
            stem if paired else f"{stem}__{Path(garment).stem}", stem, split, footage, self.folder / "cloth" / garment,
            paired,
            pose=self._part("pose", f"{stem}_keypoints.json"),
            parsing=self._part("image-parse", f"{stem}.png"),
            garment_mask=self._part("cloth-mask", garment),
        )  # fmt: skip
        return sample, ""

    def _part(self, kind: str, name: str) -> Path | None:
        return self.folder / kind / name if name in self.names[kind] else None


def _own(wanted: list[tuple[str, str]], folders: _Folders) -> Iterator[tuple[str, str]]:
    """The people of a list in the garments of their own, where those are there."""
    by_number = {_number(name): name for name in sorted(folders.names["cloth"])}
    for person, _ in wanted:
        if (garment := by_number.get(_number(person))) is not None:
            yield person, garment


def _number(name: str) -> str:
    """000003 of 000003_0.jpg and 000003_1.jpg: a person and the garment that is worn share it."""
    return Path(name).stem.rsplit("_", 1)[0]
