"""The trained labeller: our parsing network on each crop, its labels kept steady over time (issue 4)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vtryon import weights
from vtryon.device import Compute, choose, fastest
from vtryon.errors import BadInputError
from vtryon.person.backdrop import Backdrop
from vtryon.person.colours import by_colour
from vtryon.person.heatmaps import pose_maps, skin_map
from vtryon.person.network import ParserNet, ParserSize, fold
from vtryon.person.outfit import DRESS, dress_share, settle
from vtryon.person.pieces import in_one_piece
from vtryon.person.sleeves import cover_elbows
from vtryon.person.steady import carry
from vtryon.types import CROP_SIZE, Array, Label, Pose

STEADINESS = 0.75
"""Share of the carried labels where they can be fully trusted: a time constant of about three frames."""

_LOST = 0.12
"""Share of the person in which carried labels may be distrusted before the network is asked out of turn."""

_ARMS_LOST = 0.15
"""The same of the arms and what is around them, which move fastest and uncover what flow knows nothing of."""

_AROUND = np.ones((9, 9), np.uint8)

_FORGET = 0.05
"""Weight of a new look in the average that decides between a dress and two pieces."""

_PLAY = 0.1  # how far beyond ``DRESS`` that average must go to change the decision


@dataclass(frozen=True, eq=False)
class LabelState:
    """What the labeller remembers of the crop before: ``grey`` (256, 192) uint8, ``share`` (11, 256, 192) float32
    label probabilities as decided, ``sure`` (256, 192) float32 in [0, 1] how far they can be trusted after all the
    motion since the network ran, ``age`` frames ago, ``dress`` how much of the clothes is a dress on average over time,
    ``in_dress`` the standing decision, ``backdrop`` what the top looks like behind hands."""

    grey: Array
    share: Array
    sure: Array
    age: int
    dress: float
    in_dress: bool
    backdrop: Backdrop


class ParserLabeller:
    """Labels crops with the network; a :class:`~vtryon.person.Labeller`.

    ``every`` runs the network on every n-th frame (and whenever motion has made the carried labels unreliable);
    ``steadiness`` in [0, 1) is the weight of the labels carried from the frame before, 0 labels each frame alone.
    The state is handed in and out; the object itself never changes.
    """

    def __init__(
        self, net: ParserNet, compute: Compute | None = None, *, every: int = 1, steadiness: float = STEADINESS
    ) -> None:
        if every < 1 or not 0 <= steadiness < 1:
            raise ValueError(f"every must be at least 1 and steadiness in [0, 1), got {every} and {steadiness}")
        self.compute = compute or choose("cpu")
        self.net = fold(net).to(self.compute.device)
        self.every = every
        self.steadiness = steadiness

    @staticmethod
    def load(
        path: Path | None = None, *, device: str = "auto", every: int = 1, steadiness: float = STEADINESS
    ) -> ParserLabeller:
        """The labeller with the shipped weights, or those at ``path``, in the fastest format of ``device``.

        Raises :class:`~vtryon.errors.UnavailableError` where weights or device are missing,
        :class:`~vtryon.errors.BadInputError` where the file holds something else.
        """
        net = load_network(path or weights.find("parser"))
        folded = fold(net)
        blank = np.zeros((*CROP_SIZE, 3), np.uint8), np.zeros((33, 2), np.float32), np.zeros(33, np.float32)
        image = network_input(*blank, np.zeros(CROP_SIZE, np.float32))
        compute = fastest(choose(device), lambda c: _run(folded.to(c.device), [image], c))
        return ParserLabeller(net, compute, every=every, steadiness=steadiness)

    def __call__(self, rgb: Array, pose: Pose, matte: Array, state: Any) -> tuple[Array, Any]:
        """See :class:`vtryon.person.Labeller`; the state is a :class:`LabelState`."""
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        before = state if isinstance(state, LabelState) else None
        sure = np.zeros(CROP_SIZE, np.float32)
        if before is not None:
            planes, trust = carry(before.grey, grey, np.concatenate([before.share, before.sure[None]]))
            carried, sure = planes[:-1], planes[-1] * trust
            if before.age + 1 < self.every and not _lost(carried, trust, matte):
                return as_bytes(carried), replace(before, grey=grey, share=carried, sure=sure, age=before.age + 1)
        seen = self.label([(rgb, pose.points, pose.visibility, matte)])[0]
        down = torso_down(pose.points, pose.visibility)
        dress, in_dress = _wears_dress(dress_share(seen, down), before)
        # decided before it is mixed with what was: colours flicker with the sensor's noise as the network does
        backdrop = Backdrop.empty() if before is None else before.backdrop
        share, backdrop = backdrop.without(decided(seen, rgb, pose.points, down, in_dress), rgb, pose.points)
        if before is not None:
            share = share + (self.steadiness * sure) * (carried - share)
        return as_bytes(share), LabelState(grey, share, np.ones(CROP_SIZE, np.float32), 0, dress, in_dress, backdrop)

    def label(self, crops: list[tuple[Array, Array, Array, Array]]) -> Array:
        """(N, 11, 256, 192) float32 label probabilities of single crops as the network gives them, nothing carried.

        Each crop is rgb (256, 192, 3) uint8, landmarks (33, 2) crop px, visibility (33,), matte (256, 192) float32.
        """
        return _run(self.net, [network_input(*crop) for crop in crops], self.compute)


def _lost(carried: Array, trust: Array, matte: Array) -> bool:
    """Whether labels ``carried`` (11, 256, 192) with so much ``trust`` (256, 192) are to be looked at anew."""
    arms = carried[[Label.LEFT_ARM, Label.RIGHT_ARM]].max(axis=0) > 0.3
    near = cv2.dilate(arms.astype(np.uint8), _AROUND)
    doubt = 1 - trust
    parts = ((matte, _LOST), (near, _ARMS_LOST))
    return any(float((doubt * part).sum()) > most * float(part.sum()) for part, most in parts)


def network_input(rgb: Array, points: Array, visibility: Array, matte: Array) -> tuple[Array, Array]:
    """What the network sees of one crop: image (5, H, W) float32 (RGB, matte, skin colour), pose maps (18, H/4, W/4).

    RGB and matte are scaled to [-1, 1].
    """
    image = np.empty((5, *rgb.shape[:2]), np.float32)
    image[:3] = rgb.transpose(2, 0, 1) * np.float32(2 / 255) - 1
    image[3] = matte * 2 - 1
    image[4] = skin_map(rgb, points, visibility)
    return image, pose_maps(points, visibility, (rgb.shape[0], rgb.shape[1]))


def torso_down(points: Array, visibility: Array) -> Array:
    """(256, 192) float32: how far down the torso each crop pixel lies, 0 at the shoulders, 0.5 at the hips."""
    return np.asarray(cv2.resize(pose_maps(points, visibility)[-1], CROP_SIZE[::-1]), np.float32)


def decided(share: Array, rgb: Array, points: Array, down: Array, in_dress: bool) -> Array:
    """(11, 256, 192) float32: the network's probabilities after what is decided for the whole body and by colour."""
    clothes = in_one_piece(by_colour(settle(share, down, in_dress), rgb, down), down)
    return cover_elbows(clothes, points)


def _wears_dress(share: float, before: LabelState | None) -> tuple[float, bool]:
    """How much of the clothes is a dress on average over time, and the decision, which is slow to change."""
    if before is None:
        return share, share > DRESS
    mean = before.dress + _FORGET * (share - before.dress)
    return mean, mean > (DRESS - _PLAY if before.in_dress else DRESS + _PLAY)


def as_bytes(share: Array) -> Array:
    """Probabilities times 255, rounded."""
    return np.asarray(np.rint(np.clip(share, 0, 1) * 255), np.uint8)


def load_network(path: Path) -> ParserNet:
    """The network of a checkpoint, ready for inference; errors as :func:`vtryon.weights.built`."""

    def build(checkpoint: weights.Checkpoint) -> ParserNet:
        if checkpoint.labels != tuple(label.name for label in Label):
            raise BadInputError(f"{path}: weights for other labels ({', '.join(checkpoint.labels)}); update vtryon")
        return ParserNet(ParserSize.from_dict(checkpoint.size))

    return weights.built(path, "parser", build)


def save_network(path: Path, net: ParserNet, notes: dict[str, Any] | None = None) -> None:
    """Write the network as a checkpoint that describes itself (:func:`vtryon.weights.save`)."""
    names = tuple(label.name for label in Label)
    weights.save(path, weights.Checkpoint("parser", net.size.to_dict(), names, net.state_dict(), notes or {}))


def _run(net: ParserNet, inputs: list[tuple[Array, Array]], compute: Compute) -> Array:
    image, pose = (
        torch.from_numpy(np.stack(part)).to(compute.device).contiguous(memory_format=torch.channels_last)
        for part in zip(*inputs, strict=True)
    )
    with torch.inference_mode(), compute.autocast():
        logits = net(image, pose)
    share: Array = logits.float().softmax(dim=1).cpu().numpy()
    return share
