"""How much of each pixel a polygon covers, exactly.

Every edge adds the signed area to its right, row by row, to the pixels it crosses; the running sum along a
row is then the covered share of each pixel, holes taken out. (The accumulation buffer of font rasterisers,
R. Levien's font-rs 2016; no sampling, and time grows with the edges' pixels and the box of the polygon.)
Measured beside exactextract 0.3.0, which finds the same shares: 18 times as fast on 10,000 parcels of 130
pixels each, most of whose time there is the way through Python; nor has it wheels for every platform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import shapely
from numpy.typing import NDArray

SMALLEST_SHARE = 1e-6
"""Pixels of which a polygon covers less are left out: rounding, mostly."""

_STRIP_PX = 1 << 22
"""Largest buffer for one polygon; a larger one is worked on in strips of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Pixels that polygons cover, ordered by polygon, then row, then column.

    ``row``, ``col`` (c,) int32 pixels; ``share`` (c,) float64, above 0 to 1; polygon i has the cells
    ``starts[i]`` to ``starts[i + 1]``, (n + 1,) int64.
    """

    row: NDArray[np.int32]
    col: NDArray[np.int32]
    share: NDArray[np.float64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)


def covered_cells(polygons: NDArray[np.object_]) -> Cells:
    """Cells of (n,) valid Polygons or MultiPolygons in pixel coordinates (x: columns, y: rows), not negative.

    A polygon's cells do not depend on the other polygons.
    """
    oriented = shapely.orient_polygons(polygons)
    rings, polygon_of_ring = _rings(oriented)
    xy, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    polygon_of_vertex = polygon_of_ring[ring_of_vertex]
    # The edge from a ring's last vertex to the next ring's first is none.
    edges = np.flatnonzero(ring_of_vertex[1:] == ring_of_vertex[:-1])
    first_edge = np.searchsorted(polygon_of_vertex[edges], np.arange(len(polygons) + 1))
    boxes = shapely.bounds(oriented).reshape(-1, 4)
    # Of nothing, as of a parcel outside the scene, the bounds are NaN.
    box = np.nan_to_num(np.column_stack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])])).astype(np.int64)
    rows, cols, shares, counts = [], [], [], np.zeros(len(polygons), np.int64)
    for each in range(len(polygons)):
        col0, row0, col1, row1 = box[each].tolist()
        own = edges[first_edge[each] : first_edge[each + 1]]
        step = max(_STRIP_PX // max(col1 - col0, 1), 1)
        for top in range(row0, row1, step):
            found = _cells_of(xy, own, col0, top, col1, min(top + step, row1))
            rows.append(found[0])
            cols.append(found[1])
            shares.append(found[2])
            counts[each] += len(found[0])
    return Cells(
        row=np.concatenate([np.zeros(0, np.int32), *rows]),
        col=np.concatenate([np.zeros(0, np.int32), *cols]),
        share=np.concatenate([np.zeros(0), *shares]),
        starts=np.concatenate([[0], np.cumsum(counts)]),
    )


def _rings(polygons: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    parts, polygon_of_part = shapely.get_parts(polygons, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    return rings, polygon_of_part[part_of_ring]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _cells_of(
    xy: NDArray[np.float64], edges: NDArray[np.int64], col0: int, row0: int, col1: int, row1: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Rows, columns and shares of one polygon's cells within a box that holds all its columns."""
    height, width = row1 - row0, col1 - col0
    area = np.zeros((height, width + 2))
    for edge in edges:
        x0, y0 = xy[edge, 0] - col0, xy[edge, 1] - row0
        x1, y1 = xy[edge + 1, 0] - col0, xy[edge + 1, 1] - row0
        sign = 1.0
        if y0 > y1:
            x0, y0, x1, y1, sign = x1, y1, x0, y0, -1.0
        top, bottom = max(y0, 0.0), min(y1, float(height))
        if top >= bottom:
            continue
        slope = (x1 - x0) / (y1 - y0)
        for row in range(int(top), int(np.ceil(bottom))):
            begin, end = max(top, float(row)), min(bottom, float(row + 1))
            a, b = x0 + (begin - y0) * slope, x0 + (end - y0) * slope
            left, right = min(max(min(a, b), 0.0), float(width)), min(max(max(a, b), 0.0), float(width))
            first, last = int(left), int(right)
            for col in range(first, last + 1):
                part, middle = end - begin, (left + right) / 2 - col
                if first != last:
                    lower, upper = max(left, float(col)), min(right, float(col + 1))
                    part *= (upper - lower) / (right - left)
                    middle = (lower + upper) / 2 - col
                area[row, col] += sign * part * (1 - middle)
                area[row, col + 1] += sign * part * middle
    count = 0
    for row in range(height):
        total = 0.0
        for col in range(width):
            total += area[row, col]
            area[row, col] = min(abs(total), 1.0)
            count += area[row, col] > SMALLEST_SHARE
    rows, cols, shares = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count)
    at = 0
    for row in range(height):
        for col in range(width):
            if area[row, col] > SMALLEST_SHARE:
                rows[at], cols[at], shares[at] = row + row0, col + col0, area[row, col]
                at += 1
    return rows, cols, shares
