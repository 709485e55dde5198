"""A graph of contacts that shrinks: groups of regions unite, and the contacts to common neighbours add up.

Each group keeps a list of its contacts. Where two unite, the shorter list moves into the longer one, so a
contact moves at most log2 times over a whole run of unions, also on chains and stars. A hash table finds the
contact of two groups; it holds contacts only, whose ends are looked up, so one that moved leaves nothing wrong
behind. Compiled functions over plain arrays; `geopanoptic.panoptic.graph.uniting` decides what unites.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.panoptic.contact_table import GOLDEN

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


FIRST, LAST, COUNT = range(3)
"""Columns of ``Contraction.lists``."""


class Contraction(NamedTuple):
    """The state, changed in place. A group goes by its *handle*, one of its regions."""

    ends: Int32
    """(m, 2) handles of the groups that a contact joins; -1 where it was added to another one, or is none now."""
    sums: Int64
    """(m, k) of each contact, see ``Contacts``."""
    pass_heat: NDArray[np.uint16]
    rank: Int32
    """(m,) the first of the original contacts that were added up in this one: the same for every layout."""
    handle: Int32
    """(n,) of every region one nearer to its group's handle, see ``forest.find_root``."""
    lists: Int32
    """(n, 3) first and last entry of a group's list, -1 where it is empty, and how many there are."""
    next_entry: Int32
    """(2 m,) entry 2 c + e stands in the list of end e of contact c."""
    slots: Int32
    """Contacts by the hash of their ends, linear probing, -1 where free."""
    n_filled: Int64
    """(1,) slots that are not free; more than there are contacts, since those that moved stand twice."""


@njit(nogil=True, cache=True)
def start(n: int, a: Int32, b: Int32, sums: Int64, pass_heat: NDArray[np.uint16], rank: Int32) -> Contraction:
    """Every one of ``n`` regions is a group; ``a``, ``b`` (m,) are its contacts, those of one pair added up.

    ``sums``, ``pass_heat`` and ``rank`` belong to the state from now on.
    """
    m = len(a)
    state = Contraction(
        np.empty((m, 2), np.int32),
        sums,
        pass_heat,
        rank,
        np.arange(n).astype(np.int32),
        np.full((n, 3), -1, np.int32),
        np.empty(2 * m, np.int32),
        np.full(_n_slots(m), -1, np.int32),
        np.zeros(1, np.int64),
    )
    state.lists[:, COUNT] = 0
    for contact in range(m):
        slot = _slot_of(state.slots, state.ends, a[contact], b[contact])
        if state.slots[slot] >= 0:
            _add(state, state.slots[slot], contact)
            continue
        state.ends[contact, 0], state.ends[contact, 1] = a[contact], b[contact]
        state.slots[slot] = contact
        state.n_filled[0] += 1
        _append(state.lists, state.next_entry, a[contact], 2 * contact)
        _append(state.lists, state.next_entry, b[contact], 2 * contact + 1)
    return state


@njit(nogil=True, cache=True)
def unite(state: Contraction, contact: int, grown: list[int]) -> np.int64:
    """Unite the two groups at a contact; returns the handle of both.

    ``grown`` receives the contacts that another one was added to.
    """
    ends, lists = state.ends, state.lists
    p, q = ends[contact, 0], ends[contact, 1]
    if lists[p, COUNT] < lists[q, COUNT]:
        p, q = q, p
    if 4 * (state.n_filled[0] + lists[q, COUNT]) > 3 * len(state.slots):
        _fill_slots(state)
    _end(state, contact)
    state.handle[q] = p
    entry = lists[q, FIRST]
    while entry >= 0:
        following = state.next_entry[entry]
        moving, end = entry >> 1, entry & 1
        if ends[moving, 0] >= 0:
            slot = _slot_of(state.slots, state.ends, p, ends[moving, 1 - end])
            kept = state.slots[slot]
            if kept >= 0:
                _add(state, kept, moving)
                grown.append(kept)
            else:
                ends[moving, end] = p
                state.slots[slot] = moving
                state.n_filled[0] += 1
                _append(state.lists, state.next_entry, p, entry)
        entry = following
    return np.int64(p)


@njit(nogil=True, cache=True, inline="always")
def _add(state: Contraction, kept: int, other: int) -> None:
    """Add a contact to the one of the same two groups that is kept."""
    for column in range(state.sums.shape[1]):
        state.sums[kept, column] += state.sums[other, column]
    state.pass_heat[kept] = max(state.pass_heat[kept], state.pass_heat[other])
    state.rank[kept] = min(state.rank[kept], state.rank[other])
    _end(state, other)


@njit(nogil=True, cache=True, inline="always")
def _end(state: Contraction, contact: int) -> None:
    state.ends[contact, 0] = state.ends[contact, 1] = -1


@njit(nogil=True, cache=True)
def _n_slots(n_contacts: int) -> int:
    """A power of two: in one union, every contact may come to stand twice."""
    n_slots = 64
    while n_slots < 3 * n_contacts:
        n_slots *= 2
    return n_slots


@njit(nogil=True, cache=True)
def _fill_slots(state: Contraction) -> None:
    """Put just the contacts that there are into the table."""
    state.slots[:] = -1
    state.n_filled[0] = 0
    for contact in range(len(state.ends)):
        p, q = state.ends[contact, 0], state.ends[contact, 1]
        if p >= 0:
            state.slots[_slot_of(state.slots, state.ends, p, q)] = contact
            state.n_filled[0] += 1


@njit(nogil=True, cache=True, inline="always")
def _slot_of(slots: Int32, ends: Int32, p: int, q: int) -> np.int64:
    """Where the contact of two groups is, or the free slot where it would be."""
    last = len(slots) - 1
    low, high = min(p, q), max(p, q)
    slot = ((np.int64(low) << 32 | np.int64(high)) * GOLDEN >> 20) & last
    while slots[slot] >= 0:
        contact = slots[slot]
        end, other = ends[contact, 0], ends[contact, 1]
        if min(end, other) == low and max(end, other) == high:
            break
        slot = (slot + 1) & last
    return slot


@njit(nogil=True, cache=True, inline="always")
def _append(lists: Int32, next_entry: Int32, group: int, entry: int) -> None:
    if lists[group, FIRST] < 0:
        lists[group, FIRST] = entry
    else:
        next_entry[lists[group, LAST]] = entry
    next_entry[entry] = -1
    lists[group, LAST] = entry
    lists[group, COUNT] += 1
