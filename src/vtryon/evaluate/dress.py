"""Results made for scoring: the model under test run over the samples of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from vtryon.data import read_frames
from vtryon.errors import BadInputError
from vtryon.evaluate.footage import Item, View
from vtryon.evaluate.single import dressed, person_in
from vtryon.garment import load_garment
from vtryon.person import Labeller
from vtryon.pipeline import TryOnOptions, try_on
from vtryon.types import Frame


@dataclass(frozen=True)
class Model:
    """What dresses: our own way, from files alone. ``warp`` as in :class:`~vtryon.pipeline.TryOnOptions`."""

    labeller: Labeller
    warp: str = "auto"
    device: str = "auto"

    def results(self, item: Item, view: View) -> tuple[Iterator[Frame], str | None]:
        """The dressed frames of an item, at the view's size, and why they are the source's own if they are.

        A garment that is not found is no reason to stop: what the user then has is what the source shows.
        """
        if item.source is None or item.garment is None:
            raise ValueError(f"{item.name}: nothing to dress")
        frames = islice(read_frames(item.source), view.frames)
        try:
            garment = load_garment(item.garment)
        except BadInputError as problem:
            return map(view.seen, frames), str(problem)
        if item.is_clip:
            options = TryOnOptions(warp=self.warp, device=self.device)
            shown = try_on(frames, garment, labeller=self.labeller, options=options)
        else:
            shown = (dressed(f.rgb, person_in(f.rgb, self.labeller), garment, self.warp) for f in frames)
        return (view.seen(one.frame) for one in shown), None
