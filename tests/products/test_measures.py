"""Areas and perimeters against pyproj's geodesics, in every kind of CRS."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from numpy.typing import NDArray
from small_maps import PLACES

from geopanoptic.products.measures import centres_inside, measure


def blobs(x: float, y: float, pixel: float, count: int = 60) -> NDArray[np.object_]:
    """Star-shaped parcels of about 30 pixels across, strewn over 50 km, every third with a hole."""
    dice = np.random.default_rng(7)
    angle = np.sort(dice.uniform(0, 2 * np.pi, (count, 20)), axis=1)
    radius = 15 * pixel * dice.uniform(0.6, 1.0, (count, 20))
    middle = np.column_stack([x, y]) + dice.uniform(-2500, 2500, (count, 2)) * pixel
    around = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * radius[..., None]
    shells = middle[:, None] + around
    holes = [shapely.linearrings(middle[i] + 0.3 * around[i]) if i % 3 == 0 else None for i in range(count)]
    return np.array(
        [
            shapely.Polygon(shell, [hole] if hole is not None else [])
            for shell, hole in zip(shells, holes, strict=True)
        ]
    )


def geodesic(polygon: shapely.Polygon, crs: pyproj.CRS) -> tuple[float, float]:
    """Area and perimeter by pyproj's own polygon integration, ring by ring."""
    geographic = crs.geodetic_crs
    turn = pyproj.Transformer.from_crs(crs, geographic, always_xy=True)
    degrees = np.degrees(geographic.axis_info[0].unit_conversion_factor)
    area = perimeter = 0.0
    for sign, ring in [(1, polygon.exterior), *((-1, hole) for hole in polygon.interiors)]:
        lon, lat = (np.asarray(axis) * degrees for axis in turn.transform(*ring.xy))
        ring_area, ring_perimeter = crs.get_geod().polygon_area_perimeter(lon, lat)
        area += sign * abs(ring_area)
        perimeter += ring_perimeter
    return area, perimeter


@pytest.mark.parametrize("place", sorted(PLACES))
def test_agrees_with_geodesics(place: str) -> None:
    wkt, x, y, pixel = PLACES[place]
    crs = pyproj.CRS.from_wkt(wkt)
    polygons = blobs(x, y, pixel)
    measured = measure(polygons, crs)
    expected = np.array([geodesic(polygon, crs) for polygon in polygons])
    np.testing.assert_allclose(measured.area_m2, expected[:, 0], rtol=1e-6)
    np.testing.assert_allclose(measured.perimeter_m, expected[:, 1], rtol=1e-9)


def test_long_edges_are_straight_in_the_layers_crs() -> None:
    crs = pyproj.CRS.from_epsg(4326)
    page = shapely.box(9, 60, 11, 61)
    north, south = np.sin(np.radians(61)), np.sin(np.radians(60))
    e = np.sqrt(crs.get_geod().es)

    def zone(sine: float) -> float:
        return sine / (2 * (1 - e**2 * sine**2)) + np.arctanh(e * sine) / (2 * e)

    exact = crs.get_geod().b ** 2 * np.radians(2) * (zone(north) - zone(south))
    assert measure(np.array([page]), crs).area_m2[0] == pytest.approx(exact, rel=1e-6)


def test_parts_of_a_whole_add_up() -> None:
    wkt, x, y, pixel = PLACES["utm"]
    crs = pyproj.CRS.from_wkt(wkt)
    left, low = np.meshgrid(x + 50 * pixel * np.arange(20), y + 50 * pixel * np.arange(20))
    parts = shapely.box(left, low, left + 50 * pixel, low + 50 * pixel).ravel()
    whole = measure(np.array([shapely.union_all(parts)]), crs).area_m2[0]
    assert measure(parts, crs).area_m2.sum() == pytest.approx(whole, rel=1e-9)


def test_multipolygons_and_holes_and_nothing() -> None:
    crs = pyproj.CRS.from_epsg(32632)
    ring = shapely.box(5e5, 5e6, 5e5 + 100, 5e6 + 100).difference(
        shapely.box(5e5 + 40, 5e6 + 40, 5e5 + 60, 5e6 + 60)
    )
    both = shapely.MultiPolygon([ring, shapely.box(5e5 + 200, 5e6, 5e5 + 210, 5e6 + 10)])
    measured = measure(np.array([ring, both]), crs)
    scale = 1 / 0.9996
    np.testing.assert_allclose(measured.area_m2, np.array([9600, 9700]) * scale**2, rtol=1e-6)
    np.testing.assert_allclose(measured.perimeter_m, np.array([480, 520]) * scale, rtol=1e-6)
    assert measure(np.array([], dtype=object), crs).area_m2.shape == (0,)


def test_engineering_crs_is_measured_in_the_plane() -> None:
    crs = pyproj.CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
    measured = measure(np.array([shapely.box(0, 0, 10, 10)]), crs)
    assert measured.area_m2[0] == pytest.approx(100 * 0.3048**2)
    assert measured.perimeter_m[0] == pytest.approx(40 * 0.3048)


def test_antimeridian_and_pole() -> None:
    utm_1 = pyproj.CRS.from_epsg(32601)
    to_utm = pyproj.Transformer.from_crs(4326, utm_1, always_xy=True)
    x, y = to_utm.transform(180.0, 10.0)
    square = shapely.box(x - 500, y - 500, x + 500, y + 500)
    assert measure(np.array([square]), utm_1).area_m2[0] == pytest.approx(1e6, rel=2e-3)
    polar = pyproj.CRS.from_epsg(3413)
    assert measure(np.array([shapely.box(-500, -500, 500, 500)]), polar).area_m2[0] == pytest.approx(
        1e6 / 0.9696**2, rel=1e-2
    )


def test_centres_lie_inside() -> None:
    moon = shapely.Point(0, 0).buffer(10).difference(shapely.Point(5, 0).buffer(9))
    centres = centres_inside(np.array([moon]))
    assert moon.contains(shapely.Point(centres[0]))
    assert centres_inside(np.array([], dtype=object)).shape == (0, 2)
