"""Which segments lie near those that are new: the others were compared with each other before.

Boxes of segments are entered into square tiles, far larger than most segments, so the answer is generous,
and cheap enough to ask of all segments of a scene.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.parts import Map, over_parts

# The width of a tile is 2 to the power of this, in pixels.
TILE_BITS = 6


def near_fresh(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    margin: NDArray[np.int32],
    lower: NDArray[np.int32],
    upper: NDArray[np.int32],
    each: Map,
) -> NDArray[np.bool_]:
    """Which segments may lie within ``margin`` (x, y) of a fresh one, bool (n,), the fresh ones included.

    Segments are those of `find_conflicts`; all vertices lie from ``lower`` to before ``upper`` (2,).
    """
    if fresh.all():
        return fresh
    origin = lower - margin
    marked = np.zeros(tuple((upper + margin - origin >> TILE_BITS) + 1), np.bool_)
    _mark_tiles(coordinates, begin[fresh], end[fresh], margin, origin, marked)
    near = np.empty(len(fresh), np.bool_)
    over_parts(
        lambda first, last: _in_marked_tiles(
            coordinates, begin[first:last], end[first:last], origin, marked, near[first:last]
        ),
        len(fresh),
        each,
    )
    return near


@njit(nogil=True, cache=True, inline="always")
def box(
    coordinates: NDArray[np.int32], begin: int, end: int, margin: NDArray[np.int32]
) -> tuple[int, int, int, int]:
    """First and last column, first and last row of a segment with a margin (2,) around it."""
    x0, y0, x1, y1 = coordinates[begin, 0], coordinates[begin, 1], coordinates[end, 0], coordinates[end, 1]
    return (
        min(x0, x1) - margin[0],
        max(x0, x1) + margin[0],
        min(y0, y1) - margin[1],
        max(y0, y1) + margin[1],
    )


@njit(nogil=True, cache=True, inline="always")
def _tiles(
    marked: NDArray[np.bool_],
    coordinates: NDArray[np.int32],
    begin: int,
    end: int,
    margin: NDArray[np.int32],
    origin: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Those of ``marked`` (columns, rows) that the box of a segment touches."""
    x0, x1, y0, y1 = box(coordinates, begin, end, margin)
    x0, x1, y0, y1 = x0 - origin[0], x1 - origin[0], y0 - origin[1], y1 - origin[1]
    return marked[x0 >> TILE_BITS : (x1 >> TILE_BITS) + 1, y0 >> TILE_BITS : (y1 >> TILE_BITS) + 1]


@njit(nogil=True, cache=True)
def _mark_tiles(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    margin: NDArray[np.int32],
    origin: NDArray[np.int32],
    marked: NDArray[np.bool_],
) -> None:
    """Mark the tiles around each segment."""
    for k in range(len(begin)):
        _tiles(marked, coordinates, begin[k], end[k], margin, origin)[:] = True


@njit(nogil=True, cache=True)
def _in_marked_tiles(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    origin: NDArray[np.int32],
    marked: NDArray[np.bool_],
    inside: NDArray[np.bool_],
) -> None:
    """Whether each segment touches a marked tile."""
    margin = np.zeros(2, np.int32)
    for k in range(len(begin)):
        inside[k] = _tiles(marked, coordinates, begin[k], end[k], margin, origin).any()
