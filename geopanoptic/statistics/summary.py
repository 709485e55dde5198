"""Mean, median, spread and extremes of weighted values, parcel by parcel."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "median", "std", "min", "max")
"""Order of the figures that :func:`summarise` gives; the weight of what is valid follows them."""


def summarise(
    values: NDArray[np.float32], weights: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(6, n) figures of n parcels: mean, median, std, min, max, and the sum of weights.

    Parcel i has the cells ``starts[i]`` to ``starts[i + 1]`` of ``values`` and ``weights`` (c,); cells of
    weight 0 or without a finite value do not count, and a parcel without any other has NaN and weight 0.
    The median halves the weight: half of the parcel's valid area lies at or below it. Where the halves meet
    exactly between two values, it is their mean; with equal weights this is the ordinary median. The standard
    deviation is that of the whole population, weighted.
    """
    return np.asarray(_summarise(values, weights, starts))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _summarise(
    values: NDArray[np.float32], weights: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    n = len(starts) - 1
    found = np.full((6, n), np.nan)
    for parcel in range(n):
        begin, end = starts[parcel], starts[parcel + 1]
        kept = np.empty(end - begin, np.int64)
        count = 0
        for cell in range(begin, end):
            if weights[cell] > 0 and np.isfinite(values[cell]):
                kept[count] = cell
                count += 1
        kept = kept[:count]
        value, weight = values[kept].astype(np.float64), weights[kept]
        total = weight.sum()
        found[5, parcel] = total
        if count == 0:
            continue
        mean = (value * weight).sum() / total
        found[0, parcel] = mean
        found[2, parcel] = np.sqrt((weight * (value - mean) ** 2).sum() / total)
        order = np.argsort(value)
        found[3, parcel], found[4, parcel] = value[order[0]], value[order[-1]]
        below = 0.0
        for place in range(count):
            below += weight[order[place]]
            if below >= total / 2:
                middle = value[order[place]]
                if below == total / 2 and place + 1 < count:
                    middle = (middle + value[order[place + 1]]) / 2
                found[1, parcel] = middle
                break
    return found
