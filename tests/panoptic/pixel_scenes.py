"""Small generated scenes with watershed labels and evidence, and how to describe them in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.grid import Window
from geopanoptic.panoptic.graph.pieces import BlockRegions, Evidence, describe_block
from geopanoptic.panoptic.graph.regions import RegionGraph, join_blocks

N_THINGS, N_STUFF = 3, 3
LAYERS = {
    "field": np.uint8,
    "boundary": np.uint8,
    "relief": np.uint16,
    "heat": np.uint16,
    "thing": np.uint8,
    "thing_score": np.uint8,
    "stuff": np.uint8,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Watershed labels (h, w) int64, 0 outside every thing; validity (h, w); evidence, 255 and 0 on nodata."""

    labels: NDArray[np.int64]
    valid: NDArray[np.bool_]
    evidence: Evidence

    def keys(self) -> NDArray[np.int64]:
        """What makes touching pixels one region: the label, -1 - stuff class, or 0 on nodata."""
        stuff = -1 - self.evidence.stuff.astype(np.int64)
        return np.where(self.valid, np.where(self.labels > 0, self.labels, stuff), 0)

    def windows(self, block: tuple[int, int]) -> list[Window]:
        height, width = self.valid.shape
        return [
            Window(row, col, min(row + block[0], height), min(col + block[1], width))
            for row in range(0, height, block[0])
            for col in range(0, width, block[1])
        ]

    def describe(
        self, window: Window, *, n_certain: int | None = None
    ) -> tuple[NDArray[np.int32], BlockRegions]:
        part = window.slices()
        return describe_block(
            self.labels[part],
            self.valid[part],
            Evidence(**{name: getattr(self.evidence, name)[part] for name in LAYERS}),
            window=window,
            scene_width=self.valid.shape[1],
            n_things=N_THINGS,
            n_stuff=N_STUFF,
            n_certain=n_certain,
        )

    def regions(self, windows: Sequence[Window]) -> tuple[RegionGraph, NDArray[np.int64]]:
        """The graph that these blocks give, and the region of every pixel (-1 = nodata)."""
        pieces, blocks = zip(*map(self.describe, windows), strict=True)
        graph, of_piece = join_blocks(blocks)
        region = np.full(self.valid.shape, -2, np.int64)
        for window, piece, lookup in zip(windows, pieces, of_piece, strict=True):
            region[window.slices()] = lookup[piece]
        return graph, region


def connected(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """4-connected sets of equal keys other than 0, numbered from 1 by their first pixel."""
    numbers = np.zeros(keys.shape, np.int64)
    n = 0
    for key in np.unique(keys[keys != 0]):
        parts, count = ndimage.label(keys == key)
        numbers[parts > 0] = parts[parts > 0] + n
        n += count
    present, first = np.unique(numbers[numbers > 0], return_index=True)
    rank = np.zeros(n + 1, np.int64)
    rank[present[np.argsort(first)]] = np.arange(1, n + 1)
    return rank[numbers], n


def scene(seed: int, *, max_side_px: int = 16) -> Scene:
    """Patches of any size, from a single pixel to the whole scene; nodata and stuff now and then."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, max_side_px + 1, 2))

    def patches(n: int) -> NDArray[np.int64]:
        side = int(rng.integers(1, 6))
        coarse = rng.integers(0, n, (-(-shape[0] // side), -(-shape[1] // side)))
        fine = np.kron(coarse, np.ones((side, side), np.int64))[: shape[0], : shape[1]]
        spilled = rng.random(shape) < rng.choice([0, 0.05, 0.3])
        return np.where(spilled, rng.integers(0, n, shape), fine)

    valid = patches(8) > rng.integers(-1, 2)
    seen, n = connected(np.where(valid, patches(6), 0))
    # Watershed labels are pixel indices: large, ascending with gaps, in no order of place.
    label_of = np.concatenate([[0], 2**33 + 7 * rng.permutation(n)])
    evidence = {
        name: np.where(valid, values, 0).astype(LAYERS[name])
        for name, values in (
            ("field", patches(256)),
            ("boundary", rng.integers(0, 256, shape)),
            ("relief", rng.integers(0, 65536, shape)),
            ("heat", rng.integers(0, 65536, shape)),
            ("thing", patches(N_THINGS)),
            ("thing_score", rng.integers(0, 256, shape)),
            ("stuff", patches(N_STUFF)),
        )
    }
    return Scene(labels=label_of[seen], valid=valid, evidence=Evidence(**evidence))


def sides(region: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of 4-neighbouring pixels that lie in two different regions; regions below 0 have no sides."""
    height, width = region.shape
    for row, col in np.ndindex(height, width):
        for other in ((row + 1, col), (row, col + 1)):
            if other[0] < height and other[1] < width:
                here, there = region[row, col], region[other]
                if here >= 0 and there >= 0 and here != there:
                    yield (row, col), other
