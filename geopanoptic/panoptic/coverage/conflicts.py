"""Which simplified segments stand in each other's way.

Two segments conflict where they have more in common than one end vertex, or where an end of one lies in the
area over which the other was moved from the chain that it replaces. Both can only happen near by, so
segments are gathered in the square cells as near to them as their chains are, however far those might stray, and
compared cell by cell, in parallel over rows of cells.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage.polyline import farthest
from geopanoptic.panoptic.coverage.vicinity import box, near_fresh
from geopanoptic.panoptic.parts import Map, over_parts

# Rounding in the places where a segment leaves a row of cells is far below this.
SLACK_PX = 1e-6


def find_conflicts(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    reach_px: tuple[float, float],
    each: Map = map,
) -> NDArray[np.bool_]:
    """Segments that need refinement, bool (n,): those that meet another and those that swept over a vertex.

    Segment ``k`` joins the vertices ``begin[k]`` and ``end[k]`` of ``coordinates`` int32 (v, 2) and stands
    for all between; none of these lies farther from it than ``reach_px`` (x, y semi-axes of an ellipse).
    Only pairs with at least one ``fresh`` (n,) segment are compared; ``each`` computes rows of cells.
    """
    lower, upper = _bounds(coordinates)
    # About one segment a cell where they are evenly spread, fine cells where they may crowd.
    spread_px = np.sqrt(np.prod((upper - lower).astype(np.float64)) / len(begin))
    cell_px = max(min(spread_px, 16.0), 2.0)
    columns, rows = (int((upper[axis] - lower[axis]) // cell_px) + 1 for axis in (0, 1))
    reach = np.array(reach_px, np.float64)
    # Whole pixels; farther than all vertices lie apart there is nothing.
    margin = np.minimum(np.ceil(reach), upper - lower).astype(np.int32)
    near = np.flatnonzero(near_fresh(coordinates, begin, end, fresh, margin, lower, upper, each))
    begin, end = begin[near], end[near]
    blamed, near_blamed = np.zeros(len(fresh), np.bool_), np.zeros(len(near), np.bool_)
    fresh = fresh[near]
    strays = np.zeros((len(near), 2), np.int32)
    over_parts(
        lambda first, last: _measure_strays(
            coordinates, begin[first:last], end[first:last], reach, margin, strays[first:last]
        ),
        len(near),
        each,
    )

    def blame(first_row: int, last_row: int) -> None:
        in_rows = _reaching_rows(coordinates, begin, end, strays, lower, cell_px, first_row, last_row)
        lattice = lower, cell_px, columns, rows, first_row, last_row
        cells, members = _gather(coordinates, begin, end, in_rows, strays, *lattice)
        # Rows may blame what others blame too: they all write the same.
        _compare(coordinates, begin, end, fresh, reach, strays, cells, members, near_blamed)

    over_parts(blame, rows, each)
    blamed[near] = near_blamed
    return blamed


@njit(nogil=True, cache=True)
def _bounds(coordinates: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Least x and y, and those just above the largest."""
    lower, upper = coordinates[0].copy(), coordinates[0] + np.int32(1)
    for i in range(len(coordinates)):
        for axis in range(2):
            lower[axis] = min(lower[axis], coordinates[i, axis])
            upper[axis] = max(upper[axis], coordinates[i, axis] + 1)
    return lower, upper


@njit(nogil=True, cache=True)
def _measure_strays(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    reach: NDArray[np.float64],
    most: NDArray[np.int32],
    strays: NDArray[np.int32],
) -> None:
    """Fill ``strays`` (n, 2): how far the chain of each segment goes from it, ``most`` (2,) at the most.

    Whole pixels in x and y, the semi-axes of an ellipse with the proportions of ``reach``. What a segment swept
    over lies within; one that replaces nothing swept over nothing, 0.
    """
    scale = 1 / reach
    for k in range(len(begin)):
        if end[k] - begin[k] > 1:
            share = np.sqrt(farthest(coordinates, begin[k], end[k], scale)[1])
            for axis in range(2):
                strays[k, axis] = min(np.ceil(reach[axis] * share + SLACK_PX), most[axis])


@njit(nogil=True, cache=True)
def _columns_in_band(
    coordinates: NDArray[np.int32],
    begin: int,
    end: int,
    stray: NDArray[np.int32],
    low_y: float,
    high_y: float,
) -> tuple[float, float]:
    """Extent in x, ``stray`` (2,) included, of the part of a segment that lies so near to a band of y."""
    x0, y0 = float(coordinates[begin, 0]), float(coordinates[begin, 1])
    x1, y1 = float(coordinates[end, 0]), float(coordinates[end, 1])
    if y0 > y1:
        x0, y0, x1, y1 = x1, y1, x0, y0
    if y1 > y0:
        slope = (x1 - x0) / (y1 - y0)
        enter_x = x0 + slope * max(low_y - stray[1] - y0, 0.0)
        leave_x = x1 - slope * max(y1 - high_y - stray[1], 0.0)
    else:
        enter_x, leave_x = x0, x1
    return min(enter_x, leave_x) - stray[0] - SLACK_PX, max(enter_x, leave_x) + stray[0] + SLACK_PX


@njit(nogil=True, cache=True)
def _rows_of(
    coordinates: NDArray[np.int32],
    begin: int,
    end: int,
    stray: NDArray[np.int32],
    origin: NDArray[np.int32],
    cell_px: float,
    rows: int,
) -> tuple[int, int]:
    """First and last row of cells that a segment reaches."""
    y0, y1 = coordinates[begin, 1], coordinates[end, 1]
    first = max(int((min(y0, y1) - stray[1] - origin[1]) // cell_px), 0)
    return first, min(int((max(y0, y1) + stray[1] - origin[1]) // cell_px), rows - 1)


@njit(nogil=True, cache=True)
def _columns_of(
    coordinates: NDArray[np.int32],
    begin: int,
    end: int,
    stray: NDArray[np.int32],
    row: int,
    origin: NDArray[np.int32],
    cell_px: float,
    columns: int,
) -> tuple[int, int]:
    """First and last column of cells that a segment reaches in a row of cells."""
    low_y = origin[1] + row * cell_px - SLACK_PX
    high_y = origin[1] + (row + 1) * cell_px + SLACK_PX
    low_x, high_x = _columns_in_band(coordinates, begin, end, stray, low_y, high_y)
    first = max(int((low_x - origin[0]) // cell_px), 0)
    return first, min(int((high_x - origin[0]) // cell_px), columns - 1)


@njit(nogil=True, cache=True)
def _reaching_rows(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    strays: NDArray[np.int32],
    origin: NDArray[np.int32],
    cell_px: float,
    band_first: int,
    band_last: int,
) -> NDArray[np.int32]:
    """Segments that reach rows of cells from ``band_first`` to before ``band_last``, ascending."""
    # A row more on either side: rounding must not lose one.
    low_y, high_y = origin[1] + (band_first - 1) * cell_px, origin[1] + (band_last + 1) * cell_px
    found = np.empty(len(begin), np.int32)
    count = 0
    for k in range(len(begin)):
        y0, y1 = coordinates[begin[k], 1], coordinates[end[k], 1]
        if max(y0, y1) + strays[k, 1] >= low_y and min(y0, y1) - strays[k, 1] <= high_y:
            found[count] = k
            count += 1
    return found[:count]


@njit(nogil=True, cache=True)
def _gather(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    chosen: NDArray[np.int32],
    strays: NDArray[np.int32],
    origin: NDArray[np.int32],
    cell_px: float,
    columns: int,
    rows: int,
    band_first: int,
    band_last: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Segments among ``chosen`` by cell of some rows, ascending: ``members[cells[c]:cells[c + 1]]`` in cell ``c``."""
    cells = np.zeros(columns * (band_last - band_first) + 2, np.int64)
    members = np.empty(0, np.int32)
    for filling in (False, True):
        if filling:
            cells = np.cumsum(cells)
            members = np.empty(cells[-1], np.int32)
        for k in chosen:
            stray = strays[k]
            first_row, last_row = _rows_of(coordinates, begin[k], end[k], stray, origin, cell_px, rows)
            for row in range(max(first_row, band_first), min(last_row, band_last - 1) + 1):
                first, last = _columns_of(coordinates, begin[k], end[k], stray, row, origin, cell_px, columns)
                place = (row - band_first) * columns
                for cell in range(place + first, place + last + 1):
                    if filling:
                        members[cells[cell + 1]] = k
                        cells[cell + 1] += 1
                    else:
                        cells[cell + 2] += 1
    return cells, members


@njit(nogil=True, cache=True)
def _compare(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    reach: NDArray[np.float64],
    strays: NDArray[np.int32],
    cells: NDArray[np.int64],
    members: NDArray[np.int32],
    blamed: NDArray[np.bool_],
) -> None:
    """Compare all segments that share a cell, and mark those that are ``blamed``."""
    for cell in range(len(cells) - 2):
        for i in range(cells[cell], cells[cell + 1]):
            s = members[i]
            x0, x1, y0, y1 = box(coordinates, begin[s], end[s], strays[s])
            for j in range(i + 1, cells[cell + 1]):
                t = members[j]
                if not (fresh[s] or fresh[t]) or (blamed[s] and blamed[t]):
                    continue
                left, right, top, bottom = box(coordinates, begin[t], end[t], strays[t])
                if left > x1 or right < x0 or top > y1 or bottom < y0:
                    continue
                if _meet(coordinates, begin[s], end[s], begin[t], end[t]):
                    blamed[s] = blamed[t] = True
                for mover, other in ((s, t), (t, s)):
                    if end[mover] - begin[mover] > 1 and not blamed[mover]:
                        blamed[mover] = _swept(
                            coordinates, begin[mover], end[mover], begin[other], reach
                        ) or _swept(coordinates, begin[mover], end[mover], end[other], reach)


@njit(nogil=True, cache=True, inline="always")
def _side(ax: np.int64, ay: np.int64, bx: np.int64, by: np.int64, cx: np.int64, cy: np.int64) -> np.int64:
    """Cross product of b - a and c - a: on which side of the line a-b vertex c lies."""
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


@njit(nogil=True, cache=True)
def _meet(coordinates: NDArray[np.int32], a: int, b: int, c: int, d: int) -> bool:
    """Whether segments a-b and c-d have more in common than one end vertex."""
    ax, ay = np.int64(coordinates[a, 0]), np.int64(coordinates[a, 1])
    bx, by = np.int64(coordinates[b, 0]), np.int64(coordinates[b, 1])
    cx, cy = np.int64(coordinates[c, 0]), np.int64(coordinates[c, 1])
    dx, dy = np.int64(coordinates[d, 0]), np.int64(coordinates[d, 1])
    if (
        max(ax, bx) < min(cx, dx)
        or max(cx, dx) < min(ax, bx)
        or max(ay, by) < min(cy, dy)
        or max(cy, dy) < min(ay, by)
    ):
        return False
    if (ax == dx and ay == dy) or (bx == dx and by == dy):
        cx, cy, dx, dy = dx, dy, cx, cy
    if bx == cx and by == cy:
        ax, ay, bx, by = bx, by, ax, ay
    if ax == cx and ay == cy:
        # Overlap only if both leave the common vertex in one direction.
        towards = (bx - ax) * (dx - ax) + (by - ay) * (dy - ay)
        return bool(_side(ax, ay, bx, by, dx, dy) == 0 and towards > 0)
    c_side, d_side = _side(ax, ay, bx, by, cx, cy), _side(ax, ay, bx, by, dx, dy)
    if (c_side > 0 and d_side > 0) or (c_side < 0 and d_side < 0):
        return False
    # Boxes overlap, so collinear segments do too.
    a_side, b_side = _side(cx, cy, dx, dy, ax, ay), _side(cx, cy, dx, dy, bx, by)
    return not ((a_side > 0 and b_side > 0) or (a_side < 0 and b_side < 0))


@njit(nogil=True, cache=True)
def _swept(
    coordinates: NDArray[np.int32], begin: int, end: int, vertex: int, reach: NDArray[np.float64]
) -> bool:
    """Whether a vertex lies in the area between a segment and its chain (by winding number)."""
    x, y = np.int64(coordinates[vertex, 0]), np.int64(coordinates[vertex, 1])
    x0, y0 = np.int64(coordinates[begin, 0]), np.int64(coordinates[begin, 1])
    x1, y1 = np.int64(coordinates[end, 0]), np.int64(coordinates[end, 1])
    if (x == x0 and y == y0) or (x == x1 and y == y1):
        return False
    # Only vertices as near to the segment as its chain can be.
    along_x, along_y = (x1 - x0) / reach[0], (y1 - y0) / reach[1]
    dx, dy = (x - x0) / reach[0], (y - y0) / reach[1]
    share = min(max((dx * along_x + dy * along_y) / (along_x * along_x + along_y * along_y), 0.0), 1.0)
    dx, dy = dx - share * along_x, dy - share * along_y
    if dx * dx + dy * dy > 1 + 1e-9:
        return False
    winding = 0
    from_x, from_y = x1, y1
    for i in range(begin, end + 1):
        to_x, to_y = np.int64(coordinates[i, 0]), np.int64(coordinates[i, 1])
        if from_y <= y:
            if to_y > y and _side(from_x, from_y, to_x, to_y, x, y) > 0:
                winding += 1
        elif to_y <= y and _side(from_x, from_y, to_x, to_y, x, y) < 0:
            winding -= 1
        from_x, from_y = to_x, to_y
    return winding != 0
