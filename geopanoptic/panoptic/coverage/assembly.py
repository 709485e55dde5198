"""From arcs to polygons that share their borders vertex by vertex."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage.arcs import Arcs


def assemble(arcs: Arcs, transform: Affine | None = None) -> tuple[NDArray[np.int32], NDArray[np.object_]]:
    """One polygon for every label above 0: labels int32 (n,), ascending, and polygons (n,) in map units.

    ``transform`` takes (col, row) to (x, y); without it polygons are in pixels, with y growing downwards.
    Exteriors run counter-clockwise in the x-y plane and holes clockwise, also where the transform mirrors.
    The polygons form one valid coverage: a node is a vertex of every ring that passes it. Raises ValueError
    where the transform is singular or where a label is not one 4-connected region.
    """
    transform = transform or Affine.identity()
    if transform.determinant == 0 or not np.isfinite(transform.determinant):
        raise ValueError(f"the transform {tuple(transform)[:6]} has no inverse")
    rings = arcs.rings()
    labels, areas = arcs.sides[rings.first], arcs.ring_areas(rings)
    # Stable, so holes keep the order of their first half-edges.
    order = np.lexsort((areas < 0, labels))
    order = order[np.searchsorted(labels[order], 1) :]
    labels, is_exterior = labels[order], areas[order] > 0
    starts = np.flatnonzero(np.diff(labels, prepend=0))
    if is_exterior.sum() != len(starts) or not is_exterior[starts].all():
        split = labels[starts][np.add.reduceat(is_exterior, starts, dtype=np.int64) != 1]
        raise ValueError(f"label {split[0]} is not one 4-connected region")
    first = rings.first[order]
    ring_offsets = _ring_offsets(arcs.offsets, first, rings.following)
    coefficients = np.array(tuple(transform)[:6], np.float64)
    # The raster is seen with y upwards in a map of negative determinant: there left stays left.
    points = _ring_points(
        arcs.coordinates,
        arcs.offsets,
        first,
        rings.following,
        ring_offsets,
        coefficients,
        transform.determinant > 0,
    )
    polygons = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, points, (ring_offsets, np.append(starts, len(first)))
    )
    return labels[starts], polygons


@njit(nogil=True, cache=True)
def _ring_offsets(
    offsets: NDArray[np.int64], first: NDArray[np.int32], following: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Where each ring's points start and end."""
    ring_offsets = np.zeros(len(first) + 1, np.int64)
    for ring in range(len(first)):
        size, half_edge = 1, first[ring]
        while True:
            size += offsets[(half_edge >> 1) + 1] - offsets[half_edge >> 1] - 1
            half_edge = following[half_edge]
            if half_edge == first[ring]:
                break
        ring_offsets[ring + 1] = ring_offsets[ring] + size
    return ring_offsets


@njit(nogil=True, cache=True)
def _ring_points(
    coordinates: NDArray[np.int32],
    offsets: NDArray[np.int64],
    first: NDArray[np.int32],
    following: NDArray[np.int32],
    ring_offsets: NDArray[np.int64],
    transform: NDArray[np.float64],
    mirrored: bool,
) -> NDArray[np.float64]:
    """Map coordinates of all rings, each closed by its first point."""
    a, b, c, d, e, f = transform
    points = np.empty((ring_offsets[-1], 2), np.float64)
    for ring in range(len(first)):
        step = -1 if mirrored else 1
        place = ring_offsets[ring + 1] - 1 if mirrored else ring_offsets[ring]
        half_edge = first[ring]
        while True:
            begin, end = offsets[half_edge >> 1], offsets[(half_edge >> 1) + 1] - 1
            for k in range(end - begin):
                vertex = end - k if half_edge & 1 else begin + k
                col, row = coordinates[vertex, 0], coordinates[vertex, 1]
                points[place, 0] = a * col + b * row + c
                points[place, 1] = d * col + e * row + f
                place += step
            half_edge = following[half_edge]
            if half_edge == first[ring]:
                break
        closing = ring_offsets[ring] if mirrored else ring_offsets[ring + 1] - 1
        opening = ring_offsets[ring + 1] - 1 if mirrored else ring_offsets[ring]
        points[closing] = points[opening]
    return points
