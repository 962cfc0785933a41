"""What a data set does not bring along is worked out by our own analysis, once, and kept in a cache folder.

MediaPipe finds the person and gives crop, matte and yaw, which no data set has; joints, labels and flow are the data
set's own where it has them, and else ours: landmarks, the parser, dense inverse search flow on the crop.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from vtryon.cache import Cache
from vtryon.data.footage import read_frames
from vtryon.data.parts import part_path, read_flow, read_joints, read_lip, with_joints
from vtryon.data.store import Clip, Moment, open_clip, save_clip
from vtryon.data.tree import Sample
from vtryon.errors import BadInputError, MissingInputError
from vtryon.garment import load_picture
from vtryon.garment import prepare as cut_garment
from vtryon.garment.store import read_garment, save_garment
from vtryon.person import Labeller, analyse, picture_on
from vtryon.render.flow import Flow, SourceFlow, agreement
from vtryon.reuse import analysis_version, file_digest, garment, garment_version
from vtryon.types import CROP_SIZE, Array, Crop, Frame, Garment, Label, Person

log = logging.getLogger(__name__)

_KEEP = 10**15
"""Bytes: a data set's cache is not cleared behind its user's back."""

_ON = 128  # of 255: the least of a mask that is garment

_OURS = (Label.FACE, Label.LEFT_ARM, Label.RIGHT_ARM)  # LIP has no name for the neck and calls it background


@dataclass(frozen=True, eq=False)
class Analysis:
    """Prepares clips and garments, or finds them prepared in ``cache``.

    ``labeller`` tells the regions of the person apart (None: geometry, without weights); ``people_by`` and
    ``garments_by`` say what analyses people and garments here: with anything else of it, what is kept is not used.
    """

    cache: Cache
    labeller: Labeller | None
    people_by: tuple[object, ...]
    garments_by: tuple[object, ...]

    @staticmethod
    def of(folder: Path, device: str = "auto") -> Analysis:
        """With the shipped parser, keeping everything in ``folder``."""
        from vtryon.pipeline import default_labeller

        made_by = analysis_version(device), garment_version()
        return Analysis(Cache(folder, _KEEP), default_labeller(device), *made_by)

    def clip(self, sample: Sample) -> Clip:
        """The person of a sample, frame by frame; a clip in which nobody is found has no moments.

        Raises:
            MissingInputError, BadInputError: footage or a part of it is missing or damaged.
            CannotCreateError, WriteError: the cache cannot be written.
        """
        key = _key(sample, self.people_by)
        make = partial(save_clip, moments=self._moments(sample), key=key)
        return self.cache.get("clips", key, make=make, read=lambda path: open_clip(path, key=key))

    def garment(self, sample: Sample) -> Garment:
        """The sample's garment, cut out.

        Raises:
            MissingInputError, BadInputError: as :func:`vtryon.garment.load_garment`.
        """
        if sample.garment_mask is None:
            return garment(self.cache, sample.garment)
        return self._masked(sample.garment, sample.garment_mask)

    def _masked(self, picture: Path, mask: Path) -> Garment:
        """A garment whose outline the data set gives."""
        key = hashlib.sha256(repr((file_digest(picture), file_digest(mask), self.garments_by)).encode()).hexdigest()

        def make(entry: Path) -> None:
            rgb, _ = load_picture(picture)
            grey = load_picture(mask)[0].max(axis=2)
            if grey.shape != rgb.shape[:2]:
                raise BadInputError(f"{mask}: not of the size of {picture}")
            cut = cut_garment(rgb, (grey >= _ON).astype(np.float32), name=str(picture))
            save_garment(entry, cut, key=key, name=str(picture))

        return self.cache.get("garments", key, make=make, read=lambda p: read_garment(p, key=key, name=str(picture)))

    def _moments(self, sample: Sample) -> Iterator[Moment | None]:
        """Every frame of the footage; None where nobody is seen."""
        names = [path.stem for path in sample.person.pictures()]
        source = SourceFlow()
        before: tuple[Moment, Crop] | None = None
        for frame, person in analyse(read_frames(sample.person), labeller=self.labeller):
            if person is None:
                yield None
                continue
            name = names[frame.index] if names else sample.person.path.stem
            moment = _moment(sample, name, frame, person)
            if before is not None and before[0].shot == moment.shot and before[0].index == moment.index - 1:
                flow = _flow(sample, name, frame, person.crop, moment, before, source)
                moment = replace(moment, flow=flow.backward, valid=flow.valid)
            before = moment, person.crop
            yield moment


def prepare(
    analysis: Analysis, samples: tuple[Sample, ...], report: Callable[[str, int, int], None] | None = None
) -> tuple[Clip, ...]:
    """The clips of samples, one each; ``report`` is told what, how many are done, and of how many."""
    found = []
    for n, sample in enumerate(samples, 1):
        found.append(analysis.clip(sample))
        if not len(found[-1]):
            log.warning("%s: nobody is found in it; it is left out", sample.person.path)
        if report is not None:
            report("clips", n, len(samples))
    return tuple(found)


def _moment(sample: Sample, name: str, frame: Frame, person: Person) -> Moment:
    points, visibility = person.pose.points, person.pose.visibility
    if (given := part_path(sample, "pose", name)) is not None:
        points, visibility = with_joints(points, visibility, *read_joints(given))
    labels = person.labels.argmax(0).astype(np.uint8)
    if (given := part_path(sample, "parsing", name)) is not None:
        theirs = _on_crop(read_lip(given), person.crop, frame.rgb.shape[:2])
        labels = np.where((theirs == Label.BACKGROUND) & np.isin(labels, _OURS), labels, theirs)
    crop, scale = person.crop, CROP_SIZE[0] / person.crop.height
    return Moment(
        frame.index, picture_on(crop, frame.rgb), labels, person.matte, crop.to_crop(points),
        (person.pose.depth * scale).astype(np.float32), visibility, person.yaw, person.shot,
        np.zeros((*CROP_SIZE, 2), np.float32), np.zeros(CROP_SIZE, np.float32),
    )  # fmt: skip


def _on_crop(labels: Array, crop: Crop, size: tuple[int, ...]) -> Array:
    """A label map of the frame on the crop; it may be stored at another size than the frame of ``size`` = (h, w)."""
    if labels.shape != size:
        labels = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    matrix = crop.matrix()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the middle of the first pixel
    return np.asarray(cv2.warpAffine(labels, matrix, CROP_SIZE[::-1], flags=cv2.INTER_NEAREST))


def _flow(
    sample: Sample, name: str, frame: Frame, crop: Crop, moment: Moment, before: tuple[Moment, Crop],
    source: SourceFlow,
) -> Flow:  # fmt: skip
    """Where the crop's pixels were on the crop before: the data set's flow carried there, or our own."""
    earlier, earlier_crop = before
    if (given := part_path(sample, "flow", name)) is None:
        return source(earlier.rgb, moment.rgb)
    flow = read_flow(given, (frame.rgb.shape[0], frame.rgb.shape[1]))
    h, w = CROP_SIZE
    here = np.stack(np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), -1).astype(np.float32)
    at = crop.to_frame(here)
    moved = at + cv2.remap(flow, at[..., 0] - 0.5, at[..., 1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    backward = earlier_crop.to_crop(moved) - here
    return Flow(backward, agreement(earlier.rgb, moment.rgb, backward))


def _key(sample: Sample, made_by: tuple[object, ...]) -> str:
    """What a prepared clip depends on: footage and parts, by name, size and time, and what analyses them."""
    places = (sample.person.path, sample.pose, sample.parsing, sample.flow)
    about = [stamp(place) for place in places if place is not None]
    return hashlib.sha256(repr((about, made_by)).encode()).hexdigest()


def stamp(place: Path) -> tuple[object, ...]:
    """Name, size and time of a file, or of every file in a folder: reading 200 000 frames to know them takes too long.

    Raises:
        MissingInputError: it is not there.
    """
    try:
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        marks = [(path.name, about.st_size, about.st_mtime_ns) for path in inside for about in (path.stat(),)]
    except OSError as problem:
        raise MissingInputError(f"{place}: cannot be read ({problem.strerror})") from problem
    return str(place.resolve()), tuple(marks)
