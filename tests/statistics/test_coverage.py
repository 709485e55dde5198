"""Covered shares of pixels: equal to cutting each pixel out of the polygon, and to exactextract."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from geopanoptic.statistics import coverage
from geopanoptic.statistics.coverage import covered_cells


def cut_out(polygon: shapely.Geometry) -> dict[tuple[int, int], float]:
    """Share of each pixel, by intersecting them one by one."""
    xmin, ymin, xmax, ymax = (int(each) for each in shapely.bounds(polygon))
    pixels = {
        (row, col): box(col, row, col + 1, row + 1).intersection(polygon).area
        for row in range(ymin, ymax + 1)
        for col in range(xmin, xmax + 1)
    }
    return {pixel: share for pixel, share in pixels.items() if share > 1e-6}


def found_of(polygons: list[shapely.Geometry], each: int = 0) -> dict[tuple[int, int], float]:
    cells = covered_cells(np.array(polygons, dtype=object))
    own = slice(cells.starts[each], cells.starts[each + 1])
    pixels = zip(cells.row[own].tolist(), cells.col[own].tolist(), strict=True)
    return dict(zip(pixels, cells.share[own].tolist(), strict=True))


coordinate = st.floats(0, 9, width=32) | st.integers(0, 9).map(float)


@st.composite
def polygons(draw: st.DrawFn) -> shapely.Geometry:
    """Hulls, minus another hull: polygons with notches and holes, and of several parts."""
    hulls = []
    for _ in range(2):
        points = draw(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=6))
        hulls.append(shapely.MultiPoint(points).convex_hull)
    return shapely.difference(*hulls)


@settings(max_examples=150)
@given(polygons().filter(lambda each: each.area > 0 and each.geom_type in ("Polygon", "MultiPolygon")))
def test_shares_are_those_of_the_pixels_cut_out(polygon):
    expected, found = cut_out(polygon), found_of([polygon])
    for pixel in expected.keys() | found.keys():
        assert found.get(pixel, 0) == pytest.approx(expected.get(pixel, 0), abs=3e-6)


def test_holes_and_parts():
    ring = box(1, 1, 6, 6).difference(box(2.5, 2.5, 4.5, 4.5))
    both = shapely.union(ring, box(8.25, 0, 9, 1))
    assert found_of([both]) == pytest.approx(cut_out(both))


def test_a_polygon_on_pixel_borders_has_whole_pixels():
    assert found_of([box(2, 3, 5, 5)]) == dict.fromkeys([(r, c) for r in (3, 4) for c in (2, 3, 4)], 1.0)


def test_neighbours_share_their_pixels_and_nothing_is_lost():
    left = shapely.Polygon([(0, 0), (4.3, 0), (5.7, 8), (0, 8)])
    right = shapely.Polygon([(4.3, 0), (10, 0), (10, 8), (5.7, 8)])
    both = found_of([left, right]), found_of([left, right], 1)
    for pixel in both[0].keys() | both[1].keys():
        assert both[0].get(pixel, 0) + both[1].get(pixel, 0) == pytest.approx(1)


def test_strips_of_a_large_polygon_fit_together(monkeypatch):
    polygon = shapely.Point(30, 30).buffer(27.3)
    whole = covered_cells(np.array([polygon], dtype=object))
    monkeypatch.setattr(coverage, "_STRIP_PX", 200)
    strips = covered_cells(np.array([polygon], dtype=object))
    assert whole.row.tolist() == strips.row.tolist()
    assert whole.col.tolist() == strips.col.tolist()
    assert whole.share == pytest.approx(strips.share, abs=1e-12)
    assert whole.share.sum() == pytest.approx(polygon.area)


def test_no_polygon():
    cells = covered_cells(np.zeros(0, dtype=object))
    assert len(cells) == 0
    assert cells.starts.tolist() == [0]
