"""The table of contacts against a dictionary."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.panoptic.contact_table import row_of, start_table, with_room
from geopanoptic.panoptic.graph.contacts import compact, contacts_of, gather_contacts

regions = st.integers(0, 2**31 - 1)


@given(st.lists(st.tuples(regions, regions), max_size=60), st.integers(1, 20))
def test_rows_are_found_again_whatever_the_order(pairs, room):
    table, expected = start_table(), Counter()
    for low, high in map(sorted, pairs):
        if low == high:
            continue
        table = with_room(table, room)
        row = row_of(table, low << 32 | high)
        table.sums[row] += [1, 2, 3, 4]
        expected[low, high] += 1
    contacts = contacts_of(table)
    assert list(zip(contacts.a.tolist(), contacts.b.tolist(), strict=True)) == sorted(expected)
    assert contacts.sums.tolist() == [[n, 2 * n, 3 * n, 4 * n] for _, n in sorted(expected.items())]


def test_a_table_grows_to_any_number_of_contacts():
    keys = np.random.default_rng(4).permutation(5000) * 7919
    table = start_table()
    for key in keys.tolist():
        table = with_room(table, 1)
        row_of(table, key << 32 | (key + 1))
    assert contacts_of(table).a.tolist() == sorted(keys.tolist())


def test_sums_beyond_32_bits_are_kept():
    most = np.iinfo(np.uint32).max
    sums = np.array([[most, 0, 1, most]] * 2, np.uint32)
    contacts = gather_contacts(np.array([3, 1]), np.array([1, 3]), sums, np.array([5, 9], np.uint16))
    assert contacts.sums.tolist() == [[2 * most, 0, 2, 2 * most]]
    assert contacts.pass_heat.tolist() == [9]
    assert compact(np.array([most])).dtype == np.uint32
    assert compact(np.array([most + 1])).dtype == np.int64
