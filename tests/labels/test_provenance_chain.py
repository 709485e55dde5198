"""From a run on a real scene to repaired labels: every step is in the history, and nothing else is."""

import json

import geopandas
import pytest
import rasterio
import shapely
from shapely import affinity

import geopanoptic
from geopanoptic.cli.main import invoke
from geopanoptic.labels.provenance.history import EDITED, history


@pytest.fixture
def scene(shared_data, tmp_path):
    """A part of the first of two dates, real reflectances in four bands."""
    source = next((shared_data / "s2-two-dates-austria").glob("*.tif"))
    window = rasterio.windows.Window(40, 60, 128, 112)
    with rasterio.open(source) as file:
        values = file.read([1, 2, 3, 4], window=window)
        profile = file.profile | {
            "count": 4, "height": 112, "width": 128, "transform": file.transform @ rasterio.Affine.translation(40, 60),
        }  # fmt: skip
    with rasterio.open(tmp_path / "scene.tif", "w", **profile) as file:
        file.write(values)
        file.descriptions = ("red", "green", "blue", "nir")
    return tmp_path / "scene.tif"


def exported(task_file, to, gone):
    """What Label Studio exports after its annotator has removed one object and approved the others."""
    tasks = json.loads(task_file.read_text())
    for task in tasks:
        kept = [each for each in task.pop("predictions")[0]["result"] if each["meta"]["object_id"] != gone]
        task["annotations"] = [{"result": kept}]
    to.write_text(json.dumps(tasks))


def overlapping(path):
    """As in QGIS: the largest parcel grows over its neighbours, in place. Returns its id."""
    frame = geopandas.read_file(path, layer="objects")
    parcels = frame[frame["kind"] == "thing"]
    largest = parcels.area.idxmax()
    frame.loc[largest, "geometry"] = affinity.scale(frame.geometry[largest], 1.3, 1.3)
    frame.to_file(path, layer="objects", driver="GPKG")
    return int(frame.loc[largest, "object_id"])


def test_the_whole_chain_is_told(scene, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    run = tmp_path / "map.gpkg"
    geopanoptic.run(scene, run, threads=1)
    work, merged, fixed = tmp_path / "work", tmp_path / "merged.gpkg", tmp_path / "fixed.gpkg"
    arguments = ["labels", "prelabel", str(scene), "--map", str(run), "--out", str(work), "--quiet"]
    assert invoke([*arguments, "--to", "label-studio", "--split", "things,stuff"]) == 0
    parcels = geopandas.read_file(run, layer="parcels")
    gone = int(parcels["parcel_id"].min())
    export = work / "things" / "export.json"
    exported(work / "things" / "label-studio.json", export, gone)
    parts = [str(export), str(work / "stuff")]
    assert invoke(["labels", "merge", *parts, "--out", str(merged), "--annotator", "Ada,Bo", "--quiet"]) == 0
    grown = overlapping(merged)
    capsys.readouterr()
    check = ["labels", "check", str(merged), "--fix", "--out", str(fixed), "--annotator", "Cy"]
    assert invoke([*check, "--fail-on", "never", "--quiet"]) == 0

    steps = history(fixed)
    found, things, edit, stuff, merge, drawn, repair = steps
    assert "says of itself that fields-m mapped scene" in found.action
    assert things.action == "pre-labelled for label-studio, part things"
    assert (edit.action, edit.source, edit.annotator) == (EDITED, "export.json", "Ada")
    assert (merge.annotator, merge.action) == ("Ada, Bo", "merged from 2 parts, 0 conflicts")
    assert (drawn.action, drawn.source) == (EDITED, "merged.gpkg")
    assert (repair.annotator, repair.time) == ("Cy", "2020-09-13T12:26:40Z")
    assert repair.action.startswith("repaired: ")
    chain = {each.id: each.parents for each in steps}
    assert chain == {
        found.id: (), things.id: (found.id,), edit.id: (things.id,), stuff.id: (found.id,),
        merge.id: (edit.id, stuff.id), drawn.id: (merge.id,), repair.id: (drawn.id,),
    }  # fmt: skip

    assert invoke(["labels", "log", str(fixed)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in told] == [each.id[:12] for each in reversed(steps)]
    merging = next(line for line in told if "merged from" in line)
    assert f"of {edit.id[:12]}, {stuff.id[:12]}" in merging
    assert invoke(["labels", "log", str(merged)]) == 0
    assert "changed: merged.gpkg" in capsys.readouterr().err

    sent = work / "prelabels.gpkg"
    assert invoke(["labels", "diff", str(sent), str(fixed), "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    kinds = {each["before_id"]: each["change"] for each in changes}
    assert kinds[gone] == "removed"
    assert kinds[grown] == "changed"
    touched = geopandas.read_file(sent, layer="objects").set_index("object_id").geometry
    reach = affinity.scale(touched[grown], 1.3, 1.3)
    assert all(shapely.intersects(touched[number], reach) for number in kinds if number != gone)


def test_a_map_that_is_made_on_the_way_is_the_first_step(scene, tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    work = tmp_path / "work"
    arguments = ["labels", "prelabel", str(scene), "--out", str(work), "--model", str(tiny_bundle.path)]
    assert invoke([*arguments, "--to", "labelme", "--quiet"]) == 0
    mapped, sent = history(work / "labelme")
    assert (mapped.action, mapped.source) == (f"mapped by {tiny_bundle.name}", "scene")
    assert history(work) == history(work / "prelabels.gpkg") == (mapped, sent)
    assert history(work / "map.gpkg") == (mapped,)
