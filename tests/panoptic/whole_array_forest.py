"""The reference of the watershed tests: Kruskal's algorithm on all edges of the whole array at once.

It shares nothing with the package: edges are listed and sorted by numpy, components are plain arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def whole_array_forest(
    relief: NDArray[np.uint16], domain: NDArray[np.bool_], seeds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Labels int64 (h, w): pixel index of the seed + 1, 0 where there is none."""
    pixels = np.arange(relief.size).reshape(relief.shape)
    horizontal = domain[:, 1:] & domain[:, :-1]
    vertical = domain[1:] & domain[:-1]
    first = np.concatenate([pixels[:, :-1][horizontal], pixels[:-1][vertical]])
    second = np.concatenate([pixels[:, 1:][horizontal], pixels[1:][vertical]])
    down = np.repeat([0, 1], [horizontal.sum(), vertical.sum()])
    flat = relief.ravel()
    order = np.lexsort((2 * first + down, np.maximum(flat[first], flat[second])))
    owner = np.zeros(relief.size, np.int64)
    owner[seeds] = seeds + 1
    return np.where(domain, _grow(first[order], second[order], owner).reshape(relief.shape), 0)


@njit(cache=True)
def _grow(first: NDArray[np.int64], second: NDArray[np.int64], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    component = np.arange(len(owner))
    for u, v in zip(first, second):
        while component[u] != u:
            u = component[u]
        while component[v] != v:
            v = component[v]
        if u == v or (owner[u] > 0 and owner[v] > 0):
            continue
        component[v] = u
        owner[u] += owner[v]
    labels = np.empty(len(owner), np.int64)
    for pixel in range(len(owner)):
        root = pixel
        while component[root] != root:
            root = component[root]
        labels[pixel] = owner[root]
    return labels
