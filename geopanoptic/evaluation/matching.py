"""Which predicted and true segments overlap, and by how much: a sparse contingency table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Pixels shared by predicted and true segments.

    ``predicted`` and ``true`` (n,) are segment ids of the pairs that share ``shared_px`` pixels;
    ``predicted_px`` and ``true_px`` map every segment id to its size. Id 0 is no segment.
    """

    predicted: Int64
    true: Int64
    shared_px: Int64
    predicted_px: dict[int, int]
    true_px: dict[int, int]


def overlaps(predicted: NDArray[np.integer], true: NDArray[np.integer]) -> Overlaps:
    """Count the overlaps of two label rasters of one shape with non-negative ids.

    Raises ValueError where the shapes differ or an id is negative.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {true.shape} differ in shape")
    if predicted.size and (predicted.min() < 0 or true.min() < 0):
        raise ValueError("segment ids must not be negative")
    stride = int(true.max(initial=0)) + 1
    keys, counts = np.unique(predicted.astype(np.int64) * stride + true, return_counts=True)
    p, t = np.divmod(keys, stride)
    return Overlaps(
        predicted=p,
        true=t,
        shared_px=counts.astype(np.int64),
        predicted_px=_sizes(p, counts),
        true_px=_sizes(t, counts),
    )


def _sizes(ids: Int64, counts: Int64) -> dict[int, int]:
    names, index = np.unique(ids, return_inverse=True)
    return dict(zip(names.tolist(), np.bincount(index, counts).astype(np.int64).tolist(), strict=True))
