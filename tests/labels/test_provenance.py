"""Labels carry their history, and say what changed."""

import json

import geopandas
import numpy as np
import pytest
import shapely

from geopanoptic.cli.main import invoke
from geopanoptic.errors import UsageError
from geopanoptic.labels.convert import convert
from geopanoptic.labels.provenance.difference import difference
from geopanoptic.labels.provenance.hashing import content_of
from geopanoptic.labels.provenance.history import EDITED, FOUND, history, states
from geopanoptic.labels.provenance.manifest import provenance_path, read_provenance

CRS = "EPSG:32632"


def register(path, outlines, *, ids=None, names=None, **attributes):
    frame = geopandas.GeoDataFrame(
        {
            "object_id": ids or list(range(1, len(outlines) + 1)),
            "class_name": names or ["corn"] * len(outlines),
            **attributes,
        },
        geometry=outlines,
        crs=CRS,
    )
    frame.to_file(path, layer="objects", driver="GPKG")
    return path


def boxes(*corners):
    return [
        shapely.box(600_000 + x, 5_800_000 + y, 600_000 + x + w, 5_800_000 + y + h) for x, y, w, h in corners
    ]


SQUARES = boxes((0, 0, 100, 100), (100, 0, 100, 100), (0, 100, 100, 100))


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """A register, converted by one annotator to GeoParquet, and by another to GeoJSON."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    register(tmp_path / "a.gpkg", SQUARES)
    convert(tmp_path / "a.gpkg", tmp_path / "b.parquet", to="geoparquet", annotator="Ada")
    convert(tmp_path / "b.parquet", tmp_path / "c.geojson", to="geojson", annotator="Bo")
    return tmp_path


def test_the_history_names_every_step_and_outlives_the_earlier_files(chain):
    (chain / "a.gpkg").unlink()
    (chain / "b.parquet").unlink()
    found, first, second = history(chain / "c.geojson")
    assert (found.action, found.source) == (FOUND, "a.gpkg")
    assert (first.annotator, second.annotator) == ("Ada", "Bo")
    assert first.parents == (found.id,)
    assert second.parents == (first.id,)
    assert second.time == "2020-09-13T12:26:40Z"


@pytest.mark.parametrize("to", ["gpkg", "geoparquet", "geojson"])
def test_the_same_work_gives_the_same_bytes(chain, to):
    suffix = {"gpkg": ".gpkg", "geoparquet": ".parquet", "geojson": ".geojson"}[to]
    made = []
    for folder in ("one", "two"):
        convert(chain / "a.gpkg", chain / folder / f"x{suffix}", to=to)
        made.append({each.name: each.read_bytes() for each in (chain / folder).iterdir()})
    assert made[0] == made[1]
    assert len(made[0]) == 2


def test_what_another_program_changed_is_told_and_becomes_a_step(chain, capsys):
    path = chain / "b.parquet"
    frame = geopandas.read_parquet(path)
    frame.loc[0, "class_name"] = "meadow"
    frame.to_parquet(path)
    assert states(path) == {"b.parquet": "changed"}
    assert history(path)[-1].action == EDITED
    assert invoke(["labels", "log", str(path)]) == 0
    told = capsys.readouterr()
    assert EDITED in told.out
    assert "changed: b.parquet" in told.err
    convert(path, chain / "d.gpkg", to="gpkg")
    assert [each.action for each in history(chain / "d.gpkg")][-2:] == [
        EDITED,
        "converted from geoparquet to gpkg",
    ]


def test_a_folder_s_files_are_watched(chain):
    source, target = chain / "labels", chain / "again"
    ids = np.zeros((8, 8), np.int32)
    ids[2:6, 2:6] = 1
    import rasterio

    with rasterio.open(
        chain / "ids.tif", "w", driver="GTiff", dtype="int32", count=1, height=8, width=8,
        crs=CRS, transform=rasterio.Affine(10, 0, 600_000, 0, -10, 5_800_000),
    ) as file:  # fmt: skip
        file.write(ids, 1)
    convert(chain / "ids.tif", source, to="coco-panoptic")
    known = read_provenance(provenance_path(source))
    assert set(known.files) == {"labels.json", "panoptic.json", "panoptic/ids.png"}
    (source / "panoptic" / "ids.png").unlink()
    (source / "notes.txt").write_text("mine")
    found = states(source)
    assert found["panoptic/ids.png"] == "missing"
    assert found["notes.txt"] == "new"
    assert found["labels.json"] == "as written"
    assert not target.exists()


def test_a_damaged_history_is_refused(chain):
    (chain / "b.parquet.provenance.json").write_text('{"format": "diary"}')
    with pytest.raises(UsageError, match="no history of labels"):
        history(chain / "b.parquet")
    with pytest.raises(UsageError, match="does not exist"):
        history(chain / "nowhere")


def test_what_other_programs_call_provenance_is_none_of_ours(chain):
    foreign = chain / "provenance.json"
    foreign.write_text('{"generated_by": "another program"}')
    register(chain / "new.gpkg", SQUARES)
    assert [step.action for step in history(chain / "new.gpkg")] == [FOUND]
    assert history(chain)[-1].action == FOUND
    assert states(chain) == {}
    assert len(history(chain / "c.geojson")) == 3
    foreign.write_text('{"format": "geopanoptic-provenance", "ver')
    with pytest.raises(UsageError, match="no history of labels"):
        history(chain / "new.gpkg")


def test_histories_of_the_first_version_have_no_ids(chain):
    path = provenance_path(chain / "c.geojson")
    now = history(chain / "c.geojson")
    content = json.loads(path.read_text())
    by_id = {step.id: step.content for step in now}
    for step in content["steps"]:
        del step["id"]
        step["parents"] = [by_id[each] for each in step["parents"]]
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="KeyError 'id'"):
        history(chain / "c.geojson")
    path.write_text(json.dumps(content | {"version": 1}))
    assert history(chain / "c.geojson") == now


def test_added_removed_and_changed_objects_are_told(tmp_path, capsys):
    before = register(
        tmp_path / "a.gpkg",
        [*SQUARES, *boxes((0, 500, 50, 50), (300, 0, 50, 50))],
        names=["corn", "corn", "meadow", "corn", "corn"],
        owner=["x", "y", "z", "q", "q"],
    )
    after = register(
        tmp_path / "b.gpkg",
        boxes((0, 0, 100, 100), (100, 0, 100, 90), (0, 100, 100, 100), (900, 900, 10, 10), (340, 40, 50, 50)),
        ids=[11, 12, 13, 14, 5],
        names=["corn", "corn", "corn", "corn", "corn"],
        owner=["x", "y", "zz", "q", "q"],
    )
    found = difference(before, after)
    assert found.counts() == {"added": 1, "removed": 1, "changed": 3, "unchanged": 1}
    rows = found.changes.set_index("before_id")
    assert rows.loc[2, "what"] == "outline"
    assert rows.loc[2, "iou"] == pytest.approx(0.9)
    assert rows.loc[3, "what"] == "class, owner"
    assert (rows.loc[5, "after_id"], rows.loc[5, "what"]) == (5, "outline")
    assert rows.loc[4, "change"] == "removed"
    out = tmp_path / "changes.gpkg"
    assert invoke(["labels", "diff", str(before), str(after), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] == found.counts()
    assert len(geopandas.read_file(out, layer="changes")) == 5
    assert invoke(["labels", "diff", str(before), str(after)]) == 0
    assert "1 added, 1 removed, 3 changed, 1 unchanged" in capsys.readouterr().out


def test_another_format_and_crs_are_no_change(tmp_path):
    register(tmp_path / "a.gpkg", SQUARES)
    convert(tmp_path / "a.gpkg", tmp_path / "b.geojson", to="geojson")
    found = difference(tmp_path / "a.gpkg", tmp_path / "b.geojson")
    assert found.counts() == {"added": 0, "removed": 0, "changed": 0, "unchanged": 3}


def test_images_without_a_place_are_compared_one_by_one(shared_data, tmp_path):
    source = shared_data / "fields-naip-midwest" / "annotations.json"
    target = tmp_path / "labels.json"
    convert(source, target, to="label-studio", image=source.parent)
    convert(target, tmp_path / "again.xml", to="cvat")
    # Some outlines leave their image, and were cut at its border.
    assert set(difference(source, target).changes["what"]) == {"outline"}
    assert difference(target, tmp_path / "again.xml").counts() == {
        "added": 0,
        "removed": 0,
        "changed": 0,
        "unchanged": 1232,
    }


def test_steps_that_were_rewritten_are_refused(chain):
    path = provenance_path(chain / "c.geojson")
    path.write_text(path.read_text().replace('"Ada"', '"Eve"'))
    with pytest.raises(UsageError, match="not as it was written"):
        history(chain / "c.geojson")


def test_an_edit_that_was_taken_back_is_two_steps_and_loses_nothing(chain):
    first = history(chain / "b.parquet")
    again = convert(chain / "b.parquet", chain / "e.parquet", to="geoparquet")
    assert again.objects == 3
    same = history(chain / "e.parquet")
    assert same[:-1] == first
    assert same[-1].parents == (first[-1].id,)


def test_an_export_elsewhere_goes_back_to_the_labels_that_are_named(chain):
    (chain / "sent").mkdir()
    convert(chain / "a.gpkg", chain / "sent" / "b.parquet", to="geoparquet")
    (chain / "downloads").mkdir()
    (chain / "sent" / "b.parquet").rename(chain / "downloads" / "back.parquet")
    convert(chain / "downloads" / "back.parquet", chain / "x.gpkg", to="gpkg")
    assert history(chain / "x.gpkg")[0].action == FOUND
    convert(chain / "downloads" / "back.parquet", chain / "y.gpkg", to="gpkg", base=chain / "c.geojson")
    steps = history(chain / "y.gpkg")
    assert steps[:3] == history(chain / "c.geojson")
    assert (steps[3].action, steps[3].parents) == (EDITED, (steps[2].id,))


def test_the_labels_that_are_named_count_before_what_lies_around(chain):
    (chain / "sent").mkdir()
    convert(chain / "a.gpkg", chain / "sent" / "b.parquet", to="geoparquet")
    provenance_path(chain / "sent" / "b.parquet").rename(chain / "sent" / "provenance.json")
    register(chain / "sent" / "mine.gpkg", SQUARES[:2])
    mine, base = chain / "sent" / "mine.gpkg", chain / "c.geojson"
    assert history(mine)[-2].action == "converted from gpkg to geoparquet"
    assert history(mine, base=base)[:-1] == history(base)
    # What goes back to the named labels itself tells more.
    assert history(base, base=chain / "b.parquet") == history(base)
    (chain / "copy.geojson").write_bytes(base.read_bytes())
    assert history(chain / "copy.geojson", base=base) == history(base)


def test_the_history_of_labels_that_are_elsewhere_is_told(chain, capsys):
    steps = history(chain / "c.geojson")
    (chain / "c.geojson").unlink()
    assert history(chain / "c.geojson") == steps
    assert invoke(["labels", "log", str(chain / "c.geojson")]) == 0
    told = capsys.readouterr()
    assert told.out.count("converted from") == 2
    assert "missing: c.geojson" in told.err


def test_the_order_of_the_files_does_not_matter():
    assert content_of({"a": "1", "b": "2"}) == content_of({"b": "2", "a": "1"})
