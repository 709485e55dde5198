"""Stage two of the block-wise watershed: one forest over the terminals of all blocks.

Kruskal over the trees that the blocks published and the edges that cross their faces, in the total order
of the scene's edges: tiny beside the pixels, and the same whatever order the summaries come in.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed.descent import weights_of
from geopanoptic.panoptic.watershed.forest import BlockSummary, find_root


def stitch(summaries: Iterable[BlockSummary]) -> dict[Window, NDArray[np.int64]]:
    """Join the zones of all blocks into regions: the labels of every block's terminals, by its window, row by row.

    A label is the seed's pixel index + 1, or 0 where no seed was reached. A block that is missing counts as
    outside the domain. Raises ValueError where blocks overlap or come from scenes of different shape.
    """
    blocks = sorted(summaries, key=lambda block: (block.window.row0, block.window.col0))
    if len({block.scene_shape for block in blocks}) > 1:
        raise ValueError("summaries of one scene must agree on its shape")
    if not blocks:
        return {}

    starts = np.cumsum([0] + [len(block.terminal_px) for block in blocks])
    pixels = np.concatenate([block.terminal_px for block in blocks])
    is_seed = np.concatenate([block.terminal_is_seed for block in blocks])
    crossings = _crossings(blocks, pixels)
    ends = np.concatenate(
        [block.tree_ends + start for block, start in zip(blocks, starts, strict=False)] + [crossings[0]]
    )
    weights = np.concatenate([block.tree_weight for block in blocks] + [crossings[1]])
    edges = np.concatenate([block.tree_edge for block in blocks] + [crossings[2]])

    labels = _join_terminals(ends[np.lexsort((edges, weights))], pixels, is_seed)
    return {
        block.window: labels[start:stop]
        for block, start, stop in zip(blocks, starts, starts[1:], strict=False)
    }


def _crossings(
    blocks: list[BlockSummary], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
    """Ends, weight and index of the edges between terminals of different blocks."""
    scene_width = blocks[0].scene_shape[1]
    order = np.argsort(pixels)
    ascending = pixels[order]
    if np.any(ascending[1:] == ascending[:-1]):
        raise ValueError("blocks must not overlap")
    relief = np.concatenate([block.terminal_relief for block in blocks])

    all_ends, all_edges = [], []
    last_cols = [block.terminal_px % scene_width == block.window.col1 - 1 for block in blocks]
    last_rows = [block.terminal_px // scene_width == block.window.row1 - 1 for block in blocks]
    for down, on_face, step in ((0, last_cols, 1), (1, last_rows, scene_width)):
        near = np.flatnonzero(np.concatenate(on_face))
        if not down:
            near = near[pixels[near] % scene_width != scene_width - 1]
        at = np.searchsorted(ascending, pixels[near] + step)
        at = np.minimum(at, len(ascending) - 1)
        meets = ascending[at] == pixels[near] + step
        all_ends.append(np.stack([near[meets], order[at[meets]]], axis=1))
        all_edges.append(2 * pixels[near[meets]] + down)
    ends = np.concatenate(all_ends)
    return ends, weights_of(relief[ends[:, 0]], relief[ends[:, 1]]), np.concatenate(all_edges)


@njit(nogil=True, cache=True)
def _join_terminals(
    ends: NDArray[np.int64], pixels: NDArray[np.int64], is_seed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Label per terminal after Kruskal over ``ends``, already in the total order."""
    parent = np.arange(len(pixels))
    label = np.where(is_seed, pixels + 1, 0)
    for i in range(len(ends)):
        a, b = find_root(parent, ends[i, 0]), find_root(parent, ends[i, 1])
        if a != b and not (label[a] and label[b]):
            parent[b] = a
            label[a] = max(label[a], label[b])
    for node in range(len(pixels)):
        label[node] = label[find_root(parent, node)]
    return label
