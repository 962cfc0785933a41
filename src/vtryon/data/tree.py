"""What a data set on disk is to the rest of the house: samples of people and garments, whatever the folders are called.

Nothing is decoded here and nothing heavy is imported: a tree of a thousand clips opens in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from vtryon.errors import BadInputError, MissingInputError

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")

FRAME_RATE = Fraction(30)
"""Frames a second that are taken for folders of frames, which do not say."""


class Layout(StrEnum):
    """The data sets that are known, by how their files lie."""

    VITON = "viton"
    FW_GAN_VVT = "fw_gan_vvt"
    VVT_COMPETITION = "vvt_competition"
    CLIPS = "clips"


class FootageKind(StrEnum):
    """How a person is stored."""

    PICTURE = "picture"
    FRAMES = "frames"
    VIDEO = "video"


@dataclass(frozen=True)
class Footage:
    """A person on disk: one picture, a folder of frames in order of their names, or a video file.

    Read it with :func:`vtryon.data.read_frames`.
    """

    kind: FootageKind
    path: Path

    def pictures(self) -> tuple[Path, ...]:
        """The picture files in order; none for a video."""
        if self.kind == FootageKind.VIDEO:
            return ()
        return (self.path,) if self.kind == FootageKind.PICTURE else files(self.path, PICTURES)


@dataclass(frozen=True)
class Sample:
    """One person and the garment that goes on them.

    ``id`` is unique within the split; ``person_id`` names the footage, whatever garment; ``split`` is ``train`` or
    ``test``; ``paired`` says that the garment is the one that is worn, so that the footage itself is the truth.
    ``pose`` (folder of OpenPose ``*_keypoints.json``, 18 joints), ``parsing`` (folder of LIP label maps) and ``flow``
    (folder of ``.flo``) are None where the data set does not have them: they are then computed
    (:mod:`vtryon.data.analysis`). For a single picture pose and parsing are files. ``garment_mask`` is a grey
    picture, 128 and above is garment.
    """

    id: str
    person_id: str
    split: str
    person: Footage
    garment: Path
    paired: bool
    pose: Path | None = None
    parsing: Path | None = None
    flow: Path | None = None
    garment_mask: Path | None = None


@dataclass(frozen=True)
class Tree:
    """A data set: where it lies, how it is laid out, and its samples in a fixed order.

    ``broken`` has one line for each sample that was left out because a file of it is missing: whoever counts on all
    of them has to look.
    """

    root: Path
    layout: Layout
    samples: tuple[Sample, ...]
    broken: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have samples, ``train`` first."""
        return tuple(name for name in ("train", "test") if any(s.split == name for s in self.samples))

    def select(self, split: str | None = None, *, paired: bool | None = None) -> tuple[Sample, ...]:
        """The samples of a split (None: all), paired, unpaired or (None) both.

        Raises:
            MissingInputError: there are none.
        """
        found = tuple(s for s in self.samples if split in (None, s.split) and (paired is None or s.paired == paired))
        if not found:
            kind = {True: "paired ", False: "unpaired ", None: ""}[paired]
            where = f" in its {split} split" if split else ""
            raise MissingInputError(f"{self.root}: no {kind}samples{where}; vtryon data check shows what is there")
        return found


def open_tree(path: Path, *, pairs: Path | None = None) -> Tree:
    """Recognise the data set in the folder ``path``: VITON, VVT in either layout, or a plain folder of clips.

    ``pairs`` is another list of unpaired tests than the data set's own, in the data set's own form.

    Raises:
        MissingInputError: there is no such folder, or what makes a tree of a layout is missing: the message names
            the first thing missing and shows the expected tree.
        BadInputError: it looks like no layout that is known.
    """
    from vtryon.data.clips import open_clips
    from vtryon.data.shape import missing, recognise
    from vtryon.data.viton import open_viton
    from vtryon.data.vvt import open_competition, open_fw_gan

    root = Path(path)
    openers = {
        Layout.VITON: open_viton,
        Layout.FW_GAN_VVT: open_fw_gan,
        Layout.VVT_COMPETITION: open_competition,
        Layout.CLIPS: open_clips,
    }
    layout = recognise(root)
    found = openers[layout](root, pairs)
    if not found.samples:
        raise missing(root, layout, found.broken[0] if found.broken else "there is not one sample")
    samples = {(sample.split, sample.id): sample for sample in reversed(found.samples)}  # lists repeat themselves
    return Tree(root, layout, tuple(reversed(samples.values())), tuple(found.broken))


def files(folder: Path, endings: tuple[str, ...]) -> tuple[Path, ...]:
    """The files of a folder with one of these endings, in order of their names; what starts with a dot is left out.

    Raises:
        MissingInputError: the folder cannot be read.
    """
    try:
        found = [p for p in folder.iterdir() if p.suffix.lower() in endings and not p.name.startswith(".")]
    except NotADirectoryError:
        raise BadInputError(f"{folder}: a folder is expected there, not a file") from None
    except OSError as problem:
        raise MissingInputError(f"{folder}: cannot be read ({problem.strerror})") from problem
    return tuple(sorted(found))


def folders(folder: Path) -> tuple[Path, ...]:
    """The folders in a folder, in order of their names; what starts with a dot is left out."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))


def names(folder: Path) -> frozenset[str]:
    """The names of all that is in a folder; none where there is no such folder."""
    return frozenset(p.name for p in folder.iterdir()) if folder.is_dir() else frozenset()


def footage_named(folder: Path, name: str) -> Footage | None:
    """The folder of frames, video or picture called ``name`` in ``folder``; None where there is none."""
    if (folder / name).is_dir():
        return Footage(FootageKind.FRAMES, folder / name)
    for kind, endings in ((FootageKind.VIDEO, VIDEOS), (FootageKind.PICTURE, PICTURES)):
        for ending in endings:
            if (path := folder / f"{name}{ending}").is_file():
                return Footage(kind, path)
    return None


def footage_in(folder: Path) -> dict[str, Footage]:
    """All footage in a folder by its name, in order; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    stems = {p.name if p.is_dir() else p.stem for p in folder.iterdir() if not p.name.startswith(".")}
    found = {name: footage_named(folder, name) for name in sorted(stems)}
    return {name: footage for name, footage in found.items() if footage is not None}
