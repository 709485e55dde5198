"""The merge tree on graphs that are hard for it, and the choice of the best disjoint nodes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.panoptic.graph.merging import MergeTree, merge_tree
from geopanoptic.panoptic.parcels.disjoint import best_disjoint

from ..made_graphs import contacts_of, graph
from ..pixel_scenes import scene

seeds = st.integers(0, 2**32 - 1)


def members(tree: MergeTree) -> list[set[int]]:
    below = [{leaf} for leaf in range(tree.n_leaves)]
    for left, right in tree.children.tolist():
        below.append(below[left] | below[right])
    return below


@settings(max_examples=60)
@given(seed=seeds)
def test_every_merge_closes_the_contact_between_its_children(seed):
    shown = scene(seed, max_side_px=25)
    regions, _ = shown.regions(shown.windows(shown.valid.shape))
    tree = merge_tree(regions)
    below, contacts = members(tree), regions.contacts
    for merge, (left, right) in enumerate(tree.children.tolist()):
        between = [
            number
            for number, (a, b) in enumerate(zip(contacts.a.tolist(), contacts.b.tolist(), strict=True))
            if (a in below[left] and b in below[right]) or (b in below[left] and a in below[right])
        ]
        assert tree.contact_sums[merge].tolist() == contacts.sums[between].sum(axis=0).tolist()
        assert tree.pass_heat[merge] == contacts.pass_heat[between].max()
    # Average linkage is reducible: no parent is weaker than what it contains.
    joins = tree.parent >= 0
    assert (tree.strength[joins] <= tree.strength[tree.parent[joins]]).all()
    # No two roots of things touch, and stuff stays alone.
    root = np.arange(tree.n_nodes)
    for node in range(tree.n_nodes - 1, -1, -1):
        root[node] = node if tree.parent[node] < 0 else root[tree.parent[node]]
    thing = regions.label > 0
    both = thing[contacts.a] & thing[contacts.b]
    assert (root[contacts.a[both]] == root[contacts.b[both]]).all()
    assert (tree.parent[: tree.n_leaves][~thing] < 0).all()


@pytest.mark.parametrize("shape", ["chain", "star"])
def test_chains_and_stars_of_many_regions_are_no_harder(shape):
    n = 20_000
    a = np.arange(n - 1) if shape == "chain" else np.zeros(n - 1, np.int64)
    length_px = np.arange(1, n)
    shown = graph([9] * 2, [])
    contacts = contacts_of(a, np.arange(1, n), length_px, 7 * length_px)
    everything = {
        name: np.repeat(getattr(shown, name)[:1], n, axis=0)
        for name in ("label", "sums", "heat_max", "relief_min", "thing_sums", "stuff_counts")
    }
    tree = merge_tree(type(shown)(width_px=n, first_px=np.arange(n), contacts=contacts, **everything))
    # All contacts are equally strong: the first of them goes first.
    assert tree.children[0].tolist() == [0, 1]
    assert tree.children[1:].tolist() == [[k + 1, n + k - 1] for k in range(1, n - 1)]


@st.composite
def trees_with_gains(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    n = draw(st.integers(1, 6))
    roots, children = list(range(n)), []
    for _ in range(draw(st.integers(0, n - 1))):
        left, right = draw(st.permutations(roots))[:2]
        children.append((left, right))
        roots = [root for root in roots if root not in (left, right)] + [n + len(children) - 1]
    gain = [float(draw(st.integers(-5, 5))) for _ in range(n + len(children))]
    return n, np.array(children, np.int64).reshape(-1, 2), np.array(gain)


@given(trees_with_gains())
def test_the_chosen_nodes_have_the_greatest_sum_of_all_disjoint_sets(case):
    n, children, gain = case
    below = [{leaf} for leaf in range(n)]
    for left, right in children.tolist():
        below.append(below[left] | below[right])
    chosen = np.flatnonzero(best_disjoint(n, children, gain)).tolist()
    assert all(below[p].isdisjoint(below[q]) for p, q in combinations(chosen, 2))
    assert all(gain[node] > 0 for node in chosen)
    best = max(
        sum(gain[node] for node in nodes)
        for size in range(n + 1)
        for nodes in combinations(range(len(gain)), size)
        if all(below[p].isdisjoint(below[q]) for p, q in combinations(nodes, 2))
    )
    assert gain[chosen].sum() == best


def test_a_parent_wins_where_its_children_gain_the_same():
    children = np.array([[0, 1]])
    assert best_disjoint(2, children, np.array([1.0, 2.0, 3.0])).tolist() == [False, False, True]
    assert best_disjoint(2, children, np.array([1.0, 2.1, 3.0])).tolist() == [True, True, False]
    assert not best_disjoint(2, children, np.array([0.0, -np.inf, -1.0])).any()
