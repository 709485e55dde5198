"""The queue of contacts in buckets yields what one heap of all of them would."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.panoptic.contact_queue import open_next, put, start_queue


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), n_steps=st.sampled_from([1, 3, 255, 2**20]))
def test_contacts_come_out_as_from_one_heap(seed, n_steps):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    strength, rank = rng.integers(0, n_steps + 1, n) / n_steps, np.arange(n, dtype=np.int32)
    ends = np.zeros((n, 2), np.int32)
    queue, heap = start_queue.py_func(3 * n), []
    for contact in range(n):
        put.py_func(queue, heap, contact, strength[contact], contact)
    whole = [(strength[contact], contact, contact) for contact in range(n)]
    heapq.heapify(whole)
    changes, found, expected = n, [], []
    while whole:
        weakest, _, contact = heapq.heappop(whole)
        if ends[contact, 0] < 0 or strength[contact] != weakest:
            continue
        expected.append(contact)
        while True:
            open_next.py_func(queue, heap, strength, rank, ends)
            weakest, _, contact = heapq.heappop(heap)
            if ends[contact, 0] >= 0 and strength[contact] == weakest:
                break
        found.append(int(contact))
        ends[contact] = -1
        # As where contacts are added up: another one changes, but not to less than what came out last.
        alive = np.flatnonzero(ends[:, 0] >= 0)
        if len(alive) and changes and rng.random() < 0.7:
            changes -= 1
            other = int(rng.choice(alive))
            strength[other] = max(weakest, rng.integers(0, n_steps + 1) / n_steps)
            put.py_func(queue, heap, other, strength[other], other)
            heapq.heappush(whole, (strength[other], other, other))
    assert found == expected
    assert sorted(found) == list(range(n))
