"""Disjoint nodes of a merge tree: the best set of them, and which regions they hold."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Int64
from geopanoptic.panoptic.parcels.boosting import Float64


@njit(nogil=True, cache=True)
def best_disjoint(n_leaves: int, children: Int64, gain: Float64) -> NDArray[np.bool_]:
    """The disjoint nodes with the greatest sum of positive gains, bool (nodes,); a parent wins ties.

    ``children`` (m, 2) of nodes n_leaves + k, children before parents; ``gain`` (nodes,).
    """
    reached = np.maximum(gain, 0.0)
    chosen = gain > 0
    for merge in range(len(children)):
        node = n_leaves + merge
        below = reached[children[merge, 0]] + reached[children[merge, 1]]
        if below > reached[node]:
            reached[node] = below
            chosen[node] = False
    covered = np.zeros(len(gain), np.bool_)
    for merge in range(len(children) - 1, -1, -1):
        node = n_leaves + merge
        if chosen[node] or covered[node]:
            for child in children[merge]:
                covered[child] = True
                chosen[child] = False
    return chosen


@njit(nogil=True, cache=True)
def node_of_regions(n_leaves: int, children: Int64, chosen: NDArray[np.bool_]) -> Int64:
    """The chosen node above or at each region, -1 where there is none."""
    node = np.full(len(chosen), -1)
    for k in range(len(chosen) - 1, -1, -1):
        if chosen[k]:
            node[k] = k
        if k >= n_leaves:
            for child in children[k - n_leaves]:
                node[child] = node[k]
    return node[:n_leaves].copy()
