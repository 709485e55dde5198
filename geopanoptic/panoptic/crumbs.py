"""Crumbs: regions below the minimum area join a neighbour, the smallest first."""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit

from geopanoptic.panoptic.contacts import LENGTH, Contacts, Int64
from geopanoptic.panoptic.contraction import FIRST, contact_between, find, start, unite


def absorb_crumbs(
    contacts: Contacts, area_px: Int64, stuff_class: Int64, min_area_px: int
) -> tuple[Int64, Int64]:
    """For each of n regions the lowest region of its final group, and the region whose kind that has.

    ``area_px`` (n,); ``stuff_class`` (n,) is -1 for things. Neighbouring stuff of one class is one group.
    Then, by (area, lowest region), the smallest group below ``min_area_px`` joins the neighbour with the
    longest contact, of equal ones that of the lowest region, and is what that was, until every group that
    has a neighbour is large enough. Both results int64 (n,).
    """
    lengths_px = np.ascontiguousarray(contacts.lengths_only().sums)
    return _absorb(contacts.a, contacts.b, lengths_px, area_px, stuff_class, min_area_px)  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _absorb(a, b, sums, area_px, stuff_class, min_area_px):  # type: ignore[no-untyped-def]
    n = len(area_px)
    state = start(n, a, b, sums, np.zeros(len(a), np.uint16))
    # By handle: pixels, lowest region, and the region whose kind the group has.
    area, lowest, like = area_px.copy(), np.arange(n), np.arange(n)
    for contact in range(len(a)):
        if state.ends[contact, 0] >= 0 and _one_stuff(stuff_class[a[contact]], stuff_class[b[contact]]):
            _join(state, area, lowest, like, contact, b[contact])

    queue = [(area[h], lowest[h], h) for h in range(n) if state.handle[h] == h and area[h] < min_area_px]
    heapq.heapify(queue)
    while len(queue):
        size, _, crumb = heapq.heappop(queue)
        if state.handle[crumb] != crumb or area[crumb] != size:
            continue
        touched = [crumb for _ in range(0)]
        longest, neighbour = -1, -1
        entry = state.lists[crumb, FIRST]
        while entry >= 0:
            contact = entry >> 1
            other = state.ends[contact, 1 - (entry & 1)]
            if other >= 0:
                touched.append(other)
                more = 0 if longest < 0 else state.sums[contact, LENGTH] - state.sums[longest, LENGTH]
                if longest < 0 or more > 0 or (more == 0 and lowest[other] < lowest[neighbour]):
                    longest, neighbour = contact, other
            entry = state.next_entry[entry]
        if longest < 0:
            continue
        group = _join(state, area, lowest, like, longest, neighbour)
        # Through the crumb, stuff may touch stuff of its class that it did not touch before.
        for region in touched:
            other = find(state.handle, region)
            if other != group and _one_stuff(stuff_class[like[other]], stuff_class[like[group]]):
                group = _join(state, area, lowest, like, contact_between(state, group, other), group)
        if area[group] < min_area_px:
            heapq.heappush(queue, (area[group], lowest[group], group))
    first, kind = np.empty(n, np.int64), np.empty(n, np.int64)
    for region in range(n):
        handle = find(state.handle, region)
        first[region], kind[region] = lowest[handle], like[handle]
    return first, kind


@njit(nogil=True, cache=True)
def _join(state, area, lowest, like, contact, model):  # type: ignore[no-untyped-def]
    """Unite the groups at a contact; the whole is what ``model``, a handle of one of them, was."""
    p, q = state.ends[contact, 0], state.ends[contact, 1]
    total, first, kind = area[p] + area[q], min(lowest[p], lowest[q]), like[model]
    group = unite(state, contact, [contact for _ in range(0)])
    area[group], lowest[group], like[group] = total, first, kind
    return group


@njit(nogil=True, cache=True)
def _one_stuff(first_class: int, second_class: int) -> bool:
    return first_class >= 0 and first_class == second_class
