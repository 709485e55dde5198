"""What a parcel has to be expected to give before it is drawn: less where all parcels nearby are doubtful.

Panoptic quality is the summed IoU of the matches over the mean of the numbers of predicted and true parcels. One more
parcel raises it where its expected IoU is above half of the quality reached (Dinkelbach, Management Science 13 (1967),
492-498: a ratio is greatest where numerator minus ratio times denominator is). A bundle states half of what it reaches
on its validation images. Country of small meadows with hardly an edge between them reaches less, and there that price
leaves out parcels that would have paid. Nobody knows the quality where nothing is labelled, but the mean expected IoU
of the parcels chosen nearby, weighted by their areas, comes close to it.

The price only sinks. Raised among sure parcels it left out true fields with the false ones: on the hand-drawn German
fields the mean best IoU fell from .855 to .809, and known ground gained nothing (``tests/benchmarks/RESULTS.md``).

Nearby means a few kilometres, not the whole scene: what is drawn in one place must not follow from how far the scene
goes on elsewhere. All sums are of integers, so nothing depends on their order.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.lib.stride_tricks import sliding_window_view

from geopanoptic.panoptic.graph.contacts import Int64
from geopanoptic.panoptic.graph.contraction import Int32
from geopanoptic.panoptic.graph.merging import MergeTree
from geopanoptic.panoptic.parcels.boosting import Float64
from geopanoptic.panoptic.parcels.disjoint import best_disjoint

CELL_PX = 512
"""Ground is divided into cells of this many output pixels squared; a price holds for one."""
AROUND = 2
"""So many cells on every side count as nearby."""
SHARE = 0.5
"""The price over the mean expected IoU of the parcels nearby."""
ROUNDS = 3
"""Prices follow from a choice, and the choice from prices; after three rounds both stand still."""
GROUND_SHARE = 0.05
"""Where fewer than this share of the ground nearby are parcels, they say less than the price that a bundle states."""
_UNIT = 1 << 20
"""Expected IoU is summed in this fraction of one."""


def local_prices(tree: MergeTree, area_px: Int64, expected_iou: Float64, price: float) -> Float64:
    """The least expected IoU of every node (nodes,), at most ``price``, with which all begin.

    ``area_px`` (nodes,); ``expected_iou`` (nodes,), -inf where a node can be no parcel.
    """
    cell, shape = _cells(tree)
    prior_px = _around(np.full(shape, int(GROUND_SHARE * CELL_PX**2)))
    prior = prior_px * round(price / SHARE * _UNIT)
    of_node = np.full(tree.n_nodes, price)
    for _ in range(ROUNDS):
        chosen = np.flatnonzero(best_disjoint(tree.n_leaves, tree.children, expected_iou - of_node))
        units = np.rint(expected_iou[chosen] * _UNIT).astype(np.int64)
        total_px, total = np.zeros((2, *shape), np.int64)
        np.add.at(total_px.ravel(), cell[chosen], area_px[chosen])
        np.add.at(total.ravel(), cell[chosen], area_px[chosen] * units)
        mean = (_around(total) + prior) / (_around(total_px) + prior_px)
        of_node = np.minimum(price, SHARE * mean / _UNIT).ravel()[cell]
    return of_node


def _cells(tree: MergeTree) -> tuple[Int32, tuple[int, int]]:
    """The cell of every node's first pixel (nodes,), and how many rows and columns of cells there are."""
    row, col = np.divmod(tree.graph.first_px, tree.graph.width_px)
    shape = (int(row.max(initial=0)) // CELL_PX + 1, (tree.graph.width_px - 1) // CELL_PX + 1)
    of_region = (row // CELL_PX * shape[1] + col // CELL_PX).astype(np.int32)
    return of_region[_first_regions(tree.n_leaves, tree.children)], shape


def _around(cells: Int64) -> Int64:
    """Sums over all cells nearby."""
    side = 2 * AROUND + 1
    nearby: Int64 = sliding_window_view(np.pad(cells, AROUND), (side, side)).sum(axis=(2, 3))
    return nearby


@njit(nogil=True, cache=True)
def _first_regions(n_leaves: int, children: Int64) -> Int32:
    """The lowest region of every node."""
    first = np.arange(n_leaves + len(children)).astype(np.int32)
    for k in range(len(children)):
        first[n_leaves + k] = min(first[children[k, 0]], first[children[k, 1]])
    return first
