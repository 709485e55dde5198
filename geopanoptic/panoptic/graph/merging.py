"""The merge tree: things united one contact at a time, the weakest boundary first.

Average linkage: the strength of a contact is the mean boundary along all of its pixel sides. It is reducible
(a united contact is never weaker than the weaker of its parts), so strengths never fall towards the root.
Contacts of equal strength are taken in their canonical order: the tree is unique, whatever the blocks were.
Every node is a parcel that the map might hold; which ones it does hold is chosen afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Int64, strength_of
from geopanoptic.panoptic.graph.contraction import Int32
from geopanoptic.panoptic.graph.regions import RegionGraph
from geopanoptic.panoptic.graph.uniting import Links, unite_weakest_first
from geopanoptic.panoptic.parts import Map, z_order


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeTree:
    """Nodes 0..n-1 are the regions of ``graph``; node n + k unites ``children[k]``, both of them before it.

    ``contact_sums`` (m, 4) and ``pass_heat`` (m,) describe the contact at which the two united, as in
    ``Contacts``. Stuff never unites.
    """

    graph: RegionGraph
    children: Int64
    contact_sums: Int64
    pass_heat: NDArray[np.uint16]

    @property
    def n_leaves(self) -> int:
        return len(self.graph.label)

    @property
    def n_nodes(self) -> int:
        return self.n_leaves + len(self.children)

    @property
    def parent(self) -> Int64:
        """(nodes,) -1 for a root."""
        parent = np.full(self.n_nodes, -1)
        parent[self.children] = np.arange(self.n_leaves, self.n_nodes)[:, None]
        return parent

    @property
    def strength(self) -> NDArray[np.float64]:
        """(nodes,) mean boundary, 0 to 1, of the contact that the node closed; 0 for a region."""
        return np.concatenate([np.zeros(self.n_leaves), strength_of(self.contact_sums)])

    def sum_up(self, leaf_values: NDArray[np.integer]) -> Int64:
        """Sums over the regions of every node, (nodes, k) from (n, k)."""
        total = np.zeros((self.n_nodes, leaf_values.shape[1]), np.int64)
        total[: self.n_leaves] = leaf_values
        add_children(total, self.children)
        return total


def merge_tree(graph: RegionGraph, each: Map = map) -> MergeTree:
    """Unite the things of a region graph until no two of them touch; ``each`` computes parts of it."""
    n, is_thing, contacts = len(graph.label), graph.label > 0, graph.contacts
    # Numbered along a curve, neighbours in space are neighbours in memory, and parts have short borders.
    regions = np.argsort(z_order(*np.divmod(graph.first_px, graph.width_px)))
    place = np.empty(n, np.int32)
    place[regions] = np.arange(n)
    between = np.flatnonzero(is_thing[contacts.a] & is_thing[contacts.b])
    united = unite_weakest_first(
        n,
        Links(
            place[contacts.a[between]],
            place[contacts.b[between]],
            contacts.sums[between],
            contacts.pass_heat[between],
            np.arange(len(between), dtype=np.int32),
        ),
        each,
    )
    return MergeTree(
        graph=graph,
        children=_nodes_united(regions, united.a, united.b),
        contact_sums=united.sums.astype(np.int64, copy=False),
        pass_heat=united.pass_heat,
    )


@njit(nogil=True, cache=True)
def _nodes_united(regions: Int64, kept: Int32, joined: Int32) -> Int64:
    """The two nodes of every union of groups, which go by the place of one of their ``regions``.

    ``kept`` goes for both groups afterwards.
    """
    n, node = len(regions), regions.copy()
    children = np.empty((len(kept), 2), np.int64)
    for union in range(len(kept)):
        left, right = node[kept[union]], node[joined[union]]
        children[union, 0], children[union, 1] = min(left, right), max(left, right)
        node[kept[union]] = n + union
    return children


@njit(nogil=True, cache=True)
def add_children(total: Int64, children: Int64) -> None:
    """Add to each united node's row of ``total`` (nodes, k) those of its ``children`` (m, 2), in place."""
    n = len(total) - len(children)
    for merge in range(len(children)):
        left, right = children[merge]
        for column in range(total.shape[1]):
            total[n + merge, column] += total[left, column] + total[right, column]
