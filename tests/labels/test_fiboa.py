"""fiboa and other GeoParquet: read with its rules checked, written by them."""

import json

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.errors import UsageError
from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats import fiboa_rules as rules
from geopanoptic.labels.formats.format import ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.objects import OutlineLabels
from geopanoptic.labels.taxonomy import taxonomy_of_names

CLASSES = taxonomy_of_names(["corn", "water"], kinds=["thing", "stuff"])
FIBOA = format_named("geoparquet")


def labels(*, crs="EPSG:32632", **attributes):
    ring = shapely.box(600_000, 5_800_000, 600_300, 5_800_200).difference(
        shapely.box(600_100, 5_800_050, 600_150, 5_800_100)
    )
    parts = shapely.MultiPolygon(
        [shapely.box(600_300, 5_800_000, 600_400, 5_800_100), shapely.box(0, 0, 1, 1)]
    )
    frame = geopandas.GeoDataFrame(
        {"object_id": [4, 9], "class_name": ["corn", "water"], "score": [0.75, np.nan], **attributes},
        geometry=[ring, parts],
        crs=crs,
    )
    return OutlineLabels(objects=frame, taxonomy=CLASSES)


def written(path, found):
    return FIBOA.write(iter([found]), path, WriteOptions())


def test_labels_come_back_exactly(tmp_path):
    before = labels(owner=["Ada", None])
    written(tmp_path / "a.parquet", before)
    assert recognise(tmp_path / "a.parquet").name == "geoparquet"
    (after,) = FIBOA.read(tmp_path / "a.parquet", ReadOptions())
    assert after.taxonomy.classes == CLASSES.classes
    assert after.objects["object_id"].tolist() == [4, 9]
    assert after.objects["class_name"].tolist() == ["corn", "water"]
    assert after.objects["owner"].fillna("nobody").tolist() == ["Ada", "nobody"]
    np.testing.assert_array_equal(after.objects["score"], [0.75, np.nan])
    assert shapely.equals_identical(after.objects.geometry.array, before.objects.geometry.array).all()
    assert after.objects.crs == before.objects.crs


def test_figures_are_those_of_the_written_outlines(tmp_path):
    written(tmp_path / "Meine Felder.parquet", labels())
    frame = geopandas.read_parquet(tmp_path / "Meine Felder.parquet")
    geodesic = pyproj.Geod(ellps="WGS84")
    for outline, area, perimeter in zip(
        frame.to_crs("EPSG:4326").geometry, frame[rules.AREA], frame[rules.PERIMETER], strict=True
    ):
        wanted_area, _ = geodesic.geometry_area_perimeter(shapely.orient_polygons(outline))
        wanted_perimeter = geodesic.geometry_length(outline.boundary)  # holes have one too
        assert area == pytest.approx(abs(wanted_area), rel=1e-4)
        assert perimeter == pytest.approx(wanted_perimeter, rel=1e-4)
    assert frame["id"].tolist() == ["4", "9"]
    assert set(frame["collection"]) == {"meine_felder"}
    assert frame[rules.METHOD].fillna("?").tolist() == ["auto-imagery", "?"]
    metadata = pyarrow.parquet.read_schema(tmp_path / "Meine Felder.parquet").metadata
    assert json.loads(metadata[b"collection"]) == {"schemas": {"meine_felder": [rules.VECOREL, rules.FIBOA]}}
    assert json.loads(metadata[b"geo"])["version"] == "1.1.0"


def test_columns_that_mean_something_else_are_renamed_and_told(tmp_path):
    told = written(
        tmp_path / "a.parquet", labels(category=["grass", "lake"], **{rules.METHOD: ["driven", None]})
    )
    assert "label_category" in told.losses[0]
    frame = geopandas.read_parquet(tmp_path / "a.parquet")
    assert frame["label_category"].tolist() == ["grass", "lake"]
    assert frame[rules.METHOD].fillna("?").tolist() == ["driven", "?"]


def test_labels_in_pixels_are_plain_geoparquet(tmp_path):
    told = written(tmp_path / "a.parquet", labels(crs=None))
    assert "pixels" in told.losses[0]
    (after,) = FIBOA.read(tmp_path / "a.parquet", ReadOptions())
    assert after.objects.crs is None
    assert b"collection" not in pyarrow.parquet.read_schema(tmp_path / "a.parquet").metadata


def test_the_official_example_is_read_and_written(shared_data, tmp_path):
    example = shared_data / "lpis-samples" / "fiboa-example.json"
    done = convert(example, tmp_path / "a.parquet", to="geoparquet")
    assert (done.source_format, done.objects) == ("geoparquet", 2)
    frame = geopandas.read_parquet(tmp_path / "a.parquet")
    assert frame["id"].tolist() == ["12324", "2713"]
    assert set(frame["class_name"]) == {"Ackerland"}
    assert frame[rules.DATETIME].dt.year.tolist() == [2005, 2005]
    assert frame[rules.AREA].tolist() == pytest.approx([16311, 18975], rel=0.01)


def test_the_official_counterexample_is_refused(shared_data, tmp_path):
    invalid = shared_data / "lpis-samples" / "fiboa-invalid.json"
    with pytest.raises(UsageError, match=r"collection 'de_nrw' lack that of fiboa, https://fiboa\.org"):
        convert(invalid, tmp_path / "a.gpkg", to="gpkg")
    assert not list(tmp_path.iterdir())


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name", ["convert/jp/jp_field_polygons_2024", "convert/it_1/iti1_2023", "improve/dk_2024_fiboa_0_2"]
)
def test_geoparquet_that_is_no_fiboa_is_read(shared_data, tmp_path, name):
    done = convert(shared_data / "lpis-samples" / f"{name}.parquet", tmp_path / "a.parquet", to="geoparquet")
    assert done.objects == 100
    assert len(done.notes) == ("fiboa" in name)


GOOD = {
    "id": "a",
    "collection": "c",
    rules.AREA: 10.0,
    rules.METHOD: "manual",
    rules.DATETIME: "2021-06-30T00:00:00Z",
}
SCHEMAS = {"c": [rules.VECOREL, rules.FIBOA]}


def faults_of(*rows, schemas=SCHEMAS, **common):
    fields = pd.DataFrame(list(rows)).assign(geometry=shapely.box(0, 0, 1, 1))
    return list(rules.faults(fields, {"schemas": schemas, **common}))


def test_a_good_collection_has_no_faults():
    assert faults_of(GOOD, {**GOOD, "id": "b"}) == []
    assert faults_of({"id": "a"}, {"id": "b"}, collection="c") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": 7}, "feature 2: id is no string"),
        ({"id": ""}, "feature 2: id is no string"),
        ({"id": "a"}, "id occurs twice"),
        ({"collection": "d"}, "collection 'd' has no schemas"),
        ({"collection": None}, "collection is no collection's name"),
        ({rules.AREA: 0.0}, "feature 'b': metrics:area is not above 0"),
        ({rules.AREA: 2e9}, "metrics:area is not above 0 and up to 1,000,000,000"),
        ({rules.AREA: "large"}, "metrics:area"),
        ({rules.METHOD: "guess"}, "determination:method is none of"),
        ({rules.DATETIME: "yesterday"}, "determination:datetime is no time"),
        ({"category": "other"}, "category is no list"),
    ],
)
def test_every_fault_is_told_with_its_feature(change, told):
    found = faults_of(GOOD, {**GOOD, "id": "b", **change})
    assert any(told in each for each in found)


@pytest.mark.parametrize(
    ("schemas", "told"),
    [
        (None, "no schemas"),
        ({"c": "x"}, "no list of addresses"),
        ({"c": [rules.FIBOA]}, "lack that of Vecorel"),
        ({"c": [rules.VECOREL, rules.FIBOA.replace("0.3", "0.2")]}, "lack that of fiboa"),
    ],
)
def test_schemas_must_be_those_of_the_version(schemas, told):
    assert any(told in each for each in faults_of(GOOD, schemas=schemas))


def test_what_only_features_have_is_no_property_of_all():
    assert any("only features have" in each for each in faults_of(GOOD, **{rules.AREA: 3.0}))


@given(area=st.floats(allow_nan=False))
def test_areas_are_in_the_range_or_told(area):
    assert bool(faults_of({**GOOD, rules.AREA: area})) == (not 0 < area <= 1e9)
