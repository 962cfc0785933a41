"""The person: who is in the picture, where, which way they face, and what of them is what."""

from vtryon.person.analyse import Labeller, Stage, analyse
from vtryon.person.crop import picture_on
from vtryon.person.store import clip_key, load_people, save_people

__all__ = ["Labeller", "Stage", "analyse", "clip_key", "load_people", "picture_on", "save_people"]
