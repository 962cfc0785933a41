"""Measures: what is reported, and the protocol behind each figure."""

from vtryon.evaluate.still import Stillness, still_clip, stillness

__all__ = ["Stillness", "still_clip", "stillness"]
