"""Repair of the region graph: against loops over pixels, and rule by rule on graphs made by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.panoptic.graph.contacts import BOUNDARY
from geopanoptic.panoptic.graph.pieces import FIELD
from geopanoptic.panoptic.graph.regions import RegionGraph
from geopanoptic.panoptic.parcels.repair import PanopticRegions, RepairRules, repair

from ..made_graphs import contacts_of, graph
from ..pixel_repair import repair_pixels
from ..pixel_scenes import Scene, connected, scene

seeds = st.integers(0, 2**32 - 1)
thresholds = st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.7, 1.0])
all_rules = st.builds(
    RepairRules,
    merge_boundary=thresholds,
    drop_field=thresholds,
    min_area_px=st.sampled_from([0, 1, 2, 3, 5, 9, 30, 1000]),
)


def final_labels(shown: Scene, rules: RepairRules, block: tuple[int, int]):  # type: ignore[no-untyped-def]
    graph, region = shown.regions(shown.windows(block))
    final = repair(graph, rules)
    return np.concatenate([final.final_label, np.zeros(1, np.int32)])[region], final


@settings(max_examples=150)
@given(seed=seeds, rules=all_rules)
def test_equals_the_rules_applied_pixel_by_pixel(seed, rules):
    shown = scene(seed, max_side_px=12)
    labels, final = final_labels(shown, rules, shown.valid.shape)
    reference = repair_pixels(shown, rules)
    expected, names = reference.labels()
    np.testing.assert_array_equal(labels, expected)
    assert final.n_things == sum(reference.is_thing[name] for name in names)
    assert final.class_index.tolist() == [reference.class_index[name] for name in names]
    assert final.area_px.tolist() == [reference.area_px(name) for name in names]
    np.testing.assert_allclose(final.score, [reference.final_score(name) for name in names], rtol=1e-14)
    expected = [reference.final_class_score(name) for name in names]
    np.testing.assert_allclose(final.class_score, expected, rtol=1e-14)


@settings(max_examples=150)
@given(seed=seeds, rules=all_rules)
def test_final_regions_keep_every_promise(seed, rules):
    shown = scene(seed, max_side_px=40)
    labels, final = final_labels(shown, rules, shown.valid.shape)
    n = final.n_regions
    np.testing.assert_array_equal(labels > 0, shown.valid)
    # Every label is one 4-connected region, and no two regions of stuff of one class touch.
    assert connected(labels.astype(np.int64))[1] == n
    is_thing = np.arange(n) < final.n_things
    kind = np.concatenate([[0], np.where(is_thing, np.arange(n) + 1, -1 - final.class_index)])
    assert connected(kind[labels])[1] == n
    np.testing.assert_array_equal(np.bincount(labels.ravel(), minlength=n + 1)[1:], final.area_px)
    # Things and stuff each in the order of their first pixel.
    first_px = np.unique(labels[labels > 0], return_index=True)[1]
    assert (np.diff(first_px[: final.n_things]) > 0).all()
    assert (np.diff(first_px[final.n_things :]) > 0).all()
    # What is still small has no neighbour, and is no thing.
    with_neighbour = np.zeros(n + 1, bool)
    for here, there in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        apart = (here != there) & (here > 0) & (there > 0)
        with_neighbour[here[apart]] = with_neighbour[there[apart]] = True
    small = final.area_px < rules.min_area_px
    assert not (small & with_neighbour[1:]).any()
    assert not (small & is_thing).any()
    np.testing.assert_array_equal(np.isnan(final.score), ~is_thing)
    assert ((final.score[is_thing] >= 0) & (final.score[is_thing] <= 1)).all()


@given(seed=seeds, rules=all_rules, block=st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_any_blocks_give_the_labels_and_scores_of_one_block(seed, rules, block):
    shown = scene(seed, max_side_px=30)
    whole, of_whole = final_labels(shown, rules, shown.valid.shape)
    parts, of_parts = final_labels(shown, rules, block)
    np.testing.assert_array_equal(parts, whole)
    assert of_parts.score.tobytes() == of_whole.score.tobytes()
    assert of_parts.class_score.tobytes() == of_whole.class_score.tobytes()
    np.testing.assert_array_equal(of_parts.class_index, of_whole.class_index)


def repaired(shown: RegionGraph, **rules: float) -> PanopticRegions:
    return repair(shown, RepairRules(**({"merge_boundary": 0, "drop_field": 0, "min_area_px": 0} | rules)))


def test_merging_averages_over_the_whole_contact():
    # 0 and 1 merge first; their contact with 2 is then long and strong on average, so 2 stays apart.
    apart = graph([9, 9, 9], [(0, 1, 4, 10), (1, 2, 2, 50), (0, 2, 8, 250)])
    assert repaired(apart, merge_boundary=0.5).final_label.tolist() == [1, 1, 2]
    # With the strong part short, the average lies below the threshold.
    close = graph([9, 9, 9], [(0, 1, 4, 10), (1, 2, 8, 50), (0, 2, 1, 250)])
    assert repaired(close, merge_boundary=0.5).final_label.tolist() == [1, 1, 1]


def merged_by_queue(shown: RegionGraph, threshold: float) -> list[set[int]]:
    """Groups after merging the weakest contact of all, one at a time, in exact fractions."""
    contacts = shown.contacts
    groups = [{number} for number in range(len(shown.label))]
    while True:
        sums: dict[tuple[int, int], tuple[int, int]] = {}
        of_region = {member: number for number, group in enumerate(groups) for member in group}
        for number in range(len(contacts.a)):
            pair = tuple(sorted((of_region[contacts.a[number]], of_region[contacts.b[number]])))
            length_px, boundary_sum = sums.get(pair, (0, 0))
            if pair[0] != pair[1]:
                sums[pair] = (
                    length_px + int(contacts.length_px[number]),
                    boundary_sum + int(contacts.sums[number, BOUNDARY]),
                )
        strength = {pair: Fraction(boundary, 255 * length) for pair, (length, boundary) in sums.items()}
        weakest = min(strength, key=strength.__getitem__, default=None)
        if weakest is None or strength[weakest] >= threshold:
            return groups
        groups[weakest[0]] |= groups.pop(weakest[1])


@settings(max_examples=100)
@given(seed=seeds, n=st.integers(2, 25), threshold=st.floats(0, 1))
def test_merging_equals_a_search_for_the_weakest_of_all_contacts(seed, n, threshold):
    # Lengths and sums so large that no two strengths are equal: a tie may be decided either way.
    rng = np.random.default_rng(seed)
    pairs = np.array([(a, b) for a in range(n) for b in range(a + 1, n) if b == a + 1 or rng.random() < 0.3])
    length_px = rng.integers(10**6, 10**8, len(pairs))
    boundary_sum = (length_px * 255 * rng.random(len(pairs))).astype(np.int64)
    shown = replace(
        graph([1] * n, []), contacts=contacts_of(pairs[:, 0], pairs[:, 1], length_px, boundary_sum)
    )
    final = repaired(shown, merge_boundary=threshold)
    expected = sorted(map(sorted, merged_by_queue(shown, threshold)))
    assert [np.flatnonzero(final.final_label == k + 1).tolist() for k in range(final.n_regions)] == expected


def test_a_contact_at_the_threshold_stays():
    pair = graph([9, 9], [(0, 1, 3, 51)])
    assert repaired(pair, merge_boundary=51 / 255).n_things == 2
    assert repaired(pair, merge_boundary=np.nextafter(51 / 255, 1)).n_things == 1


def test_stuff_never_merges_over_a_weak_boundary():
    mixed = graph([9, 9, 9], [(0, 1, 3, 0), (1, 2, 3, 0)], stuff={1: 0, 2: 1})
    final = repaired(mixed, merge_boundary=1)
    assert (final.n_things, final.n_regions) == (1, 3)


@pytest.mark.parametrize(("field", "n_things"), [(127, 0), (128, 2)])
def test_doubtful_things_become_the_stuff_they_look_like(field, n_things):
    # Both look like class 2, so they become one region of it; with region 2 of class 0 they do not join.
    shown = graph([9, 4, 30], [(0, 1, 3, 255), (1, 2, 3, 255)], stuff={2: 0}, field=field)
    final = repaired(shown, drop_field=128 / 255)
    assert final.n_things == n_things
    assert final.class_index.tolist() == ([0, 0, 0] if n_things else [2, 0])
    assert final.area_px.tolist() == ([9, 4, 30] if n_things else [13, 30])


@pytest.mark.parametrize(("field", "classes"), [(204, [0, 1]), (203, [0, 2])])
def test_sure_field_in_no_parcel_is_open_ground_and_not_the_stuff_it_hardly_resembles(field, classes):
    # The field looks like class 2 and not at all like 1, the only open ground.
    shown = graph([9, 20], [(0, 1, 3, 255)], stuff={0: 0}, field=field)
    rules = RepairRules(merge_boundary=0, drop_field=1.1, min_area_px=0)
    assert repair(shown, rules, open_ground=(1,)).class_index.tolist() == classes
    assert repair(shown, rules).class_index.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("fields", "classes"), [((255, 190), [1, 0]), ((255, 160), [2, 0]), ((190, 255), [1, 0])]
)
def test_regions_that_are_one_are_field_together(fields, classes):
    # Neither parcel is large enough; with 20 and 30 px they are one, of mean field 216, 198 and 229 (204 are sure).
    shown = graph([20, 30, 90], [(0, 1, 3, 0), (1, 2, 3, 255)], stuff={2: 0})
    sums = shown.sums.copy()
    sums[:2, FIELD] = np.array(fields) * shown.area_px[:2]
    rules = RepairRules(merge_boundary=0.5, drop_field=0.99, min_area_px=0)
    assert repair(replace(shown, sums=sums), rules, open_ground=(1,)).class_index.tolist() == classes


def test_a_crumb_joins_its_longest_contact_and_takes_its_kind():
    shown = graph([100, 3, 50], [(0, 1, 2, 255), (1, 2, 5, 255), (0, 2, 9, 255)], stuff={2: 1})
    final = repaired(shown, min_area_px=4)
    assert final.final_label.tolist() == [1, 2, 2]
    assert final.class_index.tolist() == [0, 1]
    # Equal contacts: the neighbour that comes first.
    tie = graph([100, 3, 50], [(0, 1, 5, 255), (1, 2, 5, 255)], stuff={2: 1})
    assert repaired(tie, min_area_px=4).final_label.tolist() == [1, 1, 2]


def test_a_chain_of_crumbs_ends_in_its_largest_region():
    chain = graph([1, 2, 3, 100], [(0, 1, 1, 255), (1, 2, 2, 255), (2, 3, 3, 255)])
    final = repaired(chain, min_area_px=10)
    assert final.final_label.tolist() == [1, 1, 1, 1]
    assert final.area_px.tolist() == [106]


def test_crumbs_alone_grow_until_they_are_large_enough():
    crumbs = graph([3, 3, 3, 3], [(0, 1, 3, 255), (1, 2, 1, 255), (2, 3, 3, 255)])
    final = repaired(crumbs, min_area_px=6)
    assert final.final_label.tolist() == [1, 1, 2, 2]
    assert final.n_things == 2


def test_a_small_thing_without_neighbour_becomes_stuff():
    final = repaired(graph([3, 9], []), min_area_px=5)
    assert (final.n_things, final.n_regions) == (1, 2)
    assert final.final_label.tolist() == [2, 1]
    assert final.class_index.tolist() == [0, 2]


def test_score_is_the_geometric_mean_of_inside_and_along():
    shown = graph([9, 9, 9], [(0, 1, 3, 40), (0, 2, 1, 200)], stuff={2: 0}, field=204)
    final = repaired(shown)
    assert final.score[0] == pytest.approx((204 / 255 * (3 * 40 + 200) / (4 * 255)) ** 0.5)
    assert final.score[1] == pytest.approx((204 / 255 * 40 / 255) ** 0.5)
    assert np.isnan(final.score[2])
    assert repaired(graph([9], [], field=51)).score.tolist() == [pytest.approx(0.2)]


def test_no_region_at_all():
    final = repaired(graph([], []), merge_boundary=1, drop_field=1, min_area_px=100)
    assert (final.n_regions, final.n_things) == (0, 0)
    assert final.final_label.dtype == np.int32


def test_the_input_graph_is_left_as_it_was():
    shown = graph([1, 2, 3], [(0, 1, 1, 0), (1, 2, 2, 0)], stuff={2: 1})
    repaired(shown, merge_boundary=1, drop_field=1, min_area_px=9)
    assert shown.label.tolist() == [1, 2, -2]
    assert shown.contacts.length_px.tolist() == [1, 2]
