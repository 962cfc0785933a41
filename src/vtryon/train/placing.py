"""Training the placing stage on the rendered pairs (issue 5).

Every picture of a scene gives true correspondences between product and picture. The lattice is fixed on the garment,
so where the spline puts a garment point is differentiable in the predicted points, and the loss is the distance to
where that point really is. The matte's outline comes from *another* top of the same scene: at run time it is the old
garment's, and the new one must not be read off it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vtryon.device import Compute, choose
from vtryon.errors import MissingInputError
from vtryon.train.loop import Batch, LoopConfig, Task, fit
from vtryon.train.store import made, require
from vtryon.types import KEYPOINTS, Array, Garment, GarmentKind, Part
from vtryon.warp.lattice import garment_lattices
from vtryon.warp.placing import (
    POINTS,
    SHAPES,
    BodyFrame,
    GarmentFrame,
    PlacingNet,
    features,
    outline_profile,
    save_placing,
    split,
    turn_of,
)
from vtryon.warp.tps import ThinPlate

PICTURE = (384, 288)
PRODUCT = (512, 384)
_MIRROR_BODY = (0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9, *(i + 1 if i % 2 else i - 1 for i in range(11, 33)))
_MIRROR_GARMENT = tuple(
    KEYPOINTS.index(n[:-1] + {"l": "r", "r": "l"}.get(n[-1], n[-1])) for n in KEYPOINTS
)  # collar_c and hem_c map to themselves


@dataclass(frozen=True)
class PlacingTraining:
    """Everything that decides a run; ``data`` holds the rendered scenes.

    Noise is in body sizes (landmarks), armpit widths (key points), degrees (the swing of the sleeves in the product
    picture, the torso's yaw).
    """

    data: Path
    folder: Path
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=4000, batch=192, weight_decay=2e-2, average=0.998)
    )
    width: int = 256
    depth: int = 3
    dropout: float = 0.15
    landmark_noise: float = 0.03
    keypoint_noise: float = 0.03
    sleeve_swing: float = 25.0
    yaw_noise: float = 6.0
    keypoint_weight: float = 0.25
    smooth_weight: float = 0.02


def read_garment(scene: Path, top: int, meta: dict[str, Any]) -> Garment:
    """The product picture of one top of a rendered scene as a :class:`Garment`, from its exact labels."""
    from PIL import Image

    rgba = np.array(Image.open(scene / f"product_{top}.webp").convert("RGBA"))
    labels = np.array(Image.open(scene / f"product_{top}_lab.png"))
    inside = labels == 4
    alpha = rgba[..., 3].astype(np.float32) / 255.0 * ~inside
    sleeves = float(np.isin(labels, (2, 3)).sum()) / max(int((labels > 0).sum()), 1)
    kind = meta["tops"][top]["kind"]["sleeve_kind"]
    if kind in ("sleeveless", "tank"):
        garment_kind = GarmentKind.SLEEVELESS
    else:
        garment_kind = GarmentKind.LONG_SLEEVE if sleeves > 0.22 else GarmentKind.SHORT_SLEEVE
    parts = np.where(inside, 0, labels).astype(np.uint8)
    points = {n: np.asarray(v, np.float32) for n, v in meta["tops"][top]["product_kp"].items()}
    cloth = np.median(rgba[..., :3][alpha > 0.9], axis=0).astype(np.uint8)
    return Garment(rgba[..., :3].copy(), alpha.astype(np.float32), parts, garment_kind, points, cloth)


def read_correspondence(scene: Path, name: str) -> tuple[Array, Array]:
    """(N, 2) picture px and (N, 2) product px of every cloth pixel of picture ``name`` whose origin is known."""
    cor = cv2.imread(str(scene / f"{name}_cor.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    step = PICTURE[0] / cor.shape[0]  # second frames are stored at every second pixel
    y, x = np.nonzero(cor[..., 2])
    product = cor[y, x, :2].astype(np.float32) / 1023.0 * np.array([PRODUCT[1], PRODUCT[0]], np.float32)
    return np.stack([x * step + 0.5, y * step + 0.5], -1).astype(np.float32), product


_SAMPLES = {Part.TORSO: 160, Part.LEFT_SLEEVE: 48, Part.RIGHT_SLEEVE: 48}


def pack(root: Path, validation: bool, seed: int = 0) -> dict[str, Tensor]:
    """Read every usable picture of the training (or validation) scenes into a few tensors.

    Raises :class:`MissingInputError` where there are none.
    """
    require(root.parent, root.name)
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {}
    for scene in sorted(p for p in root.iterdir() if p.name.isdigit() and p.name.endswith("7") == validation):
        meta = json.loads((scene / "meta.json").read_text())
        garments = [read_garment(scene, j, meta) for j in range(len(meta["tops"]))]
        lattices = [garment_lattices(g) for g in garments]
        for name, image in meta["images"].items():
            for key, value in _example(scene, meta, name, image, garments, lattices, rng).items():
                rows.setdefault(key, []).append(value)
    if not rows:
        raise MissingInputError(f"{root}: no {'validation' if validation else 'training'} scenes in it")
    return {key: torch.from_numpy(np.stack(values)) for key, values in rows.items()}


def _example(
    scene: Path,
    meta: dict[str, Any],
    name: str,
    image: dict[str, Any],
    garments: list[Garment],
    lattices: list[Any],
    rng: np.random.Generator,
) -> dict[str, Array]:
    from PIL import Image

    found = image["mediapipe"]
    kp = image["kp"]
    if found is None or kp is None or any(kp.get(n) is None for n in KEYPOINTS):
        return {}
    top, frame_number = int(name[1]), name[-1]
    marks = np.asarray(found, np.float32)
    yaw = np.radians(np.float32(meta["yaw"]))
    points, visibility = torch.from_numpy(marks[:, :2].copy()), torch.from_numpy(marks[:, 2].copy())
    frame = BodyFrame.of(points[None], visibility[None], torch.tensor([yaw]))
    profiles = []
    for other in [j for j in range(len(garments)) if j != top][:2]:
        matte = np.array(Image.open(scene / f"t{other}_f{frame_number}.webp").convert("RGBA"))[..., 3] / 255.0
        axes = (frame.origin[0].numpy(), frame.axes[0].numpy(), float(frame.size[0]))
        profiles.append(outline_profile(matte, np.eye(2, 3), *axes))
    picture, product = read_correspondence(scene, name)
    owner = garments[top].parts[product[:, 1].astype(int).clip(0, 511), product[:, 0].astype(int).clip(0, 383)]
    row: dict[str, Array] = {
        "points": marks[:, :2],
        "visibility": marks[:, 2],
        "yaw": np.asarray(yaw),
        "keypoints": np.stack([garments[top].keypoints[n] for n in KEYPOINTS]),
        "worn": np.asarray([kp[n] for n in KEYPOINTS], np.float32),
        "profiles": np.stack(profiles),
        "sleeved": np.asarray(float(Part.LEFT_SLEEVE in lattices[top]), np.float32),
    }
    for part, (r, c) in SHAPES.items():
        key = part.name.lower()
        lattice = lattices[top].get(part)
        # a part that is not there gets a lattice that can be solved, and no samples
        grid = np.stack(np.meshgrid(np.arange(c), np.arange(r)), -1).astype(np.float32)
        row[f"{key}_lattice"] = (grid if lattice is None else lattice).reshape(-1, 2)
        mine = np.flatnonzero(owner == part) if lattice is not None else np.zeros(0, int)
        count = _SAMPLES[part]
        pick = rng.choice(mine, count) if mine.size else np.zeros(count, int)
        some = mine.size >= 12
        row[f"{key}_product"] = product[pick] if some else np.zeros((count, 2), np.float32)
        row[f"{key}_picture"] = picture[pick] if some else np.zeros((count, 2), np.float32)
        row[f"{key}_known"] = np.asarray(float(some), np.float32)
    return row


def forward_turn(points: Tensor, lattice: Tensor, turn: Tensor) -> Tensor:
    """Garment points (B, N, 2) of the torso carried round by ``turn`` (B,) into the torso's outline frame: the inverse,
    for what can be seen, of :func:`vtryon.warp.sampler.turned`. ``lattice`` (B, 20, 2)."""
    rows, columns = SHAPES[Part.TORSO]
    grid = lattice.reshape(-1, rows, columns, 2)
    heights, centres = grid[:, :, 0, 1], grid[..., 0].mean(2)
    halves = ((grid[:, :, -1, 0] - grid[:, :, 0, 0]) / 2).clamp_min(1.0)
    i = torch.searchsorted(heights.contiguous(), points[..., 1].contiguous()).clamp(1, rows - 1)
    low, high = heights.gather(1, i - 1), heights.gather(1, i)
    t = ((points[..., 1] - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
    centre = centres.gather(1, i - 1) * (1 - t) + centres.gather(1, i) * t
    half = halves.gather(1, i - 1) * (1 - t) + halves.gather(1, i) * t
    u = (points[..., 0] - centre) / half
    inside = u.clamp(-0.999, 0.999)
    x = torch.sin(torch.asin(inside) + turn[:, None]) + (u - inside) * turn.cos().sign()[:, None]
    return torch.stack([centre + half * x, points[..., 1]], -1)


def augment(batch: Batch, config: PlacingTraining, generator: torch.Generator) -> dict[str, Tensor]:
    """Mirror half, disturb what the network sees as real landmarks, key points and mattes err; truth stays true."""
    batch = dict(batch)
    n = len(batch["yaw"])

    def noise(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator)

    which = torch.randint(batch["profiles"].shape[1], (n,), generator=generator)
    batch["profile"] = batch.pop("profiles")[torch.arange(n), which]
    flip = torch.rand(n, generator=generator) < 0.5
    mirrored = _mirrored(batch)
    batch = {k: torch.where(flip.reshape(-1, *[1] * (v.dim() - 1)), mirrored[k], v) for k, v in batch.items()}

    size = BodyFrame.of(batch["points"], batch["visibility"], batch["yaw"]).size[:, None, None]
    blur = config.landmark_noise * size * torch.exp(0.5 * noise(1, 1))
    batch["points"] = batch["points"] + blur * (noise(33, 2) + 0.7 * noise(1, 2))
    lost = torch.rand(n, 33, generator=generator) < 0.03
    batch["points"] = batch["points"] + lost[..., None] * 0.15 * size * noise(33, 2)
    batch["visibility"] = (batch["visibility"] * torch.where(lost, 0.3, 1.0) + 0.05 * noise(33)).clamp(0, 1)
    batch["yaw"] = batch["yaw"] + np.radians(config.yaw_noise) * noise()
    batch["profile"] = (batch["profile"] * (1 + 0.03 * noise(1)) + 0.02 * noise(24)).clamp(0, 1.0)
    gone = torch.rand(n, generator=generator) < 0.08
    batch["profile"] = torch.where(gone[:, None], torch.zeros(()), batch["profile"])
    armpits = GarmentFrame.of(batch["keypoints"]).size[:, None, None]
    seen = batch["keypoints"] + config.keypoint_noise * armpits * (noise(14, 2) + 0.5 * noise(1, 2))
    batch["seen_keypoints"] = _swung(seen, np.radians(config.sleeve_swing) * noise(2).clamp(-2, 2))
    return batch


def _mirrored(batch: Batch) -> dict[str, Tensor]:
    """The same scene in a mirror: left and right change places, in the picture and in the product."""
    result = dict(batch)
    for key, width in (("points", PICTURE[1]), ("worn", PICTURE[1]), ("keypoints", PRODUCT[1])):
        flipped = torch.stack([width - batch[key][..., 0], batch[key][..., 1]], -1)
        result[key] = flipped[:, list(_MIRROR_BODY if key == "points" else _MIRROR_GARMENT)]
    result["visibility"] = batch["visibility"][:, list(_MIRROR_BODY)]
    result["yaw"] = -batch["yaw"]
    result["profile"] = torch.cat([batch["profile"][:, 12:], batch["profile"][:, :12]], -1)
    swap = {Part.TORSO: Part.TORSO, Part.LEFT_SLEEVE: Part.RIGHT_SLEEVE, Part.RIGHT_SLEEVE: Part.LEFT_SLEEVE}
    for part, other in swap.items():
        mine, theirs = part.name.lower(), other.name.lower()
        for kind, width in (("lattice", PRODUCT[1]), ("product", PRODUCT[1]), ("picture", PICTURE[1])):
            value = batch[f"{theirs}_{kind}"]
            result[f"{mine}_{kind}"] = torch.stack([width - value[..., 0], value[..., 1]], -1)
        if part == Part.TORSO:  # its columns run from the wearer's right to the left
            rows, columns = SHAPES[part]
            lattice = result[f"{mine}_lattice"].reshape(-1, rows, columns, 2).flip(2)
            result[f"{mine}_lattice"] = lattice.reshape(-1, rows * columns, 2)
        result[f"{mine}_known"] = batch[f"{theirs}_known"]
    return result


def _swung(keypoints: Tensor, angles: Tensor) -> Tensor:
    """Turn each sleeve's cuff about the middle of its seam: products lie with their arms at any angle."""
    result = keypoints.clone()
    for n, (side, sign) in enumerate((("l", 1.0), ("r", -1.0))):
        index = {name: KEYPOINTS.index(f"{name}_{side}") for name in ("shoulder", "armpit", "cuff_out", "cuff_in")}
        pivot = (keypoints[:, index["shoulder"]] + keypoints[:, index["armpit"]]) / 2
        a = sign * angles[:, n]
        turn = torch.stack([torch.stack([a.cos(), -a.sin()], -1), torch.stack([a.sin(), a.cos()], -1)], -2)
        for name in ("cuff_out", "cuff_in"):
            result[:, index[name]] = ((keypoints[:, index[name]] - pivot)[:, None] @ turn.mT)[:, 0] + pivot
    return result


def distances(net: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Unweighted terms: distance of true correspondences in body sizes by part, of key points, and roughness."""
    seen = batch.get("seen_keypoints", batch["keypoints"])
    x, frame = features(batch["points"], batch["visibility"], batch["yaw"], seen, batch["sleeved"], batch["profile"])
    placed = split(net(x))
    turn = turn_of(batch["yaw"])
    terms: dict[str, Tensor] = {}
    worn = frame.inward(batch["worn"])
    keypoint_errors = []
    for part, points in placed.items():
        key = part.name.lower()
        lattice = batch[f"{key}_lattice"]
        plate = ThinPlate.fit(lattice, points, stiffness=1e-3)
        product = batch[f"{key}_product"]
        if part == Part.TORSO:
            product = forward_turn(product, lattice, turn)
        known = batch[f"{key}_known"]
        error = _robust(plate(product) - frame.inward(batch[f"{key}_picture"])).mean(1)
        terms[key] = (error * known).sum() / known.sum().clamp_min(1)
        names = _PART_KEYPOINTS[part]
        own = batch["keypoints"][:, names]
        if part == Part.TORSO:
            own = forward_turn(own, lattice, turn)
        there = torch.ones_like(batch["sleeved"]) if part == Part.TORSO else batch["sleeved"]
        keypoint_errors.append((_robust(plate(own) - worn[:, names]).mean(1) * there).sum() / there.sum().clamp_min(1))
    terms["keypoints"] = torch.stack(keypoint_errors).mean()
    terms["smooth"] = _roughness(placed)
    return terms


_PART_KEYPOINTS = {
    Part.TORSO: [KEYPOINTS.index(n) for n in KEYPOINTS if not n.startswith("cuff")],
    Part.LEFT_SLEEVE: [KEYPOINTS.index(f"{n}_l") for n in ("shoulder", "armpit", "cuff_out", "cuff_in")],
    Part.RIGHT_SLEEVE: [KEYPOINTS.index(f"{n}_r") for n in ("shoulder", "armpit", "cuff_out", "cuff_in")],
}


def _robust(difference: Tensor) -> Tensor:
    return (difference.square().sum(-1) + 1e-6).sqrt()


def _roughness(placed: dict[Part, Tensor]) -> Tensor:
    """Second differences along rows and columns: unequal steps and bends, the zero set of eq. (1)."""
    total = torch.zeros(())
    for part, points in placed.items():
        grid = points.reshape(-1, *SHAPES[part], 2)
        for axis in (1, 2):
            total = total + grid.diff(n=2, dim=axis).abs().mean()
    return total


def train_placing(
    config: PlacingTraining, on_step: Callable[[int, dict[str, float]], None] | None = None
) -> dict[str, Any]:
    """Train, or go on training, the placing stage; returns the last validation report.

    Writes ``placing.safetensors`` and ``report.json`` into ``config.folder``. The scenes are read once and kept there.
    """
    training, held_out = (_packed(config, validation) for validation in (False, True))
    torch.manual_seed(config.loop.seed)
    net = PlacingNet(config.width, config.depth, config.dropout)

    def batch(rng: np.random.Generator, count: int, _step: int) -> Batch:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        pick = torch.randint(len(training["yaw"]), (count,), generator=generator)
        return augment({k: v[pick] for k, v in training.items()}, config, generator)

    def loss(model: nn.Module, batch: Batch, _compute: Compute) -> dict[str, Tensor]:
        terms = distances(model, batch)
        return {
            "torso": terms["torso"],
            "left_sleeve": 0.5 * terms["left_sleeve"],
            "right_sleeve": 0.5 * terms["right_sleeve"],
            "keypoints": config.keypoint_weight * terms["keypoints"],
            "smooth": config.smooth_weight * terms["smooth"],
        }

    last: dict[str, Any] = {}

    def validate_now(model: nn.Module, _step: int) -> dict[str, Any]:
        last.update(validate(model, held_out))
        return last

    _normalise(net, training, batch)
    # splines are solved in float32 and the network is tiny: nothing to gain from a GPU or another format
    fit(net, Task(batch, loss, validate_now), config.loop, choose("cpu"), config.folder, on_step)
    measures = last or validate(net, held_out)
    about = {k: v for k, v in asdict(config).items() if k not in ("data", "folder")}
    (config.folder / "report.json").write_text(json.dumps({"config": about, "measures": measures}, indent=1) + "\n")
    save_placing(config.folder / "placing.safetensors", net, {"training": about, "measures": measures})
    return measures


def _packed(config: PlacingTraining, validation: bool) -> dict[str, Tensor]:
    from safetensors.torch import load_file, save_file

    path = config.folder / ("validation.pack" if validation else "training.pack")
    if not path.is_file():
        packed = pack(config.data, validation)
        partial = made(config.folder) / f"{path.stem}.partial"
        save_file({k: v.contiguous() for k, v in packed.items()}, partial)
        partial.replace(path)
    return load_file(path)


@torch.inference_mode()
def validate(net: nn.Module, data: dict[str, Tensor]) -> dict[str, float]:
    """The terms on undisturbed data, in body sizes."""
    batch = {k: v for k, v in data.items() if k != "profiles"} | {"profile": data["profiles"][:, 0]}
    return {k: round(float(v), 4) for k, v in distances(net.eval(), batch).items()}


def _normalise(
    net: PlacingNet, data: dict[str, Tensor], batch: Callable[[np.random.Generator, int, int], Batch]
) -> None:
    """Set the input statistics, and start the output at a mean lattice."""
    xs = []
    for n in range(12):
        b = batch(np.random.default_rng([n, 17]), 192, 0)
        x, _ = features(b["points"], b["visibility"], b["yaw"], b["seen_keypoints"], b["sleeved"], b["profile"])
        xs.append(x)
    x = torch.cat(xs)
    net.mean.copy_(x.mean(0))
    net.std.copy_(x.std(0).clamp_min(0.05))
    frame = GarmentFrame.of(data["keypoints"])
    base = torch.cat([frame.inward(data[f"{p.name.lower()}_lattice"]) for p in SHAPES], 1)
    keep = data["sleeved"] > 0
    base = base[keep].median(0).values * 0.66
    base[:, 1] -= 0.15
    net.base.copy_(base.reshape(POINTS * 2))
