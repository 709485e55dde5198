"""The official centre targets, and the real ones they must equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

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
