"""Reading a picture file into upright sRGB, whatever it was saved as."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vtryon.errors import BadInputError, MissingInputError
from vtryon.types import Array

MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused before anything is decoded."""

_SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")


def load_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Array, Array | None]:
    """Read a picture: JPEG, PNG, WebP, TIFF, BMP, GIF (first frame) and what else Pillow knows.

    Returns ``(rgb, alpha)``: rgb (H, W, 3) uint8, upright (EXIF orientation applied) and in sRGB (embedded profiles
    converted); alpha (H, W) float32 in [0, 1], or None where the file has none or it is opaque everywhere.

    Raises MissingInputError when the file is not there or may not be read, BadInputError when it is no picture, is cut
    short, or has more than ``max_pixels`` pixels.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise BadInputError(f"{path} is a folder; give a picture file of the garment") from None
    except FileNotFoundError:
        raise MissingInputError(f"no such picture: {path}") from None
    except OSError as error:
        raise MissingInputError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a large picture is judged by max_pixels; odd metadata does not matter
            with Image.open(io.BytesIO(data)) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise BadInputError(
                        f"{path} has {width} x {height} pixels, more than the limit of {max_pixels}; make it smaller"
                    )
                picture.load()
                return _to_arrays(picture)
    except Image.DecompressionBombError:
        raise BadInputError(f"{path} has more pixels than the limit of {max_pixels}; make it smaller") from None
    except UnidentifiedImageError:
        raise BadInputError(f"{path} is not a picture that can be read; save it as JPEG, PNG or WebP") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BadInputError(f"{path} is damaged or cut short and cannot be read ({error})") from None


def _to_arrays(picture: Image.Image) -> tuple[Array, Array | None]:
    profile = picture.info.get("icc_profile")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _SIXTEEN_BIT:
        grey = (np.clip(np.asarray(picture, np.float64), 0, 65535) / 257.0).round().astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), None
    alpha = None
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        alpha = np.asarray(picture.getchannel("A"), np.float32) / np.float32(255)
        if alpha.min() == 1:
            alpha = None
        picture = picture.convert("RGB")
    return np.array(_to_srgb(picture, profile)), alpha


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if picture.mode == "P":
        picture = picture.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken or ill-fitting profile: take the values as they are, as browsers do
        else:
            if converted is not None:
                return converted
    return picture.convert("RGB")
