"""The learned composition at the video's size, with networks that have learned nothing, or one thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import scenes
from vtryon.errors import UnavailableError
from vtryon.render.learned import Renderer, RenderMemory
from vtryon.render.unet import RendererNet, RendererSize, save_renderer
from vtryon.types import Array, Label
from vtryon.warp import Texture

SIZE = RendererSize(widths=(8, 8, 12), depths=(1, 1, 1))


def network(**biases: float) -> RendererNet:
    """A network whose masks are what their biases (of m, alpha and keep) say, whose paint is its first candidate."""
    torch.manual_seed(0)
    net = RendererNet(SIZE)
    with torch.no_grad():
        for head in (net.masks, net.paint):
            head.weight.zero_()
            assert head.bias is not None
            head.bias.zero_()
        for n, name in enumerate(("mask", "weight", "keep")):
            assert net.masks.bias is not None
            net.masks.bias[4 * n : 4 * n + 4] = biases.get(name, 0.0)
        assert net.paint.bias is not None
        net.paint.bias[0] = 20.0
    return net.eval()


def dress(
    net: RendererNet, top: tuple[int, int, int] = scenes.RED, memory: RenderMemory | None = None, **garment: object
) -> tuple[Array, Array, Array, RenderMemory]:
    source, person, labels = scenes.scene(top=top)
    product = scenes.garment(**garment)  # type: ignore[arg-type]
    warp = scenes.flat(product)
    out, after = Renderer(net)(source, person, warp, Texture.of(product), None, memory)
    return source, out, labels, after


def test_what_is_kept_is_the_source_to_the_last_bit() -> None:
    source, out, labels, _ = dress(network(mask=-20, keep=20))
    near = cv2.dilate((labels == Label.TOP).astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    assert np.array_equal(out[~near], source[~near])
    assert not np.array_equal(out, source)


def test_nothing_of_the_old_top_is_left_where_its_label_is() -> None:
    source, out, labels, _ = dress(network(mask=-20, keep=20))
    inside = labels == Label.TOP
    assert scenes.near(source, scenes.RED)[inside].mean() > 0.95
    assert scenes.near(out, scenes.RED)[inside].mean() < 0.02


def test_a_dress_below_the_new_hem_stays() -> None:
    source, _, labels = scenes.scene()
    hem = int(np.nonzero(labels == Label.TOP)[0].max())
    labels[hem - 30 : hem + 60, 200:280] = Label.DRESS
    source[labels == Label.DRESS] = scenes.GREEN
    product = scenes.garment()  # its hem lies at 350 px of the picture
    out, _ = Renderer(network(mask=-20, keep=20))(
        source, scenes.person(scenes.body(), labels), scenes.flat(product), Texture.of(product), None, None
    )
    shown = scenes.near(out, scenes.GREEN)
    assert shown[hem + 25 : hem + 55, 205:275].mean() > 0.95


def test_the_garment_is_as_sharp_as_its_picture() -> None:
    """Stripes far finer than the crop's pixels survive: they never go through the network."""
    source, out, _, _ = dress(network(mask=20, weight=20, keep=-20), stripes=scenes.WHITE)
    product = scenes.garment(stripes=scenes.WHITE)
    inside = np.zeros(source.shape[:2], bool)
    inside[: len(product.alpha), : product.alpha.shape[1]] = product.alpha > 0
    shown = out[180:330, 160:200].astype(int)
    wanted = product.rgb[180:330, 160:200].astype(int)
    assert inside[180:330, 160:200].all()
    assert np.abs(shown - wanted).mean() < 6
    assert np.abs(np.diff(shown[..., 0], axis=0)).max() > 100


def test_the_memory_is_of_this_shot_only() -> None:
    net = network(mask=2, weight=2, keep=2)
    with torch.no_grad():
        net.masks.weight.normal_(0, 0.5)  # so that what is remembered shows
    renderer = Renderer(net)
    source, person, _ = scenes.scene()
    product = scenes.garment()
    call = (scenes.flat(product), Texture.of(product), None)
    first, memory = renderer(source, person, *call, None)
    again, _ = renderer(source, person, *call, memory)
    other, _ = renderer(source, replace(person, shot=1), *call, memory)
    assert np.array_equal(first, other)
    assert not np.array_equal(first, again)


def test_the_source_is_not_written_to() -> None:
    source, person, _ = scenes.scene()
    product, kept = scenes.garment(), source.copy()
    Renderer(network(keep=-20))(source, person, scenes.flat(product), Texture.of(product), None, None)
    assert np.array_equal(source, kept)


def test_weights_are_loaded_from_a_file_and_their_absence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tryon.safetensors"
    monkeypatch.setenv("VTRYON_WEIGHTS", str(tmp_path))
    with pytest.raises(UnavailableError, match="tryon"):
        Renderer.load(device="cpu")
    save_renderer(path, network())
    assert Renderer.load(device="cpu").net.size == SIZE
