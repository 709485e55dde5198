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

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage.arcs import Arcs, Rings
from geopanoptic.panoptic.coverage.conflicts import find_conflicts
from geopanoptic.panoptic.coverage.polyline import farthest, keep_fewest
from geopanoptic.panoptic.parts import Map, over_parts

# A ring's area may change by one part in this many.
AREA_PARTS = 4


def simplify(arcs: Arcs, tolerance_px: tuple[float, float], each: Map = map) -> Arcs:
    """The same coverage with fewer vertices, a subset of the original ones; nodes stay, and the map's own corners.

    No border moves by more than ``tolerance_px``, the semi-axes in x (cols) and y (rows) of an ellipse, so
    that square ground tolerances are possible where pixels are not square: each point of a new border lies
    within it of the old one and vice versa. No ring changes its area by more than a quarter. (0, 0) returns
    ``arcs``. The result does not depend on blocks, nor on ``each``, which computes parts of it. Raises
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
    kept = _at_corners(arcs.coordinates)
    over_parts(
        lambda begin, end: _simplify_each(arcs.coordinates, arcs.offsets[begin : end + 1], scale, kept),
        len(arcs),
        each,
    )
    fresh = kept.copy()
    while True:
        segments = _segments(arcs, kept, each)
        begin, end = segments.begin, segments.end
        blamed = find_conflicts(arcs.coordinates, begin, end, fresh[begin], tolerance_px, each)
        blamed_arcs = _in_distorted_rings(segments, rings, areas) | _at_turned_nodes(segments, arcs.turns)
        blamed |= np.repeat(blamed_arcs, np.diff(segments.offsets))
        blamed &= end - begin > 1
        if not blamed.any():
            return segments.as_arcs(arcs)
        fresh = _refine(arcs.coordinates, begin[blamed], end[blamed], scale, kept)


def _at_corners(coordinates: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Vertices in the corners of the frame around all, which no border may cut off: maps of adjacent scenes meet there."""
    x, y = coordinates.T
    return ((x == x.min()) | (x == x.max())) & ((y == y.min()) | (y == y.max()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Segments:
    """What is left of all arcs.

    Those of arc ``a`` run from ``offsets[a]`` to ``offsets[a + 1]``; ``begin`` and ``end`` int64 (n,) are the
    original vertices that each joins. ``areas`` int64 (arcs,) are the arcs' shares of the doubled area to
    their left; ``steps`` int32 (half-edges, 2) how each half-edge leaves its node, in x and y.
    """

    offsets: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    areas: NDArray[np.int64]
    steps: NDArray[np.int32]

    def as_arcs(self, arcs: Arcs) -> Arcs:
        """The arcs with only these vertices."""
        offsets = self.offsets + np.arange(len(self.offsets))
        vertices = np.insert(self.begin, self.offsets[1:], arcs.offsets[1:] - 1)
        return replace(arcs, coordinates=arcs.coordinates[vertices], offsets=offsets)


def _segments(arcs: Arcs, kept: NDArray[np.bool_], each: Map) -> _Segments:
    """Segments between successive vertices that are ``kept``."""
    n_arcs = len(arcs)
    offsets = np.zeros(n_arcs + 1, np.int64)
    over_parts(
        lambda first, last: _count_segments(arcs.offsets[first : last + 1], kept, offsets[first + 1 :]),
        n_arcs,
        each,
    )
    np.cumsum(offsets, out=offsets)
    begin, end = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.int64)
    areas, steps = np.empty(n_arcs, np.int64), np.empty((2 * n_arcs, 2), np.int32)
    over_parts(
        lambda first, last: _list_segments(
            arcs.coordinates,
            arcs.offsets[first : last + 1],
            kept,
            offsets[first:],
            begin,
            end,
            areas[first:],
            steps[2 * first :],
        ),
        n_arcs,
        each,
    )
    return _Segments(offsets=offsets, begin=begin, end=end, areas=areas, steps=steps)


def _in_distorted_rings(segments: _Segments, rings: Rings, areas: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Arcs of rings whose doubled area differs too much from the original ``areas``."""
    distorted = AREA_PARTS * np.abs(rings.sums(segments.areas) - areas) > np.abs(areas)
    of_half_edge = distorted[rings.of_half_edge]
    return of_half_edge[0::2] | of_half_edge[1::2]


def _at_turned_nodes(segments: _Segments, turns: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Arcs whose order around one of their end nodes is not the original one."""
    turned = _is_turned(turns, segments.steps)
    return turned[0::2] | turned[1::2]


@njit(nogil=True, cache=True)
def _count_segments(offsets: NDArray[np.int64], kept: NDArray[np.bool_], counts: NDArray[np.int64]) -> None:
    """Segments of each arc."""
    for arc in range(len(offsets) - 1):
        count = 0
        for vertex in range(offsets[arc] + 1, offsets[arc + 1]):
            count += kept[vertex]
        counts[arc] = count


@njit(nogil=True, cache=True)
def _list_segments(
    coordinates: NDArray[np.int32],
    offsets: NDArray[np.int64],
    kept: NDArray[np.bool_],
    places: NDArray[np.int64],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    areas: NDArray[np.int64],
    steps: NDArray[np.int32],
) -> None:
    """Fill the fields of `_Segments` for some arcs; ``places`` are where their segments go."""
    for arc in range(len(offsets) - 1):
        place, before = places[arc], offsets[arc]
        area = np.int64(0)
        for vertex in range(offsets[arc] + 1, offsets[arc + 1]):
            if not kept[vertex]:
                continue
            begin[place], end[place] = before, vertex
            col0, row0 = np.int64(coordinates[before, 0]), np.int64(coordinates[before, 1])
            col1, row1 = np.int64(coordinates[vertex, 0]), np.int64(coordinates[vertex, 1])
            area += col1 * row0 - col0 * row1
            if place == places[arc]:
                steps[2 * arc, 0], steps[2 * arc, 1] = col1 - col0, row1 - row0
            steps[2 * arc + 1, 0], steps[2 * arc + 1, 1] = col0 - col1, row0 - row1
            before = vertex
            place += 1
        areas[arc] = area


@njit(nogil=True, cache=True)
def _is_turned(turns: NDArray[np.int32], steps: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Half-edges that do not lie between their neighbours around the node, counter-clockwise."""
    turned = np.zeros(len(turns), np.bool_)
    for half_edge in range(len(turns)):
        middle = turns[half_edge]
        last = turns[middle]
        if last == half_edge:
            continue
        a_x, a_y = np.int64(steps[half_edge, 0]), np.int64(steps[half_edge, 1])
        b_x, b_y = np.int64(steps[middle, 0]), np.int64(steps[middle, 1])
        c_x, c_y = np.int64(steps[last, 0]), np.int64(steps[last, 1])
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
    """Mark the vertices that each arc keeps between those that are ``kept``; one that closes without any is first split at
    its farthest vertex."""
    for arc in range(len(offsets) - 1):
        begin, last = offsets[arc], offsets[arc + 1] - 1
        kept[begin] = kept[last] = True
        for end in range(begin + 1, last + 1):
            if kept[end]:
                _simplify_one(coordinates, begin, end, scale, kept)
                begin = end


@njit(nogil=True, cache=True)
def _simplify_one(
    coordinates: NDArray[np.int32], begin: int, end: int, scale: NDArray[np.float64], kept: NDArray[np.bool_]
) -> None:
    """Mark the vertices that what lies between two keeps."""
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
