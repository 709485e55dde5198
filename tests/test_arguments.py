"""What functions refuse to be given, and what they advise."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

import geopanoptic
from geopanoptic.errors import UsageError
from geopanoptic.labels.prelabel import prelabel


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=8, width=8, dtype="uint16", crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_700_000),
    ) as file:  # fmt: skip
        file.write(np.full((3, 8, 8), 500, "uint16"))
    return path


def test_signatures_name_every_option():
    for function in (geopanoptic.run, geopanoptic.plan, geopanoptic.run_shard):
        options = inspect.signature(function).parameters
        assert {"model", "aoi", "simplify_m", "pixel_size", "on_error"} <= set(options)
        assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in options.values())
    assert "cloud_mask" in inspect.signature(geopanoptic.stats).parameters


def test_what_a_notebook_shows_of_a_value_is_short(scene):
    opened = geopanoptic.open_scene(scene, bands="red,green,blue")
    for value in (opened, opened.grid, geopanoptic.load_bundle(), geopanoptic.plan(opened)):
        assert len(repr(value)) < 1000
        assert type(value).__name__ in repr(value) or "model" in repr(value)


def test_parameters_that_are_none_are_refused_by_name(scene, tmp_path):
    for call in (
        lambda **more: geopanoptic.run(scene, **more),
        lambda **more: geopanoptic.plan(scene, **more),
        lambda **more: geopanoptic.run_shard(scene, "1/2", tmp_path / "work", **more),
        lambda **more: geopanoptic.stats("parcels.gpkg", scene, **more),
        lambda **more: prelabel(scene, tmp_path / "out", to="cvat", **more),
    ):
        with pytest.raises(UsageError, match=r"has no parameter 'date'\. Did you mean 'dates'\?"):
            call(date="2021-06-15")


def test_scenes_are_paths_or_arrays_with_coordinates(scene):
    with rasterio.open(scene) as dataset:
        for given in (dataset, [dataset]):
            with pytest.raises(UsageError, match="Give its file, ") as caught:
                geopanoptic.open_scene(given)
            assert repr(str(scene)) in str(caught.value)
        values = dataset.read()
    with pytest.raises(UsageError, match=r"numpy\.ndarray.* xarray\.DataArray with coordinates"):
        geopanoptic.open_scene(values)
    with pytest.raises(UsageError, match="NoneType"):
        geopanoptic.open_scene(None)


def test_polygons_say_which_crs_they_are_in(scene):
    box = shapely.box(600_000, 5_699_930, 600_040, 5_700_000)
    asked = "crs='EPSG:<code>'"
    for call in (
        lambda: geopanoptic.plan(scene, bands="red,green,blue", aoi=box),
        lambda: geopanoptic.evaluate(box, box),
    ):
        with pytest.raises(UsageError, match=asked):
            call()


def test_what_is_public_is_listed():
    assert {name for name in dir(geopanoptic) if not name.startswith("_")} == set(geopanoptic.__all__)
