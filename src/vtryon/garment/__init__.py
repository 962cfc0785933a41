"""A garment from its picture: cut out, key points, parts, kind."""

from vtryon.garment.load import load_picture
from vtryon.garment.prepare import load_garment, prepare

__all__ = ["load_garment", "load_picture", "prepare"]
