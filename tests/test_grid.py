"""Windows and grids against pyproj and rasterio."""

from __future__ import annotations

import pyproj
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.grid import Grid, Window

windows = st.builds(
    lambda row, col, height, width: Window(row, col, row + height, col + width),
    st.integers(-50, 50),
    st.integers(-50, 50),
    st.integers(1, 60),
    st.integers(1, 60),
)


def grid(epsg: int, transform: Affine, height: int = 100, width: int = 80) -> Grid:
    return Grid(crs_wkt=pyproj.CRS.from_epsg(epsg).to_wkt(), transform=transform, height=height, width=width)


@given(windows, windows)
def test_intersection_holds_the_common_pixels(a, b):
    def pixels(window):
        return {(r, c) for r in range(window.row0, window.row1) for c in range(window.col0, window.col1)}

    common = a.intersection(b)
    assert (pixels(common) if common else set()) == pixels(a) & pixels(b)


@given(windows, st.integers(1, 5))
def test_covering_undoes_scaling(window, factor):
    assert window.scaled(factor).covering(factor) == window
    assert window.covering(factor).scaled(factor).intersection(window) == window


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 45))
def test_blocks_cover_the_grid_once(height, width, size):
    blocks = list(grid(32632, Affine(10, 0, 0, 0, -10, 0), height, width).blocks(size))
    assert sum(block.size_px for block in blocks) == height * width
    assert all(block.intersection(other) is None for block in blocks for other in blocks if block != other)


def test_scaled_grid_lies_on_the_same_ground():
    coarse = grid(32632, Affine.rotation(20) @ Affine(10, 0, 5e5, 0, -10, 5.7e6))
    fine = coarse.scaled(2)
    assert fine.shape == (200, 160)
    assert (fine.transform @ (160, 200)) == pytest.approx(coarse.transform @ (80, 100))


@pytest.mark.parametrize(
    ("epsg", "transform", "expected_m"),
    [
        (32632, Affine(10, 0, 5e5, 0, -10, 5.7e6), (10, 10)),
        (3857, Affine(10, 0, 1e6, 0, -10, 6.8e6), (6.08, 6.09)),  # 52.0 N: about cos(52 degrees) of 10 m
        (4326, Affine(1e-4, 0, 10, 0, -1e-4, 52), (6.87, 11.13)),
        (27572, Affine(10, 0, 6e5, 0, -10, 2.4e6), (10, 10)),  # its geographic CRS counts in grads
    ],
)
def test_pixel_size_on_the_ground(epsg, transform, expected_m):
    assert grid(epsg, transform).pixel_size_m() == pytest.approx(expected_m, rel=0.02)


def test_pixel_size_is_that_of_the_middle_of_the_grid():
    tall = grid(4326, Affine(1e-3, 0, 10, 0, -1e-3, 70), height=20_000)
    middle = grid(4326, Affine(1e-3, 0, 10, 0, -1e-3, 60), height=2)
    assert tall.pixel_size_m() == pytest.approx(middle.pixel_size_m(), rel=1e-3)
