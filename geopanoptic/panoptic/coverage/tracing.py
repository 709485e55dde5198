"""From a block of labels to the corners of its borders: the only step that looks at pixels.

Borders run along pixel edges between unlike labels. A vertex where they go straight on says nothing, so a
block publishes just its corners: vertices where a border bends, and nodes, where three or four borders
meet. All of them together, and nothing else, determine the coverage (`linking`), so no trace of a block's
faces can remain in it.

Each vertex belongs to one block: that of the pixel to its lower right, where the scene has one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window

RIGHT, DOWN, LEFT, UP = 0, 1, 2, 3
"""Directions in clockwise order as seen in the raster; ``1 << direction`` is a border's bit in a mask."""

NODE_MASKS = np.array([mask.bit_count() > 2 for mask in range(16)])
"""Whether three or four borders leave a corner of that mask."""

# The topmost, then leftmost, vertex of a closed border is always of this kind.
CLOSED_START_MASK = 1 << RIGHT | 1 << DOWN
START_MASKS = NODE_MASKS | (np.arange(16) == CLOSED_START_MASK)
"""Whether an arc can start at a corner of that mask."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockCorners:
    """The corners that one block owns, ordered by row, then column. Plain arrays, cheap to pickle.

    ``rows``, ``cols`` int32 (n,): place in the scene, in vertices (0 to height, 0 to width).
    ``masks`` uint8 (n,): a bit for each direction in which a border leaves.
    ``around`` int32 (m, 4): labels of the pixels to the lower right, lower left, upper left and upper
    right, for those corners at which an arc can start (`START_MASKS`), in the same order.
    """

    window: Window
    scene_shape: tuple[int, int]
    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    masks: NDArray[np.uint8]
    around: NDArray[np.int32]


def trace_block(labels: NDArray[np.int32], window: Window, scene_shape: tuple[int, int]) -> BlockCorners:
    """Corners of one block. ``labels`` int32 (h + 2, w + 2): the block and a margin of one pixel.

    The margin is 0 outside the scene. 0 is nodata; every other label is one 4-connected region of the
    scene. Raises ValueError where shape or dtype do not fit ``window``, where the window leaves the scene
    or where the margin outside the scene is not 0.
    """
    height, width = scene_shape
    if labels.shape != (window.height + 2, window.width + 2) or labels.dtype != np.int32:
        raise ValueError(
            f"labels {labels.dtype} {labels.shape} must be int32 and one pixel wider than {window}"
        )
    if min(window.row0, window.col0) < 0 or window.row1 > height or window.col1 > width:
        raise ValueError(f"{window} leaves the scene of {height} x {width} pixels")
    at_bottom, at_right = window.row1 == height, window.col1 == width
    for outside, margin in (
        (window.row0 == 0, labels[0]),
        (at_bottom, labels[-1]),
        (window.col0 == 0, labels[:, 0]),
        (at_right, labels[:, -1]),
    ):
        if outside and margin.any():
            raise ValueError(f"the margin of {window} outside the scene must be 0")
    owned_rows, owned_cols = window.height + at_bottom, window.width + at_right
    # Whole words a row, so that empty stretches can be skipped eight vertices at a time.
    masks = np.zeros((owned_rows, -(-owned_cols // 8) * 8), np.uint8)
    labels = np.ascontiguousarray(labels)
    _mark_corners(labels, owned_cols, masks)
    rows, cols, corner_masks, around = _collect_corners(labels, masks, masks.view(np.uint64), START_MASKS)
    rows += window.row0
    cols += window.col0
    return BlockCorners(
        window=window, scene_shape=scene_shape, rows=rows, cols=cols, masks=corner_masks, around=around
    )


@njit(nogil=True, cache=True)
def _mark_corners(labels: NDArray[np.int32], width: int, masks: NDArray[np.uint8]) -> None:
    """Write the mask of every corner; vertices without a border and straight ones stay 0."""
    for row in range(masks.shape[0]):
        above, below, out = labels[row], labels[row + 1], masks[row]
        for col in range(width):
            right = np.uint8(above[col + 1] != below[col + 1])
            down = np.uint8(below[col] != below[col + 1])
            left = np.uint8(above[col] != below[col])
            up = np.uint8(above[col] != above[col + 1])
            corner = (right ^ left) | (down ^ up) | (right & down)
            out[col] = corner * (right | down << np.uint8(1) | left << np.uint8(2) | up << np.uint8(3))


@njit(nogil=True, cache=True)
def _collect_corners(
    labels: NDArray[np.int32],
    masks: NDArray[np.uint8],
    words: NDArray[np.uint64],
    start_masks: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], NDArray[np.int32]]:
    """Rows, columns, masks and, where an arc can start, surrounding labels of the corners in ``masks``."""
    count, starts = 0, 0
    for row in range(words.shape[0]):
        for word in range(words.shape[1]):
            if words[row, word]:
                for mask in masks[row, 8 * word : 8 * word + 8]:
                    count += mask != 0
                    starts += start_masks[mask]
    rows, cols = np.empty(count, np.int32), np.empty(count, np.int32)
    corner_masks, around = np.empty(count, np.uint8), np.empty((starts, 4), np.int32)
    count, starts = 0, 0
    for row in range(words.shape[0]):
        for word in range(words.shape[1]):
            if not words[row, word]:
                continue
            for col in range(8 * word, 8 * word + 8):
                mask = masks[row, col]
                if not mask:
                    continue
                rows[count], cols[count], corner_masks[count] = row, col, mask
                count += 1
                if start_masks[mask]:
                    around[starts, 0] = labels[row + 1, col + 1]
                    around[starts, 1] = labels[row + 1, col]
                    around[starts, 2] = labels[row, col]
                    around[starts, 3] = labels[row, col + 1]
                    starts += 1
    return rows, cols, corner_masks, around
