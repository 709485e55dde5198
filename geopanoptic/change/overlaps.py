"""Which parcels of two maps share ground, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

_CHUNK = 50_000
"""Pairs cut at a time: what does not count is dropped before the next."""

HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaps:
    """Pairs of an earlier and a later parcel that share ground, sorted by both.

    ``earlier``, ``later`` (p,) rows; ``area`` (p,) m2 shared; ``earlier_area`` (n,) and ``later_area`` (m,) m2
    of all parcels; ``pieces`` (p,) the shared ground, None where it is a sliver: nowhere wider than the tolerance
    and less than half of both parcels.
    """

    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    area: NDArray[np.float64]
    pieces: NDArray[np.object_]
    earlier_area: NDArray[np.float64]
    later_area: NDArray[np.float64]

    @property
    def share_of_earlier(self) -> NDArray[np.float64]:
        """(p,) of the earlier parcel's area, 0 to 1."""
        return self.area / self.earlier_area[self.earlier]

    @property
    def share_of_later(self) -> NDArray[np.float64]:
        """(p,) of the later parcel's area, 0 to 1."""
        return self.area / self.later_area[self.later]

    @property
    def iou(self) -> NDArray[np.float64]:
        """(p,) intersection over union."""
        return self.area / (self.earlier_area[self.earlier] + self.later_area[self.later] - self.area)

    @property
    def links(self) -> NDArray[np.bool_]:
        """(p,) where at least half of one of the two parcels lies in the other.

        Clinton et al. 2010 (Photogrammetric Engineering and Remote Sensing 76/3) count such segments as
        belonging to an object; Hoover et al. 1996 (IEEE TPAMI 18/7) need any share above one half to make
        over- and under-segmentation unambiguous.
        """
        return np.maximum(self.share_of_earlier, self.share_of_later) >= HALF


def find_overlaps(
    earlier: NDArray[np.object_], later: NDArray[np.object_], *, tolerance_m: float
) -> Overlaps:
    """Overlaps of (n,) and (m,) valid polygons of one plane in metres.

    A tree finds the pairs whose boxes meet, and only those are cut: time grows with the parcels, not with
    their product.
    """
    earlier_area, later_area = shapely.area(earlier), shapely.area(later)
    rows, cols = _candidates(earlier, later)
    area, pieces = np.zeros(len(rows)), np.full(len(rows), None, dtype=object)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        cut = areas_only(shapely.intersection(earlier[rows[part]], later[cols[part]]))
        area[part] = shapely.area(cut)
        share = area[part] / np.minimum(earlier_area[rows[part]], later_area[cols[part]])
        minor = np.flatnonzero(share < HALF)
        cut[minor[~wider_than(cut[minor], tolerance_m)]] = None
        pieces[part] = cut
    shared = area > 0
    return Overlaps(
        earlier=rows[shared],
        later=cols[shared],
        area=area[shared],
        pieces=pieces[shared],
        earlier_area=earlier_area,
        later_area=later_area,
    )


def _candidates(
    earlier: NDArray[np.object_], later: NDArray[np.object_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not len(earlier) or not len(later):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows, cols = shapely.STRtree(later).query(earlier, predicate="intersects")
    order = np.lexsort((cols, rows))
    return rows[order].astype(np.int64), cols[order].astype(np.int64)


def areas_only(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Geometries without the points and lines along which polygons only touch."""
    mixed = np.flatnonzero(shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION)
    mixed = mixed[shapely.area(geometries[mixed]) > 0]
    for row in mixed:
        parts = shapely.get_parts(geometries[row])
        geometries[row] = shapely.multipolygons(parts[shapely.area(parts) > 0])
    return geometries


def wider_than(polygons: NDArray[np.object_], width: float) -> NDArray[np.bool_]:
    """(n,) whether a disc of diameter ``width`` fits into each polygon or one of its parts.

    A polygon whose area is at least ``width / 2`` times its perimeter holds such a disc, and one whose area is
    below the disc's does not; only what lies between is shrunk to see.
    """
    area, length = shapely.area(polygons), shapely.length(polygons)
    wide = area > 0
    if width <= 0:
        return wide
    wide &= area > np.pi * width**2 / 4
    unsure = np.flatnonzero(
        wide & (shapely.get_num_geometries(polygons) > 1) | wide & (area < length * width / 2)
    )
    # A strip of exactly this width is as wide as the tolerance, not wider.
    shrunk = shapely.buffer(polygons[unsure], -width / 2 * (1 + 1e-6))
    wide[unsure] = ~shapely.is_empty(shrunk)
    return wide
