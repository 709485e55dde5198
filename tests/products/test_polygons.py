"""Polygons as arrays say the same as shapely's objects: as bytes, as geometries, as rings to measure."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from numpy.typing import NDArray
from small_maps import as_arrays

from geopanoptic.products.measures import LONGEST_EDGE_M, Rings, measure


def with_holes() -> NDArray[np.object_]:
    """A square, one with two holes, and one with edges longer than are measured in one piece."""
    square = shapely.box(5e5, 5e6, 5e5 + 100, 5e6 + 100)
    holed = square.difference(shapely.box(5e5 + 10, 5e6 + 10, 5e5 + 30, 5e6 + 20))
    holed = holed.difference(shapely.box(5e5 + 60, 5e6 + 40, 5e5 + 65, 5e6 + 80))
    wide = shapely.box(5.2e5, 5e6, 5.2e5 + 3.3 * LONGEST_EDGE_M, 5e6 + 70)
    return np.array([square, holed, wide])


@pytest.mark.parametrize("part", [slice(None), slice(1, 2), slice(0, 0)])
def test_bytes_and_geometries_are_shapelys(part: slice) -> None:
    polygons = with_holes()[part]
    arrays = as_arrays(polygons)
    assert len(arrays) == len(polygons)
    assert arrays.wkb().to_pylist() == shapely.to_wkb(polygons, byte_order=1).tolist()
    arrays.wkb().validate(full=True)
    assert shapely.equals_identical(arrays.geometries(), polygons).all()


def test_rings_are_those_of_the_geometries_and_measure_the_same() -> None:
    polygons = with_holes()
    rings, found = as_arrays(polygons).rings(), Rings.of(polygons)
    for name in Rings.__slots__:
        assert getattr(rings, name).tolist() == getattr(found, name).tolist()
    crs = pyproj.CRS.from_epsg(32632)
    given, taken = measure(polygons, crs, rings=rings), measure(polygons, crs)
    assert given.area_m2.tolist() == taken.area_m2.tolist()
    assert given.perimeter_m.tolist() == taken.perimeter_m.tolist()


def test_only_long_edges_are_cut() -> None:
    polygons = with_holes()
    rings = Rings.of(polygons)
    assert rings.with_edges_up_to(4 * LONGEST_EDGE_M) is rings
    cut = rings.with_edges_up_to(LONGEST_EDGE_M)
    expected = shapely.segmentize(polygons, LONGEST_EDGE_M)
    assert cut.xy.tolist() == shapely.get_coordinates(expected).tolist()
    assert np.bincount(cut.ring).tolist() == [5, 5, 5, 5, 11]
