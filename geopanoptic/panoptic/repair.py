"""Repair of the region graph: over-split parcels unite, doubtful ones become stuff, crumbs join a neighbour.

Every step works on integers of the scene's region graph and takes its decisions in an order that only
depends on it, so the result does not depend on blocks, workers or their order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.panoptic.choice import ChoiceRules, Parcels, RepairRules
from geopanoptic.panoptic.contacts import Int64
from geopanoptic.panoptic.crumbs import absorb_crumbs
from geopanoptic.panoptic.merging import merge_tree
from geopanoptic.panoptic.regions import RegionGraph, sum_by

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


def repair(graph: RegionGraph, rules: ChoiceRules) -> PanopticRegions:
    """Unite things to parcels, demote the others, absorb crumbs: in this order, each once.

    A crumb's ground takes kind, class and score of the parcel or stuff that it joins. A thing below the
    minimum area that has no neighbour becomes stuff.
    """
    n = len(graph.label)
    group, is_thing, score = _united(rules.choose(merge_tree(graph)))
    thing_class, class_score = _thing_classes(graph, group)
    stuff_class = sum_by(group, graph.stuff_counts, n).argmax(axis=1)
    area_px = sum_by(group, graph.area_px, n)
    # A region that has joined a group is nobody's neighbour: large enough, and without contact.
    area_px[group != np.arange(n)] = rules.min_area_px
    joined, kind = absorb_crumbs(
        graph.contacts.lengths_only().renumbered(group.astype(np.int32)),
        area_px,
        np.where(is_thing, -1, stuff_class),
        rules.min_area_px,
    )
    group, kind = joined[group], kind[group]
    total_px = sum_by(group, graph.area_px, n)
    was_thing = is_thing[kind]
    is_thing = was_thing & (total_px[group] >= rules.min_area_px)
    demoted_class = sum_by(group, graph.stuff_counts, n).argmax(axis=1)[group]
    stuff_class = np.where(was_thing, demoted_class, stuff_class[kind])

    heads = np.unique(group)
    order = np.concatenate([heads[is_thing[heads]], heads[~is_thing[heads]]])
    label = np.zeros(n, np.int64)
    label[order] = np.arange(1, len(order) + 1)
    like = kind[order]
    thing = is_thing[order]
    return PanopticRegions(
        final_label=label[group].astype(np.int32),
        n_things=int(thing.sum()),
        class_index=np.where(thing, thing_class[like], stuff_class[order]),
        area_px=total_px[order],
        score=np.where(thing, score[like], np.nan),
        class_score=np.where(thing, class_score[like], np.nan),
    )


def _united(parcels: Parcels) -> tuple[Int64, NDArray[np.bool_], NDArray[np.float64]]:
    """The first region of the group of each of n regions; whether it is a thing and its score, by that region."""
    n, united = len(parcels.node), parcels.node >= 0
    group = np.arange(n)
    nodes, first, inverse = np.unique(parcels.node[united], return_index=True, return_inverse=True)
    group[united] = np.flatnonzero(united)[first][inverse]
    is_thing, score = np.zeros(n, bool), np.full(n, np.nan)
    is_thing[group[united]] = parcels.is_thing[nodes][inverse]
    score[group[united]] = parcels.score[nodes][inverse]
    return group, is_thing, score


def _thing_classes(graph: RegionGraph, group: Int64) -> tuple[Int64, NDArray[np.float64]]:
    """The thing class of each group, by its first region, and its share of the probability of any thing."""
    sums = sum_by(group, graph.thing_sums, len(group))
    return sums.argmax(axis=1), sums.max(axis=1) / np.maximum(sums.sum(axis=1), 1)
