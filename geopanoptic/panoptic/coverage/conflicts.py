"""Which simplified segments stand in each other's way.

Two segments conflict where they have more in common than one end vertex, or where an end of one lies in the
area over which the other was moved from the chain that it replaces. Both can only happen near by, so
segments are gathered in the square cells within reach of them and compared cell by cell.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Rounding in the places where a segment leaves a row of cells is far below this.
SLACK_PX = 1e-6


def find_conflicts(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    reach_px: tuple[float, float],
) -> NDArray[np.bool_]:
    """Segments that need refinement, bool (n,): those that meet another and those that swept over a vertex.

    Segment ``k`` joins the vertices ``begin[k]`` and ``end[k]`` of ``coordinates`` int32 (v, 2) and stands
    for all between; none of these lies farther from it than ``reach_px`` (x, y semi-axes of an ellipse).
    Only pairs with at least one ``fresh`` (n,) segment are compared.
    """
    lower, upper = coordinates.min(axis=0), coordinates.max(axis=0) + 1
    # About one segment a cell where they are evenly spread, fine cells where they may crowd.
    spread_px = np.sqrt(np.prod((upper - lower).astype(np.float64)) / len(begin))
    cell_px = max(min(spread_px, 16.0), 2.0, *reach_px)
    columns, rows = (int((upper[axis] - lower[axis]) // cell_px) + 1 for axis in (0, 1))
    reach = np.array(reach_px, np.float64)
    cells, members = _gather(coordinates, begin, end, reach, lower, cell_px, columns, rows)
    return _compare(coordinates, begin, end, fresh, reach, cells, members)


@njit(nogil=True, cache=True)
def _columns_in_band(
    coordinates: NDArray[np.int32],
    begin: int,
    end: int,
    reach: NDArray[np.float64],
    low_y: float,
    high_y: float,
) -> tuple[float, float]:
    """Extent in x, reach included, of the part of a segment within reach of a band of y."""
    x0, y0 = float(coordinates[begin, 0]), float(coordinates[begin, 1])
    x1, y1 = float(coordinates[end, 0]), float(coordinates[end, 1])
    if y0 > y1:
        x0, y0, x1, y1 = x1, y1, x0, y0
    if y1 > y0:
        slope = (x1 - x0) / (y1 - y0)
        enter_x = x0 + slope * max(low_y - reach[1] - y0, 0.0)
        leave_x = x1 - slope * max(y1 - high_y - reach[1], 0.0)
    else:
        enter_x, leave_x = x0, x1
    return min(enter_x, leave_x) - reach[0] - SLACK_PX, max(enter_x, leave_x) + reach[0] + SLACK_PX


@njit(nogil=True, cache=True)
def _gather(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    reach: NDArray[np.float64],
    origin: NDArray[np.int32],
    cell_px: float,
    columns: int,
    rows: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Segments by cell: those of cell ``c`` are ``members[cells[c]:cells[c + 1]]``, ascending."""
    cells = np.zeros(columns * rows + 2, np.int64)
    members = np.empty(0, np.int32)
    none = np.zeros(2)
    for filling in (False, True):
        if filling:
            cells = np.cumsum(cells)
            members = np.empty(cells[-1], np.int32)
        for k in range(len(begin)):
            # A segment that replaces nothing sweeps over nothing.
            margin = reach if end[k] - begin[k] > 1 else none
            y0, y1 = coordinates[begin[k], 1], coordinates[end[k], 1]
            first_row = max(int((min(y0, y1) - margin[1] - origin[1]) // cell_px), 0)
            last_row = min(int((max(y0, y1) + margin[1] - origin[1]) // cell_px), rows - 1)
            for row in range(first_row, last_row + 1):
                low_y = origin[1] + row * cell_px - SLACK_PX
                high_y = origin[1] + (row + 1) * cell_px + SLACK_PX
                low_x, high_x = _columns_in_band(coordinates, begin[k], end[k], margin, low_y, high_y)
                first = max(int((low_x - origin[0]) // cell_px), 0)
                last = min(int((high_x - origin[0]) // cell_px), columns - 1)
                for cell in range(row * columns + first, row * columns + last + 1):
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
    cells: NDArray[np.int64],
    members: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Compare all segments that share a cell."""
    blamed = np.zeros(len(begin), np.bool_)
    for cell in range(len(cells) - 2):
        for i in range(cells[cell], cells[cell + 1]):
            s = members[i]
            for j in range(i + 1, cells[cell + 1]):
                t = members[j]
                if not (fresh[s] or fresh[t]):
                    continue
                if not (blamed[s] and blamed[t]) and _meet(
                    coordinates[begin[s]], coordinates[end[s]], coordinates[begin[t]], coordinates[end[t]]
                ):
                    blamed[s] = blamed[t] = True
                if not blamed[t]:
                    blamed[t] = _swept(coordinates, begin[t], end[t], begin[s], reach) or _swept(
                        coordinates, begin[t], end[t], end[s], reach
                    )
                if not blamed[s]:
                    blamed[s] = _swept(coordinates, begin[s], end[s], begin[t], reach) or _swept(
                        coordinates, begin[s], end[s], end[t], reach
                    )
    return blamed


@njit(nogil=True, cache=True, inline="always")
def _side(a: NDArray[np.int32], b: NDArray[np.int32], c: NDArray[np.int32]) -> int:
    """Cross product of b - a and c - a: on which side of the line a-b vertex c lies."""
    a_x, a_y = np.int64(a[0]), np.int64(a[1])
    return (b[0] - a_x) * (c[1] - a_y) - (b[1] - a_y) * (c[0] - a_x)


@njit(nogil=True, cache=True, inline="always")
def _same(a: NDArray[np.int32], b: NDArray[np.int32]) -> bool:
    return a[0] == b[0] and a[1] == b[1]


@njit(nogil=True, cache=True)
def _meet(
    a: NDArray[np.int32], b: NDArray[np.int32], c: NDArray[np.int32], d: NDArray[np.int32]
) -> bool:
    """Whether segments a-b and c-d have more in common than one end vertex."""
    if (
        max(a[0], b[0]) < min(c[0], d[0])
        or max(c[0], d[0]) < min(a[0], b[0])
        or max(a[1], b[1]) < min(c[1], d[1])
        or max(c[1], d[1]) < min(a[1], b[1])
    ):
        return False
    if _same(a, d) or _same(b, d):
        c, d = d, c
    if _same(b, c):
        a, b = b, a
    if _same(a, c):
        # Overlap only if both leave the common vertex in one direction.
        return _same(b, d) or (
            _side(a, b, d) == 0
            and np.int64(b[0] - a[0]) * (d[0] - a[0]) + np.int64(b[1] - a[1]) * (d[1] - a[1]) > 0
        )
    c_side, d_side = _side(a, b, c), _side(a, b, d)
    a_side, b_side = _side(c, d, a), _side(c, d, b)
    # Boxes overlap, so collinear segments do too.
    return not (
        (c_side > 0 and d_side > 0)
        or (c_side < 0 and d_side < 0)
        or (a_side > 0 and b_side > 0)
        or (a_side < 0 and b_side < 0)
    )


@njit(nogil=True, cache=True)
def _swept(
    coordinates: NDArray[np.int32], begin: int, end: int, vertex: int, reach: NDArray[np.float64]
) -> bool:
    """Whether a vertex lies in the area between a segment and its chain (by winding number)."""
    if end - begin < 2:
        return False
    p = coordinates[vertex]
    if _same(p, coordinates[begin]) or _same(p, coordinates[end]):
        return False
    if not _within_reach(coordinates[begin], coordinates[end], p, reach):
        return False
    winding = 0
    for i in range(begin, end + 1):
        a, b = coordinates[i], coordinates[i + 1 if i < end else begin]
        if a[1] <= p[1]:
            if b[1] > p[1] and _side(a, b, p) > 0:
                winding += 1
        elif b[1] <= p[1] and _side(a, b, p) < 0:
            winding -= 1
    return winding != 0


@njit(nogil=True, cache=True)
def _within_reach(
    a: NDArray[np.int32], b: NDArray[np.int32], p: NDArray[np.int32], reach: NDArray[np.float64]
) -> bool:
    """Whether a vertex is as near to a segment as its chain can be."""
    along_x, along_y = (b[0] - a[0]) / reach[0], (b[1] - a[1]) / reach[1]
    dx, dy = (p[0] - a[0]) / reach[0], (p[1] - a[1]) / reach[1]
    length2 = along_x * along_x + along_y * along_y
    if length2 > 0:
        share = min(max((dx * along_x + dy * along_y) / length2, 0.0), 1.0)
        dx, dy = dx - share * along_x, dy - share * along_y
    return dx * dx + dy * dy <= 1 + 1e-9
