"""The whole way for one picture: it is analysed as a short clip in which nothing moves, then dressed."""

from __future__ import annotations

from fractions import Fraction

from vtryon.person import Labeller, analyse
from vtryon.pipeline import TryOnFrame, TryOnOptions, try_on
from vtryon.render import Drawer
from vtryon.types import Array, Frame, Garment, Person


def person_in(picture: Array, labeller: Labeller, frames: int = 5) -> Person | None:
    """Who is seen in ``picture`` (H, W, 3) uint8, looked at for so many ``frames``; None where nobody is."""
    clip = (Frame(picture, i, Fraction(1, 24), i) for i in range(frames))
    return [person for _, person in analyse(clip, labeller=labeller)][-1]


def dressed(
    picture: Array, person: Person | None, garment: Garment, warp: str = "auto", draw: Drawer | None = None
) -> TryOnFrame:
    """``picture`` (H, W, 3) uint8 with ``person`` in ``garment``, composed by ``draw`` (None: as ``vtryon run`` does);
    unchanged for nobody."""
    frame = Frame(picture, 0, Fraction(1, 24), 0)
    (shown,) = try_on([frame], garment, people=[person], options=TryOnOptions(warp=warp), draw=draw)
    return shown
