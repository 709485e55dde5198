"""A table of contacts by pair of regions, in which sides add up as they are met.

Open addressing with linear probing: memory goes with the number of contacts, not of sides, and nothing is
sorted before the end. Compiled functions over plain arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

GOLDEN = -7046029254386353131
"""2^64 over the golden ratio: its multiples spread evenly (Knuth, The Art of Computer Programming 3, 6.4)."""


class ContactTable(NamedTuple):
    """Contacts by key ``a << 32 | b``, a < b. The first ``size[0]`` rows of the arrays are in use.

    ``slots`` int32, a power of two of them, hold rows or -1; ``sums`` (rows, 4) and ``pass_heat`` (rows,)
    are as in ``Contacts``.
    """

    slots: NDArray[np.int32]
    keys: Int64
    sums: Int64
    pass_heat: NDArray[np.uint16]
    size: Int64


@njit(nogil=True, cache=True)
def start_table() -> ContactTable:
    """An empty table."""
    return ContactTable(
        np.full(64, -1, np.int32),
        np.empty(32, np.int64),
        np.zeros((32, 4), np.int64),
        np.zeros(32, np.uint16),
        np.zeros(1, np.int64),
    )


@njit(nogil=True, cache=True)
def with_room(table: ContactTable, more: int) -> ContactTable:
    """The table, or a larger copy, with room for ``more`` contacts."""
    used = table.size[0]
    if used + more <= len(table.keys):
        return table
    n_slots = len(table.slots)
    while n_slots < 2 * (used + more):
        n_slots *= 2
    rows = n_slots // 2
    larger = ContactTable(
        np.full(n_slots, -1, np.int32),
        np.empty(rows, np.int64),
        np.zeros((rows, 4), np.int64),
        np.zeros(rows, np.uint16),
        table.size,
    )
    larger.keys[:used] = table.keys[:used]
    larger.sums[:used] = table.sums[:used]
    larger.pass_heat[:used] = table.pass_heat[:used]
    for row in range(used):
        larger.slots[_slot_of(larger, larger.keys[row])] = row
    return larger


@njit(nogil=True, cache=True)
def row_of(table: ContactTable, key: int) -> np.int32:
    """The row of a contact; a new one starts at zero. There must be room."""
    slot = _slot_of(table, key)
    if table.slots[slot] < 0:
        row = table.size[0]
        table.size[0] += 1
        table.slots[slot], table.keys[row] = row, key
    return table.slots[slot]


@njit(nogil=True, cache=True, inline="always")
def recent_slot(key: np.int64, n_slots: int) -> np.int64:
    """Where a small table of what was met last, in which newer keys replace older ones, has a key. ``n_slots`` is a
    power of two."""
    return (key * GOLDEN >> 40) & (n_slots - 1)


@njit(nogil=True, cache=True)
def _slot_of(table: ContactTable, key: int) -> int:
    """Where a key is or would be."""
    last = len(table.slots) - 1
    slot = ((key * GOLDEN) >> 20) & last
    while table.slots[slot] >= 0 and table.keys[table.slots[slot]] != key:
        slot = (slot + 1) & last
    return slot
