"""``geopanoptic.stats``: equal to independent implementations, bounded, and told honestly."""

from __future__ import annotations

from datetime import date

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from shapely import affinity, box

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.grid import Window
from geopanoptic.scene import UnreadableBlock, open_scene
from geopanoptic.statistics import grouping
from geopanoptic.statistics.stats import _collect, stats

EAST, NORTH, PX_M = 600_000, 5_700_000, 10
NODATA = -9999


def write_band(path, values, *, transform=None, nodata=None):
    transform = transform or Affine(PX_M, 0, EAST, 0, -PX_M, NORTH)
    profile = {"driver": "GTiff", "count": 1, "crs": "EPSG:32632", "dtype": values.dtype, "nodata": nodata}
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **profile) as file:
        file.write(values, 1)


@pytest.fixture
def series(tmp_path):
    """Two dates of red and nir, 60 by 80 pixels; a corner of the second has no data."""
    folder, rng = tmp_path / "scene", np.random.default_rng(4)
    folder.mkdir()
    for when in ("20210501", "20210701"):
        for band in ("red", "nir"):
            values = rng.integers(100, 5000, (60, 80)).astype(np.int16)
            if when == "20210701":
                values[:20, :30] = NODATA
            write_band(folder / f"s2_{when}_{band}.tif", values, nodata=NODATA)
    return folder


def blob(col, row, radius_px, n=12):
    """A polygon with slanted edges around a place in pixels."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    radius = radius_px * (1 + 0.3 * np.sin(3 * angle))
    xy = np.column_stack([col + radius * np.cos(angle), row + radius * np.sin(angle)])
    return affinity.affine_transform(shapely.Polygon(xy), [PX_M, 0, 0, -PX_M, EAST, NORTH])


@pytest.fixture
def parcels():
    polygons = [blob(20, 15, 6), blob(50, 30, 9), blob(70, 50, 4), blob(35, 45, 0.4)]
    return geopandas.GeoDataFrame({"parcel_id": [5, 3, 8, 2]}, geometry=polygons, crs="EPSG:32632")


def row_of(table, parcel, when, band):
    at = (table["parcel_id"] == parcel) & (table["date"] == pd.Timestamp(when)) & (table["band"] == band)
    (row,) = table[at].to_dict("records")
    return row


def test_equals_brute_force_on_many_small_pixels(series, parcels):
    """Every pixel cut into 24 x 24, each counted whole or not at all: rasterio's rule of centres.

    Values vary from 100 to 5,000 between neighbours, so a wrong share of one pixel shows.
    """
    fine = 24
    found = stats(parcels, series, extremes=True).table
    with rasterio.open(series / "s2_20210701_nir.tif") as file:
        values, transform = file.read(1).astype(float), file.transform
    values[values == NODATA] = np.nan
    values = values.repeat(fine, 0).repeat(fine, 1)
    for parcel, polygon in zip(parcels["parcel_id"], parcels.geometry, strict=True):
        inside = rasterio.features.geometry_mask(
            [polygon], values.shape, transform @ Affine.scale(1 / fine), invert=True
        )
        expected, row = values[inside], row_of(found, parcel, "2021-07-01", "nir")
        valid = np.isfinite(expected)
        assert row["valid_share"] == pytest.approx(valid.mean(), abs=0.01)
        assert row["mean"] == pytest.approx(expected[valid].mean(), abs=40)
        assert row["std"] == pytest.approx(expected[valid].std(), abs=40)
        # The median may lie between other values; half of the ground must lie on either side of it.
        assert np.mean(expected[valid] <= row["median"]) > 0.49
        assert np.mean(expected[valid] < row["median"]) < 0.51
        assert row["min"] <= expected[valid].min() <= expected[valid].max() <= row["max"]


def test_equals_exactextract(series, parcels):
    exactextract = pytest.importorskip("exactextract")
    found = stats(parcels, series, extremes=True).table
    for when in ("20210501", "20210701"):
        for band in ("red", "nir"):
            with rasterio.open(series / f"s2_{when}_{band}.tif") as file:
                values, bounds = file.read(1, masked=True).astype(float).filled(np.nan), file.bounds
            raster = exactextract.raster.NumPyRasterSource(
                values, xmin=bounds.left, ymin=bounds.bottom, xmax=bounds.right, ymax=bounds.top,
                srs_wkt=parcels.crs.to_wkt(),
            )  # fmt: skip
            theirs = exactextract.exact_extract(
                raster, parcels, ["mean", "stdev", "min", "max", "count"], include_cols=["parcel_id"],
                output="pandas",
            )  # fmt: skip
            for each in theirs.to_dict("records"):
                ours = row_of(found, each["parcel_id"], when, band)
                names = {"mean": "mean", "std": "stdev", "min": "min", "max": "max"}
                assert {name: ours[name] for name in names} == pytest.approx(
                    {name: each[other] for name, other in names.items()}, rel=1e-6
                )
                area_px = parcels.set_index("parcel_id").area[each["parcel_id"]] / PX_M**2
                assert ours["valid_share"] * area_px == pytest.approx(each["count"], rel=1e-5)


def test_indices_are_taken_pixel_by_pixel(series, parcels):
    found = stats(parcels, series, indices="ndvi", only_indices=True).table
    assert set(found["band"]) == {"ndvi"}
    scene = open_scene(series).at("2021-05-01")
    nir, red = scene.read(scene.grid.window, ["nir", "red"])[0]
    both = (nir - red) / (nir + red)
    tiny = row_of(found, 2, "2021-05-01", "ndvi")
    assert both[44:47, 34:37].min() <= tiny["mean"] <= both[44:47, 34:37].max()
    large = row_of(found, 3, "2021-05-01", "ndvi")["mean"]
    bands = stats(parcels, series).table
    of_means = [row_of(bands, 3, "2021-05-01", band)["mean"] for band in ("nir", "red")]
    assert large != pytest.approx((of_means[0] - of_means[1]) / sum(of_means), rel=1e-3)


def test_figures_do_not_depend_on_windows(series, parcels, monkeypatch):
    whole = stats(parcels, series, indices="ndvi").table
    monkeypatch.setattr(grouping, "CELL_PX", 16)
    monkeypatch.setattr(grouping, "GROUP_PX", 50)
    monkeypatch.setattr(grouping, "READ_PX", 64)
    parts = stats(parcels, series, indices="ndvi").table
    key = ["parcel_id", "date", "band"]
    pd.testing.assert_frame_equal(
        whole.sort_values(key, ignore_index=True), parts.sort_values(key, ignore_index=True), check_exact=True
    )


def test_every_date_is_read_once(series, parcels, monkeypatch):
    read = []
    real = type(open_scene(series)).read

    def counted(scene, window, bands=None, **options):
        read.append(scene.dates)
        return real(scene, window, bands, **options)

    monkeypatch.setattr("geopanoptic.scene.Scene.read", counted)
    stats(parcels, series, indices="ndvi")
    assert read == [(date(2021, 5, 1),), (date(2021, 7, 1),)]


def test_parcels_beyond_the_scene(series, parcels):
    half = box(EAST - 300, NORTH - 200, EAST + 300, NORTH - 100)
    away = box(EAST + 5000, NORTH, EAST + 5100, NORTH + 100)
    more = geopandas.GeoDataFrame({"parcel_id": [11, 12]}, geometry=[half, away], crs=parcels.crs)
    found = stats(pd.concat([parcels, more]), series)
    assert row_of(found.table, 11, "2021-05-01", "red")["valid_share"] == pytest.approx(0.5)
    dark = row_of(found.table, 11, "2021-07-01", "red")
    assert dark["valid_share"] == 0
    assert np.isnan(dark["mean"])
    assert 12 not in set(found.table["parcel_id"])
    assert "1 parcels lie outside" in found.report["notes"][-1]
    with pytest.raises(UsageError, match="No parcel"):
        stats(more.iloc[1:], series)
    with pytest.raises(UsageError, match="table has no parcels, so there is nothing to measure"):
        stats(parcels.iloc[:0], series)


def test_parcels_that_the_projection_does_not_reach(series, parcels):
    """A zone of UTM has no place for ground a quarter of the globe away, nor for the whole of it."""
    degrees = parcels.to_crs(4326)
    strays = [box(-80, 0, -79.9, 0.1), box(-180, -90, 180, 90)]
    far = geopandas.GeoDataFrame({"parcel_id": [90, 91]}, geometry=strays, crs=4326)
    found = stats(pd.concat([degrees, far], ignore_index=True), series)
    pd.testing.assert_frame_equal(found.table, stats(degrees, series).table)
    assert found.report["notes"][-1].startswith("2 parcels reach beyond the ground that the projection")
    told = r"they lie at -80.0000..-79.9000 E, 0.0000..0.1000 N, the scene at 10.4.* N; 1 reach beyond"
    with pytest.raises(UsageError, match=told):
        stats(far[:1], series)


def test_clouded_pixels_do_not_count(series, parcels):
    mask = np.zeros((60, 80), np.uint8)
    mask[:, :50] = 9  # a cloud of high probability in Sentinel-2's scene classification
    mask[:, 50:] = 4
    write_band(series / "s2_20210501_scl.tif", mask)
    write_band(series / "s2_20210701_scl.tif", np.full((60, 80), 4, np.uint8))
    found = stats(parcels, series).table
    assert row_of(found, 5, "2021-05-01", "red")["valid_share"] == 0
    assert 0.4 < row_of(found, 3, "2021-05-01", "red")["valid_share"] < 0.6
    assert row_of(found, 8, "2021-05-01", "red")["valid_share"] == pytest.approx(1)
    assert row_of(stats(parcels, series, cloud_mask="none").table, 5, "2021-05-01", "red")["valid_share"] == 1


@pytest.mark.parametrize("turn", [Affine.rotation(30), Affine.scale(1, -1), Affine.scale(-1, 1)])
def test_rotated_and_mirrored_grids(tmp_path, turn):
    """The same pixels under another transform give the same figures to parcels that turn with them."""
    values = np.random.default_rng(1).integers(0, 255, (40, 40)).astype(np.uint8)
    plain = Affine(PX_M, 0, EAST, 0, -PX_M, NORTH)
    turned = plain @ turn
    shape = shapely.Point(20, 18).buffer(7.3)
    found = []
    for name, transform in (("plain", plain), ("turned", turned)):
        write_band(tmp_path / f"{name}_red.tif", values, transform=transform)
        matrix = [transform.a, transform.b, transform.d, transform.e, transform.c, transform.f]
        parcel = geopandas.GeoDataFrame(geometry=[affinity.affine_transform(shape, matrix)], crs="EPSG:32632")
        found.append(stats(parcel, tmp_path / f"{name}_red.tif").table)
    assert found[0]["mean"][0] == pytest.approx(found[1]["mean"][0])
    assert found[0]["valid_share"].tolist() == [pytest.approx(1)] * 1


def test_another_crs_and_undated_scenes(tmp_path, parcels):
    write_band(tmp_path / "red.tif", np.arange(4800, dtype=np.uint16).reshape(60, 80))
    here = stats(parcels, tmp_path / "red.tif").table
    assert here["date"].isna().all()
    there = stats(parcels.to_crs(4326), tmp_path / "red.tif").table
    assert here["mean"].to_numpy() == pytest.approx(there["mean"].to_numpy(), rel=1e-4)
    with pytest.raises(UsageError, match="evi needs"):
        stats(parcels, tmp_path / "red.tif", indices="evi")


def test_reflectance_is_needed_for_some_indices(series, parcels, tmp_path):
    found = stats(parcels, series, indices="evi2")
    assert any("10,000 is taken as reflectance 1" in note for note in found.report["notes"])
    assert found.table[found.table["band"] == "evi2"]["mean"].abs().max() < 2.5
    bytes_folder = tmp_path / "bytes"
    bytes_folder.mkdir()
    for band in ("red", "nir"):
        write_band(bytes_folder / f"{band}.tif", np.full((60, 80), 50, np.uint8))
    with pytest.raises(UsageError, match="8-bit"):
        stats(parcels, bytes_folder, indices="evi2")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    write_band(mixed / "red.tif", np.full((60, 80), 500, np.uint16))
    write_band(mixed / "nir.tif", np.full((60, 80), 0.4, np.float32))
    with pytest.raises(UsageError, match="mixes reflectances and numbers"):
        stats(parcels, mixed, indices="evi2")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("wide", [False, True])
def test_files_read_back_as_the_table_in_memory(series, parcels, tmp_path, suffix, wide):
    out = tmp_path / f"table{suffix}"
    written = stats(parcels, series, out, indices="ndvi", wide=wide)
    again = stats(parcels, series, tmp_path / f"again{suffix}", indices="ndvi", wide=wide)
    assert out.read_bytes() == again.out.read_bytes()
    kept = stats(parcels, series, indices="ndvi", wide=wide)
    pd.testing.assert_frame_equal(written.table, kept.table, check_dtype=False)
    assert len(kept.table) == (4 if wide else 4 * 2 * 3)
    if wide:
        long = stats(parcels, series, indices="ndvi").table
        first = kept.table.iloc[0]
        expected = row_of(long, first["parcel_id"], "2021-07-01", "ndvi")
        assert first["ndvi_median_20210701"] == expected["median"]
        assert len(kept.table.columns) == 1 + 2 * 3 * 4


def test_text_ids_that_look_like_numbers_stay_text(series, parcels, tmp_path):
    parcels["ref"] = ["0000", "0010", "NA", "1e3"]
    found = stats(parcels, series, tmp_path / "a.csv", id_column="ref")
    assert set(found.table["parcel_id"]) == {"0000", "0010", "NA", "1e3"}


def test_text_ids_that_look_like_formulas(series, parcels, tmp_path):
    parcels["ref"] = ["=1+1", "'plain", "'@a", "-7"]
    found = stats(parcels, series, tmp_path / "a.csv", id_column="ref")
    assert set(pd.read_csv(found.out)["parcel_id"]) == {"'=1+1", "'plain", "''@a", "'-7"}
    assert set(found.table["parcel_id"]) == {"=1+1", "'plain", "'@a", "-7"}
    kept = stats(parcels, series, tmp_path / "a.parquet", id_column="ref")
    assert set(kept.table["parcel_id"]) == {"=1+1", "'plain", "'@a", "-7"}


def test_an_output_that_must_not_be_touched(series, parcels, tmp_path):
    out = tmp_path / "table.csv"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        stats(parcels, series, out)
    (series / "s2_20210701_nir.tif").write_bytes((series / "s2_20210701_nir.tif").read_bytes()[:2000])
    with pytest.raises(Exception, match="s2_20210701_nir"):
        stats(parcels, series, out, overwrite=True)
    assert out.read_text() == "mine"
    with pytest.raises(UsageError, match="is no table"):
        stats(parcels, series, tmp_path / "table.xlsx")


@pytest.mark.realdata
def test_a_season_of_real_fields(shared_data):
    """Boerde 2021: 20 drawn fields on 7 dates, NDVI beside rasterio's own masks at pixel centres."""
    folder = shared_data / "s2-series-boerde"
    fields = geopandas.read_file(next((folder / "fields").glob("*train20.shp")))
    found = stats(fields, folder / "images", indices="ndvi", only_indices=True).table
    assert len(found) == 20 * 7
    assert found["valid_share"].min() > 0.99
    scene = open_scene(folder / "images")
    for single in scene.single_dates():
        nir, red = single.read(scene.grid.window, ["nir", "red"])[0]
        ndvi = (nir - red) / np.maximum(nir + red, 1)
        for number, field in enumerate(fields.geometry, 1):
            inside = rasterio.features.geometry_mask(
                [field], scene.grid.shape, scene.grid.transform, invert=True
            )
            row = row_of(found, number, single.dates[0], "ndvi")
            # Fields of hundreds of pixels: the border pixels move a mean by little.
            assert row["mean"] == pytest.approx(float(ndvi[inside].mean()), abs=0.02)
            assert row["median"] == pytest.approx(float(np.median(ndvi[inside])), abs=0.02)


def test_a_date_without_a_band_has_no_figures_of_it(series, parcels):
    next(series.glob("*20210701_nir.tif")).unlink()
    table = stats(parcels, series, indices="ndvi").table
    later = table[table["date"] == pd.Timestamp("2021-07-01")]
    assert later[later.band.isin(["nir", "ndvi"])]["mean"].isna().all()
    assert (later[later.band == "nir"].valid_share == 0).all()
    assert later[later.band == "red"]["mean"].notna().any()


def test_a_block_that_several_groups_miss_is_listed_once():
    skipped = []
    for reason in ("cut", "short"):
        _collect(skipped)(UnreadableBlock(file="a.tif", window=Window(0, 0, 4, 4), reason=reason))
    assert len(skipped) == 1


def test_parcels_outside_and_parcels_without_a_place_are_counted_apart(tmp_path):
    write_band(tmp_path / "red.tif", np.ones((60, 80), np.uint16))
    middle = geopandas.GeoSeries([shapely.Point(EAST + 300, NORTH - 300)], crs="EPSG:32632").to_crs(4326)[0]
    places = [middle.buffer(1e-4), shapely.box(10, 50, 10.001, 50.001), shapely.box(99.5, -0.5, 100.5, 0.5)]
    found = stats(geopandas.GeoDataFrame(geometry=places, crs=4326), tmp_path / "red.tif")
    told = " ".join(found.report["notes"])
    assert "1 parcels lie outside the scene" in told
    assert "1 parcels reach beyond" in told
