"""Dense targets against what a person would draw, and against slow direct computation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.patches.targets import IGNORED, dense_targets


def blocks(seed: int, size_px: int = 48) -> NDArray[np.int32]:
    """Random rectangles over background and some unlabelled pixels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((size_px, size_px), np.int32)
    for number in range(1, 9):
        row, col = rng.integers(0, size_px - 6, 2)
        height, width = rng.integers(3, 20, 2)
        labels[row : row + height, col : col + width] = number * 7
    labels[:4, -6:] = -1
    return labels


def peaks(centre: NDArray[np.uint8], of: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.argwhere(of & (centre == centre[of].max()))


@given(st.integers(0, 500))
def test_heat_peaks_once_inside_every_instance(seed: int) -> None:
    labels = blocks(seed)
    targets = dense_targets(labels)
    assert not targets.centre_hw[labels <= 0].any()
    for number in np.unique(labels[labels > 0]):
        assert targets.centre_hw[labels == number].max() == 255


@given(st.integers(0, 500))
def test_distance_is_zero_outside_and_one_at_the_deepest_point(seed: int) -> None:
    labels = blocks(seed)
    distance = dense_targets(labels).distance_hw
    assert not distance[labels <= 0].any()
    for number in np.unique(labels[labels > 0]):
        inside = labels == number
        padded = np.pad(inside, 1, mode="edge")  # the raster's edge is no boundary
        depth = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
        if padded.all():
            continue
        assert distance[inside].max() == 255
        assert distance[inside & (depth == depth.max())].min() >= 200


@given(st.integers(0, 500))
def test_boundary_is_both_sides_of_every_edge(seed: int) -> None:
    labels = blocks(seed)
    expected = np.zeros(labels.shape, bool)
    for row, col in np.ndindex(labels.shape):
        for step in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            there = row + step[0], col + step[1]
            if min(there) < 0 or max(there) >= len(labels):
                continue
            pair = labels[row, col], labels[there]
            expected[row, col] |= pair[0] != pair[1] and max(pair) > 0
    band = dense_targets(labels).boundary_hw
    assert (band[labels < 0] == IGNORED).all()
    np.testing.assert_array_equal(band[labels >= 0], expected[labels >= 0])


def test_centre_of_an_l_shape_is_inside_it() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[5:55, 5:15] = 1
    labels[45:55, 5:55] = 1
    (row, col), *others = peaks(dense_targets(labels).centre_hw, labels == 1)
    assert not others
    assert labels[row, col] == 1


def test_centre_of_a_strip_is_its_middle_and_its_heat_is_long() -> None:
    labels = np.zeros((30, 120), np.int32)
    labels[12:18, 10:110] = 1
    centre = dense_targets(labels).centre_hw
    row, col = peaks(centre, labels == 1).mean(axis=0)
    assert (row, col) == pytest.approx((14.5, 59.5), abs=1)
    assert (centre[int(row)] > 127).sum() > 3 * (centre[:, int(col)] > 127).sum()


def test_small_instances_weigh_more_and_unlabelled_pixels_nothing() -> None:
    labels = np.zeros((100, 100), np.int32)
    labels[10:60, 10:60], labels[70:76, 70:76], labels[90:, :] = 1, 2, -1
    weight = dense_targets(labels).weight_hw
    assert weight[73, 73] > weight[30, 30]
    assert weight[5, 5] == 1
    assert not weight[90:].any()


def test_an_edge_towards_no_data_is_not_a_boundary() -> None:
    labels = np.ones((20, 20), np.int32)
    valid = np.ones((20, 20), bool)
    valid[:, 10:] = False
    unlabelled = np.where(valid, labels, -1).astype(np.int32)
    assert (dense_targets(labels, valid).boundary_hw[:, 9] == IGNORED).all()
    assert (dense_targets(unlabelled).boundary_hw[:, 9] == 1).all()


def test_instances_cut_by_the_edge_count_less_for_their_shape() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, :10], labels[10:20, 15:25] = 1, 2
    targets = dense_targets(labels)
    assert targets.shape_weight_hw[15, 5] < targets.weight_hw[15, 5]
    assert targets.shape_weight_hw[15, 20] == targets.weight_hw[15, 20]


@pytest.mark.parametrize("first_valid_col", [0, 12])
def test_a_parcel_without_an_edge_in_sight_has_no_shape(first_valid_col: int) -> None:
    valid = np.zeros((40, 40), bool)
    valid[:, first_valid_col:] = True
    targets = dense_targets(np.ones((40, 40), np.int32), valid)
    assert not targets.shape_weight_hw.any()
    assert (targets.weight_hw[valid] > 0).all()
    assert (targets.distance_hw[valid] == 255).all()


@pytest.mark.parametrize("value", [-1, 0, 4])
def test_rasters_of_one_value(value: int) -> None:
    targets = dense_targets(np.full((16, 16), value, np.int32))
    assert targets.centre_hw.max() == (255 if value > 0 else 0)
    assert not (targets.boundary_hw == 1).any()


@settings(max_examples=20)
@given(st.integers(0, 500), st.sampled_from([3, 5_000_000]))
def test_what_the_ids_are_does_not_matter(seed: int, factor: int) -> None:
    instances = blocks(seed)
    renamed = np.where(instances > 0, instances * factor, instances).astype(np.int32)
    one, other = dense_targets(instances), dense_targets(renamed)
    for name in ("centre_hw", "distance_hw", "boundary_hw", "weight_hw"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
