"""A queue that yields contacts weakest first, where strengths never fall below the one that came out last.

Contacts wait in buckets of like strength, in no order; only those of the open bucket are in a heap, and a small
one. So most of the work is appending, where a heap of all of them misses the cache at every step. The order is
that of one heap, by (strength, rank), to the last bit. A calendar queue: Brown, CACM 31 (1988), 1220-1227.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_N_BUCKETS = 1 << 16


class ContactQueue(NamedTuple):
    """The state, changed in place. ``first`` (buckets,) and ``following`` (entries,) link what waits in a bucket,
    ``contact`` (entries,); -1 ends a list."""

    first: NDArray[np.int32]
    following: NDArray[np.int32]
    contact: NDArray[np.int32]
    n_entries: NDArray[np.int64]
    """(1,) entries that have ever waited."""
    opened: NDArray[np.int64]
    """(1,) the bucket whose contacts are in the heap; those before it are empty for good."""


@njit(nogil=True, cache=True)
def start_queue(most_entries: int) -> ContactQueue:
    """An empty queue, into which so many contacts will be put at most, also again ones counted."""
    return ContactQueue(
        np.full(_N_BUCKETS, -1, np.int32),
        np.empty(most_entries, np.int32),
        np.empty(most_entries, np.int32),
        np.zeros(1, np.int64),
        np.full(1, -1, np.int64),
    )


@njit(nogil=True, cache=True)
def put(queue, heap, contact, strength, rank):  # type: ignore[no-untyped-def]
    """Put in a contact, or one that is there already and has another strength now.

    ``heap``, a list of (strength, rank, contact), belongs to the queue; strengths are 0 to 1.
    """
    bucket = _bucket(strength)
    if bucket <= queue.opened[0]:
        heapq.heappush(heap, (strength, rank, contact))
        return
    entry = queue.n_entries[0]
    queue.n_entries[0] += 1
    queue.contact[entry], queue.following[entry] = contact, queue.first[bucket]
    queue.first[bucket] = entry


@njit(nogil=True, cache=True)
def open_next(queue, heap, strength, rank, ends):  # type: ignore[no-untyped-def]
    """Fill the empty ``heap`` from the next bucket with contacts; it stays empty where there is none.

    ``strength`` and ``rank`` (contacts,) and ``ends`` (contacts, 2), -1 for one that is none any more, are as they
    are by now: what is out of date stays behind.
    """
    while len(heap) == 0 and queue.opened[0] + 1 < _N_BUCKETS:
        queue.opened[0] += 1
        entry = queue.first[queue.opened[0]]
        while entry >= 0:
            contact = np.int64(queue.contact[entry])
            if ends[contact, 0] >= 0 and _bucket(strength[contact]) == queue.opened[0]:
                heap.append((strength[contact], rank[contact], contact))
            entry = queue.following[entry]
        heapq.heapify(heap)


@njit(nogil=True, cache=True)
def _bucket(strength: float) -> int:
    return int(min(strength * _N_BUCKETS, _N_BUCKETS - 1))
