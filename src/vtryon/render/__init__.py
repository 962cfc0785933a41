"""Rendering: the picture of the person in the garment that was laid on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from vtryon.types import Array, Person
    from vtryon.warp import Texture, Warp


class Drawer(Protocol):
    """Dresses the person of one frame; its memory is handed in and out (None where a person appears)."""

    def __call__(
        self, rgb: Array, person: Person, warp: Warp, texture: Texture, back: Texture | None, memory: Any, /
    ) -> tuple[Array, Any]:
        """The frame ``rgb`` (H, W, 3) uint8 with ``person`` in the garment, and the memory for the next frame."""
        ...
