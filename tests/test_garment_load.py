"""Reading garment pictures: formats, orientation, transparency, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from vtryon.errors import BadInputError, MissingInputError
from vtryon.garment import load_picture

RED = (200, 40, 30)


def picture(width: int = 40, height: int = 60) -> Image.Image:
    """Blue above, red below: orientation shows."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[: height // 2], rgb[height // 2 :] = (20, 60, 180), RED
    return Image.fromarray(rgb)


def near(found: object, wanted: tuple[int, int, int], slack: int = 12) -> bool:
    return bool(np.abs(np.asarray(found, int) - wanted).max() <= slack)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.bmp", "a.gif"])
def test_formats_give_rgb_without_alpha(tmp_path: Path, name: str) -> None:
    picture().save(tmp_path / name)
    rgb, alpha = load_picture(tmp_path / name)
    assert rgb.shape == (60, 40, 3)
    assert rgb.dtype == np.uint8
    assert alpha is None
    assert near(rgb[50, 20], RED)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1"])
def test_other_colour_modes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    picture().convert(mode).save(path)
    rgb, alpha = load_picture(path)
    assert rgb.shape == (60, 40, 3)
    assert alpha is None
    if mode in ("CMYK", "P"):
        assert near(rgb[50, 20], RED, 24)
    else:
        assert (rgb[..., 0] == rgb[..., 2]).all()


def test_sixteen_bit_keeps_its_brightness(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    rgb, _ = load_picture(tmp_path / "a.png")
    assert np.abs(rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_transparency_is_kept(tmp_path: Path, name: str) -> None:
    rgba = np.dstack([np.asarray(picture()), np.full((60, 40), 255, np.uint8)])
    rgba[:20, :, 3] = 0
    rgba[20:25, :, 3] = 128
    Image.fromarray(rgba).save(tmp_path / name, lossless=True)
    _, alpha = load_picture(tmp_path / name)
    assert alpha is not None
    assert alpha.dtype == np.float32
    assert alpha[10, 10] == 0
    assert alpha[22, 10] == pytest.approx(0.5, abs=0.01)
    assert alpha[40, 10] == 1


def test_palette_transparency_is_kept(tmp_path: Path) -> None:
    indexed = Image.new("P", (10, 10), 0)
    indexed.putpalette([0, 0, 0, *RED])
    indexed.paste(1, (5, 0, 10, 10))
    indexed.save(tmp_path / "a.png", transparency=0)
    rgb, alpha = load_picture(tmp_path / "a.png")
    assert alpha is not None
    assert alpha[5, 2] == 0
    assert alpha[5, 7] == 1
    assert near(rgb[5, 7], RED)


def test_opaque_alpha_counts_as_none(tmp_path: Path) -> None:
    picture().convert("RGBA").save(tmp_path / "a.png")
    assert load_picture(tmp_path / "a.png")[1] is None


@pytest.mark.parametrize(("orientation", "at"), [(1, (50, 20)), (3, (5, 20)), (6, (20, 5)), (8, (20, 50))])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, at: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / "a.jpg", exif=exif, quality=95)
    rgb, _ = load_picture(tmp_path / "a.jpg")
    assert rgb.shape[:2] == ((60, 40) if orientation in (1, 3) else (40, 60))
    assert near(rgb[at], RED)


def test_embedded_profile_is_converted(tmp_path: Path) -> None:
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    converted = ImageCms.applyTransform(picture(), to_lab)
    assert converted is not None
    converted.save(tmp_path / "a.tiff", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    rgb, _ = load_picture(tmp_path / "a.tiff")
    assert near(rgb[50, 20], RED, 4)


def test_broken_profile_does_not_stop_it(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png", icc_profile=b"not a profile")
    assert near(load_picture(tmp_path / "a.png")[0][50, 20], RED)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"nowhere\.jpg"):
        load_picture(tmp_path / "nowhere.jpg")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="folder"):
        load_picture(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(BadInputError, match=r"a\.jpg"):
        load_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_cut_short(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match="cut short"):
        load_picture(tmp_path / name)


def test_too_many_pixels_is_refused_before_decoding(tmp_path: Path) -> None:
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(BadInputError, match="limit"):
        load_picture(tmp_path / "bomb.png")
    picture().save(tmp_path / "a.png")
    with pytest.raises(BadInputError, match="40 x 60"):
        load_picture(tmp_path / "a.png", max_pixels=2000)
