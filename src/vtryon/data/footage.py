"""Footage of a data set as frames, whatever it is stored as."""

from __future__ import annotations

from collections.abc import Iterator

from vtryon.data.tree import FRAME_RATE, Footage, FootageKind
from vtryon.errors import BadInputError
from vtryon.types import Frame


def read_frames(footage: Footage) -> Iterator[Frame]:
    """The frames of a picture, a folder of frames or a video, one at a time and in order.

    Frames of a folder are taken to be 1 / :data:`~vtryon.data.tree.FRAME_RATE` seconds apart and must be of one size.

    Raises:
        MissingInputError, BadInputError: a file is not there, is damaged, or is of another size than those before it.
        UnavailableError: as :class:`~vtryon.video.VideoReader`.
    """
    if footage.kind == FootageKind.VIDEO:
        from vtryon.video import VideoReader

        with VideoReader(footage.path) as reader:
            yield from reader
        return
    from vtryon.garment import load_picture

    size = None
    pictures = footage.pictures()
    if not pictures:
        raise BadInputError(f"{footage.path}: no frames in this folder (.png or .jpg)")
    for index, path in enumerate(pictures):
        rgb, _ = load_picture(path)
        if size not in (None, rgb.shape):
            raise BadInputError(f"{path}: {rgb.shape[1]} x {rgb.shape[0]} px, the frames before it have another size")
        size = rgb.shape
        yield Frame(rgb, index, 1 / FRAME_RATE, index)
