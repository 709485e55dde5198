"""The fewest segments that stay within a tolerance of one chain of vertices.

Chains along pixels zigzag by about a pixel even where the border that they stand for is straight, and their
ends may lie on either side of it. Greedy methods such as Douglas-Peucker pick the extreme vertices of the
zigzag and leave kinks; the fewest segments, and among equally few the best fitting, are straight where the
border is and bend at its corners.

``scale`` (2,) divides x and y by their tolerances, so that 1 is the limit of every distance.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Bounds the time for very long straight chains, which get one more vertex at each such length.
LONGEST_CHAIN = 400


@njit(nogil=True, cache=True)
def keep_fewest(
    coordinates: NDArray[np.int32], begin: int, end: int, scale: NDArray[np.float64], kept: NDArray[np.bool_]
) -> None:
    """Keep as few vertices between ``begin`` and ``end`` as possible; every chain is within 1 of its segment.

    A shortest path over the admissible segments (Imai and Iri 1988), ties broken by the sum of squared
    distances. From each vertex a cone of directions that pass within 1 of all vertices so far tells which
    segments are admissible and when none can follow (Chan and Chin 1996).
    """
    count = end - begin
    if count < 2:
        return
    fewest = np.full(count + 1, count + 1, np.int32)
    misfit = np.zeros(count + 1)
    previous = np.empty(count + 1, np.int32)
    fewest[0] = 0
    for i in range(count):
        x0, y0 = coordinates[begin + i, 0], coordinates[begin + i, 1]
        low_x, low_y, high_x, high_y = 0.0, 0.0, 0.0, 0.0
        bounded = False
        farthest2, xx, xy, yy = 0.0, 0.0, 0.0, 0.0
        for j in range(i + 1, min(i + LONGEST_CHAIN, count) + 1):
            dx, dy = (coordinates[begin + j, 0] - x0) * scale[0], (coordinates[begin + j, 1] - y0) * scale[1]
            length2 = dx * dx + dy * dy
            passes = not bounded or (low_x * dy - low_y * dx >= 0 and dx * high_y - dy * high_x >= 0)
            if passes and length2 > 0 and fewest[i] + 1 <= fewest[j]:
                fit = misfit[i] + (dy * dy * xx - 2 * dx * dy * xy + dx * dx * yy) / length2
                better = fewest[i] + 1 < fewest[j] or fit < misfit[j]
                # A chain that reaches beyond the segment's end needs a closer look.
                if better and (
                    length2 >= farthest2 or farthest(coordinates, begin + i, begin + j, scale)[1] <= 1
                ):
                    fewest[j], misfit[j], previous[j] = fewest[i] + 1, fit, i
            farthest2 = max(farthest2, length2)
            xx, xy, yy = xx + dx * dx, xy + dx * dy, yy + dy * dy
            if length2 <= 1:
                continue
            tangent = np.sqrt(length2 - 1)
            new_low_x, new_low_y = dx * tangent + dy, dy * tangent - dx
            new_high_x, new_high_y = dx * tangent - dy, dy * tangent + dx
            if not bounded:
                low_x, low_y, high_x, high_y = new_low_x, new_low_y, new_high_x, new_high_y
                bounded = True
                continue
            if low_x * new_high_y - low_y * new_high_x < 0 or new_low_x * high_y - new_low_y * high_x < 0:
                break
            if low_x * new_low_y - low_y * new_low_x > 0:
                low_x, low_y = new_low_x, new_low_y
            if new_high_x * high_y - new_high_y * high_x > 0:
                high_x, high_y = new_high_x, new_high_y
    after = count
    while after > 0:
        before = previous[after]
        kept[begin + before] = kept[begin + after] = True
        # Cones are rounded; this keeps the promise to the last bit.
        keep_within(coordinates, begin + before, begin + after, scale, kept)
        after = before


@njit(nogil=True, cache=True)
def keep_within(
    coordinates: NDArray[np.int32], begin: int, end: int, scale: NDArray[np.float64], kept: NDArray[np.bool_]
) -> None:
    """Keep vertices until every chain is within 1 of its segment (Douglas and Peucker 1973)."""
    if end - begin < 2:
        return
    middle, distance2 = farthest(coordinates, begin, end, scale)
    if distance2 > 1:
        kept[middle] = True
        keep_within(coordinates, begin, middle, scale, kept)
        keep_within(coordinates, middle, end, scale, kept)


@njit(nogil=True, cache=True)
def farthest(
    coordinates: NDArray[np.int32], begin: int, end: int, scale: NDArray[np.float64]
) -> tuple[int, float]:
    """The first vertex between two others that is farthest from their segment; squared scaled distance."""
    x0, y0 = coordinates[begin, 0], coordinates[begin, 1]
    along_x, along_y = (coordinates[end, 0] - x0) * scale[0], (coordinates[end, 1] - y0) * scale[1]
    length2 = along_x * along_x + along_y * along_y
    place, distance2 = begin + 1, -1.0
    for i in range(begin + 1, end):
        dx, dy = (coordinates[i, 0] - x0) * scale[0], (coordinates[i, 1] - y0) * scale[1]
        if length2 > 0:
            share = min(max((dx * along_x + dy * along_y) / length2, 0.0), 1.0)
            dx, dy = dx - share * along_x, dy - share * along_y
        candidate = dx * dx + dy * dy
        if candidate > distance2:
            place, distance2 = i, candidate
    return place, distance2
