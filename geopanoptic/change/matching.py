"""The best one-to-one pairing of earlier and later parcels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from geopanoptic.change.overlaps import Overlaps

_ALONE = 1e-12
"""Gain of a parcel without a partner: not zero, which a sparse matrix takes for no edge."""


def components(overlaps: Overlaps, among: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The connected parts of the graph whose edges are the pairs ``among``: their number for every earlier
    parcel (n,) and every later one (m,). A parcel without a pair is a part of its own."""
    n, m = len(overlaps.earlier_area), len(overlaps.later_area)
    rows, cols = overlaps.earlier[among], overlaps.later[among] + n
    graph = coo_array((np.ones(len(rows), np.int8), (rows, cols)), shape=(n + m, n + m))
    part = connected_components(graph, directed=False)[1].astype(np.int64)
    return part[:n], part[n:]


def best_pairs(overlaps: Overlaps, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the pairs ``among`` (p,) belong to the one-to-one pairing with the largest sum of IoU.

    Found by sparse linear assignment (LAPJVsp, after Jonker and Volgenant 1987) in each connected part, so the
    optimum is global; a parcel left alone counts nothing. Of equal optima always the same is taken.
    """
    chosen = np.zeros(len(among), np.bool_)
    pairs = np.flatnonzero(among)
    part = components(overlaps, among)[0][overlaps.earlier[pairs]]
    # Best first within each part.
    order = np.lexsort((-overlaps.iou[pairs], part))
    pairs, part = pairs[order], part[order]
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    sizes = np.diff(starts, append=len(pairs))
    rows, cols, iou = overlaps.earlier[pairs], overlaps.later[pairs], overlaps.iou[pairs]
    # Where all pairs meet in one parcel, the best of them is the pairing.
    star = _constant(rows, starts) | _constant(cols, starts)
    chosen[pairs[starts[star]]] = True
    for start, size in zip(starts[~star], sizes[~star], strict=True):
        members = slice(start, start + size)
        chosen[pairs[members][_assigned(rows[members], cols[members], iou[members])]] = True
    return chosen


def _constant(values: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each group that begins at ``starts`` holds one value only."""
    if not len(values):
        return np.zeros(0, np.bool_)
    return np.asarray(np.minimum.reduceat(values, starts) == np.maximum.reduceat(values, starts))


def _assigned(
    rows: NDArray[np.int64], cols: NDArray[np.int64], gain: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(e,) the edges of one part's best pairing. Sparse: a part may hold half a map."""
    row, col = (np.unique(each, return_inverse=True)[1] for each in (rows, cols))
    n, m = row.max() + 1, col.max() + 1
    # Each row may also stay alone, in a column of its own.
    staying = np.arange(n)
    weights = np.concatenate([gain, np.full(n, _ALONE)])
    graph = coo_array((weights, (np.append(row, staying), np.append(col, m + staying))), shape=(n, m + n))
    taken_row, taken_col = min_weight_full_bipartite_matching(graph.tocsr(), maximize=True)
    best = np.empty(n, np.int64)
    best[taken_row] = taken_col
    return np.asarray(best[row] == col)
