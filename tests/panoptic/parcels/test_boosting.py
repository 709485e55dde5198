"""Trees are walked by many rows at once; one at a time is the definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.panoptic.parcels.boosting import TreeEnsemble

N_FEATURES = 3


def random_ensemble(rng: np.random.Generator, n_trees: int) -> TreeEnsemble:
    """Trees of any shape, from a single leaf to a chain."""
    nodes: list[list[float]] = []
    roots = []
    for _ in range(n_trees):
        roots.append(len(nodes))
        nodes.append([-1, 0, 0, 0])
        open_leaves = [roots[-1]]
        for _ in range(rng.integers(0, 9)):
            leaf = open_leaves.pop(rng.integers(len(open_leaves)))
            nodes[leaf] = [rng.integers(N_FEATURES), rng.random(), len(nodes), len(nodes) + 1]
            open_leaves += [len(nodes), len(nodes) + 1]
            nodes += [[-1, 0, 0, 0], [-1, 0, 0, 0]]
    feature, threshold, left, right = zip(*nodes, strict=True)
    return TreeEnsemble(
        base=0.25,
        root=np.array(roots, np.int64),
        feature=np.array(feature, np.int64),
        threshold=np.array(threshold, np.float64),
        left=np.array(left, np.int64),
        right=np.array(right, np.int64),
        value=rng.normal(size=len(nodes)),
        n_features=N_FEATURES,
    )


def walk(trees: TreeEnsemble, row: np.ndarray) -> float:
    total = trees.base
    for root in trees.root:
        node = root
        while trees.feature[node] >= 0:
            goes_left = row[trees.feature[node]] <= trees.threshold[node]
            node = trees.left[node] if goes_left else trees.right[node]
        total += trees.value[node]
    return total


@given(
    seed=st.integers(0, 2**32 - 1), n_trees=st.integers(1, 6), n_rows=st.sampled_from([0, 1, 63, 64, 65, 200])
)
def test_predictions_are_those_of_a_plain_walk_to_the_bit(seed: int, n_trees: int, n_rows: int) -> None:
    rng = np.random.default_rng(seed)
    trees = random_ensemble(rng, n_trees)
    features = rng.random((n_rows, N_FEATURES))
    features[rng.random(features.shape) < 0.05] = np.nan
    features[rng.random(features.shape) < 0.05] = np.inf
    np.testing.assert_array_equal(trees(features), np.array([walk(trees, row) for row in features]))
