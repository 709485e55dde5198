"""Repair of the region graph: over-split parcels unite, doubtful ones become stuff, crumbs join a neighbour.

Every step works on integers of the scene's region graph and takes its decisions in an order that only
depends on it, so the result does not depend on blocks, workers or their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Int64
from geopanoptic.panoptic.graph.crumbs import absorb_crumbs
from geopanoptic.panoptic.graph.merging import merge_tree
from geopanoptic.panoptic.graph.regions import RegionGraph, sum_by
from geopanoptic.panoptic.parcels.choice import ChoiceRules, Parcels, RepairRules
from geopanoptic.panoptic.parcels.leftovers import SURE_FIELD, is_field
from geopanoptic.panoptic.parts import Map

__all__ = ["PanopticRegions", "RepairRules", "repair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticRegions:
    """The final regions. Things come first (labels 1..n_things), then pieces of stuff; both by first pixel.

    Arrays are indexed by label - 1; ``final_label`` (int32) maps a region of the input graph to its label.
    """

    final_label: NDArray[np.int32]
    n_things: int
    class_index: Int64
    """Index into the thing classes for things, into the stuff classes for stuff."""
    area_px: Int64
    score: NDArray[np.float64]
    """Things: how sure the parcel is, 0 to 1, see ``choice``. Stuff: NaN."""
    class_score: NDArray[np.float64]
    """Things: the mean share of the parcel's class in the probability of any thing, 0 to 1. Stuff: NaN."""

    @property
    def n_regions(self) -> int:
        return len(self.area_px)


def repair(
    graph: RegionGraph, rules: ChoiceRules, each: Map = map, *, open_ground: Sequence[int] = ()
) -> PanopticRegions:
    """Unite things to parcels, demote the others, absorb crumbs: in this order, each once.

    A crumb's ground takes kind, class and score of the parcel or stuff that it joins. A thing below the
    minimum area that has no neighbour becomes stuff. ``each`` computes what is independent. Sure field in no parcel is one
    of the stuff classes ``open_ground``, by index, where some are named.
    """
    n = len(graph.label)
    group, is_thing, score = _united(rules.choose(merge_tree(graph, each), each))
    thing_class, class_score = _thing_classes(graph, group)
    stuff_class = _stuff_classes(graph, group, ~is_thing, open_ground)
    final, kind = absorb_crumbs(graph.contacts, group, graph.area_px, stuff_class, rules.min_area_px)

    heads = np.flatnonzero(final == np.arange(n))
    like, area_px = kind[heads], sum_by(final, graph.area_px, n)[heads]
    thing = is_thing[like] & (area_px >= rules.min_area_px)
    demoted = np.zeros(n, bool)
    demoted[heads] = is_thing[like] & ~thing
    stuff_class = np.where(
        demoted[heads], _stuff_classes(graph, final, demoted, open_ground)[heads], stuff_class[like]
    )
    order = np.argsort(~thing, kind="stable")
    label = np.zeros(n, np.int32)
    label[heads[order]] = np.arange(1, len(order) + 1)
    return PanopticRegions(
        final_label=label[final],
        n_things=int(thing.sum()),
        class_index=np.where(thing, thing_class[like], stuff_class)[order],
        area_px=area_px[order],
        score=np.where(thing, score[like], np.nan)[order],
        class_score=np.where(thing, class_score[like], np.nan)[order],
    )


def _united(parcels: Parcels) -> tuple[Int64, NDArray[np.bool_], NDArray[np.float64]]:
    """The first region of the group of each of n regions; whether it is a thing and its score, by that region."""
    n = len(parcels.node)
    group, is_thing, score = np.arange(n), np.zeros(n, bool), np.full(n, np.nan)
    # From the last to the first, which stays.
    members = np.flatnonzero(parcels.node >= 0)[::-1]
    nodes, first = parcels.node[members], np.empty(len(parcels.is_thing), np.int64)
    first[nodes] = members
    heads = group[members] = first[nodes]
    is_thing[heads], score[heads] = parcels.is_thing[nodes], parcels.score[nodes]
    return group, is_thing, score


def _thing_classes(graph: RegionGraph, group: Int64) -> tuple[Int64, NDArray[np.float64]]:
    """The thing class of each group, by its first region, and its share of the probability of any thing."""
    sums = sum_by(group, graph.thing_sums, len(group))
    return sums.argmax(axis=1), sums.max(axis=1) / np.maximum(sums.sum(axis=1), 1)


def _stuff_classes(
    graph: RegionGraph, group: NDArray[np.integer], wanted: NDArray[np.bool_], open_ground: Sequence[int]
) -> Int64:
    """What the ``wanted`` groups look like most, by their first region, as is the result (n,); -1 elsewhere.

    Sure fields look like ``open_ground`` only: which stuff the network holds for least unlikely there says nothing.
    """
    stuff_class = np.full(len(group), -1)
    heads = np.flatnonzero(wanted & (group == np.arange(len(group))))
    stuff_class[heads] = np.arange(len(heads))
    place = stuff_class[group]
    within = np.flatnonzero(place >= 0)
    counts = sum_by(place[within], graph.stuff_counts[within], len(heads))
    if open_ground:
        others = np.setdiff1d(np.arange(counts.shape[1]), open_ground)
        counts[np.ix_(np.flatnonzero(is_field(graph, SURE_FIELD, group)[heads]), others)] = -1
    stuff_class[heads] = counts.argmax(axis=1)
    return stuff_class
