"""Runs on patches and cubes give the map of a GeoTIFF with the same pixels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

import geopanoptic
from geopanoptic.models.bundle import Bundle
from geopanoptic.scene import Scene, open_scene

BANDS = ("blue", "green", "red", "nir")


def twin_of(scene: Scene, path: Path) -> Path:
    """A GeoTIFF with the pixels of a scene of one date."""
    values, valid = scene.read(scene.grid.window, BANDS)
    assert valid.all()
    with rasterio.open(
        path, "w", driver="GTiff", count=len(BANDS), height=scene.grid.height, width=scene.grid.width,
        dtype="float32", crs=scene.grid.crs_wkt, transform=scene.grid.transform,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = BANDS
    return path


def same_map(source: Path, when: str, folder: Path, bundle: Bundle) -> geopandas.GeoDataFrame:
    """The parcels of a container's date, which are those of its twin."""
    scene = open_scene(source, dates=when, bands=BANDS)
    geopanoptic.run(source, folder / "one.gpkg", model=bundle.path, dates=when, bands=BANDS)
    geopanoptic.run(twin_of(scene, folder / "twin.tif"), folder / "twin.gpkg", model=bundle.path)
    one, twin = (geopandas.read_file(folder / name, layer="parcels") for name in ("one.gpkg", "twin.gpkg"))
    assert len(one) > 0
    assert one.crs == twin.crs
    assert one.geometry.to_wkb().equals(twin.geometry.to_wkb())
    record = json.loads((folder / "one.run.json").read_text())
    assert record["files"] == [str(source.resolve())]
    return one


@pytest.mark.realdata
def test_a_patch_of_pastis(tmp_path: Path, shared_data: Path, tiny_bundle: Bundle) -> None:
    source = shared_data / "pastis-labels"
    shutil.copy(source / "metadata.geojson", tmp_path)
    features = json.loads((tmp_path / "metadata.geojson").read_text())["features"]
    dates = next(f["properties"]["dates-S2"] for f in features if f["properties"]["ID_PATCH"] == 10000)
    parcels = np.load(source / "ANNOTATIONS/ParcelIDs_10000.npy")[::2, ::2].astype(np.int64)
    rng = np.random.default_rng(3)
    levels = rng.integers(300, 4000, (10, int(parcels.max()) + 1))[:, parcels]
    patch = tmp_path / "DATA_S2/S2_10000.npy"
    patch.parent.mkdir()
    np.save(patch, (levels + rng.integers(0, 90, (len(dates), 10, *parcels.shape))).astype(np.int16))
    assert same_map(patch, "2018-09-24", tmp_path, tiny_bundle).crs.to_epsg() == 32630


@pytest.mark.realdata
def test_a_cube(tmp_path: Path, shared_data: Path, tiny_bundle: Bundle) -> None:
    pytest.importorskip("h5netcdf", reason="cubes need the extra geopanoptic[cubes]")
    same_map(
        shared_data / "s2-cube-belgium/worldcereal_preprocessed_inputs.nc",
        "2021-04-01",
        tmp_path,
        tiny_bundle,
    )
