"""The merge tree: things united one contact at a time, the weakest boundary first.

Average linkage: the strength of a contact is the mean boundary along all of its pixel sides. It is reducible
(a united contact is never weaker than the weaker of its parts), so strengths never fall towards the root.
Contacts of equal strength are taken in their canonical order: the tree is unique, whatever the blocks were.
Every node is a parcel that the map might hold; which ones it does hold is chosen afterwards.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.contact_queue import open_next, put, start_queue
from geopanoptic.panoptic.contacts import BOUNDARY, LENGTH, Contacts, Int64
from geopanoptic.panoptic.contraction import start, unite
from geopanoptic.panoptic.regions import RegionGraph

Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeTree:
    """Nodes 0..n-1 are the regions of ``graph``; node n + k unites ``children[k]``, both of them before it.

    ``contact_sums`` (m, 4) and ``pass_heat`` (m,) describe the contact at which the two united, as in
    ``Contacts``. Stuff never unites.
    """

    graph: RegionGraph
    children: Int64
    contact_sums: Int64
    pass_heat: Int64

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
        of_merges = self.contact_sums[:, BOUNDARY] / (255.0 * self.contact_sums[:, LENGTH])
        return np.concatenate([np.zeros(self.n_leaves), of_merges])

    def sum_up(self, leaf_values: Int64) -> Int64:
        """Sums over the regions of every node, (nodes, k) from (n, k)."""
        return _sum_up(
            leaf_values, np.zeros((len(self.children), leaf_values.shape[1]), np.int64), self.children
        )

    def gather_seams(self) -> Int64:
        """Sums over the contacts between the regions of every node, (nodes, 4) as in ``Contacts``."""
        return _sum_up(np.zeros((self.n_leaves, 4), np.int64), self.contact_sums, self.children)

    def least(self, leaf_values: Int64) -> Int64:
        """Least value among the regions of every node, (nodes,) from (n,)."""
        return _least(leaf_values, self.children)


def merge_tree(graph: RegionGraph) -> MergeTree:
    """Unite the things of a region graph until no two of them touch."""
    is_thing = graph.label > 0
    contacts: Contacts = graph.contacts.select(is_thing[graph.contacts.a] & is_thing[graph.contacts.b])
    children, sums, pass_heat = _unite_weakest_first(
        len(graph.label), contacts.a, contacts.b, contacts.sums, contacts.pass_heat
    )
    return MergeTree(graph=graph, children=children, contact_sums=sums, pass_heat=pass_heat)


@njit(nogil=True, cache=True)
def _unite_weakest_first(
    n: int, a: Int32, b: Int32, contact_sums: NDArray[np.integer], contact_pass: NDArray[np.uint16]
) -> tuple[Int64, Int64, Int64]:
    state = start(n, a, b, contact_sums, contact_pass)
    node = np.arange(n)
    children = np.empty((max(n - 1, 0), 2), np.int64)
    sums = np.empty((max(n - 1, 0), contact_sums.shape[1]), np.int64)
    pass_heat = np.empty(max(n - 1, 0), np.int64)
    strength = np.empty(len(a))
    queue, heap = start_queue(2 * len(a)), [(0.0, np.int32(c), c) for c in range(0)]
    for contact in range(len(a)):
        strength[contact] = _strength(state.sums, contact)
        put(queue, heap, contact, strength[contact], np.int32(contact))
    grown = [0 for _ in range(0)]
    count = 0
    while True:
        open_next(queue, heap, strength, state.rank, state.ends)
        if len(heap) == 0:
            break
        weakest, _, contact = heapq.heappop(heap)
        if state.ends[contact, 0] < 0 or strength[contact] != weakest:
            continue
        left, right = node[state.ends[contact, 0]], node[state.ends[contact, 1]]
        children[count, 0], children[count, 1] = min(left, right), max(left, right)
        sums[count] = state.sums[contact]
        pass_heat[count] = state.pass_heat[contact]
        grown.clear()
        node[unite(state, contact, grown)] = n + count
        count += 1
        # A contact that has grown is queued again; what says otherwise of it is out of date or comes later.
        for other in grown:
            strength[other] = _strength(state.sums, other)
            put(queue, heap, other, strength[other], state.rank[other])
    return children[:count].copy(), sums[:count].copy(), pass_heat[:count].copy()


@njit(nogil=True, cache=True)
def _strength(sums: NDArray[np.integer], contact: int) -> float:
    return sums[contact, BOUNDARY] / (255.0 * sums[contact, LENGTH])


@njit(nogil=True, cache=True)
def _sum_up(leaf_values: Int64, merge_values: Int64, children: Int64) -> Int64:
    n = len(leaf_values)
    total = np.empty((n + len(children), leaf_values.shape[1]), np.int64)
    total[:n] = leaf_values
    for merge in range(len(children)):
        left, right = children[merge]
        for column in range(total.shape[1]):
            both = total[left, column] + total[right, column]
            total[n + merge, column] = both + merge_values[merge, column]
    return total


@njit(nogil=True, cache=True)
def _least(leaf_values: Int64, children: Int64) -> Int64:
    n = len(leaf_values)
    least = np.empty(n + len(children), np.int64)
    least[:n] = leaf_values
    for merge in range(len(children)):
        least[n + merge] = min(least[children[merge, 0]], least[children[merge, 1]])
    return least
