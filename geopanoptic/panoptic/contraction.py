"""A graph of contacts that shrinks: groups of regions unite, and the contacts to common neighbours add up.

Each group keeps a list of its contacts. Where two unite, the shorter list moves into the longer one, so a
contact moves at most log2 times over a whole run of unions, also on chains and stars. Compiled functions
over plain arrays; `geopanoptic.panoptic.merging` and `geopanoptic.panoptic.crumbs` decide what unites.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.typed import Dict
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


class Contraction(NamedTuple):
    """The state, changed in place. A group goes by its *handle*, one of its regions; see ``find``."""

    a: Int64
    b: Int64
    sums: Int64
    """(m, k) of each contact, see ``Contacts``."""
    pass_heat: Int64
    alive: NDArray[np.bool_]
    rank: Int64
    """(m,) the first of the original contacts that were added up in this one: the same for every layout."""
    handle: Int64
    first_entry: Int64
    last_entry: Int64
    n_entries: Int64
    next_entry: Int64
    """(2 m,) entry 2 c stands in the list of one end of contact c, entry 2 c + 1 in that of the other."""
    contact_of: dict[int, int]
    """Contact of two handles p < q, by p * n + q."""


@njit(nogil=True, cache=True)
def start(n: int, a: Int64, b: Int64, sums: Int64, pass_heat: Int64) -> Contraction:
    """Every one of ``n`` regions is a group; ``a``, ``b`` (m,) are its contacts, one per pair."""
    m = len(a)
    state = Contraction(
        a,
        b,
        sums.copy(),
        pass_heat.copy(),
        np.ones(m, np.bool_),
        np.arange(m),
        np.arange(n),
        np.full(n, -1, np.int64),
        np.full(n, -1, np.int64),
        np.zeros(n, np.int64),
        np.full(2 * m, -1, np.int64),
        Dict.empty(types.int64, types.int64),
    )
    for contact in range(m):
        _append(state, a[contact], 2 * contact)
        _append(state, b[contact], 2 * contact + 1)
        state.contact_of[a[contact] * n + b[contact]] = contact
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
    return state.contact_of[min(p, q) * len(state.handle) + max(p, q)]


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
    handle[q] = p
    n = len(handle)
    entry = state.first_entry[q]
    while entry >= 0:
        following = state.next_entry[entry]
        moving = entry >> 1
        if state.alive[moving]:
            other = other_end(handle, state.a[moving], state.b[moving], p)
            key = min(p, other) * n + max(p, other)
            if key in state.contact_of:
                kept = state.contact_of[key]
                for column in range(state.sums.shape[1]):
                    state.sums[kept, column] += state.sums[moving, column]
                state.pass_heat[kept] = max(state.pass_heat[kept], state.pass_heat[moving])
                state.rank[kept] = min(state.rank[kept], state.rank[moving])
                state.alive[moving] = False
                grown.append(kept)
            else:
                state.contact_of[key] = moving
                _append(state, p, entry)
        entry = following
    return p


@njit(nogil=True, cache=True)
def _append(state: Contraction, group: int, entry: int) -> None:
    if state.first_entry[group] < 0:
        state.first_entry[group] = entry
    else:
        state.next_entry[state.last_entry[group]] = entry
    state.next_entry[entry] = -1
    state.last_entry[group] = entry
    state.n_entries[group] += 1
