"""What stands for a reflectance of 1: stated, or judged by the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray
from tiny_rasters import ramp, write_raster

from geopanoptic.errors import SceneError
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.units import with_units

COUNTS = ramp(2, 8, 12, start=300).astype("uint16")
NAMES = ("red", "nir")


def units(scene: Scene) -> list[float]:
    return [layer.reflectance_of_one for layer in with_units(scene.stored_grid, scene.layers)]


@pytest.fixture
def counts(tmp_path: Path) -> xarray.DataArray:
    """As floats, with the attribute."""
    return open_scene(write_raster(tmp_path / "20210615.tif", COUNTS, names=NAMES)).to_xarray().load()


def series(*arrays: xarray.DataArray) -> Scene:
    days = [np.datetime64(f"2021-07-{day:02}", "ns") for day in range(1, 1 + len(arrays))]
    dated = [array.assign_coords(time=day) for array, day in zip(arrays, days, strict=True)]
    return open_scene(xarray.concat(dated, "time").drop_attrs(deep=False))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (COUNTS, 10_000),
        (COUNTS.astype("float32"), 10_000),
        (COUNTS.astype("float32") / 10_000, 1),
        (np.full(COUNTS.shape, np.nan, "float32"), 1),
    ],
)
def test_a_file_and_what_becomes_of_it(tmp_path: Path, values: np.ndarray, expected: float) -> None:
    scene = open_scene(write_raster(tmp_path / "20210615.tif", values, names=NAMES))
    assert units(scene) == units(open_scene(scene.to_xarray())) == [expected] * 2
    assert scene.to_xarray().attrs.get("reflectance_of_one") == (10_000 if values.dtype == "uint16" else None)


def test_a_scale_counts_whatever_the_numbers_are(tmp_path: Path) -> None:
    scene = open_scene(write_raster(tmp_path / "s.tif", COUNTS, names=NAMES, scales=(0.5,) * 2))
    assert units(scene) == [1, 1]
    assert scene.to_xarray().attrs["reflectance_of_one"] == 1


def test_dark_ground_counts_in_the_unit_that_is_stated(counts: xarray.DataArray) -> None:
    water = counts.where(counts == counts.max(), 30)
    assert units(open_scene(water.assign_attrs(reflectance_of_one=10_000))) == [10_000] * 2
    percent = counts / 100
    assert units(open_scene(percent.assign_attrs(reflectance_of_one=100))) == [100, 100]


def test_a_stated_unit_that_the_numbers_have_left_does_not_count(counts: xarray.DataArray) -> None:
    def stating(array: xarray.DataArray, unit: float) -> Scene:
        return open_scene(array.assign_attrs(reflectance_of_one=unit))

    assert units(stating(counts / 10_000, 10_000)) == [1, 1]
    assert units(stating(counts, 1)) == [10_000] * 2
    with pytest.raises(SceneError, match="neither reflectances"):
        units(stating(counts / 100, 10_000))


def test_every_date_is_judged(counts: xarray.DataArray) -> None:
    assert units(series(counts, counts / 10_000)) == [10_000] * 2 + [1] * 2
    dark, empty, filled = counts * 0 + 30, counts * np.nan, counts.where(counts > counts.median(), 0)
    assert units(series(dark, empty, filled, counts)) == [10_000] * 8
    with pytest.raises(SceneError, match=r"on 2021-07-02 are about 3\.95: neither"):
        units(series(counts / 10_000, counts / 100))


@pytest.mark.parametrize("numbers", [ramp(2, 8, 12, start=90), ramp(2, 8, 12, start=300) / 10])
def test_pictures_and_percentages_are_refused(tmp_path: Path, numbers: np.ndarray) -> None:
    path = write_raster(tmp_path / "p.tif", np.minimum(numbers, 255).astype("float32"), names=NAMES)
    with pytest.raises(SceneError, match=r"p\.tif are about \d+(\.\d+)?: neither.*gdal_edit -scale"):
        units(open_scene(path))
