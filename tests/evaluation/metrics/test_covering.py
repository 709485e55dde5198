"""Covering, class IoU, over- and under-segmentation: worked examples and invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.evaluation.metrics.contingency import Tally, contingency
from geopanoptic.evaluation.metrics.covering import class_iou, parsing_covering, segmentation_errors
from geopanoptic.evaluation.metrics.matching import overlap_of


def compared(predicted, true, outside="count"):
    predicted, true = np.atleast_2d(predicted), np.atleast_2d(true)
    n, m = int(predicted.max()), int(true.max())
    ours, theirs = Segments.of(np.ones(n, int)), Segments.of(np.ones(m, int))
    table = contingency(predicted, true, n_predicted=n, n_true=m)
    return overlap_of(table, ours, theirs, outside=outside), table, ours, theirs


def test_covering_weighs_by_true_size():
    overlap, *_, theirs = compared([1, 1, 1, 1, 0, 0], [1, 1, 2, 2, 2, 2])
    # Object 1: 2 of 4; object 2: 2 of 6.
    assert parsing_covering(overlap, theirs)[1] == pytest.approx((2 * 2 / 4 + 4 * 2 / 6) / 6)


def test_covering_leaves_void_out():
    overlap, *_, theirs = compared([1, 1, 1], [1, 1, -1])
    assert parsing_covering(overlap, theirs) == {1: 1.0}


def test_class_iou():
    predicted, true = np.array([[1, 1, 2, 2, 0]]), np.array([[1, 1, 1, 2, -1]])
    table = contingency(predicted, true, n_predicted=2, n_true=2)
    kinds = Segments.of(np.array([1, 2]))
    assert class_iou(table, kinds, kinds, outside="count") == {1: 2 / 3, 2: 1 / 2}


def test_a_class_without_true_ground_has_no_iou():
    table = contingency(np.array([[1]]), np.array([[0]]), n_predicted=1, n_true=0)
    assert class_iou(table, Segments.of(np.array([1])), Segments.of(np.zeros(0, int)), outside="count") == {}


def test_a_split_and_a_merge():
    #                   split           merge           missed
    true = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4]
    pred = [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 0, 0]
    overlap, *_ = compared(pred, true)
    errors = segmentation_errors(overlap, np.array([False, True, True, True, True]))
    assert errors.splits.tolist() == [1]
    assert errors.merges.tolist() == [3]
    # Objects 1 to 4: 1 - 3/6, 1 - 3/3, 1 - 2/2, and 1 for the one that nothing overlaps.
    assert errors.over == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    # Their predictions: 1 - 3/3, 1 - 3/5, 1 - 2/5.
    assert errors.under == pytest.approx((0 + 0.4 + 0.6) / 3)
    assert errors.distance == pytest.approx(np.hypot(errors.over, errors.under) / np.sqrt(2))


labels = arrays(np.int64, (7, 9), elements=st.integers(0, 5))


@given(predicted=labels, true=labels, cuts=st.lists(st.integers(0, 7), max_size=4))
def test_the_table_does_not_depend_on_blocks(predicted, true, cuts):
    whole = contingency(predicted, true, n_predicted=5, n_true=5)
    tally = Tally(n_predicted=5, n_true=5)
    edges = [0, *sorted(cuts), 7]
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        tally.add(predicted[start:stop], true[start:stop])
    parts = tally.result()
    for name in ("predicted", "true", "shared_px"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert whole.shared_px.sum() == predicted.size
    np.testing.assert_array_equal(whole.predicted_px, np.bincount(predicted.ravel(), minlength=6))
    np.testing.assert_array_equal(whole.true_px[:-1], np.bincount(true.ravel(), minlength=6))


@given(labels=labels)
def test_a_map_covers_itself(labels):
    if not labels.any():
        return
    overlap, table, ours, theirs = compared(labels, labels)
    assert parsing_covering(overlap, theirs) == {1: 1.0}
    assert class_iou(table, ours, theirs, outside="count") == {1: 1.0}
    errors = segmentation_errors(overlap, np.arange(len(theirs) + 1) > 0)
    assert (errors.over, errors.under, len(errors.splits), len(errors.merges)) == (0, 0, 0, 0)


def test_half_is_enough_for_a_part():
    overlap, *_ = compared([1, 1, 2, 2, 1, 1, 2, 2], [1, 1, 1, 1, 0, 0, 0, 0])
    assert segmentation_errors(overlap, np.array([False, True])).splits.tolist() == [1]


def test_crowds_are_left_out_of_class_iou():
    table = contingency(np.array([[1, 1, 0]]), np.array([[1, 2, 2]]), n_predicted=1, n_true=2)
    true = Segments.of(np.array([1, 1]), crowd=np.array([False, True]))
    assert class_iou(table, Segments.of(np.array([1])), true, outside="count") == {1: 1.0}
