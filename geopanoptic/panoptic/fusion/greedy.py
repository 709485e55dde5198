"""The heuristic merge of Panoptic FPN over the merge tree: candidates by falling merit, each what is left.

Candidates of a tree lie within one another or apart, so what is left of one is its area less what was taken
below it, and nothing once one above it was taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Contacts, Int64
from geopanoptic.panoptic.graph.merging import MergeTree
from geopanoptic.panoptic.graph.regions import components, sum_by
from geopanoptic.panoptic.parcels.choice import JudgingRules, Parcels
from geopanoptic.panoptic.parcels.disjoint import node_of_regions
from geopanoptic.panoptic.parts import Map


@dataclass(frozen=True, slots=True, kw_only=True)
class GreedyChoice:
    """The candidates of ``rules`` by falling merit; one of which less than ``least_visible`` is left goes.

    A parcel that falls apart keeps its largest part.
    """

    rules: JudgingRules
    least_visible: float

    @property
    def min_area_px(self) -> int:
        return self.rules.min_area_px

    def choose(self, tree: MergeTree, each: Map = map) -> Parcels:
        judged = self.rules.candidates(tree, each)
        order = np.flatnonzero(judged.may_be & judged.is_thing)
        order = order[np.lexsort((-order, -judged.merit[order]))]
        area_px = tree.sum_up(tree.graph.area_px[:, None])[:, 0]
        chosen = take_visible(tree.n_leaves, tree.children, tree.parent, area_px, order, self.least_visible)
        node = node_of_regions(tree.n_leaves, tree.children, chosen)
        whole = largest_parts(node, tree.graph.contacts, tree.graph.area_px)
        return Parcels(node=np.where(whole, node, -1), is_thing=judged.is_thing, score=judged.score)


def largest_parts(group: Int64, contacts: Contacts, area_px: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which regions lie in the largest connected part of their group; none where ``group`` is -1.

    Of equal parts the one of the lowest region counts.
    """
    n = len(group)
    within = (group[contacts.a] == group[contacts.b]) & (group[contacts.a] >= 0)
    part = components(n, contacts.a[within].astype(np.int64), contacts.b[within].astype(np.int64))
    n_parts = int(part.max(initial=-1)) + 1
    part_px = sum_by(part, area_px, n_parts)
    lowest = np.full(n_parts, n)
    np.minimum.at(lowest, part, np.arange(n))
    order = np.lexsort((lowest, -part_px, group[lowest]))
    of_group = group[lowest][order]
    is_first = np.diff(of_group, prepend=-2) != 0
    largest = np.zeros(n_parts, bool)
    largest[order[is_first & (of_group >= 0)]] = True
    return largest[part]


@njit(nogil=True, cache=True)
def take_visible(
    n_leaves: int, children: Int64, parent: Int64, area_px: Int64, order: Int64, least_visible: float
) -> NDArray[np.bool_]:
    """Which nodes keep pixels, and at least their share, when they are taken in ``order``; bool (nodes,)."""
    n = len(parent)
    chosen, covered = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    taken_px = np.zeros(n, np.int64)
    stack = np.empty(n + 1, np.int64)
    for node in order:
        left_px = area_px[node] - taken_px[node]
        if covered[node] or left_px <= 0 or left_px < least_visible * area_px[node]:
            continue
        chosen[node] = True
        above = node
        while above >= 0:
            taken_px[above] += left_px
            above = parent[above]
        stack[0], height = node, 1
        while height:
            height -= 1
            below = stack[height]
            if covered[below]:
                continue
            covered[below] = True
            if below >= n_leaves:
                for child in children[below - n_leaves]:
                    stack[height] = child
                    height += 1
    return chosen
