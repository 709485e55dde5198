"""Whole runs over a season: every date counts, and nothing else does."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

import geopanoptic
from geopanoptic.errors import SceneError
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.network.normalising import look_at
from geopanoptic.pipeline.network.reading import scene_dates
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.run import plan

BANDS = ("blue", "green", "red", "nir")
FIRST = date(2021, 3, 30)
RASTERS = ("class", "parcel_id", "confidence")


def write_date(folder: Path, when: date, values_chw: np.ndarray, **profile) -> Path:
    path = folder / f"fields_{when:%Y%m%d}.tif"
    settings = {"driver": "GTiff", "dtype": "uint16", "crs": "EPSG:32632", "nodata": 0, "compress": "deflate"}
    with rasterio.open(
        path,
        "w",
        count=len(values_chw),
        height=values_chw.shape[1],
        width=values_chw.shape[2],
        transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
        **(settings | profile),
    ) as file:
        file.write(values_chw.astype(np.uint16))
        file.descriptions = BANDS[: len(values_chw)]
    return path


def season(n_dates: int, shape=(90, 110), *, seed=0) -> list[np.ndarray]:
    """Patches that change their tone from date to date, under clouds of nodata."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape) // 14
    height, width = shape[0] // 3, shape[1] // 3
    dates = []
    for _ in range(n_dates):
        tones = rng.integers(300, 3000, (len(BANDS), rows.max() + 1, cols.max() + 1))
        values = tones[:, rows, cols] + rng.integers(0, 60, (len(BANDS), *shape))
        row, col = rng.integers(0, shape[0] - height), rng.integers(0, shape[1] - width)
        values[:, row : row + height, col : col + width] = 0
        values[:, :8, :9] = 0  # under cloud on every date
        dates.append(values)
    return dates


def write_season(folder: Path, dates: list[np.ndarray]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [write_date(folder, FIRST + timedelta(12 * k), values) for k, values in enumerate(dates)]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    return write_season(tmp_path_factory.mktemp("season"), season(4))


def changed_bundle(bundle: Bundle, folder: Path, **changes) -> Path:
    """The same weights with other values in ``bundle.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "card.md"):
        (folder / name).write_bytes((bundle.path / name).read_bytes())
    described = json.loads((bundle.path / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(described | changes))
    return folder


@pytest.fixture(scope="module")
def model(tiny_series_bundle, tmp_path_factory) -> Path:
    """A network of two kinds of parcels whose untrained maps fall into many regions."""
    kinds = {"crop": "thing", "grass": "thing", "bare": "stuff"}
    return changed_bundle(
        tiny_series_bundle,
        tmp_path_factory.mktemp("bundles") / "two-kinds",
        classes=[
            {"id": number, "name": name, "kind": kind, "colour": f"#0000{number:02x}"}
            for number, (name, kind) in enumerate(kinds.items(), 1)
        ],
        thresholds={
            "centre": 0.01,
            "centre_radius_px": 5,
            "field": 0.1,
            "merge_boundary": 0,
            "drop_field": 0.1,
        },
    )


@pytest.fixture(scope="module")
def reference(files, model) -> Result:
    return geopanoptic.run(files, model=model, simplify_m=0)


def assert_same(found: Result, expected: Result) -> None:
    for name in RASTERS:
        np.testing.assert_array_equal(found.rasters[name], expected.rasters[name])
    for ours, theirs in ((found.parcels, expected.parcels), (found.landcover, expected.landcover)):
        assert ours.geometry.to_wkb().tolist() == theirs.geometry.to_wkb().tolist()
        assert ours.drop(columns="geometry").equals(theirs.drop(columns="geometry"))


@pytest.mark.parametrize(
    "layout",
    [
        {"tile_px": 32, "block_px": 48, "batch": 3, "threads": 2},
        {"tile_px": 64, "block_px": 37, "threads": 1},
        {"tile_px": 112, "block_px": 128, "batch": 2, "memory": "3GB"},
        pytest.param(
            {"tile_px": 64, "block_px": 60, "scheduler": "processes", "workers": 1, "threads": 1},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_map_is_the_same_for_every_layout(layout, files, reference, model):
    assert len(reference.parcels) > 9
    assert_same(geopanoptic.run(files, model=model, simplify_m=0, **layout), reference)


def test_parcels_have_a_kind_and_say_how_sure(reference):
    parcels = reference.parcels
    assert parcels.class_score.between(0.5, 1).all()
    assert parcels.class_score.nunique() > len(parcels) / 2
    named = dict(zip(parcels.class_id, parcels.class_name, strict=True))
    assert named.items() <= {1: "crop", 2: "grass"}.items()
    raster = reference.rasters["class"].to_numpy()
    by_id = np.concatenate([[0], parcels.class_id])
    ids = reference.rasters["parcel_id"].to_numpy()
    np.testing.assert_array_equal(raster[ids > 0], by_id[ids[ids > 0]])


def test_every_date_counts(files, reference, model):
    fewer = geopanoptic.run(files[:-1], model=model, simplify_m=0)
    assert (fewer.rasters["confidence"] != reference.rasters["confidence"]).any()


def test_shuffled_files_and_a_folder_give_the_bytes_of_the_list(files, model, tmp_path):
    outs = []
    for number, given in enumerate((files, [files[k] for k in (2, 0, 3, 1)])):
        out = tmp_path / str(number) / "parcels.gpkg"
        out.parent.mkdir()
        geopanoptic.run(given, out, model=model, rasters=out.parent)
        outs.append([path.read_bytes() for path in sorted(out.parent.iterdir()) if path.suffix != ".json"])
    assert outs[0] == outs[1]


def test_a_date_under_cloud_changes_nothing(files, reference, model, tmp_path):
    clouded = write_date(tmp_path, FIRST + timedelta(5), np.zeros((4, 90, 110)))
    found = geopanoptic.run([*files, clouded], model=model, simplify_m=0, tile_px=64)
    assert_same(found, reference)
    assert found.report["valid_share"]["2021-04-04"] == 0
    assert len(found.report["dates"]) == 5


def test_a_pixel_is_valid_where_any_date_shows_it(reference):
    assert min(np.mean(values[0] > 0) for values in season(4)) < 0.9
    mapped = reference.rasters["class"].to_numpy() > 0
    expected = np.any([values[0] > 0 for values in season(4)], axis=0)
    np.testing.assert_array_equal(mapped, expected.repeat(2, 0).repeat(2, 1))


def test_an_interrupted_run_ends_in_the_same_bytes(files, model, tmp_path):
    asked = {"model": model, "tile_px": 32, "block_px": 64}
    whole, resumed = tmp_path / "whole.gpkg", tmp_path / "resumed.gpkg"
    geopanoptic.run(files, whole, **asked)
    work = tmp_path / "work"
    geopanoptic.run(files, resumed, work=work, keep_work=True, **asked)
    for path in sorted((work / "blocks" / "field").iterdir())[::2]:
        path.unlink()
    resumed.unlink()
    geopanoptic.run(files[::-1], resumed, work=work, resume=True, overwrite=True, **asked)
    assert resumed.read_bytes() == whole.read_bytes()


def test_a_changed_date_is_not_continued(model, tmp_path):
    files = write_season(tmp_path / "scene", season(2, (40, 40)))
    asked = {"model": model, "work": tmp_path / "work"}
    geopanoptic.run(files, tmp_path / "a.gpkg", keep_work=True, **asked)
    write_date(tmp_path / "scene", FIRST, season(1, (40, 40), seed=9)[0])
    with pytest.raises(geopanoptic.errors.UsageError, match=r"file fields_20210330\.tif, content"):
        geopanoptic.run(files, tmp_path / "b.gpkg", resume=True, **asked)
    with pytest.raises(geopanoptic.errors.UsageError, match="dates: was 2021-03-30, 2021-04-11"):
        geopanoptic.run(files[:1], tmp_path / "b.gpkg", resume=True, **asked)


def test_the_products_name_their_dates(files, model, tmp_path):
    out = tmp_path / "parcels.gpkg"
    geopanoptic.run(files, out, model=model)
    told = json.loads(out.with_suffix(".run.json").read_text())
    assert told["dates"] == ["2021-03-30", "2021-04-11", "2021-04-23", "2021-05-05"]
    assert told["dates_left_out"] == []
    assert set(told["valid_share"]) == set(told["dates"])
    assert all(0.7 < share < 0.9 for share in told["valid_share"].values())
    assert told["plan"]["dates"] == told["dates"]
    assert 0 < told["plan"]["series_memory_bytes"] < told["plan"]["memory_bytes"]


def test_a_block_that_cannot_be_read_is_missing_on_its_date_only(model, tmp_path):
    dates = season(3, (64, 96))
    files = write_season(tmp_path, dates)
    layout = {"tiled": True, "blockxsize": 32, "blockysize": 32}
    damaged = write_date(tmp_path, FIRST + timedelta(12), dates[1], **layout)
    with rasterio.open(damaged) as file:
        place = int(file.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    with damaged.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 64)
    with pytest.raises(SceneError, match="fields_20210411"):
        geopanoptic.run(files, model=model, simplify_m=0)
    found = geopanoptic.run(files, model=model, simplify_m=0, on_error="skip")
    assert {lost["file"] for lost in found.report["skipped_blocks"]} == {str(damaged)}
    dates[1][:, 32:64, 32:64] = 0
    write_date(tmp_path, FIRST + timedelta(12), dates[1], **layout)
    assert_same(geopanoptic.run(files, model=model, simplify_m=0), found)


def test_a_date_that_cannot_be_opened_is_left_out_where_that_is_allowed(files, model, tmp_path):
    torn = tmp_path / "fields_20210601.tif"
    torn.write_bytes(files[0].read_bytes()[:100])
    with pytest.raises(SceneError, match="fields_20210601"):
        geopanoptic.run([*files, torn], model=model)
    found = geopanoptic.run([*files, torn], tmp_path / "out.gpkg", model=model, on_error="skip")
    (lost,) = found.report["dates_left_out"]
    assert lost["date"] == "2021-06-01"
    assert found.report["skipped_blocks"] == [lost]
    assert any("2021-06-01" in warning for warning in found.report["warnings"])


def test_a_model_of_single_images_asks_for_one_date(files, tiny_bundle):
    with pytest.raises(SceneError, match=r"4 dates .* takes one") as refusal:
        geopanoptic.run(files, model=tiny_bundle.path)
    assert "--dates 2021-04-23" in refusal.value.remedy
    assert "fields-series" in refusal.value.remedy


def test_one_date_may_be_chosen(files, tiny_bundle, tiny_series_bundle):
    for bundle in (tiny_bundle, tiny_series_bundle):
        found = geopanoptic.run(files, model=bundle.path, dates="2021-04-23")
        assert found.report["dates"] == ["2021-04-23"]


def test_a_fixed_normalisation_is_obeyed(files, tiny_series_bundle: Bundle, tmp_path):
    fixed = {"kind": "fixed", "low": [100, 200, 300, 400], "high": [1000, 2000, 3000, 4000], "clip": [-2, 3]}
    folder = changed_bundle(tiny_series_bundle, tmp_path / "bundle", normalisation=fixed)
    found = geopanoptic.run(files[:2], model=folder)
    assert found.report["normalisation"]["red"] == [300, 3000]
    assert set(found.report["valid_share"]) == {"2021-03-30", "2021-04-11"}


def test_a_date_that_lacks_a_band_counts_without_it(files, model, tmp_path):
    dates = season(4)
    lacking = write_season(
        tmp_path / "lacking", [values[: 3 if k == 1 else 4] for k, values in enumerate(dates)]
    )
    planned = plan(lacking, model=model)
    assert not planned.dates_agree
    assert planned.bands == BANDS
    readers = scene_dates(planned, look_at(planned, skip_unreadable=False).normalisation)
    for number, reader in enumerate(readers):
        flags = reader(planned.scene.grid.window)[0][len(BANDS) :]
        assert flags[:3].any()
        assert flags[3].any() == (number != 1)
    result = geopanoptic.run(lacking, model=model)
    assert any("no nir band on 2021-04-11" in text for text in result.report["warnings"])
    shuffled = geopanoptic.run(lacking[::-1], model=model, tile_px=32)
    without = geopanoptic.run([*lacking[:1], *lacking[2:]], model=model)
    for name in RASTERS:
        np.testing.assert_array_equal(result.rasters[name], shuffled.rasters[name])
    assert (result.rasters["confidence"] != without.rasters["confidence"]).any()


def test_every_date_needs_the_visible_bands(files, model, tmp_path):
    dates = season(2)
    folder = tmp_path / "dark"
    write_season(folder, [dates[0], dates[1][:2]])
    with pytest.raises(SceneError, match=r"of 2021-04-11 has no red band.*that date has blue, green"):
        geopanoptic.run(folder, model=model)
