"""The coverage of a label raster in one call."""

from __future__ import annotations

import cc3d
import numpy as np
from affine import Affine
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.coverage.arcs import Arcs
from geopanoptic.panoptic.coverage.assembly import assemble
from geopanoptic.panoptic.coverage.linking import join_corners, link
from geopanoptic.panoptic.coverage.simplification import simplify
from geopanoptic.panoptic.coverage.tracing import BlockCorners, trace_block


def trace(
    labels: NDArray[np.integer],
    transform: Affine | None = None,
    *,
    tolerance_px: tuple[float, float] = (0.0, 0.0),
    block_px: int = 2048,
) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """Polygons of any label raster (h, w) of integers; 0 is nodata.

    A label made of several 4-connected pieces gives one polygon for each, so labels int32 (n,) may repeat;
    they ascend, and pieces of one label are ordered by their first pixels. Polygons (n,) are as `assemble`
    returns them, simplified by ``tolerance_px`` (see `simplify`). The result does not depend on
    ``block_px``. Raises ValueError where labels are not two-dimensional integers from 0 to 2**31 - 1.

    >>> labels, polygons = trace(np.array([[1, 1, 2], [1, 1, 1]]))
    >>> labels.tolist(), [polygon.area for polygon in polygons]
    ([1, 2], [5.0, 1.0])
    """
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be a two-dimensional array of integers, not {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() > np.iinfo(np.int32).max:
        raise ValueError("labels must be from 0 to 2**31 - 1")
    pieces, piece_label, first_px = pieces_of(labels)
    arcs = simplify(trace_arcs(pieces, block_px), tolerance_px)
    piece, polygons = assemble(arcs, transform)
    order = np.lexsort((first_px[piece], piece_label[piece]))
    return piece_label[piece][order], polygons[order]


def pieces_of(
    labels: NDArray[np.integer],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """4-connected pieces int32 (h, w), numbered from 1; label and first pixel of each number."""
    pieces = cc3d.connected_components(labels, connectivity=4, out_dtype=np.uint32).view(np.int32)
    return pieces, *_describe(pieces, labels, int(pieces.max()))


def trace_arcs(labels: NDArray[np.int32], block_px: int = 2048) -> Arcs:
    """Arcs of a raster int32 (h, w) in which every label above 0 is one 4-connected region."""
    if block_px < 1:
        raise ValueError(f"block_px must be at least 1, not {block_px}")
    blocks = Window(0, 0, *labels.shape).blocks(block_px)
    return link(join_corners(_trace_window(labels, block) for block in blocks))


def _trace_window(labels: NDArray[np.int32], window: Window) -> BlockCorners:
    """One block of an array in memory, with its margin."""
    margin = window.grown(1)
    padded = np.zeros(margin.shape, np.int32)
    inside = margin.intersection(Window(0, 0, *labels.shape))
    if inside is not None:
        padded[inside.slices(margin)] = labels[inside.slices()]
    return trace_block(padded, window, labels.shape)


@njit(nogil=True, cache=True)
def _describe(
    pieces: NDArray[np.int32], labels: NDArray[np.integer], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Label and first pixel of every piece, by its number."""
    piece_label, first_px = np.zeros(count + 1, np.int32), np.full(count + 1, -1, np.int64)
    for row in range(pieces.shape[0]):
        for col in range(pieces.shape[1]):
            piece = pieces[row, col]
            if first_px[piece] < 0:
                first_px[piece] = row * pieces.shape[1] + col
                piece_label[piece] = labels[row, col]
    return piece_label, first_px
