"""A plain folder of clips and garments: what one puts together oneself."""

from __future__ import annotations

from pathlib import Path

from vtryon.data.lists import Collected, read_list
from vtryon.data.shape import missing
from vtryon.data.tree import PICTURES, Footage, Layout, Sample, files, footage_in


def open_clips(root: Path, pairs: Path | None) -> Collected:
    """Every clip in the garment of its name, and the tests in others too.

    ``test.txt`` names the clips that are kept for tests; without it all are for training and for tests alike.
    ``pairs.txt`` says which test clip is dressed in which other garment; without it each gets the one that follows
    its own in order of names.

    Raises:
        MissingInputError: clips or garments are missing.
    """
    for needed in ("clips", "garments"):
        if not (root / needed).is_dir():
            raise missing(root, Layout.CLIPS, root / needed)
    clips, garments = footage_in(root / "clips"), {p.stem: p for p in files(root / "garments", PICTURES)}
    if not clips or not garments:
        raise missing(root, Layout.CLIPS, root / ("garments" if clips else "clips") / "*")
    collected = Collected()
    held_out = _held_out(root, clips, collected)
    for name, footage in clips.items():
        if name in garments:
            for split in ("train", "test"):
                if held_out is None or (name in held_out) == (split == "test"):
                    collected.samples.append(Sample(name, name, split, footage, garments[name], True))
    tests = list(clips) if held_out is None else [name for name in clips if name in held_out]
    listed = pairs or root / "pairs.txt"
    if pairs is not None or listed.is_file():
        rows = [(name, garment) for name, garment, *_ in read_list(listed, 2)]
    else:
        rows = [(name, other) for name in tests if (other := _following(name, list(garments))) is not None]
    for clip, cloth in rows:
        name, garment = (clip if clip in clips else Path(clip).stem), (cloth if cloth in garments else Path(cloth).stem)
        if name != garment:  # else paired, and there already
            collected.add(*_unpaired(root, clips, garments, name, garment))
    return collected


def _held_out(root: Path, clips: dict[str, Footage], collected: Collected) -> frozenset[str] | None:
    if not (listed := root / "test.txt").is_file():
        return None
    named = [Path(row[0]).stem if row[0] not in clips else row[0] for row in read_list(listed, 1)]
    for name in named:
        if name not in clips:
            collected.add(None, f"{root / 'clips' / name} is missing (named in {listed.name})")
    return frozenset(named)


def _unpaired(
    root: Path, clips: dict[str, Footage], garments: dict[str, Path], name: str, garment: str
) -> tuple[Sample | None, str]:
    for there, kind, wanted in ((clips, "clips", name), (garments, "garments", garment)):
        if wanted not in there:
            return None, f"{root / kind / wanted} is missing"
    return Sample(f"{name}__{garment}", name, "test", clips[name], garments[garment], False), ""


def _following(name: str, garments: list[str]) -> str | None:
    """The garment after ``name`` in order, the first one after the last; None where there is no other."""
    others = [garment for garment in garments if garment != name]
    return next((garment for garment in others if garment > name), others[0] if others else None)
