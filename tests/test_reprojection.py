"""Polygons in another CRS against geopandas, and those that it has no place for."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from geopanoptic.reprojection import place_of, reprojected

HERE = shapely.box(11.0, 52.0, 11.1, 52.1)


def test_what_a_projection_reaches_is_where_geopandas_puts_it():
    series = geopandas.GeoSeries([HERE, shapely.box(9, 50, 9.2, 50.1)], crs="EPSG:4326")
    expected = series.to_crs("EPSG:32632")
    found = reprojected(series.to_numpy(), series.crs, "EPSG:32632")
    assert shapely.equals_exact(found, expected.to_numpy(), tolerance=1e-6).all()
    assert reprojected(series.to_numpy(), series.crs, series.crs) is not None
    assert len(reprojected(np.array([], dtype=object), series.crs, "EPSG:32632")) == 0


@pytest.mark.parametrize(
    "stray",
    [shapely.box(99.0, 0.0, 99.1, 0.1), shapely.box(-180, -5, 180, 5), shapely.box(-10, -80, 10, 80)],
)
def test_what_it_does_not_reach_is_empty_and_the_others_stay(stray):
    series = geopandas.GeoSeries([stray, HERE], crs="EPSG:4326")
    beyond, here = reprojected(series.to_numpy(), series.crs, "EPSG:32632")
    assert beyond.is_empty
    assert here.area > 0


def test_places_are_told_in_degrees():
    there = geopandas.GeoSeries([HERE], crs="EPSG:4326").to_crs("EPSG:32632")
    west, rest = place_of(there.to_numpy(), there.crs).split("..", 1)
    assert float(west) == pytest.approx(11.0, abs=1e-3)
    assert rest.endswith("N")
