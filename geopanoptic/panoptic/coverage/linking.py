"""From the corners of all blocks to the arcs of the scene.

In row-major order a border that leaves a corner to the right ends at the very next corner, and one that
leaves it downwards at the next corner of that column. So one pass over the sorted corners finds both ends
of every straight run, wherever block faces may lie, and walking from run to run gives the arcs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.coverage.arcs import Arcs
from geopanoptic.panoptic.coverage.tracing import (
    CLOSED_START_MASK,
    DOWN,
    LEFT,
    NODE_MASKS,
    RIGHT,
    START_MASKS,
    UP,
    BlockCorners,
)
from geopanoptic.panoptic.numbering import require_numbers


class SceneCorners(NamedTuple):
    """The corners of a whole scene, row by row from left to right, (n,) each; the largest thing in memory on the way
    from labels to outlines."""

    width: int
    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    masks: NDArray[np.uint8]
    around: NDArray[np.int32]
    """See ``BlockCorners``, in any order."""
    around_index: NDArray[np.int32]
    """Which row of ``around`` is that of a corner where arcs start."""


def join_corners(blocks: Iterable[BlockCorners]) -> SceneCorners:
    """The corners of the scene from those of all its blocks, in any order.

    Raises ValueError where the blocks are not those of one scene, each once, ResourceError where there are too many
    corners to number.
    """
    ordered = sorted(blocks, key=lambda block: (block.window.row0, block.window.col0))
    if not ordered:
        raise ValueError("no blocks to link")
    height, width = ordered[0].scene_shape
    if (
        any(block.scene_shape != (height, width) for block in ordered)
        or sum(block.window.size_px for block in ordered) != height * width
    ):
        raise ValueError(f"the blocks do not cover one scene of {height} x {width} pixels once")
    require_numbers(sum(len(block.rows) for block in ordered), "corners")
    # At most four borders leave a corner where one can start, and each has two ends.
    require_numbers(4 * sum(len(block.around) for block in ordered), "ends of borders")
    rows, cols, masks, around = (
        np.concatenate([getattr(block, name) for block in ordered])
        for name in ("rows", "cols", "masks", "around")
    )
    # None of them is kept twice for long.
    ordered.clear()
    order = _row_order(rows, height)
    rows, cols = rows[order], cols[order]
    if np.any((rows[1:] == rows[:-1]) & (cols[1:] <= cols[:-1])):
        raise ValueError("the blocks overlap or do not form a regular lattice")
    around_index = np.cumsum(START_MASKS[masks], dtype=np.int32)[order]
    around_index -= 1
    return SceneCorners(width, rows, cols, masks[order], around, around_index)


def link(corners: SceneCorners) -> Arcs:
    """Arcs of a scene.

    Canonical: arcs between nodes come first, from the node that is smaller by (row, col), ordered by that
    node and the direction in which they leave it (right, down, left, up); then closed arcs, from their
    smallest vertex to the right, ordered by it. The result does not depend on the blocks.
    """
    coordinates, offsets, sides, turns = _walk_arcs(
        corners.rows,
        corners.cols,
        corners.masks,
        corners.around,
        corners.around_index,
        corners.width,
        NODE_MASKS,
    )
    return Arcs(coordinates=coordinates, offsets=offsets, sides=sides, turns=turns)


@njit(nogil=True, cache=True)
def _row_order(rows: NDArray[np.int32], height: int) -> NDArray[np.int32]:
    """Stable order by row; blocks of one block row follow each other from left to right already."""
    place = np.zeros(height + 2, np.int64)
    for row in rows:
        place[row + 1] += 1
    place = np.cumsum(place)
    order = np.empty(len(rows), np.int32)
    for i in range(len(rows)):
        order[place[rows[i]]] = i
        place[rows[i]] += 1
    return order


@njit(nogil=True, cache=True)
def _vertical_neighbours(
    cols: NDArray[np.int32], masks: NDArray[np.uint8], width: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For every corner the next one up and the next one down along a border, undefined without one."""
    above, below = np.empty(len(cols), np.int32), np.empty(len(cols), np.int32)
    latest = np.empty(width + 1, np.int32)
    for i in range(len(cols)):
        if masks[i] >> UP & 1:
            above[i] = latest[cols[i]]
            below[latest[cols[i]]] = i
        latest[cols[i]] = i
    return above, below


@njit(nogil=True, cache=True, inline="always")
def _step(corner: int, direction: int, above: NDArray[np.int32], below: NDArray[np.int32]) -> int:
    """The corner at the other end of a straight run."""
    if direction == RIGHT:
        return corner + 1
    if direction == LEFT:
        return corner - 1
    return below[corner] if direction == DOWN else above[corner]


@njit(nogil=True, cache=True)
def _walk_arcs(
    rows: NDArray[np.int32],
    cols: NDArray[np.int32],
    masks: NDArray[np.uint8],
    around: NDArray[np.int32],
    around_index: NDArray[np.int32],
    width: int,
    node_masks: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Coordinates, offsets, sides and turns of all arcs (see `Arcs`)."""
    above, below = _vertical_neighbours(cols, masks, width)
    # Where a run continues after arriving at a corner of two borders: by mask and direction of arrival.
    onward = np.zeros((16, 4), np.int64)
    for mask in range(16):
        for arrival in range(4):
            for direction in range(4):
                if mask >> direction & 1 and direction != (arrival + 2) & 3:
                    onward[mask, arrival] = direction
    run_ends, half_edges, closed = 0, 0, 0
    for mask in masks:
        for direction in range(4):
            run_ends += mask >> direction & 1
            if node_masks[mask]:
                half_edges += mask >> direction & 1
        closed += mask == CLOSED_START_MASK
    arcs_at_most = half_edges // 2 + closed
    coordinates = np.empty((run_ends // 2 + arcs_at_most, 2), np.int32)
    offsets = np.empty(arcs_at_most + 1, np.int64)
    offsets[0] = 0
    sides = np.empty(2 * arcs_at_most, np.int32)
    turns = np.empty(2 * arcs_at_most, np.int32)
    # The half-edge that leaves a node in each direction, -1 where none does or it is yet to be walked.
    leaving = np.full((len(around), 4), -1, np.int32)
    walked = np.zeros(len(masks), np.bool_)
    arc, vertex = 0, 0

    for nodes in (True, False):
        for start in range(len(masks)):
            if nodes != node_masks[masks[start]] or (
                not nodes and (walked[start] or masks[start] != CLOSED_START_MASK)
            ):
                continue
            origin = around_index[start]
            for first in range(4 if nodes else 1):
                if not masks[start] >> first & 1 or leaving[origin, first] >= 0:
                    continue
                coordinates[vertex, 0], coordinates[vertex, 1] = cols[start], rows[start]
                vertex += 1
                direction, corner = first, _step(start, first, above, below)
                while corner != start and not node_masks[masks[corner]]:
                    walked[corner] = True
                    coordinates[vertex, 0], coordinates[vertex, 1] = cols[corner], rows[corner]
                    vertex += 1
                    direction = onward[masks[corner], direction]
                    corner = _step(corner, direction, above, below)
                coordinates[vertex, 0], coordinates[vertex, 1] = cols[corner], rows[corner]
                vertex += 1
                leaving[origin, first] = 2 * arc
                leaving[around_index[corner], (direction + 2) & 3] = 2 * arc + 1
                # `around` counts clockwise from the lower right, directions clockwise from the right.
                sides[2 * arc] = around[origin, (first + 3) & 3]
                sides[2 * arc + 1] = around[origin, first]
                arc += 1
                offsets[arc] = vertex

    for node in range(len(leaving)):
        for direction in range(4):
            if leaving[node, direction] >= 0:
                turned = (direction + 3) & 3
                while leaving[node, turned] < 0:
                    turned = (turned + 3) & 3
                turns[leaving[node, direction]] = leaving[node, turned]
    # Not copied: what lies behind was never touched, so it takes no memory.
    return coordinates[:vertex], offsets[: arc + 1], sides[: 2 * arc], turns[: 2 * arc]
