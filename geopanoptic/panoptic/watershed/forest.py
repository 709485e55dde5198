"""Stage one of the block-wise watershed: one block's minimum spanning forest and what it owes its neighbours.

The order of edges is total: weight (the higher relief of the two pixels, then the lower), then edge index
``2 * pixel_index(upper or left pixel) + (0 right, 1 down)``. With it the forest rooted at the seeds is
unique, so parts of it can be decided locally. Besides the seeds every pixel on a face that another block
touches is made a *terminal*, and the block is divided into one zone per terminal by the same rule that
divides the scene into one region per seed. Three facts make that exact:

- contracting more pixels into the root only removes edges from the forest, so every edge inside a zone
  belongs to the forest of the whole scene;
- of the edges between two zones, only those of the block's own seed-rooted forest can belong to it (the
  cycle property), at most one fewer than there are terminals;
- a zone holds exactly one terminal, so whatever wins elsewhere, all of it gets its terminal's label.

Hence a block needs to keep the zone of every pixel and to publish its terminals and the tree between them.
Steepest descent contracts the pixels to basins first; what is left goes through
Kruskal's algorithm (1956) in counting-sort order. Seeded watershed as a minimum spanning forest: Cousty et
al., IEEE TPAMI 31 (2009), 1362-1374.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.descent import descend, edges_between_basins, weights_of
from geopanoptic.panoptic.watershed.lookup import look_up

# Edges of a block are counted in int32, two a pixel.
LARGEST_BLOCK_PX = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSummary:
    """What the rest of the scene must know of one block: arrays only, a few bytes per face pixel and seed.

    ``terminal_px`` int64 (t,): scene pixel index of each terminal, ascending: the block's seeds and its
    domain pixels that have a neighbour in another block. ``terminal_relief`` uint16 (t,) and
    ``terminal_is_seed`` bool (t,) go with it. ``tree_ends`` int32 (e, 2): the two terminals, as positions
    in ``terminal_px``, whose zones an undecided forest edge joins; ``tree_weight`` uint32 (e,) and
    ``tree_edge`` int64 (e,) are that edge's place in the total order.
    """

    window: Window
    scene_shape: tuple[int, int]
    terminal_px: NDArray[np.int64]
    terminal_relief: NDArray[np.uint16]
    terminal_is_seed: NDArray[np.bool_]
    tree_ends: NDArray[np.int32]
    tree_weight: NDArray[np.uint32]
    tree_edge: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockForest:
    """One block after stage one.

    ``zones`` int32 (h, w): the zone of each pixel, from 1; 0 outside the domain and where no terminal is reached.
    ``terminal`` int64 (zones + 1,): the terminal of each zone, its position in ``summary.terminal_px``; -1 of 0.
    Zones up to ``n_seeded`` hang together with a seed of the block; where the others get theirs from, if they get
    one, the rest of the scene decides. It all stays with the block until labelling; ``summary`` travels.
    """

    zones: NDArray[np.int32]
    terminal: NDArray[np.int64]
    n_seeded: int
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

    Raises ValueError where shapes or dtypes do not fit, the window leaves the scene or has over 2^30 pixels.
    """
    scene_height, scene_width = scene_shape
    if relief_u16.shape != window.shape or domain.shape != window.shape:
        raise ValueError(f"relief {relief_u16.shape} and domain {domain.shape} must be {window.shape}")
    if relief_u16.dtype != np.uint16 or domain.dtype != np.bool_:
        raise ValueError(f"relief must be uint16 and domain bool, not {relief_u16.dtype}, {domain.dtype}")
    if window.intersection(Window(0, 0, scene_height, scene_width)) != window:
        raise ValueError(f"{window} is empty or leaves the scene of {scene_height} x {scene_width} pixels")
    if window.size_px > LARGEST_BLOCK_PX:
        raise ValueError(f"a block has at most {LARGEST_BLOCK_PX} pixels, not {window.size_px}")
    relief_u16, domain = np.ascontiguousarray(relief_u16), np.ascontiguousarray(domain)

    terminals, is_seed = _terminals(domain, seeds, window, scene_shape)
    basins, basin_count = descend(relief_u16, domain, terminals)
    ends, edges = edges_between_basins(relief_u16, basins)
    terminal_of_basin, seeded, tree_ends, tree = _join(ends, edges, basin_count, is_seed)
    terminal = np.concatenate([[-1], np.flatnonzero(seeded), np.flatnonzero(~seeded)])
    zone_of_terminal = np.zeros(len(terminal), np.int32)
    zone_of_terminal[terminal] = np.arange(len(terminal))
    look_up(np.append(zone_of_terminal[terminal_of_basin], np.int32(0)), basins, basins)

    upper_left = tree >> 1
    lower_right = upper_left + np.where(tree & 1, window.width, 1)
    relief = relief_u16.ravel()
    return BlockForest(
        zones=basins,
        terminal=terminal,
        n_seeded=int(seeded.sum()),
        summary=BlockSummary(
            window=window,
            scene_shape=scene_shape,
            terminal_px=_scene_px(terminals, window, scene_width),
            terminal_relief=relief[terminals],
            terminal_is_seed=is_seed,
            tree_ends=tree_ends,
            tree_weight=weights_of(relief[upper_left], relief[lower_right]),
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
    seed_px = seed_px[domain.ravel()[seed_px]]

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
    is_seed = np.zeros(len(terminals), np.bool_)
    is_seed[np.searchsorted(terminals, seed_px)] = True
    return terminals, is_seed


@njit(nogil=True, cache=True)
def _join(
    ends: NDArray[np.int32],
    edges: NDArray[np.int32],
    basin_count: int,
    is_seed: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32], NDArray[np.int64]]:
    """Kruskal on the basins: the terminal to whose zone each belongs, -1 for none, and the tree between terminals.

    Returns the former, int32; which terminals (t,) the tree joins with a seed; and the tree, int32 (e, 2) terminals
    and int64 (e,) block edge indices, in the total order.
    """
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
            continue
        tree_a, tree_b = find_root(tree_parent, low), find_root(tree_parent, high)
        if tree_a != tree_b and not (tree_has_seed[tree_a] and tree_has_seed[tree_b]):
            tree_parent[tree_b] = tree_a
            tree_has_seed[tree_a] |= tree_has_seed[tree_b]
            tree_ends[tree_count, 0], tree_ends[tree_count, 1] = low, high
            tree_edges[tree_count] = edges[i]
            tree_count += 1
    for terminal in range(terminal_count):
        tree_has_seed[terminal] = tree_has_seed[find_root(tree_parent, terminal)]
    # Parents have smaller numbers, so one ascending pass carries every terminal down from its root.
    for basin in range(terminal_count, basin_count):
        parent = zone_parent[basin]
        zone_parent[basin] = (
            -1 if parent == basin else parent if parent < terminal_count else zone_parent[parent]
        )
    return zone_parent, tree_has_seed, tree_ends[:tree_count].copy(), tree_edges[:tree_count].copy()


@njit(nogil=True, cache=True)
def find_root(parent: NDArray[np.signedinteger], node: int) -> int:
    """Root of a union-find tree, halving the path on the way; ``parent[root] == root``."""
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
