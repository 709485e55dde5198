"""Centre-seeded watershed of a scene in blocks, equal to that of the whole array bit for bit.

Three stages, of which the first and the last touch pixels and run per block, in any order:

1. `forest_block` divides a block into zones, one per terminal, and summarises what is undecided;
2. `stitch` joins the zones of all blocks into regions, one per seed;
3. `label_block` gives every pixel the label of its zone's terminal.

`watershed` runs the three on arrays in memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.forest import BlockForest, forest_block
from geopanoptic.panoptic.watershed.stitching import stitch


def watershed(
    relief_u16: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    seeds: NDArray[np.int64],
    block_px: int = 2048,
) -> NDArray[np.int64]:
    """Watershed of ``relief_u16`` (h, w) from ``seeds``: the minimum spanning forest rooted at them.

    Paths run over 4-neighbours inside ``domain`` (h, w). ``seeds`` are pixel indices, row * w + col; those
    outside the domain take no part. The result, int64 (h, w), holds the index of the pixel's seed + 1, or
    0 outside the domain and where no seed can be reached. It does not depend on ``block_px``, the side of
    the blocks in which the work is done. Raises ValueError where shapes or dtypes do not fit.

    >>> relief = np.array([[0, 1, 9, 1, 0]], np.uint16)
    >>> watershed(relief, relief < 10, np.array([0, 4])).tolist()
    [[1, 1, 1, 5, 5]]
    """
    if block_px < 1:
        raise ValueError(f"block_px must be at least 1, not {block_px}")
    height, width = relief_u16.shape
    windows = list(Window(0, 0, height, width).blocks(block_px))
    forests = [
        forest_block(relief_u16[window.slices()], domain[window.slices()], seeds, window, (height, width))
        for window in windows
    ]
    terminals = stitch(forest.summary for forest in forests)
    labels = np.empty((height, width), np.int64)
    for window, forest in zip(windows, forests, strict=True):
        labels[window.slices()] = label_block(forest, terminals[window])
    return labels


def label_block(forest: BlockForest, label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of one block (h, w) from those of its terminals (t,); 0 is outside the domain or unreached."""
    return np.append(label, 0)[forest.terminal][forest.zones]
