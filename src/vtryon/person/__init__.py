"""The person: who is in the picture, where, which way they face, and what of them is what."""

from vtryon.person.analyse import Labeller, analyse
from vtryon.person.crop import picture_on

__all__ = ["Labeller", "analyse", "picture_on"]
