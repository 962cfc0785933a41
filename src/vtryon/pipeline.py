"""Frames in, dressed frames out: a generator with constant memory, however long the video."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vtryon.ahead import ahead
from vtryon.types import WARP_METHODS, Array, Frame, Garment, Person

if TYPE_CHECKING:
    from vtryon.person.analyse import Labeller, Stage
    from vtryon.render import Drawer
    from vtryon.warp import Fitter
    from vtryon.warp.lattice import Warp
    from vtryon.warp.texture import Texture


T = TypeVar("T")

_AHEAD = 4  # frames that are analysed and fitted while one is composed


@dataclass(frozen=True)
class TryOnOptions:
    """How the garment is put on.

    ``fit`` slim | regular | loose: how wide it sits; ``length`` 0.5 to 2: its length below the armpits, relative to
    its own; ``warp`` auto | anchored | placed: what lays it on the body; ``device`` auto | cpu | cuda:N | mps;
    ``lookahead`` frames read ahead for smoothing.
    """

    fit: str = "regular"
    length: float = 1.0
    warp: str = "auto"
    device: str = "auto"
    lookahead: int = 8

    def __post_init__(self) -> None:
        if self.fit not in ("slim", "regular", "loose"):
            raise ValueError(f"fit must be slim, regular or loose, got {self.fit!r}")
        if not 0.5 <= self.length <= 2.0:
            raise ValueError(f"length must be between 0.5 and 2, got {self.length}")
        if self.warp not in WARP_METHODS:
            raise ValueError(f"warp must be one of {', '.join(WARP_METHODS)}, got {self.warp!r}")
        if self.lookahead < 0:
            raise ValueError(f"lookahead must not be negative, got {self.lookahead}")


@dataclass(frozen=True, eq=False)
class TryOnFrame:
    """One dressed frame: ``frame`` the result, ``source`` the frame it was made from, ``person`` None where nobody was
    found (the frame is then the source, untouched), ``warp`` where the garment lies, ``texture`` what was sampled."""

    frame: Frame
    source: Frame
    person: Person | None
    warp: Warp | None = None
    texture: Texture | None = None

    @property
    def warped(self) -> tuple[Array, Array] | None:
        """The warped garment alone over the whole frame: rgb (H, W, 3) uint8 and alpha (H, W) float32. Computed when
        asked for."""
        if self.warp is None or self.texture is None:
            return None
        from vtryon.warp.sampler import flatten

        h, w = self.source.rgb.shape[:2]
        rgb, alpha = flatten(self.warp, self.texture, (0.0, 0.0, float(w), float(h)), (h, w))
        return (np.clip(rgb * 255.0 + 0.5, 0, 255)).astype(np.uint8), alpha


def try_on(
    frames: Iterable[Frame],
    garment: Garment | None,
    *,
    back: Garment | None = None,
    options: TryOnOptions = TryOnOptions(),
    people: Iterable[Person | None] | None = None,
    labeller: Labeller | None = None,
    on_stage: Stage | None = None,
    compose: bool = True,
    fit: Fitter | None = None,
    draw: Drawer | None = None,
) -> Generator[TryOnFrame]:
    """Dress the person of a video.

    Yields one :class:`TryOnFrame` for every frame, in order. Where torch may use several threads, ``frames`` are read
    and analysed by one of their own, a few ahead of what is composed; close the generator to stop it early.

    ``garment`` None gives every frame back unchanged (the identity composition). ``back`` is a picture of the garment
    from behind. ``people`` is a saved analysis of the same frames, one entry each, and replaces it. ``on_stage`` is
    asked for a context around each step, for timing: all steps are then taken one after the other. ``compose`` False
    only says where the garment lies: the frames come back as they were, at a fraction of the cost. ``fit`` lays the
    garment and ``draw`` composes the picture in place of our own, for experiments: ``draw=Composer()`` is the
    composition by geometry alone.
    """
    from vtryon.person.analyse import analyse

    if garment is None:
        for frame in frames:
            yield TryOnFrame(frame, frame, None)
        return
    if people is not None:
        pairs: Iterator[tuple[Frame, Person | None]] = iter(zip(frames, people, strict=True))
    else:
        labeller = labeller or default_labeller(options.device)
        pairs = analyse(frames, labeller=labeller, lookahead=options.lookahead, on_stage=on_stage)
    yield from _dress(pairs, garment, back, options, on_stage, compose, fit, draw)


def default_labeller(device: str = "auto") -> Labeller | None:
    """The parsing network, where its weights are here; else None, and the labels that need no weights are used."""
    from vtryon.errors import UnavailableError
    from vtryon.person.parser import ParserLabeller
    from vtryon.weights import find

    try:
        path = find("parser")
    except UnavailableError:
        return None
    # every second frame is labelled afresh: between, labels carried by flow are steadier, and cost less
    return ParserLabeller.load(path, device=device, every=2)


def default_drawer(device: str = "auto") -> Drawer:
    """The composition, refined by its network where the weights ``refine`` are here."""
    from vtryon.errors import UnavailableError
    from vtryon.render.compose import Composer
    from vtryon.render.refiner import Refiner
    from vtryon.weights import find

    try:
        path = find("refine")
    except UnavailableError:
        return Composer()
    return Composer(Refiner.load(path, device=device))


@dataclass(frozen=True, eq=False)
class _Laid:
    """A frame with the person in it and where the garment and its back, sampled from ``textures``, lie on them."""

    frame: Frame
    person: Person
    warp: Warp
    textures: tuple[Texture, Texture | None]


def _dress(
    pairs: Iterator[tuple[Frame, Person | None]],
    garment: Garment,
    back: Garment | None,
    options: TryOnOptions,
    on_stage: Stage | None,
    compose: bool,
    fit: Fitter | None,
    draw: Drawer | None,
) -> Generator[TryOnFrame]:
    stage = on_stage or (lambda _name: nullcontext())
    draw = draw or default_drawer(options.device)
    laid = _lay(pairs, garment, back, options, stage, fit)
    state: Any = None
    with closing(laid) if on_stage else _beside(laid) as laid:
        for at in laid:
            if isinstance(at, Frame):
                state = None
                yield TryOnFrame(at, at, None)
                continue
            shown = at.frame
            if compose:
                with stage("render"):
                    rgb, state = draw(at.frame.rgb, at.person, at.warp, *at.textures, state)
                shown = replace(at.frame, rgb=rgb)
            yield TryOnFrame(shown, at.frame, at.person, at.warp, at.textures[0])


@contextmanager
def _beside(laid: Generator[T]) -> Iterator[Generator[T]]:
    """The same, made by a thread beside the caller's if torch may use several. Each of the two gets half of them: two
    on one frame after the other are busier with each other than two on a frame each."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        with closing(laid):
            yield laid
        return
    share = partial(torch.set_num_threads, threads // 2)
    with closing(ahead(laid, _AHEAD, share)) as coming:
        share()
        try:
            yield coming
        finally:
            torch.set_num_threads(threads)


def _lay(
    pairs: Iterator[tuple[Frame, Person | None]],
    garment: Garment,
    back: Garment | None,
    options: TryOnOptions,
    stage: Stage,
    fit: Fitter | None,
) -> Generator[_Laid | Frame]:
    """Where the garment lies in each frame; the bare frame where there is nobody to lay it on."""
    from vtryon.device import choose
    from vtryon.warp import FitOptions, Texture, fitter

    device = choose(options.device).device
    fit = fit or fitter(options.warp, FitOptions(options.fit, options.length))
    textures: tuple[Texture, Texture | None] | None = None
    state: Any = None
    for frame, person in pairs:
        if person is None:
            state = None
            yield frame
            continue
        with stage("warp"):
            warp, state = fit(person, garment, state=state)
            if textures is None:
                scale = 1.4 * _scale(warp)
                textures = (
                    Texture.of(garment, scale, device),
                    (Texture.of(back, scale, device) if back is not None else None),
                )
        yield _Laid(frame, person, warp, textures)


def _scale(warp: Warp) -> float:
    """Picture px per garment px of the first frame's torso: what size of texture suits the video."""
    from vtryon.types import Part

    torso = warp[Part.TORSO]
    long = [float(np.linalg.norm(p[-1].mean(0) - p[0].mean(0))) for p in (torso.points, torso.lattice)]
    return long[0] / max(long[1], 1e-6)
