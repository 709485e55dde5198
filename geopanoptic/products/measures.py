"""Areas in m2 and perimeters in m of many polygons at once, in any CRS.

Areas are taken in a Lambert azimuthal equal-area projection centred on the layer, on the CRS's own
ellipsoid, so they hold for degrees, for feet and for Web Mercator alike. Perimeters are sums of geodesic
lengths: no equal-area projection keeps lengths (EPSG:6933 is off by 6 % at 52 N). Edges are straight in
the layer's CRS, and long ones are cut into short ones first because they are not straight elsewhere; short
ones are measured as chords between geocentric coordinates, made arcs by the first term of the sine's series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from numba import njit
from numpy.typing import NDArray

LONGEST_EDGE_M = 1000.0
"""Edges above this are cut. At 60 degrees north, a parallel leaves the geodesic by 3 cm over 1 km."""

_RADIANS_PER_DEGREE = math.radians(1)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2 to the power of 64 over the golden ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Figures of n polygons: ``area_m2`` and ``perimeter_m`` (holes included), float64 of shape (n,)."""

    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rings:
    """All rings of n polygons as arrays, each closed by its first point.

    ``xy`` float64 (v, 2) of all points, ring by ring, and the ``ring`` intp (v,) that each belongs to; of each
    ring its ``polygon`` intp (r,) and whether it ``is_hole`` bool (r,).
    """

    xy: NDArray[np.float64]
    ring: NDArray[np.intp]
    polygon: NDArray[np.intp]
    is_hole: NDArray[np.bool_]

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> Rings:
        """Those of shapely Polygons or MultiPolygons."""
        parts, part_polygon = shapely.get_parts(polygons, return_index=True)
        rings, ring_part = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        # The first ring of a part is its exterior.
        is_hole = np.diff(ring_part, prepend=-1) == 0
        return cls(xy=xy, ring=ring, polygon=part_polygon[ring_part], is_hole=is_hole)

    def with_edges_up_to(self, longest: float) -> Rings:
        """The same rings; edges longer than ``longest``, in units of the CRS, are cut in equal pieces."""
        step_x, step_y = np.diff(self.xy[:, 0]), np.diff(self.xy[:, 1])
        long = np.sqrt(step_x * step_x + step_y * step_y) > longest
        if not (long & (self.ring[1:] == self.ring[:-1])).any():
            return self
        lines = shapely.segmentize(shapely.linestrings(self.xy, indices=self.ring), longest)
        xy, ring = shapely.get_coordinates(lines, return_index=True)
        return replace(self, xy=xy, ring=ring)


def measure(
    polygons: NDArray[np.object_],
    crs: pyproj.CRS,
    *,
    bounds: tuple[float, float, float, float] | None = None,
    rings: Rings | None = None,
) -> Measures:
    """Area and perimeter on the ground of shapely Polygons or MultiPolygons given in ``crs``.

    ``bounds`` (xmin, ymin, xmax, ymax) are those of the layer where the polygons are part of one, so that all
    of it is measured in one plane; by default the polygons' own. ``rings`` are the polygons', for one who has
    them: to take geometries apart costs as much as to measure them. A CRS without a place on Earth (an
    engineering CRS) is measured in the plane, in its own unit.
    """
    polygons = np.asarray(polygons, dtype=object)
    if polygons.size == 0:
        return Measures(area_m2=np.zeros(0), perimeter_m=np.zeros(0))
    geographic = crs.geodetic_crs
    if geographic is None:
        unit_m = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        return Measures(
            area_m2=shapely.area(polygons) * unit_m**2, perimeter_m=shapely.length(polygons) * unit_m
        )
    earth = _Earth(crs, geographic, shapely.total_bounds(polygons) if bounds is None else np.array(bounds))
    rings = (rings or Rings.of(polygons)).with_edges_up_to(LONGEST_EDGE_M / earth.metres_per_unit)
    # Neighbours share their borders: half the points are there twice, and to project them is most of the work.
    chosen, place = _distinct(rings.xy.view(np.uint64))
    lon_deg, lat_deg = earth.lonlat_deg(rings.xy[chosen])
    ring, n_rings = rings.ring, len(rings.polygon)
    same_ring = ring[1:] == ring[:-1]

    length_m = earth.lengths_m(lon_deg, lat_deg, place)
    x_m, y_m = (axis[place] for axis in earth.equal_area(lon_deg, lat_deg))
    ring_of_edge = ring[:-1][same_ring]
    # Coordinates relative to the ring's first vertex keep the products small, hence exact to the last m2.
    first = np.searchsorted(ring, np.arange(n_rings))
    x_m, y_m = x_m - x_m[first][ring], y_m - y_m[first][ring]
    twice_area = (x_m[:-1] * y_m[1:] - x_m[1:] * y_m[:-1])[same_ring]
    ring_area = np.abs(_sum_by(ring_of_edge, twice_area, n_rings)) / 2
    ring_length = _sum_by(ring_of_edge, length_m[same_ring], n_rings)

    signed = np.where(rings.is_hole, -ring_area, ring_area)
    return Measures(
        area_m2=_sum_by(rings.polygon, signed, len(polygons)),
        perimeter_m=_sum_by(rings.polygon, ring_length, len(polygons)),
    )


def centres_inside(polygons: NDArray[np.object_]) -> NDArray[np.float64]:
    """One point inside each polygon, as x and y in the polygons' CRS: float64 of shape (n, 2)."""
    return shapely.get_coordinates(shapely.point_on_surface(polygons)).reshape(-1, 2)


class _Earth:
    """The way from a CRS to its ellipsoid, and a local equal-area plane in the middle of ``bounds``."""

    def __init__(self, crs: pyproj.CRS, geographic: pyproj.CRS, bounds: NDArray[np.float64]) -> None:
        self.geodesic = crs.get_geod() or pyproj.Geod(ellps="WGS84")
        self._to_geographic = pyproj.Transformer.from_crs(crs, geographic, always_xy=True)
        # Some geographic CRSs count in grads.
        self._degrees_per_unit = geographic.axis_info[0].unit_conversion_factor / _RADIANS_PER_DEGREE
        middle = np.array([[(bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2]])
        step = max(bounds[2] - bounds[0], bounds[3] - bounds[1], 1e-9) * 1e-3
        lon, lat = self.lonlat_deg(np.concatenate([middle, middle + [[step, 0]], middle + [[0, step]]]))
        _, _, steps_m = self.geodesic.inv(lon[[0, 0]], lat[[0, 0]], lon[1:], lat[1:])
        self.metres_per_unit = float(np.max(steps_m)) / step
        self.equal_area = pyproj.Proj(
            proj="laea", lon_0=float(lon[0]), lat_0=float(lat[0]), a=self.geodesic.a, b=self.geodesic.b
        )

    def lengths_m(
        self, lon_deg: NDArray[np.float64], lat_deg: NDArray[np.float64], way: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """From point to point on a ``way`` (n,) over the given ones, (n - 1,).

        Right to a part in 10^9 up to ``LONGEST_EDGE_M``.
        """
        lon, lat, a, es = np.radians(lon_deg), np.radians(lat_deg), self.geodesic.a, self.geodesic.es
        sine = np.sin(lat)
        normal_m = a / np.sqrt(1 - es * sine**2)
        from_axis_m = normal_m * np.cos(lat)
        x, y, z = from_axis_m * np.cos(lon), from_axis_m * np.sin(lon), (1 - es) * normal_m * sine
        step_x, step_y, step_z = (np.diff(axis[way]) for axis in (x, y, z))
        chord_m = np.sqrt(step_x**2 + step_y**2 + step_z**2)
        return chord_m * (1 + (chord_m / a) ** 2 / 24)  # type: ignore[no-any-return]

    def lonlat_deg(self, xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lon, lat = self._to_geographic.transform(xy[:, 0], xy[:, 1])
        return lon * self._degrees_per_unit, lat * self._degrees_per_unit


def _sum_by(group: NDArray[np.intp], values: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(group, values, groups), dtype=np.float64)


@njit(nogil=True, cache=True)
def _distinct(points: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each distinct point, the bits of x and y (n, 2), is first; and which of these each point is (n,)."""
    bits = 4
    while 1 << bits < 2 * len(points):
        bits += 1
    slots = np.full(1 << bits, -1, np.intp)
    chosen, place = np.empty(len(points), np.intp), np.empty(len(points), np.intp)
    count = 0
    for i in range(len(points)):
        x, y = points[i]
        # Multiplicative hashing (Knuth 1973); the halves are mixed because low bits of coordinates are often 0.
        mixed = (x ^ (y >> np.uint64(29)) ^ (y << np.uint64(35))) * _GOLDEN
        slot = np.intp((mixed ^ (mixed >> np.uint64(32))) * _GOLDEN >> np.uint64(64 - bits))
        while slots[slot] >= 0 and (
            points[chosen[slots[slot]], 0] != x or points[chosen[slots[slot]], 1] != y
        ):
            slot = (slot + 1) & ((1 << bits) - 1)
        if slots[slot] < 0:
            slots[slot] = count
            chosen[count] = i
            count += 1
        place[i] = slots[slot]
    return chosen[:count].copy(), place
