"""Simplified borders that still form one coverage.

Every arc is simplified once (`polyline`), so both of its regions keep sharing it. That alone may let
borders cross or touch, drop a small region or move a border over an island. So the simplified map is
compared with the original, exactly in integers, and every segment that takes part in a conflict is split at
the farthest vertex of the chain that it replaces, until none is left. Segments that replace nothing are
never in conflict among themselves, so this ends, at the latest with the original.

What is compared determines the map up to a deformation (`conflicts` has the first two):

- segments meet in common end vertices only;
- no vertex lies between a segment and its chain, so regions stay in the regions that enclose them;
- arcs leave each node in the original cyclic order;
- every ring keeps its orientation, and its area up to a quarter, which also spares tiny regions.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage.arcs import Arcs, Rings
from geopanoptic.panoptic.coverage.conflicts import find_conflicts
from geopanoptic.panoptic.coverage.parts import over_parts
from geopanoptic.panoptic.coverage.polyline import farthest, keep_fewest

# A ring's area may change by one part in this many.
AREA_PARTS = 4


def simplify(arcs: Arcs, tolerance_px: tuple[float, float], workers: int = 1) -> Arcs:
    """The same coverage with fewer vertices, a subset of the original ones; nodes stay.

    No border moves by more than ``tolerance_px``, the semi-axes in x (cols) and y (rows) of an ellipse, so
    that square ground tolerances are possible where pixels are not square: each point of a new border lies
    within it of the old one and vice versa. No ring changes its area by more than a quarter. (0, 0) returns
    ``arcs``. The result does not depend on blocks or on ``workers``, the threads that compute. Raises
    ValueError for negative or non-finite tolerances, or where only one is 0.
    """
    if not all(math.isfinite(side) and side >= 0 for side in tolerance_px) or (
        (tolerance_px[0] == 0) != (tolerance_px[1] == 0)
    ):
        raise ValueError(f"tolerance_px must be two positive numbers or (0, 0), not {tolerance_px}")
    if tolerance_px[0] == 0 or len(arcs) == 0:
        return arcs
    rings = arcs.rings()
    areas = arcs.ring_areas(rings)
    scale = np.array([1 / tolerance_px[0], 1 / tolerance_px[1]])
    kept = np.zeros(len(arcs.coordinates), np.bool_)
    over_parts(
        lambda begin, end: _simplify_each(arcs.coordinates, arcs.offsets[begin : end + 1], scale, kept),
        len(arcs),
        workers,
    )
    fresh = kept.copy()
    while True:
        simplified = _subset(arcs, kept)
        begin, end = _segments(kept, arcs.offsets)
        blamed = find_conflicts(arcs.coordinates, begin, end, fresh[begin], tolerance_px, workers)
        blamed_arcs = _in_distorted_rings(simplified, rings, areas)
        blamed_arcs |= _at_turned_nodes(arcs, simplified)
        blamed |= np.repeat(blamed_arcs, np.diff(simplified.offsets) - 1)
        blamed &= end - begin > 1
        if not blamed.any():
            return simplified
        fresh = _refine(arcs.coordinates, begin[blamed], end[blamed], scale, kept)


def _subset(arcs: Arcs, kept: NDArray[np.bool_]) -> Arcs:
    """The arcs with only the vertices that are ``kept``."""
    sizes = np.add.reduceat(kept, arcs.offsets[:-1], dtype=np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return dataclasses.replace(arcs, coordinates=arcs.coordinates[kept], offsets=offsets)


def _segments(
    kept: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Original vertices at which each simplified segment begins and ends, arc by arc."""
    vertices = np.flatnonzero(kept)
    within_arc = np.ones(len(kept), bool)
    within_arc[offsets[1:] - 1] = False
    begins = np.flatnonzero(within_arc[vertices])
    return vertices[begins], vertices[begins + 1]


def _in_distorted_rings(simplified: Arcs, rings: Rings, areas: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Arcs of rings whose doubled area differs too much from the original ``areas``."""
    distorted = AREA_PARTS * np.abs(simplified.ring_areas(rings) - areas) > np.abs(areas)
    of_half_edge = distorted[rings.of_half_edge]
    return of_half_edge[0::2] | of_half_edge[1::2]


def _at_turned_nodes(arcs: Arcs, simplified: Arcs) -> NDArray[np.bool_]:
    """Arcs whose order around one of their end nodes is not the original one."""
    turned = _is_turned(arcs.turns, simplified.coordinates.astype(np.int64), simplified.offsets)
    return turned[0::2] | turned[1::2]


@njit(nogil=True, cache=True)
def _is_turned(
    turns: NDArray[np.int32], coordinates: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Half-edges that do not lie between their neighbours around the node, counter-clockwise."""
    directions = np.empty((len(turns), 2), np.int64)
    for half_edge in range(len(turns)):
        begin, end = offsets[half_edge >> 1], offsets[(half_edge >> 1) + 1] - 1
        if half_edge & 1:
            directions[half_edge] = coordinates[end - 1] - coordinates[end]
        else:
            directions[half_edge] = coordinates[begin + 1] - coordinates[begin]
    turned = np.zeros(len(turns), np.bool_)
    for half_edge in range(len(turns)):
        middle = turns[half_edge]
        last = turns[middle]
        if last == half_edge:
            continue
        a_x, a_y = directions[half_edge]
        b_x, b_y = directions[middle]
        c_x, c_y = directions[last]
        # Rows grow downwards, so a counter-clockwise turn as seen has a negative cross product.
        a_to_b, b_to_c, a_to_c = a_y * b_x - a_x * b_y, b_y * c_x - b_x * c_y, a_y * c_x - a_x * c_y
        if a_to_c > 0:
            in_order = a_to_b > 0 and b_to_c > 0
        elif a_to_c < 0:
            in_order = a_to_b > 0 or b_to_c > 0
        else:
            in_order = a_to_b > 0
        if not in_order:
            turned[half_edge] = turned[middle] = turned[last] = True
    return turned


@njit(nogil=True, cache=True)
def _simplify_each(
    coordinates: NDArray[np.int32],
    offsets: NDArray[np.int64],
    scale: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> None:
    """Mark the vertices that each arc keeps by itself; one that closes is first split at its farthest vertex."""
    for arc in range(len(offsets) - 1):
        begin, end = offsets[arc], offsets[arc + 1] - 1
        kept[begin] = kept[end] = True
        if coordinates[begin, 0] == coordinates[end, 0] and coordinates[begin, 1] == coordinates[end, 1]:
            middle, _ = farthest(coordinates, begin, end, scale)
            kept[middle] = True
            keep_fewest(coordinates, begin, middle, scale, kept)
            keep_fewest(coordinates, middle, end, scale, kept)
        else:
            keep_fewest(coordinates, begin, end, scale, kept)


@njit(nogil=True, cache=True)
def _refine(
    coordinates: NDArray[np.int32],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    scale: NDArray[np.float64],
    kept: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Split each segment at the farthest vertex of its chain. True where a new segment begins."""
    fresh = np.zeros(len(kept), np.bool_)
    for k in range(len(begin)):
        middle, _ = farthest(coordinates, begin[k], end[k], scale)
        kept[middle] = True
        # The halves of a chain may lie farther from the new segments than they did from the old one.
        keep_fewest(coordinates, begin[k], middle, scale, kept)
        keep_fewest(coordinates, middle, end[k], scale, kept)
        fresh[begin[k] : end[k]] = kept[begin[k] : end[k]]
    return fresh
