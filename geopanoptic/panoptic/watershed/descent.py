"""Steepest descent: a block's pixels contracted to basins, and the edges left between these in order.

One round of Boruvka's algorithm (1926): each pixel joins over its smallest edge, which belongs to every
minimum spanning forest whose roots do not include the pixel. A tenth of the edges remain on a smooth relief,
under half of them on white noise. An edge of a block is numbered 2 * pixel + (0 right, 1 down), pixel being
row * width + col of its upper or left end in the block; that keeps the order of the scene's numbers.

Edges are ordered by the higher relief of their two pixels, then by the lower one, then by number. By the higher
one alone, a pixel on a ridge would be as near to both sides, and the number would give all of them to the upper
and left one: every border would lie half a pixel too far down and right.
"""

from __future__ import annotations

import numpy as np
from numba import njit, vectorize
from numpy.typing import NDArray

from geopanoptic.panoptic.contact_table import recent_slot

_OUTSIDE = 1 << 16
_LOWER = np.uint32(0xFFFF)
_PAIRS = 1 << 12
_STAY, _UP, _LEFT, _RIGHT, _DOWN = range(5)


@vectorize(["uint32(uint16, uint16)"], cache=True)  # type: ignore[untyped-decorator]
def weights_of(relief: int, other: int) -> np.uint32:
    """Places of edges in the order, but for their number, uint32, from the relief (uint16) of their two pixels."""
    return np.uint32(max(relief, other)) << np.uint32(16) | np.uint32(min(relief, other))


def descend(
    relief: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    terminals: NDArray[np.int64],
) -> tuple[NDArray[np.int32], int]:
    """Join each pixel but the terminals over its smallest edge.

    Returns the basin of each pixel, int32 (h, w), -1 outside the domain, and the number of basins.
    Basin i is that of terminal i for i < len(terminals); the others follow.
    """
    # Large arrays come from numpy, which asks the system for huge pages; compiled code does not.
    basins, steps = np.full(relief.shape, -1, np.int32), np.empty(relief.shape, np.uint8)
    return basins, _fill_basins(relief, domain, terminals, steps, basins)


@njit(nogil=True, cache=True)
def _fill_basins(
    relief: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    terminals: NDArray[np.int64],
    steps_hw: NDArray[np.uint8],
    basins_hw: NDArray[np.int32],
) -> int:
    """See ``descend``; ``steps_hw`` may hold anything, ``basins_hw`` holds -1. Returns the number of basins."""
    width = relief.shape[1]
    _steepest_steps(relief, domain, steps_hw)
    steps, basins = steps_hw.ravel(), basins_hw.ravel()
    for pixel in terminals:
        steps[pixel] = _STAY
    for i, pixel in enumerate(terminals):
        basins[pixel] = i
    count = len(terminals)
    inside = domain.ravel()
    offsets = np.array([0, -width, -1, 1, width])
    for start in range(steps.size):
        if not inside[start] or basins[start] >= 0:
            continue
        end = start
        while True:
            below = end + offsets[steps[end]]
            basin = basins[below]
            if basin >= 0:
                break
            # Two pixels that chose the same edge are the bottom of their basin, as is one without edges.
            if below + offsets[steps[below]] == end:
                basin = count
                count += 1
                break
            end = below
        pixel = start
        while pixel != end:
            basins[pixel] = basin
            pixel += offsets[steps[pixel]]
        basins[end] = basin
    return count


@njit(nogil=True, cache=True)
def _steepest_steps(relief: NDArray[np.uint16], domain: NDArray[np.bool_], steps: NDArray[np.uint8]) -> None:
    """Fill in the direction of each pixel's smallest edge; _STAY outside the domain or without edge.

    That is the edge to the lowest neighbour; of equal ones the smallest edge index wins: up, left, right, down.
    """
    height, width = relief.shape
    above = np.full(width + 2, _OUTSIDE, np.int32)
    here = np.full(width + 2, _OUTSIDE, np.int32)
    below = np.full(width + 2, _OUTSIDE, np.int32)
    for row in range(-1, height):
        above, here, below = here, below, above
        for col in range(width):
            inside = row + 1 < height and domain[row + 1, col]
            below[col + 1] = np.int32(relief[row + 1, col]) if inside else np.int32(_OUTSIDE)
        if row < 0:
            continue
        for col in range(width):
            step, best = _UP, above[col + 1]
            left, right, down = here[col], here[col + 2], below[col + 1]
            step, best = (_LEFT, left) if left < best else (step, best)
            step, best = (_RIGHT, right) if right < best else (step, best)
            step, best = (_DOWN, down) if down < best else (step, best)
            steps[row, col] = _STAY if max(here[col + 1], best) == _OUTSIDE else step


def edges_between_basins(
    relief: NDArray[np.uint16], basins: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Basins (n, 2) and block edge index (n,) of edges that join two basins, in the total order.

    Of any two basins the first one is there, and most of the others are not.
    """
    most = 2 * relief.size
    return _sorted_edges(relief, basins, np.empty(most, np.int32), np.empty(most, np.uint32))  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _sorted_edges(
    relief: NDArray[np.uint16],
    basins: NDArray[np.int32],
    met: NDArray[np.int32],
    weights: NDArray[np.uint32],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A stable counting sort by the lower relief, then by the higher: edges are met in the order of their index,
    in ``met``, ``weights``.

    Only the first edge of two basins can decide anything. A small table of the pairs met last, where each
    overwrites whatever had its place, finds most of the others before they are sorted.
    """
    height, width = relief.shape
    of_lower, of_higher = np.zeros(_OUTSIDE + 1, np.int64), np.zeros(_OUTSIDE + 1, np.int64)
    pairs, places = np.full(_PAIRS, -1, np.int64), np.empty(_PAIRS, np.int32)
    # Whether the edges to the right (1) and down (2) part two basins; in words, since mostly they do not.
    parts = np.zeros(-(-width // 8) * 8, np.uint8)
    words = parts.view(np.uint64)
    count = 0
    for row in range(height):
        here, below = basins[row], basins[min(row + 1, height - 1)]
        for col in range(width):
            parts[col] = ((here[col] != below[col]) & (here[col] >= 0) & (below[col] >= 0)) << 1
        for col in range(width - 1):
            parts[col] |= (here[col] != here[col + 1]) & (here[col] >= 0) & (here[col + 1] >= 0)
        for word in range(len(words)):
            if not words[word]:
                continue
            for col in range(8 * word, min(8 * word + 8, width)):
                for down in range(2):
                    if not parts[col] >> down & 1:
                        continue
                    row2, col2 = row + down, col + 1 - down
                    basin, other = here[col], basins[row2, col2]
                    weight = weights_of(relief[row, col], relief[row2, col2])
                    pair = np.int64(min(basin, other)) << 32 | np.int64(max(basin, other))
                    slot = recent_slot(pair, _PAIRS)
                    if pairs[slot] == pair:
                        earlier = places[slot]
                        if weights[earlier] <= weight:
                            continue
                        of_lower[(weights[earlier] & _LOWER) + 1] -= 1
                        of_higher[(weights[earlier] >> 16) + 1] -= 1
                        met[earlier] = -1
                    pairs[slot], places[slot] = pair, count
                    met[count], weights[count] = 2 * (row * width + col) + down, weight
                    of_lower[(weight & _LOWER) + 1] += 1
                    of_higher[(weight >> 16) + 1] += 1
                    count += 1
    of_lower, of_higher = np.cumsum(of_lower), np.cumsum(of_higher)

    by_lower = np.empty(of_lower[-1], np.int32)
    for i in range(count):
        if met[i] >= 0:
            by_lower[of_lower[weights[i] & _LOWER]] = i
            of_lower[weights[i] & _LOWER] += 1
    basin_of = basins.ravel()
    ends = np.empty((len(by_lower), 2), np.int32)
    edges = np.empty(len(by_lower), np.int32)
    for i in by_lower:
        at = of_higher[weights[i] >> 16]
        of_higher[weights[i] >> 16] += 1
        pixel, down = met[i] >> 1, met[i] & 1
        ends[at, 0], ends[at, 1] = basin_of[pixel], basin_of[pixel + (width if down else 1)]
        edges[at] = met[i]
    return ends, edges
