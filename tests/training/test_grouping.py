"""Fitting the grouping: on scenes whose truth is known, with layers as an imperfect network says them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from geopanoptic.errors import UsageError
from geopanoptic.panoptic.parcels.choice import RepairRules
from geopanoptic.panoptic.parcels.scoring import FEATURES
from geopanoptic.pipeline.grouping.rules import GroupingRules, learned_rules
from geopanoptic.training.candidates import Candidates, DenseImage, find_candidates

pytest.importorskip("sklearn")

from geopanoptic.training.grouping import MIN_AREA_PX, fit_grouping, judge_chosen, parcel_quality

FINE = GroupingRules(
    centre=0.1,
    centre_radius_px=2,
    field=0.4,
    repair=RepairRules(merge_boundary=0.5, drop_field=0.5, min_area_px=MIN_AREA_PX),
    n_thing_classes=1,
    n_stuff_classes=1,
)


def fields(seed: int) -> DenseImage:
    """A chequered landscape of fields of two sizes; boundaries fade, and every field has three hot spots."""
    rng = np.random.default_rng(seed)
    side = int(rng.choice([16, 24]))
    shape = (8 * side, 8 * side)
    row, col = np.indices(shape) // side
    truth = (row * 8 + col + 1).astype(np.int32)
    truth[rng.random(65)[truth] < 0.2] = 0
    edge = np.zeros(shape, bool)
    for axis in (0, 1):
        moved = np.roll(truth, 1, axis)
        edge |= (moved != truth) | (np.roll(truth, -1, axis) != truth)
    fade = ndimage.gaussian_filter(rng.normal(size=shape), 8)
    boundary = np.where(edge, 0.75 + 2 * fade, 0.1 + fade).clip(0, 1)
    heat = ndimage.gaussian_filter((rng.random(shape) < 0.01) * 60.0, 2).clip(0, 1) * (truth > 0)
    layers = {
        "field": np.where(truth > 0, 230, 20).astype(np.uint8),
        "boundary": (boundary * 255).astype(np.uint8),
        "relief": (boundary * 65535).astype(np.uint16),
        "heat": (heat * 65535).astype(np.uint16),
        "thing": np.zeros(shape, np.uint8),
        "thing_score": np.full(shape, 255, np.uint8),
        "stuff": np.zeros(shape, np.uint8),
    }
    return DenseImage(image=f"scene-{seed}", layers=layers, valid=np.ones(shape, bool), truth=truth)


@pytest.fixture(scope="module")
def pool() -> list[Candidates]:
    return [find_candidates(fields(seed), FINE) for seed in range(12)]


def test_agreement_of_the_nodes_with_the_truth_is_that_of_their_pixels(pool):
    each = pool[0]
    below = [{leaf} for leaf in range(each.tree.n_leaves)]
    for left, right in each.tree.children.tolist():
        below.append(below[left] | below[right])
    for node in range(0, each.tree.n_nodes, 7):
        inside = np.isin(each.region, list(below[node]))
        parcels = np.unique(each.truth[inside & (each.truth > 0)])
        overlap = [
            (inside & (each.truth == parcel)).sum() / (inside | (each.truth == parcel)).sum()
            for parcel in parcels
        ]
        assert each.iou[node] == pytest.approx(max(overlap, default=0))


def test_unknown_ground_takes_no_part():
    image = fields(1)
    hidden = np.where(np.arange(image.truth.shape[1]) < 40, -1, image.truth).astype(np.int32)
    found = find_candidates(
        DenseImage(image="one", layers=image.layers, valid=image.valid, truth=hidden), FINE
    )
    unknown = np.bincount(found.region[found.truth < 0], minlength=found.tree.n_leaves)
    np.testing.assert_allclose(
        found.unknown[: found.tree.n_leaves], unknown / found.area_px[: found.tree.n_leaves]
    )
    assert (found.iou[found.unknown == 1] == 0).all()


def test_a_fitted_grouping_beats_the_thresholds_on_scenes_it_has_not_seen(pool):
    unseen = [find_candidates(fields(seed), FINE) for seed in (100, 101, 102)]
    grouping = fit_grouping({"drawn": pool}, {"val-drawn": unseen[:1]}, FINE)
    assert grouping.features == FEATURES
    learned = parcel_quality(unseen[1:], learned_rules(grouping, min_area_px=MIN_AREA_PX))["all"].pq
    by_thresholds = parcel_quality(unseen[1:], FINE.repair)["all"].pq
    assert learned > by_thresholds
    assert learned > 0.5
    judged = judge_chosen(grouping, {"unseen": unseen})
    assert ((judged.score > 0) & (judged.score < 1)).all()
    assert abs(judged.score.mean() - judged.matched.mean()) < 0.2


def test_trees_of_another_bundle_are_taken_as_they_are_and_the_score_is_ones_own(pool):
    first = fit_grouping({"drawn": pool[:6]}, {}, FINE)
    other = fit_grouping({"drawn": pool[6:]}, {}, FINE, first.trees)
    assert other.trees == first.trees
    assert (other.score_slope, other.score_offset) != (first.score_slope, first.score_offset)


def test_nothing_to_fit_is_the_users_mistake():
    with pytest.raises(UsageError, match="no labelled parcel"):
        fit_grouping({"empty": []}, {}, FINE)
