"""The run store: one file per block and layer, written whole or not at all.

Blocks lie on a regular lattice of the output grid. A layer is read back for any window, across blocks and
through a memory map, so a stage that needs a few rows of its neighbours reads just those.

A block is a ``.npy`` file, put in place by one rename. Nothing is synced to disk: what a killed process has
written stays in the system's cache, so only a power cut can leave a file that is not whole. Against that, and
against rot, the layers that a later run may continue from end in a SHA-256 hash of place and content (processors
have instructions for it). It is checked once, by the run that continues (:meth:`RunStore.holds`), and never while
a run reads its own blocks.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from geopanoptic.grid import Window
from geopanoptic.npy import map_npy
from geopanoptic.panoptic.quantisation import LAYERS
from geopanoptic.replacing import replacing

HASH_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStore:
    """Layers of a scene of ``shape`` (rows, cols) in blocks of ``block_px`` squared under ``folder``.

    Picklable: processes that share the folder share the store. They may write the same block at the same
    time; the last whole one stands.
    """

    folder: Path
    shape: tuple[int, int]
    block_px: int
    seal: str = ""
    """What the hashes are bound to: blocks written under another seal are not held."""
    sealed: frozenset[str] = frozenset(LAYERS)
    """Layers whose blocks carry a hash."""

    def blocks(self) -> list[Window]:
        """All blocks, row by row."""
        return list(Window(0, 0, *self.shape).blocks(self.block_px))

    def numbers_in(self, window: Window) -> list[int]:
        """Places in ``blocks`` of those that share ground with ``window``, without looking at the others."""
        inside, px = window.intersection(Window(0, 0, *self.shape)), self.block_px
        if inside is None:
            return []
        n_cols = -(-self.shape[1] // px)
        rows = range(inside.row0 // px, -(-inside.row1 // px))
        cols = range(inside.col0 // px, -(-inside.col1 // px))
        return [row * n_cols + col for row in rows for col in cols]

    def write(self, layer: str, block: Window, array: NDArray[np.generic]) -> None:
        """Store ``array`` (h, w) as one block of a layer; a reader never sees part of it."""
        path = self._path(layer, block.row0, block.col0)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _npy_bytes(array)
        with replacing(path) as partial, partial.open("wb") as file:
            file.writelines(content)
            if layer in self.sealed:
                file.write(self._hash(layer, block, content))

    def holds(self, layers: Iterable[str], block: Window) -> bool:
        """Whether all of ``layers`` (sealed ones) are there for ``block`` and match their hashes.

        Reads the files whole, about a second per gigabyte.
        """
        return all(self._is_sound(layer, block) for layer in layers)

    def read(self, layer: str, window: Window) -> NDArray[Any]:
        """A layer over any window, (h, w); 0 where the window leaves the scene.

        Within one block it is part of the file itself, in memory as far as it is looked at; what is written to
        it stays with the caller.
        """
        height, width = self.shape
        inside = window.intersection(Window(0, 0, height, width))
        if inside is None:
            return np.zeros(window.shape, self._dtype(layer))
        first = self._load(layer, *self._block_of(inside.row0, inside.col0))
        if inside == window and self._block_of(inside.row0, inside.col0) == self._block_of(
            inside.row1 - 1, inside.col1 - 1
        ):
            row0, col0 = self._block_of(inside.row0, inside.col0)
            return np.asarray(first[window.slices(Window(row0, col0, 0, 0))])
        result = np.zeros(window.shape, first.dtype)
        for row0 in range(inside.row0 // self.block_px * self.block_px, inside.row1, self.block_px):
            for col0 in range(inside.col0 // self.block_px * self.block_px, inside.col1, self.block_px):
                block = Window(row0, col0, row0 + self.block_px, col0 + self.block_px)
                part = block.intersection(inside)
                if part is not None:
                    result[part.slices(window)] = self._load(layer, row0, col0)[part.slices(block)]
        return result

    def read_block(self, layer: str, block: Window) -> NDArray[Any] | None:
        """What was written for one block, whatever its shape; None where nothing was."""
        try:
            return np.array(self._load(layer, block.row0, block.col0))
        except FileNotFoundError:
            return None

    def stamp(self, layer: str, block: Window) -> tuple[int, int] | None:
        """Another one whenever the block was written again; None where it was not."""
        try:
            state = self._path(layer, block.row0, block.col0).stat()
        except FileNotFoundError:
            return None
        return state.st_mtime_ns, state.st_size

    def drop(self, layer: str) -> None:
        """Delete a layer that no later stage reads."""
        folder = self.folder / layer
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def _block_of(self, row: int, col: int) -> tuple[int, int]:
        return row // self.block_px * self.block_px, col // self.block_px * self.block_px

    def _path(self, layer: str, row0: int, col0: int) -> Path:
        return self.folder / layer / f"{row0:09d}_{col0:09d}.npy"

    def _load(self, layer: str, row0: int, col0: int) -> NDArray[Any]:
        # Copied where it is written to: compiled code would need a second version for arrays that are read-only.
        return map_npy(self._path(layer, row0, col0), "c")

    def _dtype(self, layer: str) -> DTypeLike:
        return self._load(layer, 0, 0).dtype

    def _is_sound(self, layer: str, block: Window) -> bool:
        try:
            # Not through a memory map: a sector that cannot be read would kill the process there.
            stored = memoryview(self._path(layer, block.row0, block.col0).read_bytes())
        except OSError:
            return False
        return bytes(stored[-HASH_BYTES:]) == self._hash(layer, block, [stored[:-HASH_BYTES]])

    def _hash(self, layer: str, block: Window, content: Iterable[memoryview]) -> bytes:
        place = f"{self.seal} {layer} {block.row0} {block.col0}"
        digest = hashlib.sha256(place.encode())
        for part in content:
            digest.update(part)
        return digest.digest()


def _npy_bytes(array: NDArray[np.generic]) -> list[memoryview]:
    """Header and values of a ``.npy`` file; the values are not copied where they lie in C order."""
    values = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(values))
    return [header.getbuffer(), values.data.cast("B")]
