"""Bands of several resolutions on one grid, against GDAL and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import Resampling, reproject
from tiny_rasters import TEN_METRES, UTM, ramp, whole, write_raster

from geopanoptic.grid import Grid, Window
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.files.alignment import align


def _two_resolutions(folder: Path, shift: tuple[float, float] = (0, 0)) -> tuple[Scene, np.ndarray, Affine]:
    """Red at 10 m; swir16 at 20 m, its origin ``shift`` fine pixels away (cols, rows)."""
    coarse = np.random.default_rng(7).integers(100, 4000, (14, 13)).astype("uint16")
    place = TEN_METRES @ Affine.translation(*shift) @ Affine.scale(2)
    folder.mkdir(exist_ok=True)
    write_raster(folder / "red.tif", ramp(26, 24))
    write_raster(folder / "swir16.tif", coarse, transform=place)
    return open_scene(folder), coarse, place


@pytest.mark.parametrize("shift", [(0, 0), (-1, 0), (-1, -1), (-0.5, -1.25)])
def test_20_m_bands_match_an_independent_warp(tmp_path: Path, shift: tuple[float, float]) -> None:
    scene, coarse, place = _two_resolutions(tmp_path, shift)
    warped = np.full(scene.grid.shape, np.nan, np.float32)
    reproject(
        coarse.astype(np.float32), warped, src_transform=place, src_crs=UTM, dst_nodata=np.nan,
        dst_transform=scene.grid.transform, dst_crs=UTM, resampling=Resampling.bilinear,
    )  # fmt: skip
    values, valid = whole(scene, "swir16")
    both = valid & np.isfinite(warped)
    assert both.mean() > 0.9
    np.testing.assert_allclose(values[0][both], warped[both], rtol=1e-4)


def test_a_plane_stays_a_plane_so_nothing_moves_by_half_a_pixel(tmp_path: Path) -> None:
    place = TEN_METRES @ Affine.translation(-1, 0) @ Affine.scale(2)
    rows, cols = np.mgrid[:8, :8] + 0.5
    xs, ys = place @ (cols, rows)
    write_raster(tmp_path / "swir16.tif", (xs - 6e5 + 2 * (5.7e6 - ys)).astype("float32"), transform=place)
    write_raster(tmp_path / "red.tif", ramp(16, 15))
    scene = open_scene(tmp_path)
    values, _ = whole(scene, "swir16")
    rows, cols = np.mgrid[:16, :15] + 0.5
    xs, ys = scene.grid.transform @ (cols, rows)
    expected = xs - 6e5 + 2 * (5.7e6 - ys)
    np.testing.assert_allclose(values[0, 1:-1, 1:-1], expected[1:-1, 1:-1], rtol=1e-5)


def test_a_coarse_band_one_fine_row_short_still_serves(tmp_path: Path) -> None:
    write_raster(tmp_path / "red.tif", ramp(5, 4))
    write_raster(tmp_path / "swir16.tif", ramp(2, 2), transform=TEN_METRES @ Affine.scale(2))
    scene = open_scene(tmp_path)
    assert whole(scene)[1].all()
    assert scene.warnings == ()


def test_a_band_of_the_same_size_is_never_stretched(tmp_path: Path) -> None:
    write_raster(tmp_path / "red.tif", ramp(5, 4))
    write_raster(tmp_path / "swir16.tif", ramp(3, 4))
    values, valid = whole(open_scene(tmp_path))
    assert valid.sum(axis=1).tolist() == [4, 4, 4, 0, 0]
    np.testing.assert_array_equal(values[1][:3], ramp(3, 4))


def test_nodata_of_a_coarse_band_does_not_bleed(tmp_path: Path) -> None:
    coarse = np.full((4, 4), 1000, "uint16")
    coarse[1, 1] = 0
    write_raster(tmp_path / "red.tif", np.full((8, 8), 5, "uint16"))
    write_raster(tmp_path / "swir16.tif", coarse, transform=TEN_METRES @ Affine.scale(2), nodata=0)
    values, valid = whole(open_scene(tmp_path), "swir16")
    expected = np.ones((8, 8), bool)
    expected[2:4, 2:4] = False
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_allclose(values[0][valid], 1000, rtol=1e-6)


@settings(max_examples=60)
@given(data=st.data())
def test_a_pixel_does_not_depend_on_the_window(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "two_resolutions"
    if not folder.exists():
        _two_resolutions(folder, (-1, -0.5))
        with rasterio.open(folder / "swir16.tif", "r+") as dataset:
            values = dataset.read(1)
            values[3:6, 2:5] = 0
            dataset.write(values, 1)
            dataset.nodata = 0
    scene = open_scene(folder)
    frame = Window(-4, -4, 30, 30)
    values, valid = scene.read(frame)
    row0, col0 = data.draw(st.integers(-4, 29)), data.draw(st.integers(-4, 29))
    window = Window(row0, col0, data.draw(st.integers(row0 + 1, 30)), data.draw(st.integers(col0 + 1, 30)))
    part, part_valid = scene.read(window)
    where = window.slices(frame)
    np.testing.assert_array_equal(part, values[(slice(None), *where)])
    np.testing.assert_array_equal(part_valid, valid[where])


@pytest.mark.parametrize(("b", "d"), [(0.1, 0.0), (0.0, 0.1)])
def test_grids_that_are_sheared_against_each_other_are_not_aligned(b: float, d: float) -> None:
    wkt = pyproj.CRS.from_epsg(32632).to_wkt()
    plain, sheared = (
        Grid(crs_wkt=wkt, transform=Affine(10, over, 6e5, down, -10, 5.8e6), height=100, width=100)
        for over, down in ((0, 0), (b, d))
    )
    assert align(plain, plain) is not None
    assert align(plain, sheared) is None
