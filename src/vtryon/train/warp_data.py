"""Batches for the matching network, made on the fly from the rendered pairs (issue 5).

A picture of the pairs, the same person in another top for what may be seen of them, the garment laid by the stage
before (or flat, at a fixed place), and the true correspondence. No cloth is drawn: the network is shown shapes, and a
print matters only to the photometric term, which needs its colours at the known pixels alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vtryon.train.loop import Batch
from vtryon.train.pairs import MASK_STEP, Pairs
from vtryon.train.placing import half_of
from vtryon.train.placing_data import Disturbance, augment, silhouette
from vtryon.types import Part
from vtryon.warp.network import MatchingSize
from vtryon.warp.placing import BodyFrame, PlacingNet, cast_rays, features, split
from vtryon.warp.planes import garment_planes, person_planes
from vtryon.warp.single import flat_start


@dataclass(frozen=True, eq=False)
class WarpData:
    """Where batches come from.

    ``placing`` lays the garment first: one network, or two of which either lays the half of the scenes that it was
    trained without (:func:`~vtryon.train.placing.half_of`), so that it errs as it does on people it has never seen.
    With none it is laid flat at a fixed place.
    """

    pairs: Pairs
    size: MatchingSize
    placing: tuple[PlacingNet, ...]
    disturbance: Disturbance = field(default_factory=Disturbance)
    start_noise: float = 0.02  # body sizes
    label_noise: float = 0.02  # body sizes by which labels' edges err

    def training(self, rng: np.random.Generator, count: int) -> Batch:
        """A random disturbed batch."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = torch.randint(len(self.pairs), (count,), generator=generator)
        variant = torch.randint(2, (count,), generator=generator)
        batch = augment(self.pairs.take(rows, variant, parts=True), self.disturbance, generator)
        return self.seen(batch, generator)

    def validation(self, rows: Tensor) -> Batch:
        """Some rows as they are."""
        return self.seen(self.pairs.take(rows, torch.zeros_like(rows), parts=True), None)

    def seen(self, batch: dict[str, Tensor], generator: torch.Generator | None) -> Batch:
        """``batch`` with the network's inputs: ``person``, ``garment`` and ``start``; disturbed with a generator."""
        frame = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"])
        if Part.NONE in self.size.shapes:
            batch |= single_spline(batch, self.size.shapes[Part.NONE])
        start = self._start(batch, frame)
        jitter = None
        if generator is not None:
            start = {part: _moved(points, self.start_noise, generator) for part, points in start.items()}
            jitter = self._jitter(len(batch["yaw"]), generator)
        body = silhouette(batch)
        batch["person"] = person_planes(
            body, batch["points"], batch["visibility"], frame, self.size.window, jitter=jitter
        )
        lattice = batch["none_lattice" if Part.NONE in start else "torso_lattice"]
        batch["garment"] = garment_planes(start, lattice, batch["parts"], MASK_STEP, batch["sleeved"], self.size.window)
        batch["start"] = torch.cat(list(start.values()), 1)
        if generator is not None:
            batch["person"] = _lost(batch["person"], generator)
            batch |= made_print(generator, len(batch["yaw"]))
        for name in ("labels", "parts"):  # seen, and large
            del batch[name]
        return batch

    def _start(self, batch: Batch, frame: BodyFrame) -> dict[Part, Tensor]:
        keypoints = batch.get("seen_keypoints", batch["keypoints"])
        if not self.placing:
            return {part: flat_start(batch[f"{part.name.lower()}_lattice"], keypoints) for part in self.size.shapes}
        rays = batch["rays"] if "rays" in batch else cast_rays(silhouette(batch), batch["points"], frame)
        x, _ = features(batch["points"], batch["visibility"], batch["yaw"], keypoints, batch["sleeved"], rays)
        with torch.no_grad():
            points = self.placing[0](x)
            if len(self.placing) > 1:
                points = torch.where(half_of(batch)[:, None, None] == 0, points, self.placing[1](x))
            return split(points)

    def _jitter(self, count: int, generator: torch.Generator) -> Tensor:
        coarse = torch.randn(count, 2, 16, 12, generator=generator) * self.label_noise
        full = functional.interpolate(coarse, size=self.size.window, mode="bilinear", align_corners=False)
        return full.permute(0, 2, 3, 1)


def single_spline(batch: Batch, shape: tuple[int, int]) -> dict[str, Tensor]:
    """The entries that a single lattice over the whole garment wants: its points, and the samples of all parts."""
    parts = batch["parts"] > 0
    edges = []
    for axis, side in ((1, "x"), (2, "y")):
        on = parts.any(axis).int()
        first, last = on.argmax(1), on.shape[1] - 1 - on.flip(1).argmax(1)
        edges.append((first * MASK_STEP, (last + 1) * MASK_STEP, side))
    (left, right, _), (top, bottom, _) = edges
    rows, columns = shape
    x = left[:, None] + (right - left)[:, None] * torch.linspace(0, 1, columns)
    y = top[:, None] + (bottom - top)[:, None] * torch.linspace(0, 1, rows)
    lattice = torch.stack([x[:, None].expand(-1, rows, -1), y[:, :, None].expand(-1, -1, columns)], -1).reshape(
        len(x), -1, 2
    )
    entries = {"none_lattice": lattice, "none_known": batch["torso_known"]}
    for kind in ("product", "picture"):
        torso = batch[f"torso_{kind}"]
        found = [torso]
        for side in ("left_sleeve", "right_sleeve"):
            sleeve = batch[f"{side}_{kind}"]
            known = batch[f"{side}_known"][:, None, None] > 0
            found.append(torch.where(known, sleeve, torso[:, : sleeve.shape[1]]))
        entries[f"none_{kind}"] = torch.cat(found, 1)
    return entries


def _moved(points: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """A part's points (B, N, 2) shifted, stretched and sheared a little, each by its own amount; some not at all."""
    n = len(points)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator)

    centre = points.mean(1, keepdim=True)
    linear = (points - centre) @ (2 * noise * normal(2, 2))
    amount = torch.rand(n, 1, 1, generator=generator) * (torch.rand(n, 1, 1, generator=generator) < 0.8)
    return points + amount * (linear + noise * normal(1, 2) + 0.2 * noise * normal(points.shape[1], 2))


def _lost(person: Tensor, generator: torch.Generator) -> Tensor:
    """Without what a parser may not find, now and then: a label's plane as a whole, or a rectangle of all of them."""
    n, planes, h, w = person.shape
    kept = torch.rand(n, planes, 1, 1, generator=generator) > 0.04
    kept[:, 0] = True
    person = person * kept
    for i in torch.nonzero(torch.rand(n, generator=generator) < 0.2)[:, 0].tolist():
        top, left = (int(torch.randint(0, side, (1,), generator=generator)) for side in (h, w))
        person[i, :, top : top + h // 5, left : left + w // 4] = 0
    return person


def made_print(generator: torch.Generator, count: int) -> Mapping[str, Tensor]:
    """Random soft stripes and checks of a batch, as numbers: see :func:`colours`."""
    angle = torch.rand(count, generator=generator) * 2 * np.pi
    period = 0.06 + 0.2 * torch.rand(count, generator=generator)
    wave = torch.stack([angle.cos(), angle.sin()], -1) * (2 * np.pi / period)[:, None]
    second = torch.rand(count, generator=generator)[:, None].round() * wave.flip(-1) * torch.tensor([1.0, -1.0])
    return {
        "print_waves": torch.stack([wave, second], 1),
        "print_colours": torch.rand(count, 2, 3, generator=generator),
    }


def colours(batch: Batch, points: Tensor, product: tuple[int, int]) -> Tensor:
    """(B, 3, N) colours of the print at ``points`` (B, N, 2) px of a product picture of ``product`` = (h, w) px."""
    at = points / max(product)
    phase = torch.einsum("bnc,bkc->bkn", at, batch["print_waves"])
    share = torch.sigmoid(3 * torch.sin(phase)).prod(1, keepdim=True)
    first, second = batch["print_colours"].unbind(1)
    return first[:, :, None] * share + second[:, :, None] * (1 - share)
