"""Normalisation of images that are no scenes: chips and patches without a georeference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.scene.radiometry import CLIP, HIGH_PERCENT, LOW_PERCENT

_LOWER, _HIGHER = (-0.05, 0.15), (-0.1, 0.5)  # how far the percentiles of a scene lie outside a crop's


def stretched(
    values_chw: NDArray[np.generic], valid_hw: NDArray[np.bool_], rng: np.random.Generator | None = None
) -> NDArray[np.float32]:
    """Each band between its 2nd and 98th percentile over the valid pixels, clipped to -1..2; 0 where invalid.

    What ``scene.radiometry`` does for a scene, over one small image. A whole scene holds more than a small image:
    with ``rng`` the percentiles wander as they would if it were a part of one.
    """
    values: NDArray[Any] = values_chw.astype(np.float32)
    if not valid_hw.any():
        return np.zeros(values.shape, np.float32)
    low, high = np.percentile(values[:, valid_hw], (LOW_PERCENT, HIGH_PERCENT), axis=1)[..., None, None]
    if rng is not None:
        span = high - low
        low, high = low - span * rng.uniform(*_LOWER), high + span * rng.uniform(*_HIGHER)
    scaled = (values - low) / np.where(high > low, high - low, 1)
    return np.where(valid_hw, np.clip(scaled, *CLIP), 0).astype(np.float32)
