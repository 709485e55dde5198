"""Boundary F-score against distance transforms of whole maps, and contacts with tile borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geopanoptic.evaluation.metrics.boundaries import BoundaryTally, SeamContacts

labels = arrays(np.int64, (12, 10), elements=st.integers(-1, 3))
WHOLE = (slice(None), slice(None))


def edges(labels):
    right = np.pad(labels, ((0, 0), (0, 1)), mode="edge")[:, 1:]
    below = np.pad(labels, ((0, 1), (0, 0)), mode="edge")[1:]
    return (labels != right) | (labels != below)


@given(predicted=labels, true=labels, tolerance=st.integers(1, 30))
def test_equals_distances(predicted, true, tolerance):
    predicted = np.maximum(predicted, 0)
    tally = BoundaryTally(tolerance_px=tolerance)
    tally.add(predicted, true, WHOLE)
    unknown = true < 0
    near_unknown = unknown.copy()
    near_unknown[:, :-1] |= unknown[:, 1:]
    near_unknown[:-1] |= unknown[1:]
    ours, theirs = edges(predicted) & ~near_unknown, edges(true) & ~near_unknown

    def near(some, others):
        if not others.any():
            return 0
        return int((ndimage.distance_transform_edt(~others)[some] <= tolerance).sum())

    assert (tally.predicted, tally.true) == (ours.sum(), theirs.sum())
    assert (tally.predicted_near, tally.true_near) == (near(ours, theirs), near(theirs, ours))


@given(predicted=labels, true=labels, cut=st.integers(0, 12))
def test_blocks_with_a_halo_add_up(predicted, true, cut):
    predicted = np.maximum(predicted, 0)
    whole, parts = BoundaryTally(tolerance_px=2), BoundaryTally(tolerance_px=2)
    whole.add(predicted, true, WHOLE)
    for start, stop in ((0, cut), (cut, 12)):
        low, high = max(start - parts.halo_px, 0), min(stop + parts.halo_px, 12)
        parts.add(predicted[low:high], true[low:high], (slice(start - low, stop - low), slice(None)))
    assert parts == whole


def test_the_score_of_the_same_and_of_a_moved_map():
    true = np.zeros((20, 20), int)
    true[5:15, 5:15] = 1
    same, moved = BoundaryTally(tolerance_px=2), BoundaryTally(tolerance_px=2)
    same.add(true, true, WHOLE)
    moved.add(np.roll(true, 4, 1), true, WHOLE)
    assert same.f_score == 1.0
    assert 0 < moved.f_score < 0.8


def test_a_map_without_boundaries_has_no_score():
    tally = BoundaryTally(tolerance_px=1)
    tally.add(np.zeros((3, 3), int), np.eye(3, dtype=int), WHOLE)
    assert np.isnan(tally.f_score)


def test_contacts_with_the_lattice():
    labels = np.array([[1, 1, 2, 3, 3, 3, 4, 5]])
    contacts = SeamContacts(5, tile_px=3)
    # Columns of the lattice: 1..8, with borders after 2, 5 and 8.
    contacts.add(labels, row0=1, col0=1)
    assert np.flatnonzero(contacts.touching).tolist() == [1, 2, 3, 5]


@pytest.mark.parametrize("cut", range(1, 9))
def test_contacts_do_not_depend_on_blocks(cut):
    rng = np.random.default_rng(cut)
    labels = rng.integers(0, 30, (9, 9))
    whole, parts = SeamContacts(29, tile_px=4), SeamContacts(29, tile_px=4)
    whole.add(labels, row0=0, col0=0)
    parts.add(labels[:cut], row0=0, col0=0)
    parts.add(labels[cut:], row0=cut, col0=0)
    np.testing.assert_array_equal(whole.touching, parts.touching)


def test_the_edge_of_the_raster_is_no_border_of_tiles():
    contacts = SeamContacts(2, tile_px=4)
    contacts.add(np.array([[1, 1], [1, 1], [1, 1], [2, 2], [2, 2]]), row0=0, col0=0)
    assert np.flatnonzero(contacts.touching).tolist() == [2]
