"""Data sets of the field on disk: VITON, VVT, and plain folders of clips and garments."""

from vtryon.data.footage import read_frames
from vtryon.data.tree import Footage, FootageKind, Layout, Sample, Tree, open_tree

__all__ = ["Footage", "FootageKind", "Layout", "Sample", "Tree", "open_tree", "read_frames"]
