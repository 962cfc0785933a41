"""Results made for scoring: the model under test run over the samples of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vtryon.data import read_frames
from vtryon.errors import BadInputError
from vtryon.evaluate.footage import Item, View
from vtryon.evaluate.single import person_in
from vtryon.garment import load_garment
from vtryon.person import Labeller
from vtryon.pipeline import TryOnOptions, try_on
from vtryon.render import Drawer
from vtryon.render.learned import Renderer
from vtryon.train.lay import Lay
from vtryon.types import Frame


@dataclass(frozen=True, eq=False)
class Model:
    """What dresses: our own way, from files alone, or with parts of it trained anew.

    ``warp`` as in :class:`~vtryon.pipeline.TryOnOptions`; ``lay`` what lays the garments in place of it, ``draw`` what
    composes the picture in place of our own.
    """

    labeller: Labeller
    warp: str = "auto"
    device: str = "auto"
    lay: Lay | None = None
    draw: Drawer | None = None

    @staticmethod
    def of(
        labeller: Labeller, warp: str, device: str, warp_weights: Path | None = None, renderer: Path | None = None
    ) -> Model:
        """With the weights of ``vtryon train warp`` and ``vtryon train tryon`` where they are given.

        Raises:
            MissingInputError, BadInputError: there are none, or they are something else.
        """
        lay = None if warp_weights is None else Lay(warp_weights)
        draw = None if renderer is None else Renderer.load(renderer, device=device)
        return Model(labeller, warp, device, lay, draw)

    def results(self, item: Item, view: View) -> tuple[Iterator[Frame], str | None]:
        """The dressed frames of an item, at the view's size, and why they are the source's own if they are.

        A garment that is not found is no reason to stop: what the user then has is what the source shows.
        """
        if item.source is None or item.garment is None:
            raise ValueError(f"{item.name}: nothing to dress")
        frames: Iterable[Frame] = islice(read_frames(item.source), view.frames)
        try:
            garment = load_garment(item.garment)
        except BadInputError as problem:
            return map(view.seen, frames), str(problem)
        people = None
        if not item.is_clip:
            frames = [*frames]  # one picture
            people = [person_in(frame.rgb, self.labeller) for frame in frames]
        shown = try_on(
            frames,
            garment if self.lay is None else self.lay.garment(garment),
            people=people,
            labeller=self.labeller,
            options=TryOnOptions(warp=self.warp, device=self.device),
            fit=None if self.lay is None else self.lay.fitter(),
            draw=self.draw,
        )
        return (view.seen(one.frame) for one in shown), None
