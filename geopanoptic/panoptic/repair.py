"""Repair of the region graph: over-split parcels merge, doubtful ones become stuff, crumbs join a neighbour.

Every step works on integer sums and takes its decisions in rounds that look at all regions at once, with
ties broken by the regions' canonical order, so the result does not depend on blocks, workers or order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geopanoptic.panoptic.regions import Contacts, Int64, RegionGraph, components, gather_contacts, sum_by


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairRules:
    """Thresholds of the repair; probabilities in 0..1, areas in output pixels."""

    merge_boundary: float
    """Things merge while the mean boundary probability along their contact is below this."""
    drop_field: float
    """A thing whose mean thing probability is below this becomes stuff."""
    min_area_px: int
    """A region smaller than this joins the neighbour with the longest contact."""


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
    """Things: geometric mean of the mean thing probability inside and the mean boundary probability along
    the contacts with neighbours (inside alone where there is no neighbour). Stuff: NaN."""

    @property
    def n_regions(self) -> int:
        return len(self.area_px)


def repair(graph: RegionGraph, rules: RepairRules) -> PanopticRegions:
    """Merge over-split things, demote doubtful ones, absorb crumbs: in this order, each once."""
    is_thing = graph.label > 0
    group = _merge_over_split(graph, is_thing, rules.merge_boundary)

    # Whole groups that are not convincing as a thing take the stuff class most of their pixels have.
    area_px = sum_by(group, graph.area_px, len(group))
    field_sum = sum_by(group, graph.field_sum, len(group))
    is_thing &= (field_sum >= rules.drop_field * 255 * area_px)[group]
    thing_class = sum_by(group, graph.thing_counts, len(group)).argmax(axis=1)[group]
    stuff_class = sum_by(group, graph.stuff_counts, len(group)).argmax(axis=1)[group]
    class_index = np.where(is_thing, thing_class, stuff_class)

    group = _absorb_small(graph, group, is_thing, class_index, rules.min_area_px)
    return _summarise(graph, group, is_thing, class_index)


def _merge_over_split(graph: RegionGraph, is_thing: NDArray[np.bool_], threshold: float) -> Int64:
    """Average-linkage merging of things, weakest boundary first.

    Pairs that are each other's weakest contact merge in one round. Average linkage is reducible (a merged
    contact is never weaker than the weaker of its parts), so where strengths differ the rounds give what a
    priority queue over all contacts would give; equal ones are settled by the regions' order.
    """
    group = np.arange(len(graph.label))
    both = is_thing[graph.contacts.a] & is_thing[graph.contacts.b]
    contacts = _select(graph.contacts, both)
    while len(contacts.a):
        strength = contacts.boundary_sum / (contacts.length_px * 255.0)
        best = _best_contact(len(group), contacts, strength)
        mutual = (
            (strength < threshold)
            & (best[contacts.a] == np.arange(len(contacts.a)))
            & (best[contacts.b] == np.arange(len(contacts.b)))
        )
        if not mutual.any():
            return group
        # b joins a; a < b, so a group keeps the number of its first region.
        target = np.arange(len(group))
        target[contacts.b[mutual]] = contacts.a[mutual]
        group, contacts = target[group], _renumber(contacts, target)
    return group


def _absorb_small(
    graph: RegionGraph, group: Int64, is_thing: NDArray[np.bool_], class_index: Int64, min_area_px: int
) -> Int64:
    """Join same-class stuff, then let every group below the minimum area join its longest contact.

    ``is_thing`` and ``class_index`` (by region) are brought in line with the groups in place: a group is
    what its largest member was. A small thing without any neighbour becomes stuff.
    """
    n = len(group)
    while True:
        contacts = _renumber(graph.contacts, group)
        # Neighbouring stuff of one class is one region.
        same = ~is_thing[contacts.a] & ~is_thing[contacts.b]
        same &= class_index[contacts.a] == class_index[contacts.b]
        if same.any():
            group = _first_of_component(n, contacts.a[same], contacts.b[same])[group]
            contacts = _renumber(contacts, group)
        area_px = sum_by(group, graph.area_px, n)
        small = (area_px < min_area_px) & (area_px > 0)
        longest = _best_contact(n, contacts, -contacts.length_px.astype(np.float64))
        joins = np.flatnonzero(small & (longest >= 0))
        if not len(joins):
            alone = small[group] & is_thing
            stuff_class = sum_by(group, graph.stuff_counts, n).argmax(axis=1)[group]
            class_index[alone] = stuff_class[alone]
            is_thing &= ~alone
            return group
        # A crumb joins only what is larger or no crumb, so chains of crumbs end in their largest region.
        a, b = contacts.a[longest[joins]], contacts.b[longest[joins]]
        neighbour = np.where(a == joins, b, a)
        rank = np.empty(n, np.int64)
        rank[np.lexsort((np.arange(n), area_px))] = np.arange(n)
        first = ~small[neighbour] | (rank[joins] < rank[neighbour])
        target = np.arange(n)
        target[joins[first]] = neighbour[first]
        while not np.array_equal(target, target[target]):
            target = target[target]
        moved = target[group]
        is_thing[:] = is_thing[moved]
        class_index[:] = class_index[moved]
        # A group keeps the number of its first region; its kind and class came from the one that stayed.
        first_member = np.full(n, n)
        np.minimum.at(first_member, moved, np.arange(n))
        group = first_member[moved]


def _summarise(
    graph: RegionGraph, group: Int64, is_thing: NDArray[np.bool_], class_index: Int64
) -> PanopticRegions:
    heads = np.unique(group)
    order = np.concatenate([heads[is_thing[heads]], heads[~is_thing[heads]]])
    number = np.zeros(len(group), np.int64)
    number[order] = np.arange(len(order))
    final = number[group]
    n_things = int(is_thing[heads].sum())

    area_px = sum_by(final, graph.area_px, len(order))
    inside = sum_by(final, graph.field_sum, len(order)) / (255.0 * np.maximum(area_px, 1))
    contacts = _renumber(graph.contacts, final)
    both_ends = np.concatenate([contacts.a, contacts.b])
    length_px = sum_by(both_ends, np.tile(contacts.length_px, 2), len(order))
    boundary = sum_by(both_ends, np.tile(contacts.boundary_sum, 2), len(order))
    along = np.where(length_px > 0, boundary / (255.0 * np.maximum(length_px, 1)), inside)
    score = np.sqrt(inside * along)
    score[n_things:] = np.nan
    return PanopticRegions(
        final_label=(final + 1).astype(np.int32),
        n_things=n_things,
        class_index=class_index[order],
        area_px=area_px,
        score=score,
    )


def _best_contact(n: int, contacts: Contacts, cost: NDArray[np.float64]) -> Int64:
    """For each of ``n`` regions its contact of lowest cost, ties by (a, b); -1 where it has none."""
    order = np.lexsort((contacts.b, contacts.a, cost))
    best = np.full(n, -1)
    ends = np.stack([contacts.a[order], contacts.b[order]], axis=1).ravel()
    region, first = np.unique(ends, return_index=True)
    best[region] = order[first // 2]
    return best


def _renumber(contacts: Contacts, target: Int64) -> Contacts:
    a, b = target[contacts.a], target[contacts.b]
    apart = a != b
    return gather_contacts(a[apart], b[apart], contacts.length_px[apart], contacts.boundary_sum[apart])


def _select(contacts: Contacts, keep: NDArray[np.bool_]) -> Contacts:
    return Contacts(
        a=contacts.a[keep],
        b=contacts.b[keep],
        length_px=contacts.length_px[keep],
        boundary_sum=contacts.boundary_sum[keep],
    )


def _first_of_component(n: int, a: Int64, b: Int64) -> Int64:
    """For each node the smallest node of its component."""
    component = components(n, a, b)
    first = np.full(n, n)
    np.minimum.at(first, component, np.arange(n))
    return first[component]
