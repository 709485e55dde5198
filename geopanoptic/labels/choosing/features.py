"""What makes parcels alike: size and shape, and how they look in the scene."""

from __future__ import annotations

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geopanoptic.scene import Scene
from geopanoptic.scene.display import clearest
from geopanoptic.statistics.stats import stats


def parcel_features(parcels: geopandas.GeoDataFrame, scene: Scene | None) -> NDArray[np.float64]:
    """Features (n, f) of parcels with ``object_id``, comparable by Euclidean distance.

    Shape: logarithm of area, compactness (4 pi A / P^2), elongation of the smallest turned box. Look: mean and
    standard deviation of each band on the date that shows most of the ground. Every feature is divided by its
    interquartile range, and either group counts as one.
    """
    groups = [_shape(parcels.geometry.to_numpy())]
    if scene is not None and len(parcels):
        groups.append(_look(parcels, clearest(scene)))
    return np.concatenate([_scaled(group) / np.sqrt(group.shape[1]) for group in groups], axis=1)


def _shape(outlines: NDArray[np.object_]) -> NDArray[np.float64]:
    area, perimeter = shapely.area(outlines), shapely.length(outlines)
    boxes = shapely.oriented_envelope(outlines)
    long_side = shapely.length(boxes) / 2
    # The sides a, b of a box from its half perimeter and its area.
    root = np.sqrt(np.maximum((long_side / 2) ** 2 - shapely.area(boxes), 0))
    a, b = long_side / 2 + root, long_side / 2 - root
    return np.column_stack(
        [
            np.log(np.maximum(area, 1e-12)),
            4 * np.pi * area / np.maximum(perimeter, 1e-12) ** 2,
            np.log(a / np.maximum(b, a * 1e-3)),
        ]
    )


def _look(parcels: geopandas.GeoDataFrame, scene: Scene) -> NDArray[np.float64]:
    table = stats(parcels[["object_id", parcels.geometry.name]], scene, id_column="object_id").table
    wide = table.pivot_table(index="parcel_id", columns="band", values=["mean", "std"], observed=True)
    return wide.reindex(pd.Index(parcels["object_id"])).to_numpy(np.float64)


def _scaled(values_nf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred on the median in interquartile ranges; 0 where nothing is known, at most 5 either way."""
    if not len(values_nf):
        return values_nf
    known = np.where(np.isfinite(values_nf), values_nf, np.nan)
    with np.errstate(all="ignore"):
        low, middle, high = (np.nan_to_num(each) for each in np.nanpercentile(known, (25, 50, 75), axis=0))
    span = np.where(high > low, high - low, 1.0)
    return np.clip(np.nan_to_num((known - middle) / span), -5, 5)
