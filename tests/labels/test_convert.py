"""``labels convert``: whole journeys on generated and real labels."""

import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import ExifTags, Image

from geopanoptic.cli.main import invoke
from geopanoptic.errors import OutputError, UsageError
from geopanoptic.labels.check.check import check
from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats.registry import MODULES, recognise
from geopanoptic.training.synthetic import synthesize

IMAGES = [
    "coco-panoptic",
    "panoptic-fpn",
    "cityscapes",
    "deeplab",
    "mapillary",
    "coco-instances",
    "cvat",
    "label-studio",
    "labelme",
    "via",
]
FILES = {"coco-instances": ".json", "cvat": ".xml", "label-studio": ".json", "via": ".json"}


@pytest.fixture(scope="module")
def country(tmp_path_factory):
    """A generated scene with its parcels: image, truth as vector file and as raster on the image's grid."""
    folder = tmp_path_factory.mktemp("country")
    scene = synthesize((120, 150), bands=("red", "green", "blue"), character="mosaic", seed=3)
    scene.to_geotiff(folder / "scene.tif")
    scene.to_gpkg(folder / "truth.gpkg")
    convert(folder / "truth.gpkg", folder / "truth.tif", to="raster", image=folder / "scene.tif")
    return folder


def ids_of(path):
    with rasterio.open(path) as file:
        return file.read(1), file.transform


@pytest.mark.parametrize("name", IMAGES)
def test_a_map_comes_back_from_tiles_of_every_format_pixel_for_pixel(country, tmp_path, name):
    target = tmp_path / f"labels{FILES.get(name, '')}"
    done = convert(country / "truth.tif", target, to=name, tile_px=64)
    assert done.images == 6
    back = convert(target, tmp_path / "back.tif", to="raster")
    before, placed = ids_of(country / "truth.tif")
    after, placed_again = ids_of(tmp_path / "back.tif")
    assert placed == placed_again
    if "ids" in _keeps(name) or name in ("coco-panoptic", "panoptic-fpn"):
        np.testing.assert_array_equal(before, after)
        assert back.objects == len(np.unique(before[before > 0]))
    else:
        # Without ids pieces are known by the seam; stuff of one class is one area per image.
        things = _things(country)
        assert (np.isin(before, things) == (after > 0))[np.isin(before, things)].all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("overlap_px", [0, 16])
def test_run_lengths_of_tiles_give_the_map_back_pixel_for_pixel(country, tmp_path, overlap_px):
    target = tmp_path / "labels.json"
    convert(country / "truth.tif", target, to="coco-instances", rle=True, tile_px=64, overlap_px=overlap_px)
    told = json.loads(target.read_text())["annotations"]
    assert all(isinstance(each["segmentation"]["counts"], str) for each in told)
    convert(target, tmp_path / "back.tif", to="raster")
    np.testing.assert_array_equal(ids_of(country / "truth.tif")[0], ids_of(tmp_path / "back.tif")[0])


def test_run_lengths_of_other_formats_are_refused(country, tmp_path, capsys):
    arguments = ["labels", "convert", str(country / "truth.tif"), str(tmp_path / "coco"), "--rle"]
    assert invoke([*arguments, "--to", "coco-panoptic"]) == 2
    assert "--to coco-instances" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _keeps(name):
    from geopanoptic.labels.formats.registry import format_named

    return format_named(name).keeps


def _things(country):
    import pandas as pd

    table = pd.read_csv(country / "truth.csv")
    return table.loc[table["kind"] == "thing", "object_id"].to_numpy()


def test_overlapping_tiles_give_the_same_map(country, tmp_path):
    convert(country / "truth.tif", tmp_path / "coco", to="coco-panoptic", tile_px=64, overlap_px=16)
    convert(tmp_path / "coco", tmp_path / "back.tif", to="raster")
    np.testing.assert_array_equal(ids_of(country / "truth.tif")[0], ids_of(tmp_path / "back.tif")[0])


def test_classes_are_converted_and_losses_told(country, tmp_path):
    done = convert(country / "truth.gpkg", tmp_path / "a.gpkg", to="gpkg")
    assert not done.losses
    frame = geopandas.read_file(tmp_path / "a.gpkg", layer="objects")
    assert {"parcel"} < set(frame["class_name"])
    to_worldcover = convert(country / "truth.gpkg", tmp_path / "b.gpkg", to="gpkg", taxonomy="dynamic-world")
    assert any("'parcel' have no class in dynamic-world" in loss for loss in to_worldcover.losses)


def test_parcels_of_our_own_map_keep_their_ids_and_nothing_is_said_of_land_cover(country, tmp_path):
    parcels = geopandas.read_file(country / "truth.gpkg", layer="parcels")
    ids = parcels["parcel_id"] = np.arange(len(parcels), 0, -1)
    parcels.to_file(tmp_path / "map.gpkg", layer="parcels")
    cover = geopandas.read_file(country / "truth.gpkg", layer="landcover")
    cover[["class_name", "geometry"]].to_file(tmp_path / "map.gpkg", layer="landcover")
    done = convert(tmp_path / "map.gpkg", tmp_path / "out.gpkg", to="gpkg")
    again = geopandas.read_file(tmp_path / "out.gpkg", layer="objects")
    assert again["object_id"].is_unique
    assert again["object_id"].tolist()[: len(ids)] == ids.tolist()
    assert not done.notes
    cover.assign(id=np.arange(1, len(cover) + 1))[["id", "class_name", "geometry"]].to_file(
        tmp_path / "map.gpkg", layer="landcover"
    )
    (note,) = convert(tmp_path / "map.gpkg", tmp_path / "two.gpkg", to="gpkg").notes
    assert f"its {len(cover)} objects get others, from {len(ids) + 1} on" in note


def test_geojson_is_in_degrees(country, tmp_path):
    done = convert(country / "truth.gpkg", tmp_path / "a.geojson", to="geojson")
    frame = geopandas.read_file(tmp_path / "a.geojson")
    assert frame.crs.to_epsg() == 4326
    assert "reprojected" in done.losses[0]
    before = geopandas.read_file(country / "truth.gpkg", layer="parcels")
    after = frame[frame["kind"] == "thing"].to_crs(before.crs)
    away = shapely.symmetric_difference(before.geometry.to_numpy(), after.geometry.to_numpy())
    assert shapely.area(away).max() < 0.5  # square metres, along outlines of kilometres


def test_nothing_is_replaced_unasked(country, tmp_path):
    target = tmp_path / "coco"
    convert(country / "truth.tif", target, to="coco-panoptic")
    before = (target / "panoptic.json").read_bytes()
    with pytest.raises(OutputError, match="exists"):
        convert(country / "truth.tif", target, to="coco-panoptic")
    assert (target / "panoptic.json").read_bytes() == before
    convert(country / "truth.tif", target, to="coco-panoptic", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(OutputError, match="not replaced"):
        convert(country / "truth.tif", tmp_path / "mine", to="coco-panoptic", overwrite=True)
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["coco", "mine"]


def test_a_failed_conversion_leaves_nothing(country, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"images": [], "annotations": [{"segments_info": []}], "categories": 3}))
    with pytest.raises(UsageError):
        convert(broken, tmp_path / "out.gpkg", to="gpkg", source_format="coco-panoptic")
    assert [each.name for each in tmp_path.iterdir()] == ["broken.json"]


def test_labels_of_a_map_need_an_image_for_formats_of_images(country, tmp_path):
    with pytest.raises(UsageError, match="--image"):
        convert(country / "truth.gpkg", tmp_path / "coco", to="coco-panoptic")


def test_the_command_converts_and_refuses(country, tmp_path, capsys):
    target = tmp_path / "labels.json"
    arguments = ["labels", "convert", str(country / "truth.gpkg"), str(target), "--to", "via"]
    assert invoke([*arguments, "--image", str(country / "scene.tif"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["from"] == "gpkg"
    assert told["objects"] > 50
    assert invoke([*arguments[:-1], "viaa"]) == 2
    assert "Did you mean 'via'?" in capsys.readouterr().err
    assert invoke(["labels", "convert", "nowhere", str(target), "--to", "via"]) == 2


@pytest.mark.parametrize(
    ("name", "format_name"),
    [("a.gpkg", "gpkg"), ("a.geojson", "geojson"), ("a.PARQUET", "geoparquet"), ("a.tif", "raster")],
)
def test_a_suffix_says_which_format_a_map_is_written_in(country, tmp_path, name, format_name):
    done = convert(country / "truth.gpkg", tmp_path / name, image=country / "scene.tif")
    assert done.target_format == format_name
    assert recognise(tmp_path / name).name == format_name


def test_a_suffix_of_several_formats_says_none(country, tmp_path):
    with pytest.raises(UsageError, match=r"'labels.json' does not say .* --to coco-panoptic"):
        convert(country / "truth.gpkg", tmp_path / "labels.json")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["coco-panoptic", "cvat", "label-studio"])
def test_the_dutch_register_comes_back(shared_data, tmp_path, name):
    data = shared_data / "ndvi-brp-netherlands"
    image = data / "NDVI.tif"
    convert(
        data / "fields_cropped.zip", tmp_path / "direct.tif", to="raster", image=image, class_column="gewas"
    )
    target = tmp_path / f"labels{FILES.get(name, '')}"
    convert(tmp_path / "direct.tif", target, to=name, tile_px=256)
    convert(target, tmp_path / "back.tif", to="raster")
    np.testing.assert_array_equal(ids_of(tmp_path / "direct.tif")[0], ids_of(tmp_path / "back.tif")[0])


def test_every_format_is_named_in_the_help(capsys):
    assert invoke(["labels", "convert", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in MODULES)


def test_outlines_come_back_exactly_where_polygons_are_stored(country, tmp_path):
    convert(country / "truth.gpkg", tmp_path / "a.json", to="via", image=country / "scene.tif")
    convert(tmp_path / "a.json", tmp_path / "back.gpkg", to="gpkg")
    before = geopandas.read_file(country / "truth.gpkg", layer="parcels").set_index("parcel_id")
    after = geopandas.read_file(tmp_path / "back.gpkg", layer="objects")
    found = after[after["class_name"] == "parcel"]
    assert len(found) == len(before)
    nearest = shapely.STRtree(found.geometry.to_numpy()).nearest(before.geometry.representative_point())
    away = shapely.symmetric_difference(before.geometry.to_numpy(), found.geometry.to_numpy()[nearest])
    assert shapely.area(away).max() < 1e-3  # square metres


def test_what_does_not_lie_on_the_image_is_told(country, tmp_path):
    with rasterio.open(country / "scene.tif") as scene:
        left, top = scene.transform @ (0, 0)
        crs = scene.crs
    frame = geopandas.GeoDataFrame(
        {"class_name": ["parcel"] * 5},
        geometry=[
            shapely.box(left + 100, top - 300, left + 300, top - 100),
            shapely.box(left + 290, top - 300, left + 390, top - 100),
            shapely.box(left + 601, top - 603, left + 603, top - 601),
            shapely.box(left - 100, top - 300, left + 90, top - 100),
            shapely.box(left - 500, top - 300, left - 300, top - 100),
        ],
        crs=crs,
    )
    frame.to_file(tmp_path / "fields.gpkg")
    image = country / "scene.tif"
    for to, target, options in (
        ("coco-panoptic", "coco", {}),
        ("coco-panoptic", "tiles", {"tile_px": 24, "overlap_px": 8}),
        ("raster", "labels.tif", {}),
    ):
        done = convert(tmp_path / "fields.gpkg", tmp_path / target, to=to, image=image, **options)
        told = {what.partition(" ")[2]: int(what.partition(" ")[0]) for what in done.losses}
        assert told["objects lie outside the image and are left out"] == 1
        assert told["objects reach beyond the image and are cut off at its edge"] == 1
        unseen = "objects cover no pixel of the image, being too small or below others, and are left out"
        assert told[unseen] == 1
        assert [count for what, count in told.items() if "borders across pixels" in what] == [1]
        assert told["pixels lay in several objects and went to the smallest"] >= 20
        if not options:
            assert done.objects == 3


@pytest.mark.parametrize("name", ["labelme", "cvat", "label-studio", "coco-instances"])
def test_an_image_of_another_shape_than_its_labels_say_is_refused(tmp_path, name):
    shown, stored = tmp_path / "shown" / "IMG_1.jpg", tmp_path / "IMG_1.jpg"
    shown.parent.mkdir()
    Image.new("RGB", (30, 40)).save(shown)
    orientation = Image.Exif()
    orientation[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (40, 30)).save(stored, exif=orientation)
    field = {"label": "field", "points": [[1, 1], [20, 1], [20, 38], [1, 38]], "shape_type": "polygon"}
    told = {"shapes": [field], "imagePath": "IMG_1.jpg", "imageHeight": 40, "imageWidth": 30}
    (tmp_path / "IMG_1.json").write_text(json.dumps(told))
    labels = tmp_path / f"labels{FILES.get(name, '')}"
    convert(tmp_path / "IMG_1.json", labels, to=name)
    for to, target in (("raster", "a.tif"), ("coco-panoptic", "b")):
        with pytest.raises(UsageError, match=r"40 x 30 pixels in the labels and 30 x 40 .*auto-orient"):
            convert(labels, tmp_path / target, to=to, image=stored)
    assert convert(labels, tmp_path / "b", to="coco-panoptic", image=shown).objects == 1


def test_borders_across_pixels_are_told_where_labels_are_drawn(country, tmp_path):
    with rasterio.open(country / "scene.tif") as file:
        crs, to_map = file.crs, file.transform
    shell, hole = [(1, 1), (9, 1), (9, 9), (1, 9)], [(3, 3), (3, 5), (5, 5), (5, 3)]
    squares = [
        shapely.Polygon(shell, [hole]),
        shapely.MultiPolygon([shapely.box(12, 1, 14, 3), shapely.box(15, 4, 16, 5)]),
    ]
    slanting = shapely.Polygon([(20, 1), (28, 1), (20, 9)])
    for shapes, expected in ((squares, []), ([*squares, slanting], ["1 objects have borders across pixels"])):
        on_map = [
            shapely.transform(each, lambda xy: np.column_stack(to_map @ (xy[:, 0], xy[:, 1])))
            for each in shapes
        ]
        path = tmp_path / f"{len(shapes)}.gpkg"
        geopandas.GeoDataFrame(
            {"class_name": "corn"}, geometry=on_map, crs=crs, index=range(len(shapes))
        ).to_file(path)
        for to, suffix in (("raster", ".tif"), ("coco-panoptic", ""), ("labelme", "-labelme")):
            done = convert(path, tmp_path / f"{len(shapes)}{suffix}", to=to, image=country / "scene.tif")
            told = [each.partition(" of the image")[0] for each in done.losses if "borders" in each]
            assert told == (expected if to != "labelme" else [])


@pytest.mark.parametrize(("to", "suffix"), [("raster", ".tif"), ("labelme", ""), ("coco-panoptic", "")])
def test_what_the_projection_does_not_reach_lies_outside_and_nothing_may_be_left(
    country, tmp_path, to, suffix
):
    fields = geopandas.read_file(country / "truth.gpkg", layer="parcels").to_crs("EPSG:4326").iloc[:3]
    far = [shapely.box(x, -0.01, x + 0.01, 0.01) for x in (100, -80)]
    fields = fields.set_geometry([fields.geometry.iloc[0], *far], crs=fields.crs)
    fields.to_file(tmp_path / "fields.gpkg")
    done = convert(tmp_path / "fields.gpkg", tmp_path / f"a{suffix}", to=to, image=country / "scene.tif")
    assert done.objects == 1
    assert "2 objects lie outside the image and are left out" in done.losses
    assert check(tmp_path / "fields.gpkg", image=country / "scene.tif").by_kind()["outside-image"]
    fields.iloc[1:].to_file(tmp_path / "far.gpkg")
    with pytest.raises(UsageError, match=r"None of the 2 objects .*: 2 objects lie outside the image"):
        convert(tmp_path / "far.gpkg", tmp_path / f"b{suffix}", to=to, image=country / "scene.tif")
    assert not (tmp_path / f"b{suffix}").exists()


@pytest.mark.parametrize("name", ["coco-instances", "label-studio", "via", "cvat"])
def test_what_was_written_without_a_suffix_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    made = synthesize((64, 64), character="plain", seed=2)
    made.to_geotiff(tmp_path / "scene.tif")
    made.parcels().to_file(tmp_path / "parcels.gpkg")
    convert(tmp_path / "parcels.gpkg", tmp_path / "labels", to=name, image=tmp_path / "scene.tif")
    back = convert(tmp_path / "labels", tmp_path / "back.gpkg", to="gpkg")
    assert back.source_format == name


def test_the_images_of_a_folder_may_lie_in_its_images(country, tmp_path):
    folder = tmp_path / "set" / "images"
    folder.mkdir(parents=True)
    (folder / "scene.tif").symlink_to(country / "scene.tif")
    for image in ("set", "set/images"):
        done = convert(
            country / "truth.gpkg", tmp_path / "a.tif", to="raster", image=tmp_path / image, overwrite=True
        )
        assert done.objects > 0
        np.testing.assert_array_equal(ids_of(tmp_path / "a.tif")[0], ids_of(country / "truth.tif")[0])


def test_images_that_state_no_place_do_not_take_the_labels_from_theirs(country, tmp_path):
    coco, bare = tmp_path / "coco", tmp_path / "bare"
    convert(
        country / "truth.gpkg",
        coco,
        to="coco-panoptic",
        image=country / "scene.tif",
        tile_px=64,
        pictures=True,
    )
    bare.mkdir()
    for picture in (coco / "images").glob("*.png"):
        shutil.copy(picture, bare)
    found = [tmp_path / name for name in ("beside.tif", "shown.tif")]
    convert(coco, found[0])
    convert(coco, found[1], image=bare)
    (of_sidecar, there), (of_images, here) = map(ids_of, found)
    assert there == here
    assert (of_sidecar == of_images).all()
