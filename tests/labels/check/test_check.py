"""What the checks say of small labels of every form, and what leaves the command line."""

import json
import re
import sqlite3
import warnings

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.errors import NotGeoreferencedWarning

from geopanoptic.cli.main import invoke
from geopanoptic.errors import DEFECTS, OutputError, SceneError, UsageError
from geopanoptic.labels.check.check import check
from geopanoptic.labels.check.fix import fix
from geopanoptic.labels.check.page import page
from geopanoptic.labels.check.report import ImageFigures, figure_lines
from geopanoptic.labels.check.reporting import write_reports
from geopanoptic.labels.convert import convert
from geopanoptic.training.synthetic import synthesize


def squares(*corners, size=10.0, crs="EPSG:32632", **columns):
    """Square objects of class ``corn`` with their lower left corners at ``corners``."""
    shapes = [shapely.box(x, y, x + size, y + size) for x, y in corners]
    table = {"object_id": np.arange(1, len(shapes) + 1), "class_name": "corn", "kind": "thing"} | columns
    return geopandas.GeoDataFrame(table, geometry=shapes, crs=crs)


def stored(frame, path):
    frame.to_file(path, layer="objects", driver="GPKG")
    return path


def image(path, shape=(40, 40), *, nodata_rows=0):
    values = np.ones(shape, np.uint8)
    values[:nodata_rows] = 0
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", count=1, height=shape[0], width=shape[1], nodata=0,
        crs="EPSG:32632", transform=Affine(1, 0, 0, 0, -1, shape[0]),
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def kinds(report):
    return {kind: sum(count.values()) for kind, count in report.by_kind().items()}


def test_clean_labels_have_no_defects(tmp_path):
    report = check(stored(squares((0, 0), (10, 0), (0, 10)), tmp_path / "a.gpkg"))
    assert kinds(report) == {}
    assert not report.fails("warning")


def test_labels_that_are_empty_or_elsewhere_are_an_error(tmp_path):
    picture = image(tmp_path / "image.tif")
    for name, frame in (
        ("empty", squares((0, 0)).iloc[:0]),
        ("beyond", squares((5000, 0), (5010, 0))),
        ("swapped", squares((0, 4.5), (0, 4.51), size=0.001, crs="EPSG:4326")),
    ):
        report = check(stored(frame, tmp_path / f"{name}.gpkg"), image=picture)
        (told,) = [each for each in report.issues if each.kind == "no-labels"]
        assert told.severity == "error"
        assert report.fails("error")
    assert check(stored(squares((0, 0)).iloc[:0], tmp_path / "alone.gpkg")).fails("error")
    some = check(stored(squares((0, 0), (5000, 0)), tmp_path / "some.gpkg"), image=picture)
    assert "no-labels" not in kinds(some)


@pytest.mark.parametrize("shape", [shapely.Point(1, 1), shapely.LineString([(0, 0), (9, 9)]), None])
def test_features_without_ground_are_defects(tmp_path, shape):
    frame = squares((0, 0), (10, 0)).set_geometry([shape] * 2, crs="EPSG:32632")
    report = check(stored(frame, tmp_path / "labels.gpkg"))
    assert kinds(report) == {"no-outline": 2}


def test_touching_is_no_overlap_and_nesting_is_a_warning(tmp_path):
    frame = squares((0, 0), (10, 0), (40, 0))
    frame = frame.set_geometry([*frame.geometry[:2], shapely.box(2, 2, 4, 4)], crs=frame.crs)
    (issue,) = check(stored(frame, tmp_path / "a.gpkg")).issues
    assert (issue.kind, issue.severity, issue.object_ids, issue.amount) == ("overlap", "warning", (1, 3), 4.0)


@settings(max_examples=20)
@given(ids=arrays(np.int32, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 3)))
def test_rasters_never_overlap_and_slivers_and_gaps_are_where_pixels_say(ids, tmp_path_factory):
    path = tmp_path_factory.mktemp("raster") / "labels.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype="int32", count=1, height=ids.shape[0], width=ids.shape[1],
        crs="EPSG:32632", transform=Affine(1, 0, 500, 0, -1, 900),
    ) as file:  # fmt: skip
        file.write(ids, 1)
    report = check(path)
    assert report.objects == len(np.unique(ids[ids > 0]))
    assert not {"overlap", "invalid-outline", "duplicate-id", "unreadable"} & set(kinds(report))
    assert report.images[0].unlabelled == pytest.approx((ids == 0).mean())


def test_full_labels_report_every_pixel_without_one(tmp_path):
    picture = image(tmp_path / "i.tif", nodata_rows=10)
    frame = squares((0, 0), (10, 0), (20, 0), (0, 10), (10, 10), (20, 10), (0, 20), (10, 20), (20, 20))
    path = stored(frame, tmp_path / "a.gpkg")
    assert "unlabelled" not in kinds(check(path, image=picture))
    (issue,) = [each for each in check(path, image=picture, full=True).issues if each.kind == "unlabelled"]
    assert issue.amount == 300.0
    assert issue.geometry.equals(shapely.box(30, 0, 40, 30))
    with pytest.raises(UsageError, match="--full"):
        check(path, full=True)


def test_labels_without_data_and_outside(tmp_path):
    path = stored(squares((5, 28), (35, 5)), tmp_path / "a.gpkg")
    report = check(path, image=image(tmp_path / "i.tif", nodata_rows=15))
    assert kinds(report) == {"outside-image": 1, "no-data": 1}
    assert [each.object_ids for each in report.issues] == [(2,), (1,)]
    assert report.issues[0].amount == 0.5


def test_a_prediction_is_compared_object_by_object(tmp_path):
    labels = squares((0, 0), (20, 0), (0, 20), class_name=["corn", "corn", "rye"])
    predicted = squares((0, 0), (26, 0), (0, 20), (20, 20), class_name=["corn", "corn", "corn", "rye"])
    report = check(
        stored(labels, tmp_path / "a.gpkg"),
        image=image(tmp_path / "i.tif"),
        against=stored(predicted, tmp_path / "p.gpkg"),
    )
    found = {each.kind: (each.object_ids, round(each.amount, 2)) for each in report.issues}
    assert found == {"model-misses": ((2,), 0.25), "model-class": ((3,), 1.0), "model-adds": ((), 1.0)}
    assert report.images[0].pixel_difference == pytest.approx(100 / 240)


def test_pixel_labels_are_checked_before_their_reader_repairs_them(tmp_path):
    shapes = [
        {"label": "corn", "points": [[0, 0], [9, 9], [9, 0], [0, 9]], "shape_type": "polygon", "group_id": 1},
        {"label": "rye", "points": [[20, 0], [30, 0], [30, 9]], "shape_type": "polygon", "group_id": 2},
        {"label": "corn", "points": [[20, 20], [30, 20], [30, 29]], "shape_type": "polygon", "group_id": 2},
        {"label": "corn", "points": [[35, 30], [44, 30], [44, 39]], "shape_type": "polygon", "group_id": 3},
    ]
    content = {"imagePath": "a.png", "imageHeight": 40, "imageWidth": 40, "shapes": shapes}
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
    report = check(tmp_path / "a.json")
    assert kinds(report) == {"invalid-outline": 1, "class-contradiction": 1, "outside-image": 1}
    assert report.count("error") == 3


@pytest.mark.parametrize(
    "target", ["coco-instances", "cvat", "labelme", "via", "label-studio", "geojson", "geoparquet"]
)
def test_every_format_of_outlines_shows_an_overlap(target, tmp_path):
    frame = squares((0, 0), (7, 0), (20, 20))
    name = {"geoparquet": "a.parquet", "geojson": "a.geojson", "cvat": "a.xml", "labelme": "a"}.get(
        target, "a.json"
    )
    convert(stored(frame, tmp_path / "s.gpkg"), tmp_path / name, to=target, image=image(tmp_path / "i.tif"))
    report = check(tmp_path / name)
    assert kinds(report)["overlap"] == 1
    assert report.count("error") == 1


def test_repairs_are_listed_and_leave_nothing_to_repair(tmp_path):
    frame = squares((0, 0), (7, 0), (40, 0), (40, 0), (60, 0), (70, 0), (100, 0), (3, 3))
    shapes = list(frame.geometry)
    shapes[6] = shapely.Polygon([(100, 0), (110, 10), (110, 0), (100, 10)])
    shapes[7] = shapely.box(3, 3, 5, 5)
    frame = frame.set_geometry(shapes, crs=frame.crs)
    frame.loc[5, "object_id"] = 5
    frame.loc[1, "class_name"] = "road"
    path = stored(frame, tmp_path / "a.gpkg")
    done = fix(path, tmp_path / "b.gpkg", priority=["road"])
    assert done.by_kind() == {"made-valid": 1, "duplicate-dropped": 1, "joined": 1, "overlap-cut": 1}
    fixed = geopandas.read_file(tmp_path / "b.gpkg", layer="objects").set_index("object_id")
    assert fixed.area.to_dict() == {1: 66.0, 2: 100.0, 3: 100.0, 5: 200.0, 7: 50.0, 8: 4.0}
    assert kinds(check(tmp_path / "b.gpkg")) == {}
    with pytest.raises(OutputError, match="exists"):
        fix(path, tmp_path / "b.gpkg")
    with pytest.raises(UsageError, match="'raod'"):
        fix(path, tmp_path / "c.gpkg", priority=["raod"])


@pytest.mark.parametrize(
    "ids",
    [[2**53 + k for k in range(4)], ["10", "010", "11", "011"], [str(9 * 10**19 + k) for k in range(4)]],
    ids=["beyond floats", "leading zeros", "beyond 64 bits"],
)
def test_ids_that_look_alike_as_numbers_are_those_of_different_objects(tmp_path, ids):
    apart = stored(squares((0, 0), (10, 0), (0, 10), (10, 10), parcel_id=ids), tmp_path / "labels.gpkg")
    assert kinds(check(apart, id_column="parcel_id")) == {}
    fixed = fix(apart, tmp_path / "fixed.gpkg", id_column="parcel_id")
    assert (fixed.objects, fixed.changes) == (4, ())


def test_without_priority_the_smaller_keeps_what_is_claimed_twice(tmp_path):
    frame = squares((0, 0), (5, 0))
    frame = frame.set_geometry([shapely.box(0, 0, 10, 10), shapely.box(5, 0, 12, 10)], crs=frame.crs)
    done = fix(stored(frame, tmp_path / "a.gpkg"), tmp_path / "b.gpkg")
    assert [(each.object_ids, each.area) for each in done.changes] == [((1,), -50.0)]


def test_layers_that_number_their_objects_each_from_1_become_one(tmp_path):
    squares((0, 0), (10, 0)).to_file(tmp_path / "a.gpkg", layer="parcels", driver="GPKG")
    cover = squares((20, 0), (40, 0), class_name="water", kind="stuff")
    cover.to_file(tmp_path / "a.gpkg", layer="landcover", driver="GPKG")
    assert kinds(check(tmp_path / "a.gpkg")) == {}
    done = fix(tmp_path / "a.gpkg", tmp_path / "b.gpkg")
    assert done.by_kind() == {"renumbered": 1}
    assert geopandas.read_file(tmp_path / "b.gpkg", layer="objects")["object_id"].tolist() == [1, 2, 3, 4]


def test_a_page_of_several_images_lists_the_worst_and_shows_each_defect_on_its_own(shared_data, tmp_path):
    source = shared_data / "fields-naip-midwest" / "annotations.json"
    report = check(source)
    told = page(report)
    assert told.count("<img") == 5 * len(report.by_kind()) - 3  # of slivers there are two
    worst = max(
        report.images,
        key=lambda each: sum(i.image == each.name for i in report.issues if i.severity == "error"),
    )
    assert told.index(worst.name) == min(told.index(each.name) for each in report.images if each.name in told)
    assert "18 more are in the JSON report" in told


def test_reports_are_whole_escaped_and_open_in_qgis(tmp_path):
    frame = squares((0, 0), (7, 0), class_name=["<script>alert(1)</script>", ""])
    report = check(stored(frame, tmp_path / "a.gpkg"))
    assert "<script>" not in page(report)
    assert page(report) == page(report)
    write_reports(
        report,
        json_file=tmp_path / "r.json",
        html_file=tmp_path / "r.html",
        issues_file=tmp_path / "r.gpkg",
    )
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert told["errors"] == report.count("error") == len(told["issues"])
    layer = geopandas.read_file(tmp_path / "r.gpkg", layer="issues")
    assert sorted(layer["kind"]) == ["no-class", "overlap"]
    assert layer.geometry.is_valid.all()
    with sqlite3.connect(tmp_path / "r.gpkg") as base:
        assert "overlap" in base.execute("SELECT styleQML FROM layer_styles").fetchone()[0]
    with pytest.raises(UsageError, match="labels themselves"):
        write_reports(report, json_file=tmp_path / "a.gpkg", overwrite=True)


def test_json_alone_is_printed_in_place_of_the_lines(tmp_path, capsys):
    labels = str(stored(squares((0, 0), (7, 0), class_name="field"), tmp_path / "a.gpkg"))
    assert invoke(["labels", "check", labels, "--json"]) == 8
    told = json.loads(capsys.readouterr().out)
    assert [issue["kind"] for issue in told["issues"]] == ["overlap"]


def test_labels_without_a_located_defect_have_an_empty_layer_of_issues(tmp_path):
    clean = str(stored(squares((0, 0), (10, 0)), tmp_path / "clean.gpkg"))
    assert invoke(["labels", "check", clean, "--issues", str(tmp_path / "r.gpkg")]) == 0
    layer = geopandas.read_file(tmp_path / "r.gpkg", layer="issues")
    assert len(layer) == 0
    assert layer.crs == "EPSG:32632"


@pytest.mark.filterwarnings("ignore:.crs. was not provided")
def test_issues_of_labels_without_a_place_are_a_layer_without_one(tmp_path):
    frame = squares((0, 0), (5, 0), crs=None)
    report = check(stored(frame, tmp_path / "labels.gpkg"))
    write_reports(report, None, issues_file=tmp_path / "issues.gpkg")
    assert geopandas.read_file(tmp_path / "issues.gpkg", layer="issues").total_bounds.tolist() == [
        5,
        0,
        10,
        10,
    ]


@pytest.mark.parametrize(
    ("offset", "chance"),
    [
        ({"rows_px": -0.29, "error_px": 0.03, "significant": False}, False),
        ({"rows_px": -0.05, "error_px": 0.03, "significant": False}, True),
        ({"rows_px": -4.0, "error_px": 0.03, "significant": False}, True),
        ({"rows_px": -4.0, "error_px": 0.03, "significant": True}, False),
    ],
)
def test_an_offset_may_be_chance_by_its_error_within_a_pixel_and_by_the_test_beyond(offset, chance):
    figures = ImageFigures(
        name="a",
        objects=1,
        tolerance=1,
        sliver_width=1,
        gap_area=1,
        unit="m",
        offset={"columns_px": 0.0} | offset,
    )
    assert ("which may be chance" in figure_lines(figures)[-1]) == chance


def test_lengths_of_labels_in_degrees_are_told_in_metres_too(tmp_path):
    frame = squares((500_000, 5_500_000), (500_095, 5_500_000), size=100).to_crs("EPSG:4326")
    report = check(stored(frame, tmp_path / "degrees.gpkg"))
    (figures,) = report.images
    assert figures.unit == "°"
    assert figures.tolerance * figures.metres == pytest.approx(0.1, rel=0.02)
    assert "closer than 0.1 m (1." in figure_lines(figures)[0]
    (overlap,) = [each.message for each in report.issues if each.kind == "overlap"]
    assert re.search(r"overlap on (49\d|50\d) m² \(\S+ °²\)", overlap)


@pytest.mark.parametrize("option", ["--tolerance", "--sliver-width", "--gap-area", "--agreement"])
def test_limits_are_numbers(tmp_path, capsys, option):
    labels = str(stored(squares((0, 0)), tmp_path / "a.gpkg"))
    assert invoke(["labels", "check", labels, option, "nan"]) == 2
    assert "no finite number" in capsys.readouterr().err


def test_a_model_is_shown_the_pixels_that_are_asked_for(tmp_path, capsys):
    scene = synthesize((64, 64), bands=("blue", "green", "red", "nir"), character="mosaic", seed=2)
    scene.to_geotiff(tmp_path / "scene.tif")
    scene.to_gpkg(tmp_path / "truth.gpkg")
    told = []
    for pixel_size in ("native", "40"):
        compared = ["--image", str(tmp_path / "scene.tif"), "--model", "fields-s"]
        asked = ["labels", "check", str(tmp_path / "truth.gpkg"), *compared, "--pixel-size", pixel_size]
        assert invoke([*asked, "--fail-on", "never"]) == 0
        told += [
            line for line in capsys.readouterr().out.splitlines() if "differ from the prediction" in line
        ]
    assert len(set(told)) == 2


def test_images_that_are_none_of_the_labels_are_refused(tmp_path):
    labels = stored(squares((0, 0), (10, 0)), tmp_path / "a.gpkg")
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(SceneError, match="bare holds no image"):
        check(labels, image=bare)
    season = tmp_path / "season"
    season.mkdir()
    image(season / "may.tif")
    assert kinds(check(labels, image=season)) == {}  # the only one
    image(season / "july.tif")
    for more in ({}, {"model": "nonsense"}, {"full": True}):
        with pytest.raises(UsageError, match=r"july\.tif and 1 more, is known to be that of a\.gpkg"):
            check(labels, image=season, **more)
    drawn_on_one = tmp_path / "pixels.gpkg"
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        stored(squares((0, 0), (10, 0), crs=None), drawn_on_one)
    with pytest.raises(UsageError, match=r"known to be that of pixels\.gpkg"):
        check(drawn_on_one, image=season)
    with pytest.raises(UsageError, match="Name the one image"):
        convert(labels, tmp_path / "coco", to="coco-panoptic", image=season)
    convert(labels, tmp_path / "coco", to="coco-panoptic", image=season / "may.tif")
    assert check(tmp_path / "coco", image=season).images[0].name.startswith("may")
    with pytest.raises(UsageError, match="july"):
        check(tmp_path / "coco", image=season / "july.tif")


def test_exit_codes_for_other_programs(tmp_path):
    clean = str(stored(squares((0, 0)), tmp_path / "clean.gpkg"))
    dirty = str(stored(squares((0, 0), (7, 0)), tmp_path / "dirty.gpkg"))
    assert invoke(["labels", "check", clean]) == 0
    assert invoke(["labels", "check", dirty, "--quiet"]) == DEFECTS
    assert invoke(["labels", "check", dirty, "--fail-on", "never"]) == 0
    assert invoke(["labels", "check", dirty, "--fix"]) == 2
    fixed = str(tmp_path / "fixed.gpkg")
    assert invoke(["labels", "check", dirty, "--fix", "--out", fixed]) == DEFECTS
    assert invoke(["labels", "check", fixed]) == 0


def test_less_than_half_a_pixel_beyond_the_image_is_no_defect(tmp_path):
    report = check(
        stored(squares((-0.4, 0), (-0.6, 20)), tmp_path / "a.gpkg"), image=image(tmp_path / "i.tif")
    )
    assert [each.object_ids for each in report.issues if each.kind == "outside-image"] == [(2,)]


def test_neighbours_of_two_kinds_of_land_cover_are_two(tmp_path):
    frame = squares((0, 0), (10, 0), (20, 0), class_name=["water", "wood", "wood"], kind="stuff")
    (issue,) = [each for each in check(stored(frame, tmp_path / "a.gpkg")).issues if each.kind == "stuff-ids"]
    assert issue.object_ids == (2, 3)


def test_pictures_without_a_place_leave_the_labels_at_theirs(tmp_path):
    convert(
        stored(squares((0, 0), (7, 0), (20, 20)), tmp_path / "s.gpkg"),
        tmp_path / "labels",
        to="labelme",
        image=image(tmp_path / "i.tif"),
    )
    (tmp_path / "png").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            tmp_path / "png" / "i.png", "w", driver="PNG", dtype="uint8", count=1, height=40, width=40
        ) as file:
            file.write(np.ones((40, 40), np.uint8), 1)
    (alone,) = check(tmp_path / "labels").issues
    (beside,) = check(tmp_path / "labels", image=tmp_path / "png").issues
    assert "30 m²" in beside.message
    assert (beside.message, beside.geometry) == (alone.message, alone.geometry)
