"""The official centre targets of PASTIS: ``HEATMAP`` and ``ZONES`` (PaPs, equation 6).

A parcel's centre is the middle of its bounding box, grown by one pixel where the patch allows, not its centroid;
the heat's width follows the box. The network of this project learns other heats (``training.patches.targets``), which
stay inside their parcel; these are for the PaPs heads and for data in the published format.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_OVERLAP = 0.7  # least IoU that a box keeps when its centre moves by the radius
_SIGMAS_PER_RADIUS = 3
SIGMA_SHARE = (1 - _OVERLAP) / (1 + _OVERLAP) / _SIGMAS_PER_RADIUS
"""Standard deviation of the heat as a share of the box's side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreTargets:
    """Boxes and heat of the parcels 1..n of a raster.

    box_px
        int64 (n, 4): half-open row0, col0, row1, col1, exactly around the pixels.
    centre_px
        int64 (n, 2): row and column of the centre, which may lie outside the parcel.
    heatmap_hw
        float64 in [0, 1], 1 at centres.
    zones_hw
        int32: the parcel whose heat is the highest, of equal ones the first, 0 where there is no parcel at all. It is
        told by logarithms, as far from all parcels the heats themselves are all zero in floating point.
    """

    box_px: NDArray[np.int64]
    centre_px: NDArray[np.int64]
    heatmap_hw: NDArray[np.float64]
    zones_hw: NDArray[np.int32]


def centre_targets(instances_hw: NDArray[np.integer]) -> CentreTargets:
    """Targets of parcels 1..n (0 none); every number up to n has a pixel, otherwise ValueError is raised."""
    height, width = instances_hw.shape
    found = ndimage.find_objects(np.asarray(instances_hw, np.int64))
    if any(each is None for each in found):
        raise ValueError("the parcels are not numbered without gaps")
    box_px = np.array([(r.start, c.start, r.stop, c.stop) for r, c in found], np.int64).reshape(-1, 4)
    # The official boxes end at their last pixel.
    low = np.maximum(box_px[:, :2] - 1, 0)
    high = np.minimum(box_px[:, 2:], (height - 1, width - 1))
    centre_px = low + (high - low) // 2
    sigma_px = SIGMA_SHARE * (high - low)
    nearest_hw, zones_hw = np.full((height, width), np.inf), np.zeros((height, width), np.int32)
    rows, cols = np.arange(height), np.arange(width)
    for number, ((row, col), (sigma_row, sigma_col)) in enumerate(zip(centre_px, sigma_px, strict=True), 1):
        exponent = ((rows - row) / sigma_row)[:, None] ** 2 + ((cols - col) / sigma_col)[None] ** 2
        nearer = exponent < nearest_hw
        zones_hw[nearer], nearest_hw[nearer] = number, exponent[nearer]
    return CentreTargets(
        box_px=box_px, centre_px=centre_px, heatmap_hw=np.exp(-nearest_hw / 2), zones_hw=zones_hw
    )


def numbered(parcels_hw: NDArray[np.integer], target_hw: NDArray[np.integer]) -> NDArray[np.int32]:
    """Instances 1..n by rising parcel id where ``target_hw`` is a class, 0 on background."""
    ids_hw = np.where(target_hw != 0, parcels_hw, 0)
    ids, index = np.unique(ids_hw, return_inverse=True)
    first = 1 if ids[0] != 0 else 0
    return (index.reshape(ids_hw.shape) + first).astype(np.int32)
