"""Features of merge tree nodes against counts of pixels, trees against scikit-learn, learned choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopanoptic.panoptic.graph.merging import merge_tree
from geopanoptic.panoptic.parcels.boosting import TreeEnsemble
from geopanoptic.panoptic.parcels.choice import LearnedRules
from geopanoptic.panoptic.parcels.repair import repair
from geopanoptic.panoptic.parcels.scoring import FEATURES, measure_nodes

from ..pixel_scenes import scene

seeds = st.integers(0, 2**32 - 1)
blocks = st.tuples(st.integers(1, 20), st.integers(1, 20))


def stump(feature: str, threshold: float, low: float, high: float) -> TreeEnsemble:
    """``low`` where the feature is at most the threshold, else ``high``."""
    return TreeEnsemble(
        base=0.0,
        root=np.array([0]),
        feature=np.array([FEATURES.index(feature), -1, -1]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([0.0, low, high]),
        n_features=len(FEATURES),
    )


@settings(max_examples=60)
@given(seed=seeds)
def test_features_are_what_the_pixels_of_a_node_say(seed):
    shown = scene(seed, max_side_px=14)
    graph, region = shown.regions(shown.windows(shown.valid.shape))
    tree = merge_tree(graph)
    below = [{leaf} for leaf in range(tree.n_leaves)]
    for left, right in tree.children.tolist():
        below.append(below[left] | below[right])
    found = np.concatenate(list(measure_nodes(tree).features()))
    assert found.shape == (tree.n_nodes, len(FEATURES))
    assert np.isfinite(found).all()
    boundary, things = shown.evidence.boundary, graph.label > 0
    for node in range(tree.n_nodes):
        inside = np.isin(region, list(below[node]))
        padded, known = np.pad(inside, 1), np.pad(region, 1, constant_values=-1)
        strength = np.pad(boundary, 1)
        rim, open_px, stuff_px, perimeter = [], 0, 0, 0
        for here, there in (
            (np.s_[1:, :], np.s_[:-1, :]),
            (np.s_[:-1, :], np.s_[1:, :]),
            (np.s_[:, 1:], np.s_[:, :-1]),
            (np.s_[:, :-1], np.s_[:, 1:]),
        ):
            out = padded[here] & ~padded[there]
            beyond = known[there][out]
            perimeter += int(out.sum())
            open_px += int((beyond < 0).sum())
            stuff_px += int((~things[beyond[beyond >= 0]]).sum())
            rim += np.maximum(strength[here], strength[there])[out][beyond >= 0].tolist()
        values = dict(zip(FEATURES, found[node].tolist(), strict=True))
        area = inside.sum()
        assert values["log_area"] == pytest.approx(np.log(area))
        assert values["compactness"] == pytest.approx(4 * np.pi * area / perimeter**2)
        assert values["field"] == pytest.approx(shown.evidence.field[inside].mean() / 255)
        assert values["relief_min"] == shown.evidence.relief[inside].min() / 65535
        assert values["rim_boundary"] == pytest.approx(np.mean(rim) / 255 if rim else 1.0)
        assert values["rim_open"] == pytest.approx(open_px / perimeter)
        assert values["rim_stuff"] == pytest.approx(stuff_px / perimeter)
        assert values["regions"] == len(below[node])
        if node >= tree.n_leaves:
            assert values["seam_boundary"] <= 1
            merge = tree.contact_sums[node - tree.n_leaves]
            for child in tree.children[node - tree.n_leaves]:
                next_boundary = found[child, FEATURES.index("next_boundary")]
                assert next_boundary == pytest.approx(merge[1] / (255 * merge[0]))


@given(seed=seeds, block=blocks, price=st.sampled_from([0.1, 0.3, 0.5]))
def test_learned_parcels_do_not_depend_on_blocks(seed, block, price):
    shown = scene(seed, max_side_px=30)
    rules = LearnedRules(
        trees=stump("rim_boundary", 0.5, 0.2, 0.6), price=price, slope=4.0, offset=-2.0, min_area_px=4
    )
    results = []
    for windows in (shown.windows(shown.valid.shape), shown.windows(block)):
        graph, region = shown.regions(windows)
        final = repair(graph, rules)
        results.append((np.concatenate([final.final_label, [0]])[region], final))
    (whole, of_whole), (parts, of_parts) = results
    np.testing.assert_array_equal(parts, whole)
    assert of_parts.score.tobytes() == of_whole.score.tobytes()
    scores = of_whole.score[: of_whole.n_things]
    expected = 1 / (1 + np.exp(-(4.0 * np.array([0.2, 0.6]) - 2.0)))
    assert all(np.isclose(score, expected).any() for score in scores)


def test_trees_give_what_scikit_learn_gives():
    ensemble = pytest.importorskip("sklearn.ensemble")
    from geopanoptic.training.grouping import plain_arrays

    rng = np.random.default_rng(3)
    features, target = rng.normal(size=(800, 5)), rng.random(800)
    model = ensemble.HistGradientBoostingRegressor(max_iter=7, max_depth=3).fit(features, target)
    stored = plain_arrays(model)
    trees = TreeEnsemble(
        base=stored.base,
        n_features=5,
        **{name: np.array(getattr(stored, name)) for name in ("root", "feature", "threshold", "left")},
        right=np.array(stored.right),
        value=np.array(stored.value),
    )
    unseen = rng.normal(size=(300, 5))
    np.testing.assert_allclose(trees(unseen), model.predict(unseen), rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"left": [0, -1, -1]},
        {"right": [3, -1, -1]},
        {"root": [3]},
        {"feature": [len(FEATURES), -1, -1]},
        {"value": [0.0]},
    ],
)
def test_trees_that_would_not_end_or_leave_their_arrays_are_refused(change):
    good = stump("field", 0.5, 0.0, 1.0)
    arrays = {
        name: getattr(good, name) for name in ("root", "feature", "threshold", "left", "right", "value")
    }
    with pytest.raises(ValueError, match=r"differ|begins|before|asks"):
        TreeEnsemble(
            base=0.0,
            n_features=len(FEATURES),
            **(arrays | {name: np.array(values) for name, values in change.items()}),
        )


@settings(max_examples=20)
@given(seed=seeds)
def test_stuff_is_no_candidate_however_good_it_looks(seed):
    shown = scene(seed, max_side_px=14)
    graph, _ = shown.regions(shown.windows(shown.valid.shape))
    trees = stump("field", 0.5, 0.9, 0.9)
    rules = LearnedRules(trees=trees, price=0.3, slope=1.0, offset=0.0, min_area_px=0)
    may_be = rules.candidates(merge_tree(graph)).may_be[: len(graph.label)]
    assert may_be.tolist() == (graph.label > 0).tolist()


def test_a_feature_at_the_threshold_goes_left():
    features = np.zeros((3, len(FEATURES)))
    features[:, FEATURES.index("field")] = (0.25, 0.5, 0.75)
    assert stump("field", 0.5, 0.1, 0.9)(features).tolist() == [0.1, 0.1, 0.9]
