"""Tables of features from anywhere: what their classes, ids and scores are, and what is said of those they lack."""

import geopandas
import numpy as np
import pytest
import shapely

from geopanoptic.cli.main import invoke
from geopanoptic.errors import UsageError
from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import recognise
from geopanoptic.labels.provenance.difference import difference
from geopanoptic.labels.tasks.merging import merge

ROW = [shapely.box(20 * k, 0, 20 * k + 10, 10) for k in range(4)]


def stored(path, outlines=ROW, **columns):
    geopandas.GeoDataFrame(columns, geometry=outlines, index=range(len(outlines)), crs="EPSG:32633").to_file(
        path
    )
    return path


def read(path, **options):
    source = recognise(path).read(path, ReadOptions(**options))
    (labels,) = source
    return labels, source.notes


def test_objects_without_a_class_are_unclassified_and_told(tmp_path):
    for name in ("labels.geojson", "labels.gpkg"):
        labels, notes = read(stored(tmp_path / name, class_name=["corn", None, "", "corn"]))
        assert labels.objects["class_name"].tolist() == ["corn", "unclassified", "unclassified", "corn"]
        assert "unclassified" in labels.taxonomy
        assert "2 objects have no class" in notes[0]
    # Where the classes are known, they keep their numbers.
    known = read(tmp_path / "labels.gpkg")[0].taxonomy
    assert read(tmp_path / "labels.gpkg", taxonomy=known)[0].taxonomy == known
    done = convert(tmp_path / "labels.gpkg", tmp_path / "again.gpkg", to="gpkg")
    assert (done.objects, done.notes) == (4, notes)
    assert difference(tmp_path / "labels.gpkg", tmp_path / "again.gpkg").unchanged == 4


def test_a_code_that_one_object_lacks_is_the_same_code_for_the_others(tmp_path):
    labels, _ = read(stored(tmp_path / "codes.gpkg", crop=[1.0, 2.0, np.nan, 1.0]), class_column="crop")
    assert labels.objects["class_name"].tolist() == ["1", "2", "unclassified", "1"]


def test_a_name_that_no_class_can_have_is_refused(tmp_path):
    with pytest.raises(UsageError, match="500 characters"):
        read(stored(tmp_path / "long.gpkg", class_name=["corn" * 125] * 4))


@pytest.mark.parametrize("scores", [["high", "low", "0.5", None], [0.5, 99.0, 3.0, np.nan]])
def test_what_is_no_probability_is_an_attribute(tmp_path, scores):
    labels, (note,) = read(stored(tmp_path / "labels.gpkg", class_name="corn", score=scores))
    assert labels.objects["score"].isna().all()
    assert labels.objects["stated_score"].dropna().tolist() == scores[:3]
    assert "probabilities from 0 to 1" in note
    assert repr(scores[0] if isinstance(scores[0], str) else scores[1]) in note


def test_scores_in_text_are_scores(tmp_path):
    labels, notes = read(stored(tmp_path / "labels.gpkg", class_name="corn", score=["0.5", "1", "0", None]))
    assert labels.objects["score"].dropna().tolist() == [0.5, 1, 0]
    assert not notes


def test_outlines_without_ground_are_no_objects_and_told(tmp_path):
    flat = shapely.Polygon([(20, 0), (30, 0), (20, 0)])
    path = stored(tmp_path / "labels.gpkg", [ROW[0], flat, None, shapely.Point(0, 0)], class_name="corn")
    labels, notes = read(path)
    assert labels.objects.geometry.tolist() == [ROW[0]]
    assert [each.partition(": ")[2] for each in notes] == [
        "1 features have no outline, left out",
        "1 features are no polygons, left out",
        "1 outlines have no area, left out",
    ]
    with pytest.raises(UsageError, match="None of the 2 features"):
        convert(
            stored(tmp_path / "none.gpkg", [None, shapely.Point(0, 0)], class_name="corn"),
            tmp_path / "out.gpkg",
            to="gpkg",
        )
    assert not (tmp_path / "out.gpkg").exists()


def test_one_column_may_be_class_and_another_id_whatever_their_names(tmp_path):
    path = stored(tmp_path / "labels.gpkg", class_name=[7, 5, 6, 8], parcel_id=list("abca"))
    labels, _ = read(path, class_column="parcel_id", id_column="class_name")
    assert labels.objects["object_id"].tolist() == [7, 5, 6, 8]
    assert labels.objects["class_name"].tolist() == list("abca")
    labels, _ = read(path, class_column="class_name", id_column="class_name")
    assert labels.objects["class_name"].tolist() == list("7568")


def test_rows_without_an_id_leave_the_others_theirs(tmp_path):
    path = stored(tmp_path / "labels.gpkg", class_name="corn", parcel_id=[7.0, np.nan, 3.0, np.nan])
    assert read(path)[0].objects["object_id"].tolist() == [7, 8, 3, 9]


def test_classes_of_maps_that_are_compared_may_be_in_other_columns(tmp_path, capsys):
    before = stored(tmp_path / "before.gpkg", crop=["corn", "corn", "rape", "rape"])
    after = stored(tmp_path / "after.gpkg", culture=["corn", "rape", "rape", "rape"])
    compared = ["labels", "diff", str(before), str(after), "--class-column"]
    assert invoke([*compared, "crop,culture"]) == 0
    assert "0 added, 0 removed, 1 changed, 3 unchanged" in capsys.readouterr().out
    assert invoke([*compared, "crop"]) == 2
    assert "Columns: culture" in capsys.readouterr().err


def test_ids_that_are_none_are_kept_as_an_attribute_and_told(tmp_path):
    labels, (note,) = read(
        stored(tmp_path / "labels.gpkg", class_name="corn", object_id=["a", "b", "b", "c"])
    )
    assert labels.objects["object_id"].tolist() == [1, 2, 3, 4]
    assert labels.objects["stated_id"].tolist() == ["a", "b", "b", "c"]
    assert "object_id" in note
    path = stored(tmp_path / "two.gpkg", class_name="corn", object_id=[1, 2, 3, 4], other=[9, 8, 7, 6])
    labels, _ = read(path, id_column="other")
    assert labels.objects["object_id"].tolist() == [9, 8, 7, 6]
    assert labels.objects["stated_id"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["Neu! maps/fields", "a;b"])
def test_files_of_any_name_are_read_and_written(tmp_path, capsys, name):
    plain = stored(tmp_path / "plain.gpkg", class_name=["corn", "wheat", "corn", "corn"], score=0.5)
    odd, moved = tmp_path / f"{name}.gpkg", tmp_path / f"{name}-moved.geojson"
    odd.parent.mkdir(exist_ok=True)

    def labels(*arguments):
        assert invoke(["labels", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    labels("convert", plain, odd, "--to", "gpkg")
    labels("convert", odd, moved, "--to", "geojson")
    assert "No defects" in labels("check", odd)
    changes, joined, listed = (tmp_path / f"{name}-{what}.gpkg" for what in ("changes", "joined", "next"))
    assert "4 unchanged" in labels("diff", plain, odd, "--out", changes)
    assert "4 objects of 2 parts" in labels("merge", plain, odd, "--out", joined)
    assert "of 4 listed" in labels("next", odd, "--out", listed)
    assert all(each.is_file() and not each.is_symlink() for each in (odd, moved, changes, joined, listed))
    assert read(moved)[0].taxonomy.classes[1].name == "wheat"


def test_names_of_attributes_that_are_taken_stay_with_whom_they_are(tmp_path):
    stored(tmp_path / "in.gpkg", class_name="corn", object_id=["a", "b", "c", "d"], score=[80, 90, 70, 60])
    convert(tmp_path / "in.gpkg", tmp_path / "a.gpkg", to="gpkg")
    own = geopandas.read_file(tmp_path / "a.gpkg", layer="objects")
    # As when a feature is copied in a GIS, and its scores are written anew.
    own["object_id"], own["score"] = [1, 2, 3, 3], [8.0, 9.0, 7.0, 6.0]
    own.to_file(tmp_path / "b.gpkg")
    done = convert(tmp_path / "b.gpkg", tmp_path / "c.gpkg", to="gpkg")
    assert [note.split()[-2] for note in done.notes] == ["stated_id_2", "stated_score_2"]
    found = geopandas.read_file(tmp_path / "c.gpkg", layer="objects")
    assert found["stated_id"].tolist() == ["a", "b", "c", "d"]
    assert found["stated_id_2"].tolist() == [1, 2, 3, 3]
    assert found["stated_score"].tolist() == [80, 90, 70, 60]
    assert found["stated_score_2"].tolist() == [8, 9, 7, 6]
    assert difference(tmp_path / "a.gpkg", tmp_path / "b.gpkg").unchanged == 4
    assert len(merge([tmp_path / "a.gpkg", tmp_path / "b.gpkg"], tmp_path / "m.gpkg").labels.objects) == 4
    # To a GeoPackage, names in other case are the same.
    own.rename(columns={"stated_id": "Stated_ID"}).assign(crop=[4, 3, 2, 1]).to_file(tmp_path / "crop.gpkg")
    labels, _ = read(tmp_path / "crop.gpkg", id_column="crop")
    assert labels.objects[["object_id", "stated_id_2"]].to_numpy().tolist() == [
        [4, 1],
        [3, 2],
        [2, 3],
        [1, 3],
    ]


def test_the_first_layer_of_polygons_is_read(tmp_path):
    path = tmp_path / "several.gpkg"
    centres = [each.centroid for each in ROW]
    geopandas.GeoDataFrame(geometry=centres, crs="EPSG:32633").to_file(path, layer="centres")
    geopandas.GeoDataFrame(geometry=ROW, crs="EPSG:32633").to_file(path, layer="fields")
    assert len(read(path)[0].objects) == 4
    assert not read(path)[1]


def test_a_geopackage_is_not_written_under_the_name_of_something_else(tmp_path):
    path = stored(tmp_path / "labels.gpkg", class_name="corn")
    with pytest.raises(UsageError, match=r"again.shp does not end as a GeoPackage"):
        convert(path, tmp_path / "again.shp", to="gpkg")
    assert not list(tmp_path.glob("again*"))
