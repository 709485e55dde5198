"""How unsure a map is of its objects."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from geopanoptic.labels.objects import OutlineLabels

UNCERTAINTY = "uncertainty"
"""Column of objects: 0 (sure) to 1."""


def binary_entropy(score_n: ArrayLike) -> NDArray[np.float64]:
    """Entropy in bits of "right or wrong" with probability ``score_n``: 1 at one half, 0 at 0 and 1; NaN gives 0.

    The score of a parcel is the probability that it is right (``products.layers.PARCELS``). Picking what has most
    entropy is uncertainty sampling (Lewis and Gale 1994).
    """
    p = np.clip(np.nan_to_num(np.asarray(score_n, np.float64)), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log2(p), (1 - p) * np.log2(1 - p)
    return -np.nan_to_num(terms[0]) - np.nan_to_num(terms[1]) + 0.0


def mean_uncertainty(labels: OutlineLabels) -> float:
    """Of the objects with a score, each weighing with its area; 0 without any."""
    scored = labels.objects[labels.objects["score"].notna()]
    if scored.empty:
        return 0.0
    return float(np.average(scored[UNCERTAINTY], weights=shapely.area(scored.geometry.to_numpy())))
