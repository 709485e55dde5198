"""Field that is in no chosen parcel runs on into one beside it, where hardly a boundary lies between."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geopanoptic.panoptic.graph.contacts import strength_of
from geopanoptic.panoptic.parcels.leftovers import OPEN_BOUNDARY, with_leftovers

from ..made_graphs import graph

OPEN, CLOSED = 10, 200
"""Boundary values (uint8) below and above the limit."""


def run_on(areas_px, contacts, node, **options):  # type: ignore[no-untyped-def]
    return with_leftovers(graph(areas_px, contacts, **options), np.array(node)).tolist()


def test_a_leftover_takes_the_side_of_its_weakest_contact_and_unites_nobody():
    contacts = [(0, 1, 9, OPEN), (1, 2, 3, OPEN - 5)]
    assert run_on([50, 20, 50], contacts, [7, -1, 8]) == [7, 8, 8]
    assert run_on([50, 20, 50], [(0, 1, 9, OPEN), (1, 2, 3, OPEN)], [7, -1, 8]) == [7, 7, 8]


def test_leftovers_run_on_through_each_other_but_not_across_a_boundary():
    contacts = [(0, 1, 9, OPEN), (1, 2, 9, OPEN), (2, 3, 9, CLOSED)]
    assert run_on([50, 20, 20, 20], contacts, [7, -1, -1, -1]) == [7, 7, 7, -1]


def test_what_is_hardly_field_and_what_is_stuff_stay():
    contacts = [(0, 1, 9, OPEN)]
    assert run_on([50, 20], contacts, [7, -1], field=127) == [7, -1]
    assert run_on([50, 20], contacts, [7, -1], field=128) == [7, 7]
    assert run_on([50, 20], contacts, [7, -1], stuff={1: 0}) == [7, -1]


@st.composite
def graphs(draw):  # type: ignore[no-untyped-def]
    n = draw(st.integers(2, 12))
    pairs = draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
    values = st.tuples(st.integers(1, 9), st.integers(0, 160))
    contacts = [(a, b, *draw(values)) for a, b in sorted(pairs) if a < b]
    stuff = draw(st.dictionaries(st.integers(0, n - 1), st.integers(0, 2), max_size=3))
    node = [-1 if at in stuff else draw(st.integers(-1, 2)) for at in range(n)]
    return graph([5] * n, contacts, stuff=stuff), np.array(node)


@given(graphs())
def test_every_leftover_that_can_reach_a_parcel_is_in_one_that_it_reaches(made):
    regions, node = made
    found = with_leftovers(regions, node)
    is_open = strength_of(regions.contacts.sums) < OPEN_BOUNDARY
    a, b = regions.contacts.a[is_open], regions.contacts.b[is_open]
    np.testing.assert_array_equal(found[node >= 0], node[node >= 0])
    takes_part = (node >= 0) | (regions.label > 0)
    assert (found[~takes_part] == -1).all()
    # None stays where a neighbour is in a parcel, and each is joined to its parcel by regions of the same one.
    between = takes_part[a] & takes_part[b]
    assert ((found[a[between]] >= 0) == (found[b[between]] >= 0)).all()
    alike = between & (found[a] == found[b])
    n = len(node)
    of_region = connected_components(
        coo_array((np.ones(alike.sum()), (a[alike], b[alike])), shape=(n, n)), False
    )[1]
    assert set(of_region[found >= 0]) == set(of_region[node >= 0])
