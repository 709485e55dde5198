"""Arcs and how they hang together: the coverage as a planar map.

Every border between two labels is stored once, as an arc from node to node or as a closed arc. Arc ``a``
has two half-edges, ``2a`` along it and ``2a + 1`` against it; ``half_edge ^ 1`` is the other one. Which
half-edges leave a node, in counter-clockwise order, is all that it takes to walk the rings of every region,
whatever happens to the coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arcs:
    """All borders of a scene, each once, in canonical order and direction.

    ``coordinates`` int32 (n, 2): col, row of the vertices, from the scene's upper left corner.
    ``offsets`` int64 (arcs + 1,): arc ``a`` is ``coordinates[offsets[a]:offsets[a + 1]]``; a closed arc
    repeats its first vertex.
    ``sides`` int32 (2 * arcs,): the label to the left of each half-edge as seen in the raster; 0 is nodata
    or the outside of the scene.
    ``turns`` int32 (2 * arcs,): the next half-edge counter-clockwise that leaves the same vertex.
    """

    coordinates: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sides: NDArray[np.int32]
    turns: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def left(self) -> NDArray[np.int32]:
        """Label to the left of each arc, int32 (arcs,)."""
        return self.sides[0::2]

    @property
    def right(self) -> NDArray[np.int32]:
        """Label to the right of each arc, int32 (arcs,)."""
        return self.sides[1::2]

    def rings(self) -> Rings:
        """The rings of every label, 0 included: its region lies to the left of their half-edges."""
        return Rings(*_walk_rings(self.sides, self.turns))

    def ring_areas(self, rings: Rings) -> NDArray[np.int64]:
        """Twice the area of each ring in pixels, exact: positive for an exterior, negative for a hole."""
        return rings.sums(_arc_areas(self.coordinates, self.offsets))


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Closed walks over half-edges. A ring starts at its smallest half-edge; rings are ordered by that.

    ``first`` int32 (rings,), ``following`` int32 (half-edges,) and ``of_half_edge`` int32 (half-edges,).
    """

    first: NDArray[np.int32]
    following: NDArray[np.int32]
    of_half_edge: NDArray[np.int32]

    def sums(self, of_arc: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each ring: what its arcs have, ``of_arc`` (arcs,), less for those that it walks against."""
        return _sum_by_ring(self.of_half_edge, of_arc, len(self.first))


@njit(nogil=True, cache=True)
def _sum_by_ring(
    of_half_edge: NDArray[np.int32], of_arc: NDArray[np.int64], n_rings: int
) -> NDArray[np.int64]:
    sums = np.zeros(n_rings, np.int64)
    for arc in range(len(of_arc)):
        sums[of_half_edge[2 * arc]] += of_arc[arc]
        sums[of_half_edge[2 * arc + 1]] -= of_arc[arc]
    return sums


@njit(nogil=True, cache=True)
def _walk_rings(
    sides: NDArray[np.int32], turns: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Rings of regions that are 4-connected.

    Where a region meets itself at a checkerboard corner the walk turns away from it. Both pixels are joined
    elsewhere, so one of the other two is enclosed, and the walk around it is a hole that touches the rest at
    a point; turning into the region would give one ring that touches itself, which is invalid.
    """
    following = np.empty(len(sides), np.int32)
    for half_edge in range(len(sides)):
        after = turns[half_edge ^ 1]
        while sides[after] != sides[half_edge]:
            after = turns[after]
        following[half_edge] = after
    of_half_edge = np.full(len(sides), -1, np.int32)
    first = np.empty(len(sides), np.int32)
    count = 0
    for half_edge in range(len(sides)):
        if of_half_edge[half_edge] >= 0:
            continue
        first[count] = half_edge
        walker = half_edge
        while of_half_edge[walker] < 0:
            of_half_edge[walker] = count
            walker = following[walker]
        count += 1
    return first[:count].copy(), following, of_half_edge


@njit(nogil=True, cache=True)
def _arc_areas(coordinates: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each arc's share of the doubled area to its left (rows grow downwards)."""
    areas = np.zeros(len(offsets) - 1, np.int64)
    for arc in range(len(areas)):
        for i in range(offsets[arc], offsets[arc + 1] - 1):
            col0, row0 = np.int64(coordinates[i, 0]), np.int64(coordinates[i, 1])
            col1, row1 = np.int64(coordinates[i + 1, 0]), np.int64(coordinates[i + 1, 1])
            areas[arc] += col1 * row0 - col0 * row1
    return areas
