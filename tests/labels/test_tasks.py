"""Work in parts: split, edited as annotators would, and merged."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from test_prelabel import country, made  # noqa: F401

from geopanoptic.cli.main import invoke
from geopanoptic.errors import UsageError
from geopanoptic.labels.convert import convert
from geopanoptic.labels.objects import Canvas, OutlineLabels
from geopanoptic.labels.tasks.merging import merge
from geopanoptic.labels.tasks.overlaying import KNOWN, _numbered
from geopanoptic.labels.tasks.splitting import split_work
from geopanoptic.labels.taxonomy import load_taxonomy, taxonomy_of_names
from geopanoptic.labels.tiles import tile_canvases

FIELDS = load_taxonomy("fields")


def kinds(done):
    return sorted({each.kind for each in done.conflicts})


def edited(path, change):
    """Rewrites Label Studio's results, image by image, and leaves them as an annotation would."""
    tasks = json.loads(path.read_text())
    for task in tasks:
        results = task.pop("predictions")[0]["result"]
        name = task["data"]["image"].rpartition("/")[2]
        task["annotations"] = [
            {"result": [new for each in results if (new := change(name, each)) is not None]}
        ]
    path.write_text(json.dumps(tasks))


def same_map(merged, sent):
    """Outlines by id; both in one CRS."""
    before = sent.set_index("object_id").geometry
    after = merged.set_index("object_id").geometry.reindex(before.index)
    return shapely.area(shapely.symmetric_difference(before.to_numpy(), after.to_numpy())).max() < 1e-3


@pytest.mark.parametrize(("rule", "overlap"), [("things,stuff", 0), ("class", 16), ("3", 16), ("2", 0)])
def test_unchanged_parts_give_what_was_split(country, tmp_path, rule, overlap):  # noqa: F811
    done = made(country, tmp_path / "work", to="label-studio", split=rule, overlap_px=overlap, stuff=True)
    assert len(done.parts) >= 2
    merged = merge([tmp_path / "work" / part for part in done.parts], tmp_path / "merged.gpkg")
    assert not merged.conflicts
    sent = geopandas.read_file(tmp_path / "work" / "prelabels.gpkg", layer="objects")
    found = geopandas.read_file(tmp_path / "merged.gpkg", layer="objects")
    assert len(found) == len(sent)
    assert same_map(found, sent)
    assert set(found["part"]) <= set(done.parts)


def test_areas_are_whole_tiles_of_about_equal_size():
    canvas = Canvas(image="a.png", height=700, width=1000)
    tiles = tile_canvases(canvas, 100)
    for n in (2, 3, 4, 7):
        parts = split_work(str(n), taxonomy=FIELDS, present=[], tiles=tiles)
        sizes = [sum(each.height * each.width for each in part.tiles) for part in parts]
        assert len(parts) == n
        assert sorted(each.image for part in parts for each in part.tiles) == sorted(t.image for t in tiles)
        assert max(sizes) - min(sizes) <= 2 * 100 * 100
    assert len(split_work("70", taxonomy=FIELDS, present=[], tiles=tiles)) == 70


def test_rules_that_cannot_be_meant_are_refused():
    tiles = tile_canvases(Canvas(image="a.png", height=10, width=30), 10)
    for rule in ("1", "four", "stuff"):
        with pytest.raises(UsageError, match="split by"):
            split_work(rule, taxonomy=FIELDS, present=[], tiles=tiles)
    with pytest.raises(UsageError, match="3 tiles"):
        split_work("4", taxonomy=FIELDS, present=[], tiles=tiles)


def test_edits_of_one_annotator_are_taken_without_conflict(country, tmp_path):  # noqa: F811
    made(country, tmp_path / "work", to="label-studio", split="things,stuff")
    gone = 7

    def change(name, result):
        return None if result["meta"]["object_id"] == gone else result

    things = tmp_path / "work" / "things" / "label-studio.json"
    edited(things, change)
    # A new parcel, as Label Studio writes it: without our id, here on ground of stuff.
    tasks = json.loads(things.read_text())
    result = json.loads(json.dumps(tasks[0]["annotations"][0]["result"][0]))
    result |= {
        "id": "new",
        "meta": {},
        "value": result["value"] | {"points": [[1, 1], [1, 9], [9, 9], [9, 1]]},
    }
    tasks[0]["annotations"][0]["result"] = [result]
    things.write_text(json.dumps(tasks))
    merged = merge([things, tmp_path / "work" / "stuff"], tmp_path / "merged.gpkg")
    assert not merged.conflicts
    sent = geopandas.read_file(tmp_path / "work" / "prelabels.gpkg", layer="objects")
    ids = merged.labels.objects["object_id"]
    assert gone not in set(ids)
    assert ids.max() == sent["object_id"].max() + 1
    outlines = merged.labels.objects.geometry
    new = outlines[ids == ids.max()].iloc[0]
    others = shapely.union_all(outlines[ids != ids.max()].to_numpy())
    assert shapely.intersection(new, others).area == pytest.approx(0, abs=1e-6)


def test_an_object_removed_on_one_side_of_a_border_is_a_conflict(country, tmp_path):  # noqa: F811
    made(country, tmp_path / "work", to="label-studio", split="2")
    first, second = (tmp_path / "work" / name for name in ("area-1", "area-2"))

    def ids(folder):
        tasks = json.loads((folder / "label-studio.json").read_text())
        return {r["meta"]["object_id"] for t in tasks for r in t["predictions"][0]["result"]}

    both = sorted(ids(first) & ids(second))
    gone, recast = both[:2]
    edited(first / "label-studio.json", lambda _, each: None if each["meta"]["object_id"] == gone else each)

    def call_it_water(_, each):
        if each["meta"]["object_id"] == recast:
            each["value"]["polygonlabels"] = ["water"]
        return each

    edited(second / "label-studio.json", call_it_water)
    merged = merge([first, second], tmp_path / "merged.gpkg")
    assert [(each.kind, each.object_ids) for each in merged.conflicts] == [
        ("class", (recast,)),
        ("removed", (gone,)),
    ]
    layer = geopandas.read_file(tmp_path / "merged.gpkg", layer="conflicts")
    assert layer["kind"].tolist() == ["class", "removed"]
    assert (layer.geometry.area > 0).all()


def test_ground_that_two_drew_differently_is_a_conflict(country, tmp_path):  # noqa: F811
    made(country, tmp_path / "work", to="label-studio", split="2", overlap_px=32)
    first, second = (tmp_path / "work" / name for name in ("area-1", "area-2"))
    edited(first / "label-studio.json", lambda _, each: each)
    edited(second / "label-studio.json", lambda _, each: None)
    merged = merge([first, second], tmp_path / "merged.gpkg")
    assert kinds(merged) == ["removed", "seam"]


def test_missing_parts_and_pictures_are_told(country, tmp_path):  # noqa: F811
    made(country, tmp_path / "work", to="label-studio", split="3")
    labels = tmp_path / "work" / "area-1" / "label-studio.json"
    labels.write_text(json.dumps(json.loads(labels.read_text())[1:]))
    # Any name of an export's own is one of labels.
    named = labels.rename(labels.with_name("my_task.json"))
    named.with_name(f"{named.name}.provenance.json").write_text("{}")
    sent = tmp_path / "work" / "area-3" / "label-studio.json"
    sent.rename(sent.with_name("corrected_labels.json"))
    merged = merge([tmp_path / "work" / "area-1", tmp_path / "work" / "area-3"], tmp_path / "merged.gpkg")
    told = [each for each in merged.conflicts if each.kind == "missing"]
    assert [each.parts for each in told] == [("area-2",), ("area-1",)]
    with pytest.raises(UsageError, match="twice"):
        merge([tmp_path / "work" / "area-1"] * 2, tmp_path / "again.gpkg")
    with pytest.raises(UsageError, match="Name the file or folder of the labels themselves"):
        merge([tmp_path / "work"], tmp_path / "again.gpkg")


def maps(folder, **frames):
    for name, outlines in frames.items():
        table = {"object_id": list(outlines), "class_name": ["parcel"] * len(outlines)}
        frame = geopandas.GeoDataFrame(table, geometry=list(outlines.values()), crs="EPSG:32633")
        frame.to_file(folder / f"{name}.gpkg", layer="objects")


def test_one_object_changed_by_two_is_taken_from_the_first(tmp_path):
    box = shapely.box
    old = {1: box(0, 0, 10, 10), 2: box(20, 0, 30, 10), 3: box(40, 0, 50, 10)}
    maps(
        tmp_path,
        base=old,
        ann=old | {1: box(0, 0, 10, 14), 2: box(20, 0, 30, 12)},
        ben=old | {1: box(0, 0, 10, 6)},
        cat=old | {1: box(0, 0, 10, 14), 3: box(40, 0, 50, 5)},
    )
    paths = [tmp_path / f"{name}.gpkg" for name in ("ben", "ann", "cat")]
    merged = merge(paths, tmp_path / "merged.gpkg", base=tmp_path / "base.gpkg")
    (conflict,) = merged.conflicts
    assert (conflict.kind, conflict.object_ids, conflict.parts) == ("changed", (1,), ("ben", "ann", "cat"))
    areas = dict(zip(merged.labels.objects["object_id"], merged.labels.objects.area, strict=True))
    assert areas == pytest.approx({1: 60, 2: 120, 3: 50})
    # Those who agree do not contradict each other.
    assert not merge([paths[1], paths[2]], tmp_path / "two.gpkg", base=tmp_path / "base.gpkg").conflicts


def numbered(path, outlines, ids=None):
    """A map as a drawing program leaves it: without ids, or with gaps in them."""
    table = {"class_name": ["parcel"] * len(outlines)} | ({} if ids is None else {"object_id": ids})
    frame = geopandas.GeoDataFrame(table, geometry=outlines, crs="EPSG:32633")
    if ids is not None:
        frame["object_id"] = frame["object_id"].astype("Int64")
    frame.to_file(path)
    return path


@pytest.mark.parametrize("ids", [None, [1, 2, 3]])
def test_maps_that_number_other_objects_alike_are_put_together_whole(tmp_path, ids):
    row = [shapely.box(20 * k, 0, 20 * k + 10, 10) for k in range(3)]
    north = [shapely.affinity.translate(each, 0, 10) for each in row]
    given = [numbered(tmp_path / "a.gpkg", row, ids), numbered(tmp_path / "b.gpkg", north, ids)]
    merged = merge(given, tmp_path / "merged.gpkg")
    assert not merged.conflicts
    assert merged.labels.objects["object_id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert merged.labels.objects.area.sum() == pytest.approx(600)


def test_new_objects_are_not_those_that_another_part_numbers_alike(tmp_path):
    box = shapely.box
    old = {1: box(0, 0, 10, 10), 2: box(20, 0, 30, 10), 3: box(40, 0, 50, 10)}
    maps(tmp_path, base=old, ben=old | {2: box(20, 0, 30, 6), 4: box(0, 90, 10, 99)})
    # One object removed and another drawn, which has no id yet; the ids of the others still count.
    drawn = [old[1], old[2], box(0, 50, 10, 60)]
    for ids, name in (([1, 2, None], "null"), ([1, 2, 4], "number"), (None, "rows")):
        ann = numbered(tmp_path / f"{name}.gpkg", drawn, ids)
        parts = [ann, tmp_path / "ben.gpkg"]
        merged = merge(parts, tmp_path / f"of-{name}.gpkg", base=tmp_path / "base.gpkg")
        assert not merged.conflicts
        found = merged.labels.objects
        assert found["object_id"].tolist() == [1, 2, 4, 5]
        assert found.area.tolist() == pytest.approx([100, 60, 100, 90])


def test_what_one_removed_is_gone_unless_another_changed_it(tmp_path):
    old = {k: shapely.box(20 * k, 0, 20 * k + 10, 10) for k in range(1, 7)}
    without = {k: each for k, each in old.items() if k not in (3, 4)}
    maps(tmp_path, base=old, ann=without, ben=old | {4: shapely.box(80, 0, 90, 5)})
    parts = [tmp_path / "ann.gpkg", tmp_path / "ben.gpkg"]
    for order in (parts, parts[::-1]):
        merged = merge(order, tmp_path / "merged.gpkg", base=tmp_path / "base.gpkg", overwrite=True)
        (conflict,) = merged.conflicts
        assert (conflict.kind, conflict.object_ids, conflict.parts) == ("removed", (4,), ("ann", "ben"))
        assert merged.labels.objects["object_id"].tolist() == [1, 2, 4, 5, 6]
    # Shares of the work are no removals of the rest, even where they have a border in common.
    maps(
        tmp_path,
        west={k: old[k] for k in (1, 2, 3, 4)},
        east={k: old[k] for k in (4, 5, 6)},
    )
    shares = [tmp_path / "west.gpkg", tmp_path / "east.gpkg"]
    merged = merge(shares, tmp_path / "whole.gpkg", base=tmp_path / "base.gpkg")
    assert merged.labels.objects["object_id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert not merged.conflicts


def test_overlaps_go_to_the_first_and_are_told(tmp_path):
    maps(
        tmp_path,
        ann={1: shapely.box(0, 0, 10, 10)},
        ben={2: shapely.box(8, 0, 20, 10)},
        cat={3: shapely.box(9.9999, 0, 12, 10)},
    )
    merged = merge([tmp_path / "ben.gpkg", tmp_path / "ann.gpkg"], tmp_path / "merged.gpkg")
    (conflict,) = merged.conflicts
    assert conflict.kind == "overlap"
    assert conflict.ground.area == pytest.approx(20)
    assert merged.labels.objects.area.tolist() == pytest.approx([80, 120])
    # What drawing programs round is no contradiction.
    assert not merge([tmp_path / "cat.gpkg", tmp_path / "ann.gpkg"], tmp_path / "fine.gpkg").conflicts


def test_the_commands_split_and_merge(country, tmp_path, capsys):  # noqa: F811
    work = tmp_path / "work"
    arguments = ["labels", "prelabel", str(country / "scene.tif"), "--map", str(country / "map.gpkg")]
    assert invoke([*arguments, "--to", "cvat", "--tile", "64", "--split", "2", "--out", str(work)]) == 0
    assert "in 2 parts" in capsys.readouterr().out
    merging = ["labels", "merge", str(work / "area-1"), str(work / "area-2"), "--out"]
    assert invoke([*merging, str(tmp_path / "merged.gpkg")]) == 0
    assert "0 conflicts" in capsys.readouterr().out
    assert invoke([*merging[:3], "--out", str(tmp_path / "half.gpkg"), "--json"]) == 8
    assert json.loads(capsys.readouterr().out)["conflicts"][0]["kind"] == "missing"
    assert invoke([*merging, str(tmp_path / "merged.gpkg")]) == 5
    assert invoke([*merging, str(tmp_path / "merged.shp")]) == 2
    with rasterio.open(country / "scene.tif") as image:
        shape = image.shape
    convert(tmp_path / "merged.gpkg", tmp_path / "merged.tif", to="raster", image=country / "scene.tif")
    with rasterio.open(tmp_path / "merged.tif") as raster:
        assert raster.shape == shape
        assert len(np.unique(raster.read(1))) > 20


def test_maps_in_several_systems_are_reprojected_to_the_first_and_told(tmp_path, capsys):
    fields = [shapely.box(500_000 + 40 * k, 5_500_000, 500_030 + 40 * k, 5_500_030) for k in range(4)]
    maps(tmp_path, base=dict(enumerate(fields, 1)))
    west = numbered(tmp_path / "west.gpkg", fields[:2], [1, 2])
    east = numbered(tmp_path / "east.gpkg", fields[2:], [3, 4])
    elsewhere = shapely.box(-80, -0.01, -79.99, 0.01)
    degrees = geopandas.read_file(east).to_crs("EPSG:4326")
    degrees.loc[2] = degrees.loc[1]
    degrees.loc[2, ["object_id", "geometry"]] = [5, elsewhere]
    degrees.to_file(east)
    merging = ["labels", "merge", str(west), str(east), "--base", str(tmp_path / "base.gpkg")]
    assert invoke([*merging, "--out", str(tmp_path / "merged.gpkg")]) == 0
    told = capsys.readouterr().err
    assert "east: outlines were reprojected to WGS 84 / UTM zone 33N" in told
    assert "east: 1 objects lie where that does not reach" in told
    found = geopandas.read_file(tmp_path / "merged.gpkg", layer="objects")
    assert found.crs == "EPSG:32633"
    assert found["object_id"].tolist() == [1, 2, 3, 4]
    assert found.area.tolist() == pytest.approx([900] * 4)
    nowhere = geopandas.read_file(west).set_crs(None, allow_override=True)
    nowhere.to_parquet(tmp_path / "nowhere.parquet")
    with pytest.raises(UsageError, match="nowhere have no coordinate reference system"):
        merge([west, tmp_path / "nowhere.parquet"], tmp_path / "again.gpkg")


def test_what_was_decided_when_parts_were_read_is_told(tmp_path):
    given = numbered(tmp_path / "a.gpkg", [shapely.box(0, 0, 10, 10), None], [1, 2])
    merged = merge([given], tmp_path / "merged.gpkg")
    assert merged.notes == ("a.gpkg, layer a: 1 features have no outline, left out",)
    assert merged.to_dict()["notes"] == list(merged.notes)


def test_new_objects_are_numbered_above_those_that_were_removed():
    shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)]
    objects = geopandas.GeoDataFrame({"object_id": [3, 1], KNOWN: [True, False]}, geometry=shapes)
    sent = geopandas.GeoDataFrame({"object_id": [3, 9]}, geometry=shapes)
    before = OutlineLabels(objects=sent, taxonomy=taxonomy_of_names(["corn"]))
    assert _numbered(objects, before)["object_id"].tolist() == [3, 10]
