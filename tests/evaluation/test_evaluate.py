"""Whole comparisons: polygons and rasters in several CRS, blocks, areas, classes, and users' mistakes."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely import Point, box

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.evaluation import picture as picture_module
from geopanoptic.evaluation.evaluate import evaluate
from geopanoptic.evaluation.maps import labelmap
from geopanoptic.evaluation.maps.labelmap import PolygonLabels
from geopanoptic.evaluation.outcome import Outcome, outcomes
from geopanoptic.grid import Grid, Window

UTM = "EPSG:32632"
LEFT, TOP = 650_000, 5_780_000


def table(boxes, crs=UTM, **columns) -> geopandas.GeoDataFrame:
    """Boxes in metres right of and below the corner of the place."""
    shapes = [box(LEFT + x0, TOP - y1, LEFT + x1, TOP - y0) for x0, y0, x1, y1 in boxes]
    return geopandas.GeoDataFrame(geometry=shapes, crs=UTM).assign(**columns).to_crs(crs)


def checkerboard(side: int, cells: int) -> list[tuple[int, int, int, int]]:
    step = side // cells
    at = range(0, side, step)
    return [(x, y, x + step, y + step) for y in at for x in at]


def write_raster(path, labels, *, pixel=10.0, crs=UTM, nodata=None, tags=None, left=LEFT, top=TOP):
    with rasterio.open(
        path, "w", driver="GTiff", height=labels.shape[0], width=labels.shape[1], count=1, dtype=labels.dtype,
        crs=crs, transform=Affine(pixel, 0, left, 0, -pixel, top), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(labels, 1)
        file.update_tags(1, **(tags or {}))
    return path


FIELDS = checkerboard(600, 6)


def test_a_map_is_equal_to_itself():
    found = evaluate(table(FIELDS), table(FIELDS))
    figures = found.figures["count"]
    assert found.pq == 1.0
    assert (figures.objects.true, figures.objects.predicted, figures.objects.recall) == (36, 36, 1.0)
    assert (found.boundary.f_score, figures.objects.errors.over, figures.objects.errors.under) == (1, 0, 0)


def test_a_map_without_scores_has_no_average_precision():
    assert math.isnan(evaluate(table(FIELDS), table(FIELDS)).figures["count"].classes[0].ap)
    scored = table(FIELDS, score=np.linspace(0.1, 1, 36))
    assert evaluate(scored, table(FIELDS)).figures["count"].classes[0].ap == pytest.approx(1.0)


def test_worked_example(tmp_path):
    true = table([(0, 0, 100, 100), (100, 0, 200, 100), (0, 100, 200, 200)])
    # One found with IoU 0.8, two merged into one, one false.
    mine = table([(0, 0, 100, 80), (0, 200, 200, 300), (100, 0, 200, 100), (0, 100, 200, 160)])
    whole = table([(0, 0, 200, 300)])
    found = evaluate(mine, true, area=whole, resolution_m=5)
    quality = found.figures["count"].classes[0].quality
    assert (quality.true_positives, quality.false_positives, quality.false_negatives) == (3, 1, 0)
    assert quality.iou_sum == pytest.approx(0.8 + 1 + 0.6)
    ignored = found.figures["ignore"].classes[0].quality
    assert (ignored.true_positives, ignored.false_positives) == (3, 0)
    assert found.figures["count"].classes[0].covering == pytest.approx((0.8 + 1 + 2 * 0.6) / 4)
    rows = json.loads(found.to_json(tmp_path / "found.json"))
    assert rows["outside"]["counted"]["classes"]["parcel"]["tp"] == 3
    assert json.loads((tmp_path / "found.json").read_text()) == rows
    assert rows["method"] == "pixel grid"
    assert rows["outside"]["counted"]["objects"]["recall_by_size"] == [
        {"size": "1-2 ha", "found": 2, "objects": 2},
        {"size": "2-5 ha", "found": 1, "objects": 1},
    ]


def test_only_the_area_counts():
    true, mine = table([(0, 0, 100, 100)]), table([(0, 0, 100, 100), (100, 0, 300, 100)])
    assert evaluate(mine, true, area=table([(0, 0, 300, 100)])).pq == pytest.approx(1 / 1.5)
    # More than half of the other parcel lies outside the area.
    assert evaluate(mine, true, area=table([(0, 0, 110, 100)], "EPSG:4326")).pq == 1.0
    assert evaluate(mine, true, area=table([(0, 0, 210, 100)])).pq < 1


def test_area_beyond_the_prediction_counts():
    true, area = table(FIELDS), table([(0, 0, 600, 600)])
    half = table([each for each in FIELDS if each[0] < 300])
    found = evaluate(half, true)
    assert found.pq == 1.0
    assert "outside the prediction's bounding box" in found.notes[0]
    assert evaluate(half, true, area=area).pq == pytest.approx(18 / 27)


coordinate = st.integers(0, 40)
rectangle = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h), coordinate, coordinate, st.integers(1, 20), st.integers(1, 20)
)


@given(
    mine=st.lists(rectangle, min_size=1, max_size=8),
    true=st.lists(rectangle, min_size=1, max_size=8),
    block_px=st.integers(60, 2000),
)
@settings(max_examples=12)
def test_no_figure_depends_on_the_blocks(mine, true, block_px):
    whole = table([(0, 0, 61, 61)])
    given_ = {"area": whole, "resolution_m": 1.3, "seams_px": 7}
    expected = evaluate(table(mine), table(true), **given_).to_dict()
    assert evaluate(table(mine), table(true), block_px=block_px, **given_).to_dict() == expected


def star(x, y, radius, corners):
    """A ragged outline in pixels, valid."""
    angle, rng = np.linspace(0, 2 * np.pi, corners, endpoint=False), np.random.default_rng(corners)
    reach = radius * (1 + 0.2 * np.sin(17 * angle) + 0.05 * rng.standard_normal(corners))
    return shapely.make_valid(shapely.Polygon(np.c_[x + reach * np.cos(angle), y + reach * np.sin(angle)]))


def test_outlines_of_many_corners_are_drawn_in_pieces(monkeypatch):
    grid = Grid(
        crs_wkt=CRS.from_epsg(32632).to_wkt(), transform=Affine(1, 0, 0, 0, -1, 300), height=300, width=300
    )
    outlines = [star(120, 150, 90, 4000), star(210, 90, 45, 300), star(195, 180, 60, 2000)]
    cut = PolygonLabels(np.array(outlines), np.array([1, 2, 3]), grid)
    assert shapely.get_num_coordinates(cut._outlines).max() <= 1000
    whole, rows = np.zeros((300, 300), np.int32), []
    cut.draw(grid.window, whole)
    for row in range(0, 300, 50):
        rows.append(np.zeros((50, 300), np.int32))
        cut.draw(Window(row, 0, row + 50, 300), rows[-1])
    assert np.array_equal(np.concatenate(rows), whole)
    monkeypatch.setattr(labelmap, "_MOST_CORNERS", 1_000_000)
    uncut = np.zeros((300, 300), np.int32)
    PolygonLabels(np.array(outlines), np.array([1, 2, 3]), grid).draw(grid.window, uncut)
    assert np.array_equal(uncut, whole)
    assert set(np.unique(whole)) == {0, 1, 2, 3}


@given(mine=st.lists(rectangle, min_size=1, max_size=5), true=st.lists(rectangle, min_size=1, max_size=1))
@settings(max_examples=30)
def test_the_grid_comes_near_the_overlay(mine, true):
    """Whole-metre boxes on a grid of one metre: exact, but for boxes that others hide."""
    shapes = [box(*each) for each in mine]
    if any(a.intersection(b).area for i, a in enumerate(shapes) for b in shapes[:i]):
        return
    found = evaluate(table(mine), table(true), area=table([(0, 0, 61, 61)]), resolution_m=1, sparse=True)
    field = box(*true[0])
    best = max(each.intersection(field).area / each.union(field).area for each in shapes)
    assert found.mean_best_iou == pytest.approx(best)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:25832", "EPSG:3035"])
def test_truth_in_another_crs(crs):
    found = evaluate(table(FIELDS), table(FIELDS, crs), area=table([(0, 0, 600, 600)]))
    assert found.maps.ground.grid.crs.to_epsg() != 4326
    assert found.figures["count"].objects.recall == 1.0
    assert found.pq > 0.98


def labels_of_fields():
    return np.arange(1, 37, dtype=np.int32).reshape(6, 6).repeat(10, 0).repeat(10, 1)


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_things_that_the_projection_does_not_reach(crs):
    stray = geopandas.GeoDataFrame(geometry=[box(-80, 0, -79.9, 0.1)], crs="EPSG:4326")
    more = pd.concat([table(FIELDS, "EPSG:4326"), stray], ignore_index=True)
    for mine, true in ((table(FIELDS, crs), more), (more, table(FIELDS, crs))):
        found = evaluate(mine, true)
        assert found.maps.ground.grid.crs.to_epsg() == 32632
        assert found.figures["count"].objects.recall == 1.0
        assert found.notes[0] == "table: 1 things that WGS 84 / UTM zone 32N has no place for are left out."
    with pytest.raises(UsageError, match=r"do not overlap: .*-80.0000..-79.9000 E"):
        evaluate(table(FIELDS), stray)


@pytest.fixture
def labels():
    return labels_of_fields()


def test_raster_and_polygons_agree(tmp_path, labels):
    mine = write_raster(tmp_path / "labels.tif", labels)
    for found in (evaluate(mine, table(FIELDS)), evaluate(table(FIELDS), mine), evaluate(mine, mine)):
        assert found.pq == 1.0
        assert found.maps.ground.grid.shape == (60, 60)


def test_rasters_in_two_crs(tmp_path, labels):
    mine = write_raster(tmp_path / "mine.tif", labels)
    with rasterio.open(mine) as file:
        left, bottom, right, top = rasterio.warp.transform_bounds(file.crs, "EPSG:3035", *file.bounds)
        transform = Affine(5, 0, left, 0, -5, top)
        turned = np.zeros((int((top - bottom) / 5) + 1, int((right - left) / 5) + 1), np.int32)
        rasterio.warp.reproject(
            rasterio.band(file, 1), turned, dst_transform=transform, dst_crs="EPSG:3035",
            dst_nodata=0, resampling=rasterio.warp.Resampling.nearest,
        )  # fmt: skip
    other = tmp_path / "other.tif"
    write_raster(other, turned, pixel=5, crs="EPSG:3035", left=transform.c, top=transform.f)
    for found in (evaluate(mine, other), evaluate(other, mine)):
        assert found.maps.ground.grid.crs.to_epsg() == 3035
        assert found.figures["count"].objects.recall == 1.0
        # Half a pixel of 5 m around fields of 100 m.
        assert found.pq > 0.9
    expected = found.to_dict()
    assert evaluate(other, mine, block_px=700).to_dict() == expected


def test_shifted_rasters_on_one_lattice(tmp_path, labels):
    mine = write_raster(tmp_path / "mine.tif", labels)
    part = write_raster(
        tmp_path / "part.tif", np.ascontiguousarray(labels[20:, 10:]), left=LEFT + 100, top=TOP - 200
    )
    found = evaluate(mine, part)
    assert (found.pq, found.maps.ground.grid.shape) == (1.0, (40, 50))
    assert (found.maps.ground.row0, found.maps.ground.col0) == (20, 10)
    assert evaluate(part, mine).pq == 1.0


def test_large_ids_are_kept_apart(tmp_path, labels):
    large = write_raster(tmp_path / "large.tif", labels.astype(np.int64) + 2**60)
    assert evaluate(large, table(FIELDS)).pq == 1.0
    below = write_raster(tmp_path / "below.tif", labels.astype(np.int64) + 2**52 - 40)
    small = write_raster(tmp_path / "small.tif", labels)
    assert (
        evaluate(below, table(FIELDS), resolution_m=7).pq == evaluate(small, table(FIELDS), resolution_m=7).pq
    )


def test_unknown_pixels_of_a_raster(tmp_path, labels):
    true = labels.copy()
    true[:, 30:] = -7
    assert evaluate(table(FIELDS), write_raster(tmp_path / "negative.tif", true)).pq == 1.0
    true[true < 0] = 9999
    assert evaluate(table(FIELDS), write_raster(tmp_path / "nodata.tif", true, nodata=9999)).pq == 1.0
    true[true == 9999] = 0
    assert evaluate(table(FIELDS), write_raster(tmp_path / "none.tif", true)).pq == pytest.approx(18 / 27)


def run_folder(path, labels):
    """Like ``geopanoptic run --rasters``: fields of two classes, water where there is none."""
    path.mkdir()
    parcels = np.where(labels % 4 == 0, 0, labels).astype(np.int32)
    kind = np.where(parcels == 0, 3, 1 + parcels % 2).astype(np.uint8)
    write_raster(path / "parcel_id.tif", parcels, nodata=0)
    names = {"class_1": "crop", "class_2": "meadow", "class_3": "water"}
    write_raster(path / "class.tif", kind, nodata=0, tags=names)
    return path, parcels


def test_things_and_stuff_of_rasters(tmp_path, labels):
    folder, parcels = run_folder(tmp_path / "map", labels)
    found = evaluate(folder, folder)
    assert [(each.name, each.kind) for each in found.categories] == [
        ("crop", "thing"), ("meadow", "thing"), ("water", "stuff"),
    ]  # fmt: skip
    counts = found.table()
    counts = counts[counts["outside"] == "counted"].set_index("class")
    assert counts["tp"].dropna().tolist() == [9, 18, 1]
    assert counts.loc["mean of stuff", "pq"] == 1.0
    # Parcels alone say nothing of water, which they then have not missed.
    lands = [each for number, each in enumerate(FIELDS, 1) if number % 4]
    kinds = ["meadow" if n % 2 else "crop" for n in range(1, 37) if n % 4]
    alone = evaluate(table(lands, class_name=kinds), folder)
    assert alone.pq == 1.0
    assert [each.name for each in alone.categories] == ["crop", "meadow"]
    assert any("holds no land cover, which is not compared" in note for note in alone.notes)
    # Against polygons without land cover, water is no prediction.
    kept = [each for each, there in zip(FIELDS, np.unique(labels) % 4 > 0, strict=True) if there]
    names = np.where(np.unique(parcels)[1:] % 2, "meadow", "crop")
    assert evaluate(folder, table(kept, class_name=names), area=table([(0, 0, 600, 600)])).pq == 1.0


def test_our_geopackage(tmp_path, labels):
    folder, _ = run_folder(tmp_path / "map", labels)
    fields = [each for number, each in enumerate(FIELDS, 1) if number % 4]
    lakes = [each for number, each in enumerate(FIELDS, 1) if number % 4 == 0]
    path = tmp_path / "map.gpkg"
    names = ["meadow" if n % 2 else "crop" for n in range(1, 37) if n % 4]
    table(fields, class_name=names, score=0.5).to_file(path, layer="parcels")
    table(lakes, class_name="water").to_file(path, layer="landcover")
    found = evaluate(path, folder)
    assert found.pq == 1.0
    assert [each.name for each in found.categories] == ["crop", "meadow", "water"]


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "parquet", "shp", "zip"])
def test_vector_formats(tmp_path, suffix):
    path = tmp_path / f"fields.{suffix}"
    frame = table(FIELDS, "EPSG:4326" if suffix == "geojson" else UTM)
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "zip":
        import zipfile

        frame.to_file(tmp_path / "fields.shp")
        with zipfile.ZipFile(path, "w") as archive:
            for part in tmp_path.glob("fields.[sdpc]*"):
                archive.write(part, part.name)
    else:
        frame.to_file(path)
    assert evaluate(table(FIELDS), path).pq > 0.98


def test_layers_of_both_maps(tmp_path):
    path = tmp_path / "layers.gpkg"
    table([(0, 0, 600, 600)]).to_file(path, layer="study area")
    table(FIELDS).to_file(path, layer="fields")
    found = evaluate(table(FIELDS), path)
    assert "layers.gpkg: layer study area is read, not fields; --layer names another." in found.notes
    assert found.figures["count"].objects.true == 1
    for mine, layer in ((table(FIELDS), "fields"), (path, "fields,fields"), (table(FIELDS), ",fields")):
        found = evaluate(mine, path, layer=layer)
        assert (found.pq, found.notes) == (1.0, ())
    # A table or points before it are not taken for the map.
    centres = tmp_path / "centres.gpkg"
    table(FIELDS).set_geometry(table(FIELDS).centroid).to_file(centres, layer="centres")
    table(FIELDS).to_file(centres, layer="fields")
    assert evaluate(centres, table(FIELDS)).pq == 1.0


def test_what_a_run_gives_back():
    result = SimpleNamespace(parcels=table(FIELDS, class_name="parcel"), landcover=table([], class_name=[]))
    assert evaluate(result, table(FIELDS)).pq == 1.0


def test_classes_by_columns():
    crop = np.where(np.arange(36) % 3 == 0, "beet", "maize")
    mine = table(FIELDS, kind=np.where(np.arange(36) == 1, "beet", crop))
    found = evaluate(mine, table(FIELDS, crop=crop), class_column="kind,crop")
    by_class = {each.category.name: each.quality for each in found.figures["count"].classes}
    assert (by_class["beet"].true_positives, by_class["beet"].false_positives) == (12, 1)
    assert (by_class["maize"].true_positives, by_class["maize"].false_negatives) == (23, 1)
    # Without the columns there is one class.
    assert evaluate(mine, table(FIELDS, crop=crop)).pq == 1.0
    assert found.pq == pytest.approx(np.mean([12 / 12.5, 23 / 23.5]))


def test_class_numbers_that_became_floats():
    mine, true = table(FIELDS, crop=np.full(36, 7)), table(FIELDS, crop=np.full(36, 7.0))
    assert evaluate(mine, true, class_column="crop").pq == 1.0


@pytest.mark.parametrize("missing", [None, math.nan, ""])
def test_a_thing_without_a_class_is_of_none(missing):
    crop = np.array(["beet"] * 12 + ["maize"] * 24, dtype=object)
    some = crop.copy()
    some[[0, 20]] = missing
    found = evaluate(table(FIELDS, class_name=crop), table(FIELDS, class_name=some))
    by_class = {each.category.name: each.quality for each in found.figures["count"].classes}
    assert {name: (q.pq, q.true_positives) for name, q in by_class.items()} == {
        "beet": (1, 11),
        "maize": (1, 23),
    }
    assert "2 of 36 true things have no class: their ground counts as unknown." in found.notes
    found = evaluate(table(FIELDS, class_name=some), table(FIELDS, class_name=crop))
    by_class = {each.category.name: each.quality for each in found.figures["count"].classes}
    assert {name: (q.false_positives, q.false_negatives) for name, q in by_class.items()} == {
        "beet": (0, 1), "maize": (0, 1),
    }  # fmt: skip
    assert any(note.startswith("2 of 36 predicted things have no class") for note in found.notes)


def test_land_cover_without_a_class_is_none():
    cover = table([(0, 600, 300, 700), (300, 600, 600, 700)], class_name=["water", None])
    result = SimpleNamespace(parcels=table(FIELDS), landcover=cover)
    assert [each.category.name for each in evaluate(result, result).figures["count"].classes] == [
        "parcel",
        "water",
    ]


def test_a_column_without_any_class_is_no_class():
    found = evaluate(table(FIELDS, class_name="beet"), table(FIELDS, class_name=[None] * 36))
    assert (found.pq, [each.category.name for each in found.figures["count"].classes]) == (1.0, ["parcel"])
    with pytest.raises(UsageError, match="'class_name' of table holds no class in any of its 36 rows"):
        evaluate(
            table(FIELDS, class_name="beet"), table(FIELDS, class_name=[None] * 36), class_column="class_name"
        )


def test_names_that_never_agree_are_one_class():
    found = evaluate(table(FIELDS, class_name="parcel"), table(FIELDS, class_name="maize"))
    assert found.pq == 1.0
    assert "one class" in found.notes[0]


@pytest.mark.parametrize("protocol", ["coco", "pastis"])
def test_void_parcels(protocol):
    crop = np.where(np.arange(36) < 6, "Void", "maize")
    found = evaluate(
        table(FIELDS, crop="maize"), table(FIELDS, crop=crop),
        class_column="crop", void_class="Void", protocol=protocol,
    )  # fmt: skip
    q = {each.category.name: each.quality for each in found.figures["count"].classes}["maize"]
    assert (q.true_positives, q.false_positives, q.false_negatives) == (30, 0, 0)


def test_crowds_of_a_vector_truth():
    true = table(FIELDS, iscrowd=[1] * 3 + [0] * 33)
    q = evaluate(table(FIELDS), true).figures["count"].classes[0].quality
    assert (q.true_positives, q.false_positives, q.false_negatives) == (33, 0, 0)


def test_sparse_truth_cuts_no_parcel():
    drawn = table([(0, 0, 100, 100)])
    found = evaluate(table([(0, 0, 100, 300), (300, 0, 400, 100)]), drawn, sparse=True)
    assert (found.mean_best_iou, found.recall) == (pytest.approx(1 / 3), 0.0)
    assert found.table().empty
    assert "nothing is said about false parcels" in str(found)
    assert "recall 0.000" in repr(found)
    assert math.isnan(found.pq)
    assert list(found.figures) == ["count"]


def test_fields_beyond_a_map_that_says_how_far_it_reaches_are_not_missed():
    drawn = table([(0, 0, 100, 100), (1000, 0, 1100, 100), (2000, 0, 2100, 100)])
    parcels = table([(0, 0, 100, 100)], class_name="parcel")
    found = evaluate(parcels, drawn, sparse=True)
    assert found.recall == pytest.approx(1 / 3)
    assert any(
        "2 of 3 drawn things lie outside" in note and "count as missed" in note for note in found.notes
    )
    land = table([(100, 0, 500, 100), (0, 100, 500, 500)], class_name="woodland")
    found = evaluate(SimpleNamespace(parcels=parcels, landcover=land), drawn, sparse=True)
    assert found.recall == 1
    assert any("2 of 3 true things have no pixel on the common ground" in note for note in found.notes)


def test_figures_of_a_few_drawn_fields_are_told_to_be_upper_bounds():
    # At opposite ends of the map, so that the bounding boxes do not cut it.
    few, all_of_them = table([FIELDS[0], FIELDS[-1]]), table(FIELDS)
    told = evaluate(all_of_them, few, outside="ignore").notes
    assert any("Only 2 things are drawn" in note and "--sparse" in note for note in told)
    for others in ({"outside": "count"}, {"sparse": True}):
        assert not any("upper bounds" in note for note in evaluate(all_of_them, few, **others).notes)
    assert not any("upper bounds" in note for note in evaluate(all_of_them, all_of_them).notes)


def test_ground_that_the_prediction_does_not_show_is_told(tmp_path, labels):
    """Its land cover says where it saw anything: three of thirty-six fields lie under a cloud."""
    clear = [each for number, each in enumerate(FIELDS) if number not in (7, 8, 9)]
    cover = table([(0, 600, 600, 700)], class_name="water")
    mine = SimpleNamespace(parcels=table(clear), landcover=cover)
    told = "8.3% of the truth's ground counts as missed where result shows neither parcels nor land cover"
    for found in (evaluate(mine, table(FIELDS)), evaluate(mine, table(FIELDS), sparse=True)):
        assert any(note.startswith(told) for note in found.notes)
    seen = table([(0, 600, 600, 700), FIELDS[7], FIELDS[8], FIELDS[9]], class_name="water")
    mine = SimpleNamespace(parcels=table(clear), landcover=seen)
    assert not any("neither" in note for note in evaluate(mine, table(FIELDS)).notes)
    assert not any("neither" in note for note in evaluate(table(clear), table(FIELDS)).notes)
    folder, _ = run_folder(tmp_path / "rasters", labels)
    with (
        rasterio.open(folder / "parcel_id.tif", "r+") as ids,
        rasterio.open(folder / "class.tif", "r+") as classes,
    ):
        for file in (ids, classes):
            values = file.read(1)
            values[10:20, 10:40] = 0
            file.write(values, 1)
    assert any(
        "% of the truth's ground counts as missed" in note for note in evaluate(folder, table(FIELDS)).notes
    )


def test_predictions_that_a_drawn_map_hides_are_told():
    twice = table(FIELDS * 2, score=[0.9] * 36 + [0.3] * 36)
    found = evaluate(twice, table(FIELDS))
    assert found.pq == 1.0
    assert found.notes[0].startswith(
        "36 of 72 predicted things lie on the common ground and have no pixel on it"
    )
    assert found.notes[1].startswith("50.0% of the predicted things' ground lies below smaller ones")
    # Neither neighbours nor what lies elsewhere hide each other.
    beyond = table([*FIELDS, (2000, 0, 2100, 100)], score=0.5)
    assert not evaluate(beyond, table(FIELDS)).notes


def test_small_parcels_can_be_left_out():
    true = table([(0, 0, 100, 100), (100, 0, 120, 20), (150, 0, 200, 50)])
    mine = table([(0, 0, 100, 100), (150, 0, 170, 20)])
    area = table([(0, 0, 200, 100)])
    q = evaluate(mine, true, area=area, min_area_m2=1000).figures["count"].classes[0].quality
    assert (q.true_positives, q.false_positives, q.false_negatives) == (1, 0, 1)


def test_seams(tmp_path):
    true, mine = np.zeros((2, 40, 40), np.int32)
    true[2:18, 2:18], mine[2:18, 4:18] = 1, 1
    # The tile border at column 20 cuts the other field in halves: neither is it.
    true[22:30, 10:30], mine[22:30, 10:20], mine[22:30, 20:30] = 2, 2, 3
    paths = [write_raster(tmp_path / name, each) for name, each in (("a.tif", mine), ("b.tif", true))]
    found = evaluate(*paths, seams_px=20)
    seams = found.figures["count"].seams
    counts = (
        seams.touching.true_positives,
        seams.touching.false_positives,
        seams.touching.false_negatives,
    )
    assert counts == (0, 2, 1)
    assert seams.others.pq == pytest.approx(14 / 16)
    assert "at borders of 20 px tiles" in str(found)
    # Tiles are those of the prediction, wherever the truth begins.
    cropped = write_raster(tmp_path / "c.tif", true[1:, 2:].copy(), left=LEFT + 20, top=TOP - 10)
    assert evaluate(paths[0], cropped, seams_px=20).figures["count"].seams == seams


def test_an_empty_prediction_and_an_empty_truth():
    nothing = table([])
    found = evaluate(nothing, table(FIELDS))
    assert (found.pq, found.recall) == (0.0, 0.0)
    assert "The prediction is empty." in found.notes
    found = evaluate(table(FIELDS), nothing)
    assert found.figures["count"].classes[0].quality.false_positives == 36
    assert math.isnan(found.figures["ignore"].classes[0].quality.pq)
    assert str(found)
    with pytest.raises(UsageError, match="empty"):
        evaluate(nothing, nothing)


def test_what_has_no_pixel_is_told():
    true = table([*FIELDS, (1, 1, 1.5, 1.5)])
    assert "1 of 37 true things have no pixel" in evaluate(table(FIELDS), true, resolution_m=10).notes[-1]


def test_rows_without_polygons_are_told():
    true = table(FIELDS)
    true.loc[0, "geometry"] = Point(LEFT, TOP)
    assert "1 rows without a polygon" in evaluate(table(FIELDS), true).notes[0]


def test_outcomes():
    true = table([(0, 0, 90, 90), (100, 0, 190, 90), (200, 0, 290, 90), (300, 0, 390, 90), (0, 100, 90, 190)])
    mine = table(
        [(0, 0, 90, 90), (100, 0, 145, 90), (145, 0, 190, 90), (200, 0, 390, 90), (200, 100, 290, 190)]
    )
    found = evaluate(mine, true, area=table([(0, 0, 400, 200)]), resolution_m=5)
    figures = found.figures["count"]
    became = outcomes(
        found.table_of_overlaps,
        figures.matches,
        figures.objects.errors,
        n_true_things=5,
        n_predicted_things=5,
    )
    assert [Outcome(each).name for each in became.true[1:-1]] == [
        "FOUND", "SPLIT", "MERGED", "MERGED", "MISSED",
    ]  # fmt: skip
    assert [Outcome(each).name for each in became.predicted[1:]] == ["FOUND", *["FALSE"] * 4]
    assert {each.name: count for each, count in became.counts.items()} == {
        "FOUND": 1, "SPLIT": 1, "MERGED": 2, "MISSED": 1, "FALSE": 4,
    }  # fmt: skip
    pixels = became.of_pixels(np.array([[1, 5, 5, 0, 5]]), np.array([[1, 5, 0, 0, -1]]))
    assert [Outcome(each).name for each in pixels[0]] == ["FOUND", "MISSED", "FALSE", "NONE", "FALSE"]


def test_a_picture(tmp_path, labels, monkeypatch):
    monkeypatch.setattr(picture_module, "LONGEST_PX", 240)
    scene = tmp_path / "scene.tif"
    with rasterio.open(
        scene, "w", driver="GTiff", height=60, width=60, count=3, dtype="uint8", crs=UTM, photometric="RGB",
        transform=Affine(10, 0, LEFT, 0, -10, TOP),
    ) as file:  # fmt: skip
        file.write((labels[None] * np.array([3, 5, 7])[:, None, None]).astype(np.uint8))
        file.descriptions = ("red", "green", "blue")
    mine = table([each for number, each in enumerate(FIELDS) if number != 7])
    found = evaluate(mine, table(FIELDS), area=table([(0, 0, 600, 600)]))
    found.plot(tmp_path / "plain.png")
    figure = found.plot(tmp_path / "over.png", image=scene)
    assert len(figure.axes) == 2
    assert "missed  1" in {text.get_text() for text in figure.texts}
    picture = figure.axes[1].images[0].get_array()
    side = picture.shape[0]
    middle = picture[side // 4, side // 4].astype(int)
    assert middle[0] > middle[1] + 30
    assert middle[0] > middle[2] + 30  # the missed field is red
    assert (tmp_path / "plain.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(SceneError):
        found.plot(image=tmp_path / "nowhere.tif")


def test_texts_for_people():
    found = evaluate(table(FIELDS), table(FIELDS))
    text = str(found)
    assert "protocol coco" in text
    assert "EPSG:32632" in text
    assert text.count("class ") == 1
    assert "ground without a true segment makes no difference here" in text
    told = str(evaluate(table(FIELDS), table(FIELDS[:9]), outside="both"))
    assert "counts against predictions" in told
    assert "ground without a true segment is ignored" in told
    assert found._repr_html_().startswith("<pre>")
    assert "PQ 1.000" in repr(found)
    assert {"pq", "sq", "rq", "covering", "iou", "ap"} <= set(found.table().columns)


def mistakes(tmp_path):
    here, labels = table(FIELDS), np.ones((4, 4), np.int32)
    nowhere = here.set_crs(None, allow_override=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gpkg").write_bytes(b"SQLite format 3")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
    write_raster(tmp_path / "float.tif", labels.astype(np.float32))
    write_raster(tmp_path / "labels.tif", labels)
    (tmp_path / "other").mkdir()
    write_raster(tmp_path / "other" / "parcel_id.tif", labels)
    write_raster(tmp_path / "other" / "class.tif", labels.astype(np.uint8), pixel=20)
    write_raster(tmp_path / "placeless.tif", labels, crs=None)
    (tmp_path / "virtual.geojson").write_text("<OGRVRTDataSource></OGRVRTDataSource>")
    here.to_file(tmp_path / "here.gpkg", layer="fields")
    far = here.set_geometry(shapely.transform(here.geometry.to_numpy(), lambda xy: xy + 50_000), crs=UTM)
    return {
        "does not exist": (tmp_path / "none.gpkg", here, {}),
        "no coordinate reference": (here, nowhere, {}),
        "do not overlap": (here, far, {}),
        "no column 'crop'": (here, here, {"class_column": "crop"}),
        "without classes": (tmp_path / "labels.tif", here, {"class_column": "crop"}),
        "no class 'Void'": (here, here, {"void_class": "Void"}),
        "no polygons": (here, geopandas.GeoDataFrame(geometry=[Point(0, 0)], crs=UTM), {}),
        "cannot be read as a vector": (tmp_path / "broken.gpkg", here, {}),
        "cannot be read as a raster": (tmp_path / "broken.tif", here, {}),
        "one band of integers": (tmp_path / "float.tif", here, {}),
        "on different grids": (tmp_path / "other", here, {}),
        "placeless.tif has no coordinate": (here, tmp_path / "placeless.tif", {}),
        "virtual file": (here, tmp_path / "virtual.geojson", {}),
        "has no parcel_id.tif": (tmp_path / "empty", here, {}),
        "no layer 'parcel'": (here, tmp_path / "here.gpkg", {"layer": "parcel"}),
        "no protocol": (here, here, {"protocol": "city"}),
        "not known": (here, here, {"outside": "maybe"}),
        "positive number": (here, here, {"resolution_m": -1}),
        "--resolution is inf": (here, here, {"resolution_m": math.inf}),
        "--min-area is nan": (here, here, {"min_area_m2": math.nan}),
        "--min-area is -5": (here, here, {"min_area_m2": -5}),
        f"values up to {2**60 + 36}": (
            write_raster(tmp_path / "large.tif", labels_of_fields().astype(np.int64) + 2**60),
            here,
            {"resolution_m": 7},
        ),
        "area does not touch": (here, here, {"area": far}),
        "grid would have": (here, here, {"resolution_m": 1e-3}),
    }


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_mistakes_are_refused(tmp_path):
    for told, (pred, truth, options) in mistakes(tmp_path).items():
        with pytest.raises(UsageError, match=told) as refusal:
            evaluate(pred, truth, **options)
        assert refusal.value.exit_code == 2


def test_the_least_area_is_in_square_metres():
    true, mine = table([(0, 0, 100, 100), (100, 0, 130, 30)]), table([(0, 0, 100, 100)])
    for least_m2, missed in ((1000, 0), (900, 1)):
        found = evaluate(
            mine, true, area=table([(0, 0, 200, 100)]), resolution_m=10, min_area_m2=least_m2, outside="count"
        )
        q = found.figures["count"].classes[0].quality
        assert (q.true_positives, q.false_positives, q.false_negatives) == (1, 0, missed)


def test_the_tolerance_is_in_metres(tmp_path, labels):
    path = write_raster(tmp_path / "a.tif", labels)
    found = evaluate(path, path, tolerance_m=30)
    assert (found.boundary.tolerance_px, found.tolerance_m) == (3, pytest.approx(30, rel=1e-2))


def test_a_parcel_has_the_class_of_most_of_its_pixels(tmp_path, labels):
    (folder, _), (truth, _) = (run_folder(tmp_path / name, labels) for name in ("map", "truth"))
    with rasterio.open(folder / "class.tif", "r+") as file:
        kind = file.read(1)
        kind[0, 0] = 3 - kind[0, 0]
        file.write(kind, 1)
    assert evaluate(folder, truth).figures["count"].mean("things")["pq"] == 1.0


def test_the_smaller_of_two_that_overlap_is_on_top():
    large, small = (0, 0, 600, 600), (100, 100, 300, 300)
    found = evaluate(table([large, small]), table([small, large]), area=table([large]))
    assert (found.pq, found.figures["count"].objects.true) == (1.0, 2)
