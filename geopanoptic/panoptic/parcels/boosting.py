"""Evaluation of a small ensemble of regression trees, stored as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnsemble:
    """Trees laid end to end; the prediction is ``base`` plus the value of the leaf reached in every tree.

    ``root`` (trees,) are positions of first nodes. Per node: ``feature`` (-1 in a leaf), ``threshold``,
    ``left`` (where the feature is at most the threshold) and ``right``, positions of nodes, and ``value``.
    """

    base: float
    root: Int64
    feature: Int64
    threshold: Float64
    left: Int64
    right: Int64
    value: Float64
    n_features: int

    def __post_init__(self) -> None:
        n = len(self.feature)
        inner = self.feature >= 0
        here = np.arange(n)[inner]
        if {len(each) for each in (self.threshold, self.left, self.right, self.value)} != {n}:
            raise ValueError("the arrays of nodes differ in length")
        if self.feature.max(initial=-1) >= self.n_features:
            raise ValueError(f"a node asks for more than {self.n_features} features")
        if np.any((self.root < 0) | (self.root >= n)):
            raise ValueError("a tree begins outside the nodes")
        # Children lie behind their parent, so that every walk ends.
        for child in (self.left[inner], self.right[inner]):
            if np.any((child <= here) | (child >= n)):
                raise ValueError("a node's child lies before it or outside the nodes")

    def __call__(self, features: Float64) -> Float64:
        """Predictions (n,) for ``features`` (n, k); the leaves are added in the order of the trees."""
        if features.shape[1] != self.n_features:
            raise ValueError(f"there are {features.shape[1]} features, not {self.n_features}")
        return _predict(
            np.ascontiguousarray(features),
            self.base,
            self.root,
            self.feature,
            self.threshold,
            self.left,
            self.right,
            self.value,
        )


_ROWS_AT_ONCE = 64


@njit(nogil=True, cache=True)
def _predict(features, base, root, feature, threshold, left, right, value):  # type: ignore[no-untyped-def]
    asked, bound, children, depth = _levelled(root, feature, threshold, left, right)
    total = np.full(len(features), base)
    node = np.empty(_ROWS_AT_ONCE, np.uint32)
    for first in range(0, len(features), _ROWS_AT_ONCE):
        # Rows go down a tree together, without a branch: a processor guesses every other one wrong.
        count = min(_ROWS_AT_ONCE, len(features) - first)
        for tree in range(len(root)):
            node[:] = root[tree]
            for _ in range(depth[tree]):
                for row in range(count):
                    at = node[row]
                    goes_left = features[first + row, asked[at]] <= bound[at]
                    node[row] = children[np.uint32(2) * at + np.uint32(goes_left)]
            for row in range(count):
                total[first + row] += value[node[row]]
    return total


@njit(nogil=True, cache=True)
def _levelled(root, feature, threshold, left, right):  # type: ignore[no-untyped-def]
    """What nodes ask, leaves leading to themselves, and the steps to every tree's farthest leaf.

    Children (2n,) lie right before left.
    """
    n = len(feature)
    asked, bound, children = np.zeros(n, np.uint32), np.zeros(n), np.empty(2 * n, np.uint32)
    height = np.zeros(n, np.int64)
    for node in range(n - 1, -1, -1):
        children[2 * node] = children[2 * node + 1] = node
        if feature[node] >= 0:
            asked[node], bound[node] = feature[node], threshold[node]
            children[2 * node], children[2 * node + 1] = right[node], left[node]
            height[node] = 1 + max(height[left[node]], height[right[node]])
    return asked, bound, children, height[root]
