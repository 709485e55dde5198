"""What is known of every node of a merge tree: the features by which it is judged as a parcel.

All of them derive from integer sums and extremes over the node's pixels, its rim (contacts with what lies
outside it) and its seams (contacts between its own regions), so they are the same for every block layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import BOUNDARY as SIDE_BOUNDARY
from geopanoptic.panoptic.graph.contacts import LENGTH, WEAK, Int64
from geopanoptic.panoptic.graph.contacts import RELIEF as SIDE_RELIEF
from geopanoptic.panoptic.graph.merging import MergeTree, add_children
from geopanoptic.panoptic.graph.pieces import AREA, BOUNDARY, FIELD, INNER_SIDES, RELIEF
from geopanoptic.panoptic.parcels.boosting import Float64, TreeEnsemble
from geopanoptic.panoptic.parts import Map

FEATURES = (
    "log_area",  # natural logarithm of the pixels
    "compactness",  # 4 pi area / perimeter^2
    "field",  # means over the pixels: thing probability, boundary, relief
    "boundary",
    "relief",
    "relief_min",
    "heat_max",
    "rim_boundary",  # means over the rim's pixel sides: boundary, share of weak ones, relief
    "rim_weak",
    "rim_relief",
    "rim_open",  # shares of the perimeter: towards nodata or the scene's edge, towards stuff
    "rim_stuff",
    "regions",  # how many were united
    "seam_boundary",  # means over the seams' pixel sides: boundary, share of weak ones
    "seam_weak",
    "last_saddle",  # at the last union: pass heat over the lower of the two heat maxima
    "last_minority",  # and the smaller area over the whole
    "next_boundary",  # at the next union, with the sibling: mean boundary, saddle as above
    "next_saddle",
    "next_log_ratio",  # logarithm of the sibling's area over the node's
    "next_length",  # share of the perimeter along the sibling
)
_NODES_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMeasures:
    """Integers by node: pixel sums (n, 5), heat and relief extremes, rim and seam sums (n, 4), regions."""

    tree: MergeTree
    pixels: Int64
    heat_max: Int64
    relief_min: Int64
    rim: Int64
    rim_stuff_px: Int64
    seams: Int64
    regions: Int64

    @property
    def area_px(self) -> Int64:
        return self.pixels[:, AREA]

    @property
    def field(self) -> Float64:
        """Mean thing probability."""
        return self.pixels[:, FIELD] / (255.0 * self.area_px)

    @property
    def rim_boundary(self) -> Float64:
        """Mean boundary along the contacts with neighbours; NaN where there is none."""
        length_px = self.rim[:, LENGTH]
        mean = np.full(len(length_px), np.nan)
        np.divide(self.rim[:, SIDE_BOUNDARY], 255.0 * length_px, out=mean, where=length_px > 0)
        return mean

    def features(self, of: Int64 | None = None) -> Iterator[Float64]:
        """``FEATURES`` (nodes, k) of successive runs of nodes: together they would take much memory.

        ``of`` names the nodes, by default all.
        """
        return map(self.features_of, *self.runs(of))

    def runs(self, of: Int64 | None = None) -> Iterator[tuple[Int64, ...]]:
        """The nodes that ``of`` names, by default all, in successive runs; the parents and the siblings of each."""
        parent = self.tree.parent
        of = np.arange(len(parent)) if of is None else of
        sibling = np.full(len(parent), -1)
        sibling[self.tree.children] = self.tree.children[:, ::-1]
        starts = range(_NODES_AT_ONCE, len(of), _NODES_AT_ONCE)
        return zip(*((run, parent[run], sibling[run]) for run in np.split(of, starts)), strict=True)

    def features_of(self, nodes: Int64, parent: Int64, sibling: Int64) -> Float64:
        """``FEATURES`` (nodes, k) of nodes with these parents and siblings, -1 for none."""
        n = self.tree.n_leaves
        pixels, rim, seams = self.pixels[nodes], self.rim[nodes], self.seams[nodes]
        area = pixels[:, AREA].astype(np.float64)
        perimeter = 4.0 * area - 2 * pixels[:, INNER_SIDES]
        united, joins = nodes >= n, parent >= 0
        merge, next_merge = np.where(united, nodes - n, 0), np.where(joins, parent - n, 0)
        left, right = self._children(merge, united, nodes)
        other = np.where(joins, sibling, nodes)
        next_sums = self._contact(next_merge, joins)
        columns = {
            "log_area": np.log(area),
            "compactness": 4 * np.pi * area / perimeter**2,
            "field": pixels[:, FIELD] / (255 * area),
            "boundary": pixels[:, BOUNDARY] / (255 * area),
            "relief": pixels[:, RELIEF] / (255 * area),
            "relief_min": self.relief_min[nodes] / 65535,
            "heat_max": self.heat_max[nodes] / 65535,
            "rim_boundary": _mean(rim[:, SIDE_BOUNDARY], 255 * rim[:, LENGTH], 1.0),
            "rim_weak": _mean(rim[:, WEAK], rim[:, LENGTH], 0.0),
            "rim_relief": _mean(rim[:, SIDE_RELIEF], 255 * rim[:, LENGTH], 1.0),
            "rim_open": 1 - rim[:, LENGTH] / perimeter,
            "rim_stuff": self.rim_stuff_px[nodes] / perimeter,
            "regions": self.regions[nodes].astype(np.float64),
            "seam_boundary": _mean(seams[:, SIDE_BOUNDARY], 255 * seams[:, LENGTH], 0.0),
            "seam_weak": _mean(seams[:, WEAK], seams[:, LENGTH], 1.0),
            "last_saddle": np.where(united, self._saddle(merge, left, right, united), 1.0),
            "last_minority": np.where(
                united, np.minimum(self.area_px[left], self.area_px[right]) / area, 0.0
            ),
            "next_boundary": _mean(next_sums[:, SIDE_BOUNDARY], 255 * next_sums[:, LENGTH], 1.0),
            "next_saddle": np.where(joins, self._saddle(next_merge, nodes, other, joins), 0.0),
            "next_log_ratio": np.where(joins, np.log(self.area_px[other] / area), -10.0),
            "next_length": next_sums[:, LENGTH] / perimeter,
        }
        return np.stack([columns[name] for name in FEATURES], axis=1)

    def _children(self, merge: Int64, united: NDArray[np.bool_], nodes: Int64) -> tuple[Int64, Int64]:
        if not len(self.tree.children):
            return nodes, nodes
        both = np.where(united[:, None], self.tree.children[merge], nodes[:, None])
        return both[:, 0], both[:, 1]

    def _contact(self, merge: Int64, exists: NDArray[np.bool_]) -> Int64:
        if not len(self.tree.children):
            return np.zeros((len(merge), 4), np.int64)
        return np.where(exists[:, None], self.tree.contact_sums[merge], 0)

    def _saddle(self, merge: Int64, a: Int64, b: Int64, exists: NDArray[np.bool_]) -> Float64:
        if not len(self.tree.children):
            return np.zeros(len(merge))
        lower = np.minimum(self.heat_max[a], self.heat_max[b])
        return np.where(exists, self.tree.pass_heat[merge] / np.maximum(lower, 1), 0.0)


def measure_nodes(tree: MergeTree, each: Map = map) -> NodeMeasures:
    """Gather the integers of every node from the regions below it and the contacts between them."""
    graph, contacts, n = tree.graph, tree.graph.contacts, tree.n_leaves
    # Parts of one array: a copy of each would be as much again.
    sums = np.zeros((tree.n_nodes, 15), np.int64)
    pixels, rim, seams, rim_stuff_px, regions = (
        sums[:, :5],
        sums[:, 5:9],
        sums[:, 9:13],
        sums[:, 13],
        sums[:, 14],
    )
    pixels[:n], regions[:n] = graph.sums, 1
    _add_rims(rim, rim_stuff_px, contacts.a, contacts.b, contacts.sums, graph.label > 0)
    # Sides along which a node was united are no more rim, but inside.
    pixels[n:, INNER_SIDES], rim[n:], seams[n:] = (
        tree.contact_sums[:, LENGTH],
        -2 * tree.contact_sums,
        tree.contact_sums,
    )
    list(each(lambda columns: add_children(sums[:, columns], tree.children), (slice(0, 8), slice(8, 15))))
    heat_max, relief_min = _extremes(graph.heat_max, graph.relief_min, tree.children)
    return NodeMeasures(
        tree=tree,
        pixels=pixels,
        heat_max=heat_max,
        relief_min=relief_min,
        rim=rim,
        rim_stuff_px=rim_stuff_px,
        seams=seams,
        regions=regions,
    )


@njit(nogil=True, cache=True)
def _add_rims(rim, rim_stuff_px, a, b, sums, is_thing):  # type: ignore[no-untyped-def]
    for contact in range(len(a)):
        for here, there in ((a[contact], b[contact]), (b[contact], a[contact])):
            for column in range(sums.shape[1]):
                rim[here, column] += np.int64(sums[contact, column])
            if not is_thing[there]:
                rim_stuff_px[here] += np.int64(sums[contact, LENGTH])


@njit(nogil=True, cache=True)
def _extremes(heat_max, relief_min, children):  # type: ignore[no-untyped-def]
    """The greatest and the least value among the regions of every node, int64 (nodes,)."""
    n = len(heat_max)
    greatest, least = np.empty(n + len(children), np.int64), np.empty(n + len(children), np.int64)
    greatest[:n], least[:n] = heat_max, relief_min
    for merge in range(len(children)):
        left, right = children[merge]
        greatest[n + merge] = max(greatest[left], greatest[right])
        least[n + merge] = min(least[left], least[right])
    return greatest, least


def judge(measures: NodeMeasures, trees: TreeEnsemble, of: Int64 | None = None, each: Map = map) -> Float64:
    """The ensemble's verdict on the nodes that ``of`` names, by default all, in that order."""

    def verdict(*run: Int64) -> Float64:
        return trees(measures.features_of(*run))

    return np.concatenate(list(each(verdict, *measures.runs(of))))


def _mean(total: Int64, count: Int64, otherwise: float) -> Float64:
    mean = np.full(len(total), otherwise)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
