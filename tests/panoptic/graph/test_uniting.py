"""Average linkage in bands against a search for the weakest contact of all, on any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.panoptic.graph.contacts import gather_contacts
from geopanoptic.panoptic.graph.uniting import Links, unite_weakest_first
from geopanoptic.panoptic.parts import places_of, z_order

seeds = st.integers(0, 2**32 - 1)


def links_between(n: int, seed: int, n_strengths: int) -> Links:
    """A random graph, mostly between near numbers; with few strengths most contacts are equally strong."""
    rng = np.random.default_rng(seed)
    pairs = np.sort(
        rng.integers(0, n, (2 * n, 1)) + rng.geometric(0.4, (2 * n, 2)).cumsum(axis=1) - 1, axis=1
    )
    a, b = np.unique(pairs[pairs[:, 1] < n], axis=0).T
    length_px = rng.integers(1, 4, len(a))
    boundary = length_px * rng.integers(0, n_strengths, len(a))
    sums = np.stack([length_px, boundary, length_px, length_px], axis=1)
    pass_heat = rng.integers(0, 2**16, len(a)).astype(np.uint16)
    return Links(a.astype(np.int32), b.astype(np.int32), sums, pass_heat, np.arange(len(a), dtype=np.int32))


def united_one_by_one(links: Links) -> list[tuple]:
    """The two groups of every union, as sets of regions, and what is known of their contact, in order."""
    groups = {region: frozenset([region]) for region in (*links.a.tolist(), *links.b.tolist())}
    unions = []
    while True:
        contacts: dict[frozenset, tuple] = {}
        for a, b, sums, pass_heat, rank in zip(*(values.tolist() for values in links), strict=True):
            pair = frozenset([groups[a], groups[b]])
            if len(pair) == 2:
                total, highest, first = contacts.get(pair, ([0] * 4, 0, rank))
                total = [x + y for x, y in zip(total, sums, strict=True)]
                contacts[pair] = total, max(highest, pass_heat), min(first, rank)
        if not contacts:
            return unions
        pair, contact = min(
            contacts.items(), key=lambda each: (each[1][0][1] / (255.0 * each[1][0][0]), each[1][2])
        )
        unions.append((pair, *contact))
        for region in frozenset().union(*pair):
            groups[region] = frozenset().union(*pair)


@pytest.mark.parametrize("threads", [1, 2, 5])
@settings(max_examples=40)
@given(seed=seeds, n=st.integers(2, 40), n_strengths=st.sampled_from([1, 3, 250]), span=st.integers(1, 50))
def test_bands_unite_what_a_search_through_all_contacts_unites(threads, seed, n, n_strengths, span):
    links = links_between(n, seed, n_strengths)
    expected = united_one_by_one(links)
    given_links = Links(*(values.copy() for values in links))
    with ThreadPoolExecutor(threads) as pool:
        united = unite_weakest_first(n, given_links, pool.map, first_span=span)
    groups = {region: frozenset([region]) for region in range(n)}
    found = []
    for a, b, sums, pass_heat, rank in zip(*(values.tolist() for values in united), strict=True):
        found.append((frozenset([groups[a], groups[b]]), sums, pass_heat, rank))
        groups[a] |= groups[b]
    assert found == expected
    # What was given is as it was.
    for values, before in zip(given_links, links, strict=True):
        np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_contacts_are_gathered_the_same_on_any_number_of_threads(threads):
    rng = np.random.default_rng(4)
    a = rng.integers(0, 40_000, 50_000)
    b = np.clip(a + rng.integers(-2, 3, len(a)), 0, None)
    sums, pass_heat = rng.integers(0, 2**31, (len(a), 4)), rng.integers(0, 2**16, len(a)).astype(np.uint16)
    with ThreadPoolExecutor(threads) as pool:
        contacts = gather_contacts(a, b, sums, pass_heat, each=pool.map)
    expected: dict[tuple[int, int], list[int]] = {}
    for *pair, one, highest in zip(a.tolist(), b.tolist(), sums.tolist(), pass_heat.tolist(), strict=True):
        if pair[0] != pair[1]:
            total = expected.setdefault((min(pair), max(pair)), [0] * 5)
            total[:] = [*(x + y for x, y in zip(total[:4], one, strict=True)), max(total[4], highest)]
    found = np.column_stack([contacts.sums.astype(np.int64), contacts.pass_heat]).tolist()
    assert list(zip(contacts.a.tolist(), contacts.b.tolist(), strict=True)) == sorted(expected)
    assert found == [expected[pair] for pair in sorted(expected)]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(6, 70_000))
def test_places_of_every_number_are_found_in_order(numbers, n_parts):
    places = places_of(np.array(numbers, np.int32), n_parts)
    assert len(places) == n_parts
    for number, found in enumerate(places[:6]):
        assert found.tolist() == [place for place, each in enumerate(numbers) if each == number]


def test_a_curve_fills_every_quarter_of_a_square_before_the_next():
    rows, cols = np.divmod(np.arange(64), 8)
    place = z_order(rows, cols)
    assert np.sort(place).tolist() == list(range(64))
    assert set(zip(rows[place < 16].tolist(), cols[place < 16].tolist(), strict=True)) == {
        (row, col) for row in range(4) for col in range(4)
    }
