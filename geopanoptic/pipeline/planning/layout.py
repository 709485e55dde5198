"""Where tiles and blocks lie, and what they cost.

A *tile* is what the network sees at once: a core, whose origin is a multiple of the network's stride, and a
halo at least as wide as the network's reach. A core therefore equals the same pixels of a forward pass over
the whole, infinitely padded scene. A *block* is the unit of everything after the network and of storage;
blocks may have any size.
"""

from __future__ import annotations

from dataclasses import dataclass

from geopanoptic.grid import Window


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Sizes in input pixels; ``tile_px`` (core) and ``halo_px`` are multiples of ``stride_px``."""

    tile_px: int
    halo_px: int
    stride_px: int
    block_px: int
    batch: int

    def cores(self, block: Window) -> list[Window]:
        """Tile cores that together cover ``block`` (a window of input pixels), row by row.

        Cores start on the stride lattice and are as equal as it allows, so a block that is slightly
        larger than a tile does not pay for two whole ones.
        """
        rows = self._spans(block.row0, block.row1)
        cols = self._spans(block.col0, block.col1)
        return [Window(row0, col0, row1, col1) for row0, row1 in rows for col0, col1 in cols]

    def _spans(self, start: int, stop: int) -> list[tuple[int, int]]:
        first = start // self.stride_px * self.stride_px
        count = -(-(stop - first) // self.tile_px)
        size = round_up(-(-(stop - first) // count), self.stride_px)
        return [(first + size * i, first + size * (i + 1)) for i in range(count) if first + size * i < stop]
