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


def _array(**coords: object) -> xarray.DataArray:
    """Three bands of 8 x 12 pixels of 10 m."""
    centres = {"y": 5_700_000 - 10 * (np.arange(8) + 0.5), "x": 600_000 + 10 * (np.arange(12) + 0.5)}
    array = xarray.DataArray(
        ramp(3, 8, 12), dims=("band", "y", "x"), coords={"band": list(RGB), **centres, **coords}
    )
    return array.rio.write_crs("EPSG:32632")


def test_what_the_variables_of_a_dataset_declare_counts() -> None:
    dataset = _array().to_dataset("band")
    for number, name in enumerate(RGB):
        dataset[name].attrs.update(nodata=number + 1, scale_factor=0.5, add_offset=number)
    scene = open_scene(dataset)
    assert scene.nodata == (1, 2, 3)
    values, valid = whole(scene)
    assert not valid[0, :1].any()
    assert valid[1:].all()
    np.testing.assert_array_equal(values[1][valid], dataset["green"].values[valid] * 0.5 + 1)


def test_masks_keep_their_meaning_as_fractions() -> None:
    array = _array().astype("float64")
    classes = xarray.full_like(array[:1], 4).assign_coords(band=["SCL"])
    classes[0, 0], classes[0, 1] = 9, np.nan
    scene = open_scene(xarray.concat([array, classes], "band"))
    assert scene.bands == RGB
    assert [mask.name for mask in scene.masks] == ["scl"]
    assert np.flatnonzero(~whole(scene)[1].all(axis=1)).tolist() == [0, 1]
    dataset = array.to_dataset("band").assign(SCL=classes[0].drop_vars("band").fillna(0).astype("uint8"))
    assert np.flatnonzero(~whole(open_scene(dataset))[1].all(axis=1)).tolist() == [0, 1]


@pytest.mark.parametrize("axis", ["x", "y"])
def test_uneven_coordinates_are_refused(axis: str) -> None:
    with pytest.raises(SceneError, match=f"coordinates along {axis} are uneven"):
        open_scene(_array().isel({axis: [0, 1, 2, 6, 7]}))


@pytest.mark.parametrize("unit", ["km", "radian"])
def test_coordinates_in_another_unit_than_the_crs_are_refused(unit: str) -> None:
    array = _array()
    array.x.attrs["units"] = "m"
    assert open_scene(array).grid.transform == TEN_METRES
    far = array.assign_coords(x=array.x / 1000, y=array.y / 1000)
    far.x.attrs["units"] = unit
    with pytest.raises(SceneError, match=f"along x are in {unit}, and the CRS counts metres"):
        open_scene(far)


def test_coordinates_of_corners_are_told_from_those_of_centres() -> None:
    array = _array().assign_attrs(transform=tuple(TEN_METRES))
    corners = array.assign_coords(x=array.x - 5, y=array.y + 5)
    assert open_scene(corners).grid == open_scene(array).grid
    part = corners.isel(x=slice(3, None))
    assert open_scene(part).grid == open_scene(array.isel(x=slice(3, None))).grid


def test_an_array_that_is_still_in_its_file_is_not_loaded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = whole(open_scene(path))
    array = rioxarray.open_rasterio(path)
    looked_at = []
    wrapper = type(array.variable._data.array.array.array)
    read = wrapper.__getitem__
    monkeypatch.setattr(wrapper, "__getitem__", lambda self, key: looked_at.append(key) or read(self, key))
    for each in (array, array.assign_coords(band=list(RGB)).to_dataset("band")):
        scene = open_scene(each)
        assert looked_at == []
        assert scene == open_scene(each)
        np.testing.assert_array_equal(whole(scene)[0], expected[0])
        assert looked_at
        looked_at.clear()
    with pytest.raises(SceneError, match="has the dimensions band"):
        open_scene(array.drop_vars(["x", "y"]).rename(x="across", y="down"))


@pytest.mark.parametrize("kind", ["text", "date"])
def test_days_may_be_texts_or_dates(kind: str) -> None:
    days = [date(2021, 6, 15), date(2021, 6, 1)]
    series = xarray.concat([_array(), _array() + 1], "time")
    scene = open_scene(series.assign_coords(time=list(map(str, days)) if kind == "text" else days))
    assert scene.dates == (days[1], days[0])
    assert whole(scene.at(days[1]))[0][0, 0, 0] == 2


def test_arrays_without_a_date_or_pixels_are_refused() -> None:
    series = xarray.concat([_array(), _array()], "time")
    with pytest.raises(SceneError, match="a position along time has no date"):
        open_scene(series.assign_coords(time=np.array(["2021-06-01", "NaT"], "datetime64[ns]")))
    with pytest.raises(SceneError, match=r"has no pixels: band \(3\), y \(8\), x \(0\)"):
        open_scene(_array().isel(x=slice(0, 0)))
    with pytest.raises(SceneError, match="Dataset has the dimensions"):
        open_scene(_array().to_dataset("band").drop_vars(RGB))


def test_selections_of_a_file_are_not_each_other(tmp_path: Path) -> None:
    """What is still in its file has an identity of its own for every selection and way of decoding it."""
    numbers = np.stack([ramp(3, 8, 12), ramp(3, 8, 12) + 7]).astype("int16")
    y, x = TEN_METRES.f - 5 - 10.0 * np.arange(8), TEN_METRES.c + 5 + 10.0 * np.arange(12)
    cube = xarray.Dataset({"refl": (("run", "band", "y", "x"), numbers)}, coords={"y": y, "x": x})
    cube["refl"].attrs["long_name"] = list(RGB)
    cube.rio.write_crs("EPSG:32632").to_netcdf(tmp_path / "runs.nc")

    def token(**selection: int) -> str:
        with xarray.open_dataset(tmp_path / "runs.nc", decode_coords="all") as opened:
            return open_scene(opened["refl"].isel(**selection)).layers[0].source.token

    assert token(run=0) == token(run=0)
    assert token(run=0) != token(run=1)


def test_degrees_rounded_to_float32_are_even(path: Path) -> None:
    lon, lat = (start + 1e-4 * np.arange(count) for start, count in ((120.0, 12), (45.0, 8)))
    array = xarray.DataArray(
        ramp(3, 8, 12),
        dims=("band", "y", "x"),
        coords={"band": list(RGB), "y": lat[::-1].astype("float32"), "x": lon.astype("float32")},
    )
    assert open_scene(array.rio.write_crs("EPSG:4326")).bands == RGB
