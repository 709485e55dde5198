"""Areas in m2 and perimeters in m of many polygons at once, in any CRS.

Areas are taken in a Lambert azimuthal equal-area projection centred on the layer, on the CRS's own
ellipsoid, so they hold for degrees, for feet and for Web Mercator alike. Perimeters are sums of geodesic
lengths: no equal-area projection keeps lengths (EPSG:6933 is off by 6 % at 52 N). Edges are straight in
the layer's CRS, and long ones are cut into short ones first because they are not straight elsewhere; short
ones are measured as chords between geocentric coordinates, made arcs by the first term of the sine's series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

LONGEST_EDGE_M = 1000.0
"""Edges above this are cut. At 60 degrees north, a parallel leaves the geodesic by 3 cm over 1 km."""

_RADIANS_PER_DEGREE = math.radians(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Figures of n polygons: ``area_m2`` and ``perimeter_m`` (holes included), float64 of shape (n,)."""

    area_m2: NDArray[np.float64]
    perimeter_m: NDArray[np.float64]


def measure(
    polygons: NDArray[np.object_], crs: pyproj.CRS, *, bounds: tuple[float, float, float, float] | None = None
) -> Measures:
    """Area and perimeter on the ground of shapely Polygons or MultiPolygons given in ``crs``.

    ``bounds`` (xmin, ymin, xmax, ymax) are those of the layer where the polygons are part of one, so that all
    of it is measured in one plane; by default the polygons' own. A CRS without a place on Earth (an engineering CRS) is measured in the plane, in its own unit.
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
    polygons = _without_long_edges(polygons, earth.metres_per_unit)
    rings, ring_polygon = _rings(polygons)
    xy, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    lon_deg, lat_deg = earth.lonlat_deg(xy)
    same_ring = ring_of_vertex[1:] == ring_of_vertex[:-1]

    length_m = earth.lengths_m(lon_deg, lat_deg)
    x_m, y_m = earth.equal_area(lon_deg, lat_deg)
    ring_of_edge = ring_of_vertex[:-1][same_ring]
    # Coordinates relative to the ring's first vertex keep the products small, hence exact to the last m2.
    first = np.searchsorted(ring_of_vertex, np.arange(len(rings)))
    x_m, y_m = x_m - x_m[first][ring_of_vertex], y_m - y_m[first][ring_of_vertex]
    twice_area = (x_m[:-1] * y_m[1:] - x_m[1:] * y_m[:-1])[same_ring]
    ring_area = np.abs(_sum_by(ring_of_edge, twice_area, len(rings))) / 2
    ring_length = _sum_by(ring_of_edge, length_m[same_ring], len(rings))

    signed = np.where(_is_hole(polygons, rings), -ring_area, ring_area)
    return Measures(
        area_m2=_sum_by(ring_polygon, signed, len(polygons)),
        perimeter_m=_sum_by(ring_polygon, ring_length, len(polygons)),
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

    def lengths_m(self, lon_deg: NDArray[np.float64], lat_deg: NDArray[np.float64]) -> NDArray[np.float64]:
        """From each of n points to the next, (n - 1,); right to a part in 10^9 up to ``LONGEST_EDGE_M``."""
        lon, lat, a, es = np.radians(lon_deg), np.radians(lat_deg), self.geodesic.a, self.geodesic.es
        sine = np.sin(lat)
        normal_m = a / np.sqrt(1 - es * sine**2)
        from_axis_m = normal_m * np.cos(lat)
        x, y, z = from_axis_m * np.cos(lon), from_axis_m * np.sin(lon), (1 - es) * normal_m * sine
        chord_m = np.sqrt(np.diff(x) ** 2 + np.diff(y) ** 2 + np.diff(z) ** 2)
        return chord_m * (1 + (chord_m / a) ** 2 / 24)  # type: ignore[no-any-return]

    def lonlat_deg(self, xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lon, lat = self._to_geographic.transform(xy[:, 0], xy[:, 1])
        return lon * self._degrees_per_unit, lat * self._degrees_per_unit


def _sum_by(group: NDArray[np.intp], values: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(group, values, groups), dtype=np.float64)


def _without_long_edges(polygons: NDArray[np.object_], metres_per_unit: float) -> NDArray[np.object_]:
    xmin, ymin, xmax, ymax = shapely.bounds(polygons).T
    longest = LONGEST_EDGE_M / metres_per_unit
    large = np.hypot(xmax - xmin, ymax - ymin) > longest
    if not large.any():
        return polygons
    polygons = polygons.copy()
    polygons[large] = shapely.segmentize(polygons[large], longest)
    return polygons


def _rings(polygons: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp]]:
    """All rings, and the polygon each belongs to."""
    parts, part_polygon = shapely.get_parts(polygons, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    return rings, part_polygon[ring_part]


def _is_hole(polygons: NDArray[np.object_], rings: NDArray[np.object_]) -> NDArray[np.bool_]:
    """True for the rings of :func:`_rings` that are interior: all of a part's but its first."""
    parts = shapely.get_parts(polygons)
    rings_of_part = shapely.get_num_interior_rings(parts) + 1
    hole = np.ones(len(rings), dtype=bool)
    hole[np.cumsum(rings_of_part) - rings_of_part] = False
    return hole
