"""Centre-seeded watershed of a scene in blocks, equal to that of the whole array bit for bit.

Three stages, of which the first and the last touch pixels and run per block, in any order:

1. `forest_block` divides a block into zones, one per terminal, and summarises what is undecided;
2. `stitch` joins the zones of all blocks into regions, one per seed;
3. `label_block` gives every pixel the label of its zone's terminal.

`watershed` runs the three on arrays in memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.descent import DOWN_BIT, RIGHT_BIT
from geopanoptic.panoptic.forest import BlockForest, find_root, forest_block
from geopanoptic.panoptic.stitching import TerminalLabels, stitch

__all__ = ["BlockForest", "TerminalLabels", "forest_block", "label_block", "stitch", "watershed"]


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
        labels[window.slices()] = label_block(forest.zones, terminals[window], window, width)
    return labels


def label_block(
    zones: NDArray[np.uint8], terminals: TerminalLabels, window: Window, scene_width: int
) -> NDArray[np.integer]:
    """Labels of one block (h, w), from its zones (h, w) and the labels of its terminals, in their dtype.

    0 is outside the domain or unreached.
    Raises ValueError where ``zones`` does not have the window's shape.
    """
    if zones.shape != window.shape:
        raise ValueError(f"zones {zones.shape} must be {window.shape}")
    rows, cols = np.divmod(terminals.terminal_px, scene_width)
    block_px = (rows - window.row0) * window.width + cols - window.col0
    # Trees are numbered in the array that receives their labels. Large arrays come from numpy, which asks the
    # system for huge pages; compiled code does not.
    labels = np.empty(zones.shape, terminals.label.dtype)
    _spread(np.ascontiguousarray(zones), block_px, terminals.label, labels, np.empty(zones.size, np.int32))
    return labels


@njit(nogil=True, cache=True)
def _spread(
    zones: NDArray[np.uint8],
    terminal_px: NDArray[np.int64],
    terminal_label: NDArray[np.integer],
    labels: NDArray[np.integer],
    parent: NDArray[np.int32],
) -> None:
    """Give each tree of zone edges the label of the terminal that it holds, 0 where it holds none.

    Fills ``labels`` (h, w), of the dtype of ``terminal_label``; ``parent`` (h * w,) may hold anything.
    """
    height, width = zones.shape
    count = 0
    for row in range(height):
        above = max(row - 1, 0)
        edge_left = np.uint8(0)
        for col in range(width):
            from_left = edge_left
            from_above = zones[above, col] & DOWN_BIT if row else np.uint8(0)
            edge_left = zones[row, col] & RIGHT_BIT
            if from_left and from_above:
                a = find_root(parent, labels[row, col - 1])
                b = find_root(parent, labels[above, col])
                labels[row, col] = parent[max(a, b)] = min(a, b)
            elif from_left:
                labels[row, col] = labels[row, col - 1]
            elif from_above:
                labels[row, col] = labels[above, col]
            else:
                labels[row, col] = parent[count] = count
                count += 1

    label_of = np.zeros(count, terminal_label.dtype)
    for i in range(len(terminal_px)):
        pixel = terminal_px[i]
        label_of[find_root(parent, labels[pixel // width, pixel % width])] = terminal_label[i]
    # Parents have smaller numbers, so one ascending pass carries every label down from its root.
    for node in range(count):
        label_of[node] = label_of[parent[node]]

    for row in range(height):
        for col in range(width):
            labels[row, col] = label_of[labels[row, col]]
