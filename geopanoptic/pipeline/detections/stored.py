"""Parcels that a network has found block by block, kept in the run store.

Every parcel belongs to the block that its centre lies in, so no two blocks hold the same one; its mask may reach
into the blocks around. The layer ``parcels`` of a block is one row of int32: the number of parcels, for each the
corners of its mask, its class and its score's bits, then the logits of all masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.models.manifest import PAPS_BOX_PX
from geopanoptic.panoptic.quantisation import NODATA_CLASS
from geopanoptic.pipeline.detections.tile import DetectedTile, Detection
from geopanoptic.pipeline.store.run_store import RunStore

PARCELS, SHOWN = "parcels", "stuff"
FOUND_LAYERS = (SHOWN, PARCELS)
"""What is stored of a block: ``stuff`` is 0 where there is data, else ``NODATA_CLASS``."""

_FIELDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundParcels:
    """The blocks of a run as tiles of a detector, of which none shows what another shows."""

    store: RunStore

    def __len__(self) -> int:
        return len(self.store.blocks())

    def read(self, number: int) -> DetectedTile:
        """One block's parcels; the last few blocks that were read are remembered."""
        block = self.store.blocks()[number]
        return _read(self.store, block, self.store.stamp(PARCELS, block))

    def touching(self, window: Window) -> list[int]:
        """Blocks whose parcels may reach into ``window``."""
        return self.store.numbers_in(window.grown(PAPS_BOX_PX // 2))

    def shown(self, block: Window) -> NDArray[np.bool_]:
        """Where a block has data, (h, w)."""
        return self.store.read(SHOWN, block) != NODATA_CLASS


def write_none(store: RunStore, block: Window) -> None:
    """Store of a block that it shows nothing and has no parcels."""
    store.write(SHOWN, block, np.full(block.shape, NODATA_CLASS, np.uint8))
    store.write(PARCELS, block, packed([]))


def packed(parcels: Sequence[Detection]) -> NDArray[np.int32]:
    """A block's parcels as they are stored."""
    fields = np.zeros((len(parcels), _FIELDS), np.int32)
    for row, each in zip(fields, parcels, strict=True):
        window = each.window
        row[:5] = window.row0, window.col0, window.row1, window.col1, each.label
        row[5:] = np.array([each.score], np.float32).view(np.int32)
    masks = [each.mask.astype(np.int32).ravel() for each in parcels]
    return np.concatenate([np.array([len(parcels)], np.int32), fields.ravel(), *masks])


def unpacked(stored: NDArray[np.int32]) -> tuple[Detection, ...]:
    """The inverse of ``packed``."""
    count = int(stored[0])
    fields = stored[1 : 1 + count * _FIELDS].reshape(count, _FIELDS)
    start, parcels = 1 + count * _FIELDS, []
    for row in fields:
        window = Window(*row[:4].tolist())
        parcels.append(
            Detection(
                label=int(row[4]),
                score=float(row[5:].view(np.float32)[0]),
                window=window,
                mask=stored[start : start + window.size_px].reshape(window.shape),
            )
        )
        start += window.size_px
    return tuple(parcels)


@lru_cache(maxsize=32)
def _read(store: RunStore, block: Window, _stamp: object) -> DetectedTile:
    stored = store.read_block(PARCELS, block)
    parcels = () if stored is None else unpacked(stored)
    reach = block.grown(PAPS_BOX_PX // 2).intersection(Window(0, 0, *store.shape))
    return DetectedTile(window=reach or block, detections=parcels, semantic=None)
