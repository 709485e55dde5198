"""Dense training targets from an instance raster: centre heat, boundary band, distance to the boundary.

The centre of a parcel is its deepest interior point nearest to its centroid: inside for L-shapes and
rings, in the middle of narrow strips. Its heat is a Gaussian shaped like the parcel (the second moments
of its pixels, scaled), zero outside the parcel, so that strips have an elongated peak and neighbours
never share one. Panoptic-DeepLab's fixed sigma of 8 px would fuse parcels that are 18 px wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

IGNORED = 255
"""Marks pixels of ``boundary_hw`` and of stuff rasters that say nothing."""

_DEEP = 0.85  # share of the greatest depth from which a pixel may be the centre
_HEAT_WIDTH = 0.5  # sigma of the heat as a share of the parcel's standard deviation along an axis
_SIGMA_PX = (1.2, 10.0)
_WEIGHT_AREA_PX = 1600.0  # parcels smaller than this weigh more: small ones are missed most
_WEIGHT_RANGE = (0.7, 4.0)
_CUT_WEIGHT = 0.3  # the centre of a parcel cut by the sample's edge is uncertain


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseTargets:
    """Targets on the pixels of an instance raster, compact enough to keep in memory.

    centre_hw, distance_hw
        uint8, 255 = 1; zero outside instances.
    boundary_hw
        uint8: 1 on the band, 0 off it, ``IGNORED`` where unlabelled.
    weight_hw
        float16 loss weight: larger on small instances, 1 on background, 0 where unlabelled.
    shape_weight_hw
        float16: ``weight_hw``, less on instances cut by the raster's edge, 0 on one that shows no boundary at all;
        for centre and distance.
    """

    centre_hw: NDArray[np.uint8]
    boundary_hw: NDArray[np.uint8]
    distance_hw: NDArray[np.uint8]
    weight_hw: NDArray[np.float16]
    shape_weight_hw: NDArray[np.float16]


def dense_targets(instances_hw: NDArray[np.int32], valid_hw: NDArray[np.bool_] | None = None) -> DenseTargets:
    """Targets of ``instances_hw`` (> 0 parcel id, 0 no parcel, -1 unlabelled).

    ``valid_hw`` is False where the image has no data: unlabelled there, and the edge of a parcel
    towards it is no boundary (towards a pixel merely unlabelled it is).
    """
    labels_hw = instances_hw if valid_hw is None else np.where(valid_hw, instances_hw, -2)
    boundary_hw = _boundary_band(labels_hw)
    inside_hw = labels_hw > 0
    edge_hw = boundary_hw == 1
    depth_hw = np.ones(edge_hw.shape, np.float32)
    if edge_hw.any():  # else the transform measures from beyond the upper left corner
        depth_hw += ndimage.distance_transform_edt(~edge_hw).astype(np.float32)
    index_hw, n = _numbered(np.where(inside_hw, labels_hw, 0))
    centre_hw, distance_hw, area_px, cut = _shape_targets(index_hw, depth_hw, n + 1)
    weight = np.clip(np.sqrt(_WEIGHT_AREA_PX / np.maximum(area_px, 1)), *_WEIGHT_RANGE)
    weight[0] = 1.0
    weight_hw = np.where(labels_hw >= 0, weight[index_hw], 0.0)
    certainty = np.where(cut, _CUT_WEIGHT, 1.0)
    if not edge_hw.any():
        certainty[1:] = 0  # nothing tells how deep inside a parcel its pixels lie
    shape_weight_hw = weight_hw * certainty[index_hw]
    return DenseTargets(
        centre_hw=centre_hw,
        boundary_hw=boundary_hw,
        distance_hw=distance_hw,
        weight_hw=weight_hw.astype(np.float16),
        shape_weight_hw=shape_weight_hw.astype(np.float16),
    )


def _numbered(ids_hw: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """The ids as numbers from 1 to n, and n; 0 stays 0."""
    highest = int(ids_hw.max(initial=0))
    if highest > ids_hw.size:  # a table by id would be larger than the raster
        ids_hw = np.unique(ids_hw, return_inverse=True)[1].reshape(ids_hw.shape) + (ids_hw.min() > 0)
        highest = int(ids_hw.max())
    present = np.zeros(highest + 1, np.bool_)
    present[ids_hw] = True
    present[0] = False
    number = np.cumsum(present, dtype=np.int32)
    return number[ids_hw], int(number[-1])


def _boundary_band(labels_hw: NDArray[np.int32]) -> NDArray[np.uint8]:
    """1 on both sides of every edge of an instance, ``IGNORED`` where unlabelled or towards no data."""
    band_hw = np.zeros(labels_hw.shape, np.uint8)
    unsure_hw = labels_hw < 0
    for before, after in (
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        first, second = labels_hw[before], labels_hw[after]
        edge = (first != second) & (np.maximum(first, second) > 0)
        to_nodata = edge & (np.minimum(first, second) == -2)
        for side in (before, after):
            band_hw[side] |= edge & ~to_nodata
            unsure_hw[side] |= to_nodata
    band_hw[unsure_hw & ((band_hw == 0) | (labels_hw < 0))] = IGNORED
    return band_hw


@numba.njit(cache=True, nogil=True)
def _shape_targets(
    index_hw: NDArray[np.int32], depth_hw: NDArray[np.float32], n: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    height, width = index_hw.shape
    area = np.zeros(n, np.int64)
    mean = np.zeros((n, 2))
    deepest = np.zeros(n, np.float32)
    cut = np.zeros(n, np.bool_)
    for row in range(height):
        for col in range(width):
            k = index_hw[row, col]
            area[k] += 1
            mean[k, 0] += row
            mean[k, 1] += col
            deepest[k] = max(deepest[k], depth_hw[row, col])
            if row == 0 or col == 0 or row == height - 1 or col == width - 1:
                cut[k] = True
    for k in range(n):
        mean[k] /= max(area[k], 1)

    moment = np.zeros((n, 3))
    nearest = np.full(n, np.inf)
    centre = np.zeros((n, 2))
    for row in range(height):
        for col in range(width):
            k = index_hw[row, col]
            if k == 0:
                continue
            dr, dc = row - mean[k, 0], col - mean[k, 1]
            moment[k, 0] += dr * dr
            moment[k, 1] += dc * dc
            moment[k, 2] += dr * dc
            if depth_hw[row, col] >= _DEEP * deepest[k] and dr * dr + dc * dc < nearest[k]:
                nearest[k] = dr * dr + dc * dc
                centre[k, 0], centre[k, 1] = row, col

    precision = np.zeros((n, 3))
    low, high = _SIGMA_PX
    for k in range(1, n):
        rr, cc, rc = moment[k] / max(area[k], 1)
        half_trace, spread = (rr + cc) / 2, np.sqrt(((rr - cc) / 2) ** 2 + rc * rc)
        major = min(max(_HEAT_WIDTH * np.sqrt(half_trace + spread), low), high) ** 2
        minor = min(max(_HEAT_WIDTH * np.sqrt(max(half_trace - spread, 0.0)), low), high) ** 2
        angle = 0.5 * np.arctan2(2 * rc, rr - cc)  # of the major axis, from the row axis
        cos, sin = np.cos(angle), np.sin(angle)
        precision[k, 0] = cos * cos / major + sin * sin / minor
        precision[k, 1] = sin * sin / major + cos * cos / minor
        precision[k, 2] = cos * sin * (1 / major - 1 / minor)

    heat = np.zeros((height, width), np.uint8)
    distance = np.zeros((height, width), np.uint8)
    for row in range(height):
        for col in range(width):
            k = index_hw[row, col]
            if k == 0:
                continue
            dr, dc = row - centre[k, 0], col - centre[k, 1]
            exponent = precision[k, 0] * dr * dr + precision[k, 1] * dc * dc + 2 * precision[k, 2] * dr * dc
            heat[row, col] = np.uint8(np.rint(255 * np.exp(-0.5 * exponent)))
            distance[row, col] = np.uint8(np.rint(255 * depth_hw[row, col] / deepest[k]))
    return heat, distance, area, cut
