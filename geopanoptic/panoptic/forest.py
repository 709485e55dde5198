"""Stage one of the block-wise watershed: one block's minimum spanning forest and what it owes its neighbours.

The order of edges is total: weight (the higher relief of the two pixels), then edge index
``2 * pixel_index(upper or left pixel) + (0 right, 1 down)``. With it the forest rooted at the seeds is
unique, so parts of it can be decided locally. Besides the seeds every pixel on a face that another block
touches is made a *terminal*, and the block is divided into one zone per terminal by the same rule that
divides the scene into one region per seed. Three facts make that exact:

- contracting more pixels into the root only removes edges from the forest, so every edge inside a zone
  belongs to the forest of the whole scene;
- of the edges between two zones, only those of the block's own seed-rooted forest can belong to it (the
  cycle property), at most one fewer than there are terminals;
- a zone holds exactly one terminal, so whatever wins elsewhere, all of it gets its terminal's label.

Hence a block needs to keep two bits a pixel (the edges inside zones) and to publish its terminals and the
tree between them. Contraction comes first, as in Boruvka (1926): each pixel but the terminals joins over
its smallest edge, which on a smooth relief leaves a few per cent of the edges for Kruskal (1956). Their
order comes from counting sort. Seeded watershed as a minimum spanning forest: Cousty et al., IEEE TPAMI 31
(2009), 1362-1374.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window

RIGHT_BIT = 1
DOWN_BIT = 2

_OUTSIDE = 1 << 16
_STAY, _UP, _LEFT, _RIGHT, _DOWN = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSummary:
    """What the rest of the scene must know of one block: arrays only, a few bytes per face pixel and seed.

    ``terminal_px`` int64 (t,): scene pixel index of each terminal, ascending: the block's seeds and its
    domain pixels that have a neighbour in another block. ``terminal_relief`` uint16 (t,) and
    ``terminal_is_seed`` bool (t,) go with it. ``tree_ends`` int32 (e, 2): the two terminals, as positions
    in ``terminal_px``, whose zones an undecided forest edge joins; ``tree_weight`` uint16 (e,) and
    ``tree_edge`` int64 (e,) are that edge's place in the total order.
    """

    window: Window
    scene_shape: tuple[int, int]
    terminal_px: NDArray[np.int64]
    terminal_relief: NDArray[np.uint16]
    terminal_is_seed: NDArray[np.bool_]
    tree_ends: NDArray[np.int32]
    tree_weight: NDArray[np.uint16]
    tree_edge: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockForest:
    """One block after stage one.

    ``zones`` uint8 (h, w): bit 1 is set where the edge to the right neighbour lies inside a zone, bit 2
    where the edge to the lower one does. It stays with the block until labelling; ``summary`` travels.
    """

    zones: NDArray[np.uint8]
    summary: BlockSummary


def forest_block(
    relief_u16: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    seeds: NDArray[np.int64],
    window: Window,
    scene_shape: tuple[int, int],
) -> BlockForest:
    """Divide one block into zones and reduce what is undecided to a tree between its terminals.

    ``relief_u16`` and ``domain`` are (h, w), the block's part of the scene; ``seeds`` are scene pixel
    indices (row * scene width + col), of which those outside the window or the domain take no part.
    Linear in the number of pixels; safe to call from several threads, which run in parallel.

    Raises ValueError where shapes or dtypes do not fit, or the window leaves the scene.
    """
    scene_height, scene_width = scene_shape
    if relief_u16.shape != window.shape or domain.shape != window.shape:
        raise ValueError(f"relief {relief_u16.shape} and domain {domain.shape} must be {window.shape}")
    if relief_u16.dtype != np.uint16 or domain.dtype != np.bool_:
        raise ValueError(f"relief must be uint16 and domain bool, not {relief_u16.dtype}, {domain.dtype}")
    if window.intersection(Window(0, 0, scene_height, scene_width)) != window:
        raise ValueError(f"{window} is empty or leaves the scene of {scene_height} x {scene_width} pixels")
    relief_u16, domain = np.ascontiguousarray(relief_u16), np.ascontiguousarray(domain)

    terminals, is_seed = _terminals(domain, seeds, window, scene_shape)
    zones = np.zeros(window.shape, np.uint8)
    basins, basin_count = _descend(relief_u16, domain, terminals, zones)
    ends, edges = _edges_between_basins(relief_u16, basins)
    tree_ends, tree = _join(ends, edges, basin_count, is_seed, zones)

    upper_left = tree >> 1
    lower_right = upper_left + np.where(tree & 1, window.width, 1)
    relief = relief_u16.ravel()
    return BlockForest(
        zones=zones,
        summary=BlockSummary(
            window=window,
            scene_shape=scene_shape,
            terminal_px=_scene_px(terminals, window, scene_width),
            terminal_relief=relief[terminals],
            terminal_is_seed=is_seed,
            tree_ends=tree_ends,
            tree_weight=np.maximum(relief[upper_left], relief[lower_right]),
            tree_edge=2 * _scene_px(upper_left, window, scene_width) + (tree & 1),
        ),
    )


def _scene_px(local_px: NDArray[np.int64], window: Window, scene_width: int) -> NDArray[np.int64]:
    rows, cols = np.divmod(local_px, window.width)
    return (rows + window.row0) * scene_width + cols + window.col0


def _terminals(
    domain: NDArray[np.bool_], seeds: NDArray[np.int64], window: Window, scene_shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ascending block indices of seeds and shared face pixels inside the domain, and which are seeds."""
    height, width = window.shape
    seed_rows, seed_cols = np.divmod(np.asarray(seeds, np.int64), scene_shape[1])
    inside = (seed_rows >= window.row0) & (seed_rows < window.row1)
    inside &= (seed_cols >= window.col0) & (seed_cols < window.col1)
    seed_px = (seed_rows[inside] - window.row0) * width + seed_cols[inside] - window.col0

    first_row, first_col = np.arange(width), np.arange(height) * width
    candidates = [seed_px]
    if window.row0 > 0:
        candidates.append(first_row)
    if window.row1 < scene_shape[0]:
        candidates.append(first_row + (height - 1) * width)
    if window.col0 > 0:
        candidates.append(first_col)
    if window.col1 < scene_shape[1]:
        candidates.append(first_col + width - 1)
    terminals = np.unique(np.concatenate(candidates))
    terminals = terminals[domain.ravel()[terminals]]
    return terminals, np.isin(terminals, seed_px)


@njit(nogil=True, cache=True)
def _descend(
    relief: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    terminals: NDArray[np.int64],
    zones: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], int]:
    """Join each pixel but the terminals over its smallest edge; mark those edges in ``zones``.

    Returns the basin of each pixel, int32 (h, w), -1 outside the domain, and the number of basins.
    Basin i is that of terminal i for i < len(terminals); the others follow.
    """
    height, width = relief.shape
    steps_hw = _steepest_steps(relief, domain)
    steps = steps_hw.ravel()
    for pixel in terminals:
        steps[pixel] = _STAY
    _mark_steps(steps_hw, zones)

    basins = np.full(steps.size, -1, np.int32)
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
    return basins.reshape(height, width), count


@njit(nogil=True, cache=True)
def _steepest_steps(relief: NDArray[np.uint16], domain: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The direction of each pixel's smallest edge, uint8 (h, w); _STAY outside the domain or without edge.

    Of equal weights the smallest edge index wins: up, left, right, down.
    """
    height, width = relief.shape
    steps = np.empty((height, width), np.uint8)
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
            height_here = here[col + 1]
            step, best = _UP, max(height_here, above[col + 1])
            left = max(height_here, here[col])
            step, best = (_LEFT, left) if left < best else (step, best)
            right = max(height_here, here[col + 2])
            step, best = (_RIGHT, right) if right < best else (step, best)
            down = max(height_here, below[col + 1])
            step, best = (_DOWN, down) if down < best else (step, best)
            steps[row, col] = _STAY if best == _OUTSIDE else step
    return steps


@njit(nogil=True, cache=True)
def _mark_steps(steps: NDArray[np.uint8], zones: NDArray[np.uint8]) -> None:
    """Set the bits of the edges that some pixel steps over."""
    height, width = steps.shape
    for row in range(height):
        for col in range(width):
            zones[row, col] |= RIGHT_BIT if steps[row, col] == _RIGHT else 0
            zones[row, col] |= DOWN_BIT if steps[row, col] == _DOWN else 0
        for col in range(width - 1):
            zones[row, col] |= RIGHT_BIT if steps[row, col + 1] == _LEFT else 0
        if row + 1 < height:
            for col in range(width):
                zones[row, col] |= DOWN_BIT if steps[row + 1, col] == _UP else 0


@njit(nogil=True, cache=True)
def _edges_between_basins(
    relief: NDArray[np.uint16], basins: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Basins (n, 2) and block edge index (n,) of each edge that joins two basins, in the total order.

    A stable counting sort by weight: edges are met in the order of their index.
    """
    height, width = relief.shape
    met = np.empty(2 * relief.size, np.int32)
    weights = np.empty(2 * relief.size, np.uint16)
    position = np.zeros(_OUTSIDE + 1, np.int64)
    count = 0
    for row in range(height):
        for col in range(width):
            basin = basins[row, col]
            if basin < 0:
                continue
            pixel = row * width + col
            if col + 1 < width and basins[row, col + 1] >= 0 and basins[row, col + 1] != basin:
                weight = max(relief[row, col], relief[row, col + 1])
                met[count], weights[count] = 2 * pixel, weight
                position[weight + 1] += 1
                count += 1
            if row + 1 < height and basins[row + 1, col] >= 0 and basins[row + 1, col] != basin:
                weight = max(relief[row, col], relief[row + 1, col])
                met[count], weights[count] = 2 * pixel + 1, weight
                position[weight + 1] += 1
                count += 1
    position = np.cumsum(position)

    basin_of = basins.ravel()
    ends = np.empty((count, 2), np.int32)
    edges = np.empty(count, np.int32)
    for i in range(count):
        at = position[weights[i]]
        position[weights[i]] += 1
        pixel, down = met[i] >> 1, met[i] & 1
        ends[at, 0], ends[at, 1] = basin_of[pixel], basin_of[pixel + (width if down else 1)]
        edges[at] = met[i]
    return ends, edges


@njit(nogil=True, cache=True)
def _join(
    ends: NDArray[np.int32],
    edges: NDArray[np.int32],
    basin_count: int,
    is_seed: NDArray[np.bool_],
    zones: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Kruskal on the basins: grow zones, mark their edges in ``zones``, return the tree between terminals.

    The tree is int32 (e, 2) terminals and int64 (e,) block edge indices, in the total order.
    """
    bits = zones.ravel()
    terminal_count = len(is_seed)
    zone_parent = np.arange(basin_count).astype(np.int32)
    tree_parent = np.arange(terminal_count).astype(np.int32)
    tree_has_seed = is_seed.copy()
    tree_ends = np.empty((terminal_count, 2), np.int32)
    tree_edges = np.empty(terminal_count, np.int64)
    tree_count = 0
    for i in range(len(edges)):
        a = find_root(zone_parent, ends[i, 0])
        b = find_root(zone_parent, ends[i, 1])
        if a == b:
            continue
        # The smaller index stays root, so a zone that holds a terminal has the terminal as its root.
        low, high = min(a, b), max(a, b)
        if high >= terminal_count:
            zone_parent[high] = low
            bits[edges[i] >> 1] |= DOWN_BIT if edges[i] & 1 else RIGHT_BIT
            continue
        tree_a, tree_b = find_root(tree_parent, low), find_root(tree_parent, high)
        if tree_a != tree_b and not (tree_has_seed[tree_a] and tree_has_seed[tree_b]):
            tree_parent[tree_b] = tree_a
            tree_has_seed[tree_a] |= tree_has_seed[tree_b]
            tree_ends[tree_count, 0], tree_ends[tree_count, 1] = low, high
            tree_edges[tree_count] = edges[i]
            tree_count += 1
    return tree_ends[:tree_count].copy(), tree_edges[:tree_count].copy()


@njit(nogil=True, cache=True)
def find_root(parent: NDArray[np.int32], node: int) -> int:
    """Root of a union-find tree, halving the path on the way; ``parent[root] == root``."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
