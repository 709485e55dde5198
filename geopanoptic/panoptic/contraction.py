"""A graph of contacts that shrinks: groups of regions unite, and the contacts to common neighbours add up.

Each group keeps a list of its contacts. Where two unite, the shorter list moves into the longer one, so a
contact moves at most log2 times over a whole run of unions, also on chains and stars. A hash table finds the
contact of two groups; it holds contacts only, whose ends are looked up, so one that moved leaves nothing wrong
behind. Compiled functions over plain arrays; `geopanoptic.panoptic.merging` and `geopanoptic.panoptic.crumbs` decide what unites.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.contact_table import GOLDEN

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class Contraction(NamedTuple):
    """The state, changed in place. A group goes by its *handle*, one of its regions; see ``find``."""

    a: Int32
    b: Int32
    sums: Int64
    """(m, k) of each contact, see ``Contacts``."""
    pass_heat: NDArray[np.uint16]
    alive: NDArray[np.bool_]
    rank: Int64
    """(m,) the first of the original contacts that were added up in this one: the same for every layout."""
    handle: Int64
    first_entry: Int32
    last_entry: Int32
    n_entries: Int32
    next_entry: Int32
    """(2 m,) entry 2 c stands in the list of one end of contact c, entry 2 c + 1 in that of the other."""
    slots: NDArray[np.int32]
    """Contacts by the hash of their ends, linear probing, -1 where free."""
    n_filled: Int64
    """(1,) slots that are not free; more than there are contacts, since those that moved stand twice."""


@njit(nogil=True, cache=True)
def start(
    n: int, a: Int32, b: Int32, sums: NDArray[np.integer], pass_heat: NDArray[np.uint16]
) -> Contraction:
    """Every one of ``n`` regions is a group; ``a``, ``b`` (m,) are its contacts, one per pair."""
    m = len(a)
    state = Contraction(
        a,
        b,
        sums.astype(np.int64),
        pass_heat.copy(),
        np.ones(m, np.bool_),
        np.arange(m),
        np.arange(n),
        np.full(n, -1, np.int32),
        np.full(n, -1, np.int32),
        np.zeros(n, np.int32),
        np.full(2 * m, -1, np.int32),
        np.empty(_n_slots(m), np.int32),
        np.zeros(1, np.int64),
    )
    for contact in range(m):
        _append(state, a[contact], 2 * contact)
        _append(state, b[contact], 2 * contact + 1)
    _fill_slots(state)
    return state


@njit(nogil=True, cache=True)
def find(handle: Int64, region: int) -> int:
    """The handle of the group that ``region`` is in."""
    while handle[region] != region:
        handle[region] = handle[handle[region]]
        region = handle[region]
    return region


@njit(nogil=True, cache=True)
def other_end(handle: Int64, a: int, b: int, group: int) -> int:
    """The handle at the other end of one of the group's contacts, ``a``-``b``."""
    end = find(handle, a)
    return find(handle, b) if end == group else end


@njit(nogil=True, cache=True)
def contact_between(state: Contraction, p: int, q: int) -> int:
    """The contact of two groups, by handle, that touch."""
    return state.slots[_slot_of(state, p, q)]


@njit(nogil=True, cache=True)
def unite(state: Contraction, contact: int, grown: list[int]) -> int:
    """Unite the two groups at a contact; returns the handle of both.

    ``grown`` receives the contacts that another one was added to.
    """
    handle = state.handle
    p, q = find(handle, state.a[contact]), find(handle, state.b[contact])
    state.alive[contact] = False
    if state.n_entries[p] < state.n_entries[q]:
        p, q = q, p
    if 4 * (state.n_filled[0] + state.n_entries[q]) > 3 * len(state.slots):
        _fill_slots(state)
    handle[q] = p
    entry = state.first_entry[q]
    while entry >= 0:
        following = state.next_entry[entry]
        moving = entry >> 1
        if state.alive[moving]:
            other = other_end(handle, state.a[moving], state.b[moving], p)
            # It already joins p and the other one: only another contact is looked for.
            state.alive[moving] = False
            slot = _slot_of(state, p, other)
            kept = state.slots[slot]
            if kept >= 0:
                for column in range(state.sums.shape[1]):
                    state.sums[kept, column] += state.sums[moving, column]
                state.pass_heat[kept] = max(state.pass_heat[kept], state.pass_heat[moving])
                state.rank[kept] = min(state.rank[kept], state.rank[moving])
                grown.append(kept)
            else:
                state.alive[moving] = True
                state.slots[slot] = moving
                state.n_filled[0] += 1
                _append(state, p, entry)
        entry = following
    return p


@njit(nogil=True, cache=True)
def _n_slots(n_contacts: int) -> int:
    """A power of two: in one union, every contact may come to stand twice."""
    n_slots = 64
    while n_slots < 3 * n_contacts:
        n_slots *= 2
    return n_slots


@njit(nogil=True, cache=True)
def _fill_slots(state: Contraction) -> None:
    """Put just the contacts that are alive into the table."""
    state.slots[:] = -1
    state.n_filled[0] = 0
    for contact in range(len(state.a)):
        if state.alive[contact]:
            p, q = find(state.handle, state.a[contact]), find(state.handle, state.b[contact])
            state.slots[_slot_of(state, p, q)] = contact
            state.n_filled[0] += 1


@njit(nogil=True, cache=True)
def _slot_of(state: Contraction, p: int, q: int) -> np.int64:
    """Where the contact of two groups is, or the free slot where it would be."""
    last = len(state.slots) - 1
    slot = ((np.int64(min(p, q)) << 32 | np.int64(max(p, q))) * GOLDEN >> 20) & last
    while state.slots[slot] >= 0 and not _joins(state, state.slots[slot], p, q):
        slot = (slot + 1) & last
    return slot


@njit(nogil=True, cache=True)
def _joins(state: Contraction, contact: int, p: int, q: int) -> bool:
    if not state.alive[contact]:
        return False
    end, other = find(state.handle, state.a[contact]), find(state.handle, state.b[contact])
    return (end == p and other == q) or (end == q and other == p)


@njit(nogil=True, cache=True)
def _append(state: Contraction, group: int, entry: int) -> None:
    if state.first_entry[group] < 0:
        state.first_entry[group] = entry
    else:
        state.next_entry[state.last_entry[group]] = entry
    state.next_entry[entry] = -1
    state.last_entry[group] = entry
    state.n_entries[group] += 1
