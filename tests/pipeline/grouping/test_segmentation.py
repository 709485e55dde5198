"""P1: labels do not depend on tiles, blocks, batches or threads; and a perfect network gives the truth."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_maps import LAYOUTS, noisy_maps
from oracle import CHANNELS, segment_maps, truth_maps
from scipy import ndimage

from geopanoptic.panoptic.parcels.boosting import TreeEnsemble
from geopanoptic.panoptic.parcels.choice import LearnedRules
from geopanoptic.panoptic.parcels.scoring import FEATURES
from geopanoptic.training.synthetic import generate_scene


@pytest.fixture(scope="module")
def scene():
    return generate_scene((110, 95), seed=9)


@pytest.mark.parametrize(
    "case", ["truth", "noise", "plateaus", "giant parcel", "nodata", "no seed", "one seed"]
)
def test_labels_are_the_same_for_every_layout(case, scene, tmp_path):
    maps, valid = noisy_maps(1)
    changes = {"field": 0.15, "drop_field": 0.1, "merge_boundary": 0.45, "min_area_px": 12, "centre": 0.3}
    if case == "truth":
        maps, valid = truth_maps(scene.instances, scene.cover), np.ones(scene.instances.shape, bool)
    elif case == "plateaus":
        maps[6:] = np.round(maps[6:] * 4) / 4
    elif case == "giant parcel":
        maps[0], maps[1:6], maps[7], valid[:] = 1, 0, 0.1, True
        maps[6] = 0
        maps[6, 100, 100] = 1
    elif case == "nodata":
        valid[:] = False
    elif case in ("no seed", "one seed"):
        maps[6] = 0
        maps[6, 115, 95] = case == "one seed"
        valid[110:120, 90:100] = True
    results = [
        segment_maps(maps, valid, tmp_path / str(number), **layout, **changes)
        for number, layout in enumerate(LAYOUTS)
    ]
    labels, final = results[0]
    for other_labels, other in results[1:]:
        np.testing.assert_array_equal(other_labels, labels)
        np.testing.assert_array_equal(other.score, final.score)
        np.testing.assert_array_equal(other.class_index, final.class_index)
    if case == "giant parcel":
        assert final.n_regions == final.n_things == 1
    if case == "nodata":
        assert final.n_regions == 0
        assert not labels.any()


def test_labels_are_connected_regions_that_fill_the_valid_area(tmp_path):
    maps, valid = noisy_maps(5)
    labels, final = segment_maps(maps, valid, tmp_path, field=0.15, drop_field=0.1, min_area_px=9)
    np.testing.assert_array_equal(labels > 0, valid)
    assert cc3d.connected_components(labels, connectivity=4, return_N=True)[1] == final.n_regions
    np.testing.assert_array_equal(
        np.bincount(labels.ravel(), minlength=final.n_regions + 1)[1:], final.area_px
    )
    # Whatever has a neighbour is at least as large as asked.
    alone = {
        label
        for label in np.flatnonzero(final.area_px < 9) + 1
        if set(np.unique(labels[ndimage.binary_dilation(labels == label)])) <= {0, label}
    }
    assert set(np.flatnonzero(final.area_px < 9) + 1) == alone


def test_a_perfect_network_gives_the_true_parcels(scene, tmp_path):
    maps = truth_maps(scene.instances, scene.cover)
    valid = np.ones(scene.instances.shape, bool)
    labels, final = segment_maps(maps, valid, tmp_path, centre_radius_px=1, merge_boundary=0.0)
    found = labels * (labels <= final.n_things)
    n = int(scene.instances.max())
    both = np.zeros((n + 1, final.n_things + 1), np.int64)
    np.add.at(both, (scene.instances.ravel(), found.ravel()), 1)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    iou = (both / union)[1:, 1:].max(1)
    # The boundary is a plateau two pixels wide, and the forest may cut it on either side.
    assert final.n_things == n
    assert (iou > 0.5).all()
    assert iou.mean() > 0.9


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10_000),
    block_px=st.integers(5, 120),
    tile=st.integers(1, 8),
    workers=st.integers(1, 4),
)
def test_any_layout_gives_the_labels_of_one_block(seed, block_px, tile, workers, tmp_path_factory):
    maps, valid = noisy_maps(seed, (90, 70))
    assert maps.shape[0] == CHANNELS
    changes = {"field": 0.15, "drop_field": 0.2, "merge_boundary": 0.4, "min_area_px": 7, "centre": 0.2}
    folder = tmp_path_factory.mktemp("store")
    whole, _ = segment_maps(maps, valid, folder / "whole", tile_px=96, block_px=96, workers=1, **changes)
    parts, _ = segment_maps(
        maps, valid, folder / "parts", tile_px=16 * tile, block_px=block_px, workers=workers, **changes
    )
    np.testing.assert_array_equal(parts, whole)


def random_trees(rng: np.random.Generator, n_trees: int = 80) -> TreeEnsemble:
    """Trees of depth one that split any feature anywhere: a judgement nobody fitted."""
    feature = np.full((n_trees, 3), -1)
    feature[:, 0] = rng.integers(0, len(FEATURES), n_trees)
    root = 3 * np.arange(n_trees)
    children = np.full((2, n_trees, 3), -1)
    children[:, :, 0] = root + np.array([[1], [2]])
    return TreeEnsemble(
        base=0.4,
        root=root,
        feature=feature.ravel(),
        threshold=rng.uniform(0, 1, 3 * n_trees),
        left=children[0].ravel(),
        right=children[1].ravel(),
        value=rng.normal(0, 0.05, 3 * n_trees),
        n_features=len(FEATURES),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_learned_parcels_and_scores_are_the_same_for_every_layout(seed, tmp_path):
    maps, valid = noisy_maps(seed)
    choice = LearnedRules(
        trees=random_trees(np.random.default_rng(seed)), price=0.3, slope=5.0, offset=-2.0, min_area_px=12
    )
    changes = {"field": 0.15, "centre": 0.1, "centre_radius_px": 2, "choice": choice}
    results = [
        segment_maps(maps, valid, tmp_path / str(number), **layout, **changes)
        for number, layout in enumerate(LAYOUTS[:4])
    ]
    labels, final = results[0]
    assert final.n_things > 1
    assert len(np.unique(final.score[: final.n_things])) > 1
    for other_labels, other in results[1:]:
        np.testing.assert_array_equal(other_labels, labels)
        assert other.score.tobytes() == final.score.tobytes()
        np.testing.assert_array_equal(other.class_index, final.class_index)
