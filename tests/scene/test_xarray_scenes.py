"""Scenes from xarray objects."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path

import dask.array
import numpy as np
import pytest
import rioxarray
import xarray
from tiny_rasters import RGB, TEN_METRES, ramp, whole, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.grid import Window
from geopanoptic.scene import open_scene


@pytest.fixture
def path(tmp_path: Path) -> Path:
    values = ramp(3, 8, 12)
    values[:, 2, 3] = 0
    return write_raster(tmp_path / "scene_20210615.tif", values, names=RGB, nodata=0)


def test_the_round_trip_is_exact(path: Path) -> None:
    scene = open_scene(path)
    again = open_scene(scene.to_xarray(chunk_px=5))
    assert again.grid == scene.grid
    assert again.bands == scene.bands
    assert again.dates == scene.dates == (date(2021, 6, 15),)
    for window in (scene.grid.window, Window(-2, 3, 5, 20)):
        for one, other in zip(scene.read(window), again.read(window), strict=True):
            np.testing.assert_array_equal(one, other)
    assert again.files == ()
    assert again.changed_files() == ()
    np.testing.assert_array_equal(again.quicklook(), scene.quicklook())


@pytest.mark.parametrize("masked", [True, False])
def test_rioxarray_files(path: Path, masked: bool) -> None:
    scene = open_scene(path)
    with rioxarray.open_rasterio(path, masked=masked) as array:
        other = open_scene(array)
        assert other.grid == scene.grid
        assert other.bands == RGB
        for one, twin in zip(whole(scene), whole(other), strict=True):
            np.testing.assert_array_equal(one, twin)


def test_datasets_and_selections(path: Path) -> None:
    array = open_scene(path).to_xarray()
    variables = array.to_dataset("band").assign(count=7)
    assert open_scene(variables).bands == RGB
    part = open_scene(array.isel(x=slice(3, 9), y=slice(None, None, -1)))
    assert part.grid == open_scene(path).grid.crop(Window(0, 3, 8, 9))
    np.testing.assert_array_equal(whole(part)[0], open_scene(path).read(Window(0, 3, 8, 9))[0])


def test_series(path: Path) -> None:
    array = open_scene(path).to_xarray()
    later = (array + 1).assign_coords(time=np.datetime64("2021-07-01", "ns"))
    scene = open_scene(xarray.concat([later, array], "time"))
    assert scene.dates == (date(2021, 6, 15), date(2021, 7, 1))
    assert whole(scene.at("2021-07-01"))[0][0, 0, 0] == 2


def test_only_the_chunks_under_a_window_are_computed(path: Path) -> None:
    array = open_scene(path).to_xarray()
    computed = []

    def chunk(block: np.ndarray, block_info: dict) -> np.ndarray:
        computed.append(block_info[0]["chunk-location"])
        return block

    lazy = array.copy(
        data=dask.array.ones((3, 8, 12), np.float32, chunks=(3, 4, 4)).map_blocks(
            chunk, meta=np.empty((0, 0, 0))
        )
    )
    scene = open_scene(lazy)
    computed.clear()
    scene.read(Window(0, 5, 3, 7))
    assert computed == [(0, 0, 1)]
    assert pickle.loads(pickle.dumps(open_scene(array))) == open_scene(array)


def test_what_is_missing_is_named(path: Path) -> None:
    array = open_scene(path).to_xarray().drop_vars("spatial_ref")
    array.attrs.clear()
    with pytest.raises(SceneError, match=r"no coordinate reference system.*write_crs"):
        open_scene(array)
    assert open_scene(array, assume_crs="EPSG:32632").grid.transform == TEN_METRES
    with pytest.raises(SceneError, match="has the dimensions row"):
        open_scene(xarray.DataArray(np.zeros((4, 4)), dims=("row", "column"), name="plain"))
    with pytest.raises(SceneError, match="--bands"):
        open_scene(open_scene(path).to_xarray().drop_vars("band"))
