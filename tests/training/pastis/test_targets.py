"""The official centre targets, and the real ones they must equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geopanoptic.training.pastis.targets import centre_targets, numbered


def test_the_centre_is_the_middle_of_the_grown_box() -> None:
    instances = np.zeros((12, 20), np.int32)
    instances[2:5, 4:14] = 1
    instances[4, 4:14] = 0
    instances[0, 0] = 2
    targets = centre_targets(instances)
    np.testing.assert_array_equal(targets.box_px, [[2, 4, 4, 14], [0, 0, 1, 1]])
    # Rows 1 to 4 and columns 3 to 14; at the edge of the patch rows and columns 0 to 1.
    np.testing.assert_array_equal(targets.centre_px, [[2, 8], [0, 0]])
    assert targets.heatmap_hw[2, 8] == targets.heatmap_hw[0, 0] == 1
    sigma = 0.3 / 1.7 / 3 * 11
    assert targets.heatmap_hw[2, 9] == pytest.approx(np.exp(-1 / (2 * sigma**2)))


@given(arrays(np.int32, (9, 11), elements=st.integers(0, 6)))
def test_every_parcel_has_its_centre_and_zones_are_the_highest_heat(labels: np.ndarray) -> None:
    instances = numbered(labels, labels)
    targets = centre_targets(instances)
    n = int(instances.max())
    assert len(targets.centre_px) == n
    assert (targets.heatmap_hw[tuple(targets.centre_px.T)] == 1).all()
    assert targets.zones_hw.min() == (1 if n else 0)
    assert 0 <= targets.heatmap_hw.min() <= targets.heatmap_hw.max() <= 1
    for number in range(1, n + 1):
        alone = centre_targets((instances == number).astype(np.int32)).heatmap_hw
        assert (targets.heatmap_hw >= alone).all()
        np.testing.assert_array_equal(
            targets.heatmap_hw[targets.zones_hw == number], alone[targets.zones_hw == number]
        )


@given(arrays(np.int32, (23, 31), elements=st.integers(0, 8)), st.integers(1, 12))
def test_zones_are_those_of_a_distance_transform_with_every_parcels_own_metric(
    labels: np.ndarray, spared_px: int
) -> None:
    labels[:, spared_px:] = 0  # ground that is far from all parcels
    instances = numbered(labels, labels)
    targets = centre_targets(instances)
    if not len(targets.centre_px):
        return
    distances = []
    for (row0, col0, row1, col1), centre in zip(targets.box_px, targets.centre_px, strict=True):
        sides = np.array([min(row1, 22) - max(row0 - 1, 0), min(col1, 30) - max(col0 - 1, 0)])
        elsewhere = np.ones(labels.shape, bool)
        elsewhere[tuple(centre)] = False
        distances.append(ndimage.distance_transform_edt(elsewhere, sampling=1 / (0.3 / 1.7 / 3 * sides)))
    distance_nhw = np.stack(distances)
    assert np.abs(np.exp(-(distance_nhw.min(0) ** 2) / 2) - targets.heatmap_hw).max() < 1e-6
    own = np.take_along_axis(distance_nhw, targets.zones_hw[None] - 1, axis=0)[0]
    np.testing.assert_allclose(own, distance_nhw.min(0), rtol=1e-6)


def test_zones_of_parcels_of_one_size_are_voronoi_cells_of_their_centres() -> None:
    instances = np.zeros((128, 128), np.int32)
    rng = np.random.default_rng(1)
    for number, place in enumerate(rng.choice(15 * 15, 40, replace=False), 1):
        row, col = 2 + 8 * (place // 15), 2 + 8 * (place % 15)
        instances[row : row + 5, col : col + 5] = number
    targets = centre_targets(instances)
    seeds = np.ones(instances.shape, bool)
    seeds[tuple(targets.centre_px.T)] = False
    distance, (rows, cols) = ndimage.distance_transform_edt(seeds, return_indices=True)
    to_own = np.hypot(*(np.indices(instances.shape) - targets.centre_px.T[:, targets.zones_hw - 1]))
    np.testing.assert_allclose(to_own, distance, atol=1e-6)
    same = targets.zones_hw[rows, cols] == targets.zones_hw
    # A pixel as far from one centre as from another may belong to either.
    assert same.mean() > 0.95


def test_gaps_in_the_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="without gaps"):
        centre_targets(np.array([[0, 2]]))


def test_background_is_no_instance() -> None:
    parcels, target = np.array([[70, 50, 60]]), np.array([[1, 0, 19]])
    np.testing.assert_array_equal(numbered(parcels, target), [[2, 0, 1]])


@pytest.mark.realdata
def test_the_heat_equals_the_official_one_of_the_real_patches(shared_data: Path) -> None:
    folder = shared_data / "pastis-labels"
    heatmaps = sorted((folder / "INSTANCE_ANNOTATIONS").glob("HEATMAP_*.npy"))
    assert len(heatmaps) == 9
    parcels_seen = 0
    for path in heatmaps:
        official = np.load(path)
        parcels = np.load(folder / "ANNOTATIONS" / path.name.replace("HEATMAP", "ParcelIDs"))
        # Which declared parcels have one of the classes is in TARGET, which is not there: those whose centre is
        # marked. Whether they explain the whole heat, pixel by pixel, is what is tested.
        everything = numbered(parcels, parcels)
        marked = official[tuple(centre_targets(everything).centre_px.T)] == 1
        target = np.concatenate([[0], marked])[everything]
        targets = centre_targets(numbered(parcels, target))
        assert np.abs(targets.heatmap_hw - official).max() < 1e-6
        assert (targets.heatmap_hw == 1).sum() == (official == 1).sum()
        parcels_seen += len(targets.centre_px)
    assert parcels_seen > 600
