"""Crumbs: regions below the minimum area join a neighbour, the smallest first.

Only crumbs are ever asked for their contacts. A crumb joins a neighbour that is no smaller, so whatever is still one
has doubled, and looks along the same contact a few times at most.
"""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.graph.contacts import Contacts, Int64
from geopanoptic.panoptic.watershed.forest import find_root


def absorb_crumbs(
    contacts: Contacts, group: Int64, area_px: NDArray[np.integer], stuff_class: Int64, min_area_px: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each of n regions the lowest region of its final group, and the region whose kind that has.

    A region's ``group`` (n,) goes by its lowest region, as does the group's ``stuff_class`` (n,), -1 for a thing;
    ``area_px`` (n,) is the regions' own. Neighbouring stuff of one class is one group.
    Then, by (area, lowest region), the smallest group below ``min_area_px`` joins the neighbour with the
    longest contact, of equal ones that of the lowest region, and is what that was, until every group that
    has a neighbour is large enough. Both results int32 (n,).
    """
    joined = group.astype(np.int32)
    _join_stuff(contacts.a, contacts.b, joined, stuff_class)
    return _absorb(contacts.a, contacts.b, contacts.length_px, joined, area_px, stuff_class, min_area_px)  # type: ignore[no-any-return]


@njit(nogil=True, cache=True)
def _join_stuff(a, b, group, stuff_class):  # type: ignore[no-untyped-def]
    """Let groups of one class of stuff that touch be one, in place."""
    for contact in range(len(a)):
        p, q = find_root(group, a[contact]), find_root(group, b[contact])
        if p != q and _one_stuff(stuff_class[p], stuff_class[q]):
            group[max(p, q)] = min(p, q)
    for region in range(len(group)):
        group[region] = group[group[region]]


@njit(nogil=True, cache=True)
def _absorb(a, b, length_px, group, area_px, stuff_class, min_area_px):  # type: ignore[no-untyped-def]
    n = len(group)
    area = np.zeros(n, np.int64)
    for region in range(n):
        area[group[region]] += area_px[region]
    first, neighbour, along_px = _contacts_of_crumbs(a, b, length_px, group, area < min_area_px)
    # By the group's lowest region, the root in ``parent``: the region whose kind it has, and the last of its members.
    parent, like, last = group.copy(), group.copy(), np.arange(n).astype(np.int32)
    following = np.full(n, -1, np.int32)
    total_px = np.zeros(n, np.int64)
    touched = [np.int32(0) for _ in range(0)]
    queue = [area[g] << 32 | g for g in range(n) if group[g] == g and area[g] < min_area_px]
    heapq.heapify(queue)
    while len(queue):
        entry = heapq.heappop(queue)
        crumb = np.int32(entry & 0xFFFFFFFF)
        if parent[crumb] != crumb or area[crumb] != entry >> 32:
            continue
        touched.clear()
        member = crumb
        while member >= 0:
            for k in range(first[member], first[member + 1]):
                other = find_root(parent, neighbour[k])
                if other != crumb:
                    if total_px[other] == 0:
                        touched.append(other)
                    total_px[other] += along_px[k]
            member = following[member]
        if len(touched) == 0:
            continue
        longest = touched[0]
        for other in touched:
            more = total_px[other] - total_px[longest]
            if more > 0 or (more == 0 and other < longest):
                longest = other
        kind, whole = like[longest], _join(parent, area, following, last, crumb, longest)
        # Through the crumb, stuff may touch stuff of its class that it did not touch before.
        for region in touched:
            total_px[region] = 0
            other = find_root(parent, region)
            if other != whole and _one_stuff(stuff_class[like[other]], stuff_class[kind]):
                whole = _join(parent, area, following, last, whole, other)
        like[whole] = kind
        if area[whole] < min_area_px:
            heapq.heappush(queue, area[whole] << 32 | np.int64(whole))
    for region in range(n):
        parent[region] = parent[parent[region]]
        like[region] = like[parent[region]]
    return parent, like


@njit(nogil=True, cache=True)
def _contacts_of_crumbs(a, b, length_px, group, is_crumb):  # type: ignore[no-untyped-def]
    """Where each group's contacts begin (n + 1,), none unless it is a crumb; with which group; and how long they are."""
    first = np.zeros(len(group) + 2, np.int64)
    for contact in range(len(a)):
        p, q = group[a[contact]], group[b[contact]]
        first[p + 2] += is_crumb[p] and p != q
        first[q + 2] += is_crumb[q] and p != q
    first = np.cumsum(first)
    neighbour, along_px = np.empty(first[-1], np.int32), np.empty(first[-1], np.int64)
    for contact in range(len(a)):
        p, q = group[a[contact]], group[b[contact]]
        for here, there in ((p, q), (q, p)):
            if is_crumb[here] and p != q:
                neighbour[first[here + 1]], along_px[first[here + 1]] = there, length_px[contact]
                first[here + 1] += 1
    return first, neighbour, along_px


@njit(nogil=True, cache=True)
def _join(parent, area, following, last, p, q):  # type: ignore[no-untyped-def]
    """Make two groups one; returns its lowest region."""
    low, high = min(p, q), max(p, q)
    parent[high] = low
    area[low] += area[high]
    following[last[low]], last[low] = high, last[high]
    return low


@njit(nogil=True, cache=True)
def _one_stuff(first_class: int, second_class: int) -> bool:
    return first_class >= 0 and first_class == second_class
