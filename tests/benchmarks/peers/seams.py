"""How much tile borders show in a map, against the whole-image result of the same method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize

Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeamError:
    """Of the reference's parcels that cross a tile border.

    ``crossing`` counts them; ``cut`` is the share of them whose two sides have different parcels along at
    least half of the border inside; ``pq`` the panoptic quality of all parcels against the reference.
    """

    crossing: int
    cut: float
    pq: float


def seam_error(predicted: Labels, reference: Labels, borders_px: Sequence[int]) -> SeamError:
    """Both (h, w), 0 = no parcel; ``borders_px`` are the rows, and the columns, at which tiles begin or end."""
    n = int(reference.max(initial=0)) + 1
    inside, parted = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for true, made in ((reference, predicted), (reference.T, predicted.T)):
        for edge in borders_px:
            before, after = true[edge - 1], true[edge]
            same = (before == after) & (before > 0)
            inside += np.bincount(before[same], minlength=n)
            parted += np.bincount(before[same & (made[edge - 1] != made[edge])], minlength=n)
    crossing = inside > 0
    cut = (2 * parted >= inside) & crossing
    return SeamError(
        crossing=int(crossing.sum()),
        cut=float(cut.sum() / max(crossing.sum(), 1)),
        pq=panoptic_quality(predicted, reference),
    )


def panoptic_quality(predicted: Labels, reference: Labels) -> float:
    """Sum of the IoU of matches (IoU > 0.5) over TP + FP / 2 + FN / 2 (Kirillov et al. 2019), one class."""
    width = int(reference.max(initial=0)) + 1
    pair, area = np.unique(predicted.astype(np.int64) * width + reference, return_counts=True)
    made, true = np.divmod(pair, width)
    made_area = np.bincount(made, area)
    true_area = np.bincount(true, area, minlength=width)
    both = (made > 0) & (true > 0)
    iou = area[both] / (made_area[made[both]] + true_area[true[both]] - area[both])
    n_made, n_true = np.count_nonzero(made_area[1:]), np.count_nonzero(true_area[1:])
    return float(iou[iou > 0.5].sum() / max((n_made + n_true) / 2, 1))


def labels_of(vector: Path, like: Path, layer: str | None = None) -> Labels:
    """The polygons of a file drawn on the grid of a label raster, 1..n in the file's order."""
    frame = geopandas.read_file(vector, layer=layer) if layer else geopandas.read_file(vector)
    with rasterio.open(like) as file:
        shape, transform = file.shape, file.transform
    burnt = ((geometry, number) for number, geometry in enumerate(frame.geometry, 1) if not geometry.is_empty)
    return np.asarray(rasterize(burnt, out_shape=shape, transform=transform, dtype="int32"))


def read_labels(path: Path) -> Labels:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1), np.int32)
