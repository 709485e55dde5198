"""Formats of annotation tools give back every object's ground, class and id."""

import json
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_raster_formats import CLASSES, image

from geopanoptic.errors import UsageError
from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats import brush
from geopanoptic.labels.formats.format import ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.formats.shapes import without_holes
from geopanoptic.labels.objects import Canvas, OutlineLabels, as_outlines, as_raster
from geopanoptic.labels.taxonomy import taxonomy_of_names

TOOLS = {"coco-instances": ".json", "cvat": ".xml", "label-studio": ".json", "labelme": "", "via": ".json"}


def written_and_read(folder, name, images, options=None):
    target = folder / f"labels{TOOLS.get(name, '')}"
    written = format_named(name).write(iter(images), target, options or WriteOptions())
    assert written.images == len(images)
    if sum(len(each.objects) for each in images):
        assert recognise(target).name == name
    return list(format_named(name).read(target, ReadOptions(taxonomy=CLASSES)))


@pytest.mark.parametrize("name", TOOLS)
@settings(deadline=None, max_examples=12)
@given(ids=arrays(np.int32, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 3)))
def test_the_raster_of_what_comes_back_is_the_same(tmp_path_factory, name, ids):
    ids[0, 0] = 1
    before = image(ids, {1: "corn", 2: "meadow", 3: "water"}, scores={1: 0.5, 2: 0.25, 3: np.nan})
    (after,) = written_and_read(tmp_path_factory.mktemp("set"), name, [as_outlines(before)])
    again, claims = as_raster(after)
    assert claims == 0
    np.testing.assert_array_equal(again.ids_hw, ids)
    told = again.objects.set_index("object_id")
    wanted = before.objects.set_index("object_id").loc[told.index]
    assert told["class_name"].tolist() == wanted["class_name"].tolist()
    np.testing.assert_array_equal(told["score"], wanted["score"])


@pytest.mark.parametrize("name", TOOLS)
def test_outlines_between_pixels_overlaps_and_holes_survive(tmp_path, name):
    ring = shapely.Point(50.3, 40.7).buffer(20.123).difference(shapely.Point(50.3, 40.7).buffer(8.01))
    frame = geopandas.GeoDataFrame(
        {"object_id": [7, 9], "class_name": ["corn", "meadow"], "score": [np.nan, np.nan]},
        geometry=[
            ring,
            shapely.MultiPolygon([shapely.box(1.5, 2.25, 60, 30), shapely.box(70, 70, 80.5, 90)]),
        ],
    )
    labels = OutlineLabels(objects=frame, taxonomy=CLASSES, canvas=Canvas(image="a.png", height=97, width=83))
    (after,) = written_and_read(tmp_path, name, [labels])
    assert after.objects["object_id"].tolist() == [7, 9]
    for before, found in zip(frame.geometry, after.objects.geometry, strict=True):
        assert shapely.symmetric_difference(before, found).area < 1e-6
        assert found.is_valid


@settings(deadline=None)
@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_brush_strokes_come_back(mask):
    np.testing.assert_array_equal(brush.decode(brush.encode(mask), mask.shape), mask)


def test_brush_strokes_as_label_studio_writes_them():
    # What Label Studio's own converter gives for a mask of 2 x 3 pixels whose middle column is set.
    sdk = pytest.importorskip(
        "label_studio_sdk.converter.brush", reason="the SDK of Label Studio is not installed"
    )
    mask = np.zeros((5, 7), np.bool_)
    mask[1:4, 2:6] = True
    theirs = sdk.mask2rle(mask.astype(np.uint8) * 255)
    np.testing.assert_array_equal(brush.decode(theirs, mask.shape), mask)
    assert (
        np.asarray(sdk.decode_rle(brush.encode(mask))).reshape(5, 7, 4)[..., 3].tolist()
        == (mask * 255).tolist()
    )


def test_brush_strokes_that_end_early_are_refused():
    with pytest.raises(ValueError, match="end early"):
        brush.decode(brush.encode(np.eye(9, dtype=bool))[:-3], (9, 9))


def test_polygons_are_cut_through_their_holes():
    whole = (
        shapely.box(0, 0, 20, 10).difference(shapely.box(2, 2, 5, 5)).difference(shapely.box(12, 3, 13, 8))
    )
    pieces = without_holes(whole)
    assert not any(piece.interiors for piece in pieces)
    assert shapely.union_all(pieces).equals(whole)
    assert sum(piece.area for piece in pieces) == pytest.approx(whole.area)


def test_labelimg_keeps_boxes_and_says_so(tmp_path):
    ids = np.zeros((20, 30), np.int32)
    ids[3:9, 4:17] = 1
    target = tmp_path / "boxes"
    written = format_named("labelimg").write(iter([image(ids, {1: "corn"})]), target, WriteOptions())
    assert "boxes" in written.losses[0]
    assert recognise(target).name == "labelimg"
    (found,) = format_named("labelimg").read(target, ReadOptions())
    assert found.objects.geometry.iloc[0].bounds == (4, 3, 17, 9)
    assert found.canvas.shape == (20, 30)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_instances_are_what_pycocotools_measures(tmp_path):
    from pycocotools.coco import COCO

    ids = np.zeros((30, 40), np.int32)
    ids[5:20, 8:30] = 1
    ids[10:14, 12:20] = 0
    ids[22:28, 2:39] = 2
    written_and_read(tmp_path, "coco-instances", [image(ids, {1: "corn", 2: "meadow"})])
    loaded = COCO(tmp_path / "labels.json")
    for annotation in loaded.loadAnns(loaded.getAnnIds()):
        mask = loaded.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        np.testing.assert_array_equal(mask == 1, ids == annotation["object_id"])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_run_lengths_are_read(tmp_path):
    from pycocotools import mask as coco_mask

    mask = np.zeros((9, 11), np.uint8, order="F")
    mask[2:5, 3:8] = 1
    packed = coco_mask.encode(mask)
    plain = {"size": [9, 11], "counts": [3 * 9 + 2, *[3, 6] * 4, 3, 3 * 9 + 4]}
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "segmentation": rle, "iscrowd": 0}
        for n, rle in enumerate(({**packed, "counts": packed["counts"].decode()}, plain), 1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 11}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "corn"}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    (found,) = format_named("coco-instances").read(tmp_path / "labels.json", ReadOptions())
    assert [geometry.bounds for geometry in found.objects.geometry] == [(3, 2, 8, 5)] * 2


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(deadline=None, max_examples=40)
@given(ids=arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_run_lengths_are_those_of_pycocotools_and_give_every_pixel_back(tmp_path_factory, ids):
    from pycocotools import mask as coco_mask

    before = image(ids, {1: "corn", 2: "meadow", 3: "water"}, scores={1: 0.5, 2: 0.25, 3: np.nan})
    folder = tmp_path_factory.mktemp("set")
    (after,) = written_and_read(folder, "coco-instances", [before], WriteOptions(rle=True))
    again, claims = as_raster(after)
    assert claims == 0
    np.testing.assert_array_equal(again.ids_hw, ids)
    annotations = json.loads((folder / "labels.json").read_text())["annotations"]
    assert [each["object_id"] for each in annotations] == before.objects["object_id"].tolist()
    for each in annotations:
        theirs = coco_mask.encode(np.asfortranarray(ids == each["object_id"], np.uint8))
        assert each["segmentation"] == {"size": list(ids.shape), "counts": theirs["counts"].decode()}
        assert each["area"] == coco_mask.area(theirs)
        assert each["bbox"] == coco_mask.toBbox(theirs).tolist()
        assert each["iscrowd"] == 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_run_lengths_keep_overlaps_and_leave_out_what_has_no_pixel(tmp_path):
    outlines = {
        7: shapely.box(2, 1, 9, 8).difference(shapely.box(4, 3, 6, 5)),
        8: shapely.box(3.2, 3.2, 3.4, 3.4),
        9: shapely.MultiPolygon([shapely.box(-4, 2.4, 5, 4.4), shapely.box(7, 6, 30, 7)]),
        11: shapely.box(20, 2, 30, 4),
    }
    frame = geopandas.GeoDataFrame(
        {"object_id": list(outlines), "class_name": "corn", "score": np.nan}, geometry=list(outlines.values())
    )
    canvas = Canvas(image="a.png", height=10, width=12)
    labels = OutlineLabels(objects=frame, taxonomy=CLASSES, canvas=canvas)
    target = tmp_path / "labels.json"
    written = format_named("coco-instances").write(iter([labels]), target, WriteOptions(rle=True))
    assert written.objects == 2
    assert written.losses == ("2 objects cover no pixel of their image and are left out",)
    (after,) = format_named("coco-instances").read(target, ReadOptions())
    found = after.objects.set_index("object_id").geometry
    assert found.index.tolist() == [7, 9]
    assert found[7].equals(outlines[7])
    assert found[9].equals(shapely.union(shapely.box(0, 2, 5, 4), shapely.box(7, 6, 12, 7)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_run_lengths_of_another_size_are_refused(tmp_path):
    target = tmp_path / "labels.json"
    ids = np.ones((4, 5), np.int32)
    format_named("coco-instances").write(iter([image(ids, {1: "corn"})]), target, WriteOptions(rle=True))
    content = json.loads(target.read_text())
    content["images"][0]["height"] = 9
    target.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"annotation 1: .*\(4, 5\) pixels"):
        list(format_named("coco-instances").read(target, ReadOptions()))


def test_coco_of_label_studio_is_read_although_it_omits_sizes_and_numbers(tmp_path):
    # Its converter does not know how large images without labels are, and forgets which regions are one object.
    ring = [5, 1, 9, 1, 9, 4, 5, 4]
    content = {
        "images": [
            {"id": n, "file_name": f"images/0a1b2c3d__t_{n}.png", "height": size, "width": size}
            for n, size in enumerate((9, 9, None))
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 0, "segmentation": [ring], "iscrowd": 0} for n in (0, 1)
        ],
        "categories": [{"id": 0, "name": "corn"}],
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    source = format_named("coco-instances").read(path, ReadOptions())
    assert len(list(source)) == 2
    assert "1 images without labels and without a size" in source.notes[0]
    known = {f"t_{n}.png": Canvas(image=f"t_{n}.png", height=9, width=9) for n in range(3)}
    found = list(format_named("coco-instances").read(path, ReadOptions(images=known)))
    assert [each.canvas.image for each in found] == list(known)
    assert [len(each.objects) for each in found] == [1, 1, 0]
    # One in each image is no reason to be the same object.
    assert all(each.objects["source_id"].isna().all() for each in found[:2])
    content["annotations"].append({**content["annotations"][0], "id": 2, "image_id": 2})
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="how large images/0a1b2c3d__t_2"):
        format_named("coco-instances").read(path, ReadOptions())


def test_cvat_masks_and_boxes_are_read(tmp_path):
    (tmp_path / "a.xml").write_text(
        '<?xml version="1.0"?><annotations><version>1.1</version><meta/>'
        '<image id="0" name="dir/a.png" width="10" height="8">'
        '<mask label="corn" rle="1,2,2,1" left="3" top="4" width="3" height="2"/>'
        '<box label="corn" xtl="1" ytl="1" xbr="2.5" ybr="3"/><points label="corn" points="1,1"/></image></annotations>'
    )
    (found,) = format_named("cvat").read(tmp_path / "a.xml", ReadOptions())
    raster, _ = as_raster(found)
    assert np.argwhere(raster.ids_hw == 1).tolist() == [[4, 4], [4, 5], [5, 5]]
    assert found.objects.geometry.iloc[1].bounds == (1, 1, 2.5, 3)


@pytest.mark.parametrize("name", ["cvat", "labelimg"])
def test_xml_with_a_document_type_is_refused(tmp_path, name):
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><annotations>&z;</annotations>')
    with pytest.raises(UsageError, match="document type"):
        format_named(name).read(bomb, ReadOptions())


def test_the_latest_annotation_of_label_studio_counts(tmp_path):
    def result(points):
        return {
            "type": "polygonlabels",
            "original_width": 200,
            "original_height": 100,
            "value": {"points": points, "polygonlabels": ["corn"]},
        }

    old, new = [[0, 0], [10, 0], [10, 10]], [[50, 50], [60, 50], [60, 70]]
    tasks = [
        {
            "data": {"image": "/data/upload/1/0a1b2c3d-a.png"},
            "annotations": [{"result": [result(old)]}, {"result": [result(new)]}],
        }
    ]
    (tmp_path / "e.json").write_text(json.dumps(tasks))
    source = format_named("label-studio").read(tmp_path / "e.json", ReadOptions())
    (found,) = source
    assert found.objects.geometry.iloc[0].bounds == (100, 50, 120, 70)
    assert "latest" in source.notes[0]


def test_real_via_annotations_are_read(shared_data):
    path = shared_data / "fields-naip-midwest" / "annotations.json"
    source = format_named("via").read(path, ReadOptions())
    images = list(source)
    assert len(images) == 30
    assert sum(len(each.objects) for each in images) == 1232
    assert all(each.objects.geometry.is_valid.all() for each in images)


def test_a_file_is_parsed_once_however_many_formats_look_at_it(tmp_path, monkeypatch):
    ids = np.ones((4, 4), np.int32)
    written_and_read(tmp_path, "via", [image(ids, {1: "corn"})])
    parsed = []
    parse = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **options: parsed.append(1) or parse(text, **options))
    assert recognise(tmp_path / "labels.json").name == "via"
    assert len(parsed) == 1


def labelme_file(path, *shapes, **content):
    triangle = {"points": [[1, 1], [20, 1], [20, 20]], "shape_type": "polygon"}
    named = {"imagePath": "a.png", "imageHeight": 80, "imageWidth": 100}
    path.write_text(json.dumps(named | {"shapes": [triangle | each for each in shapes]} | content))
    return path


def cvat_file(path, *labels, attribute=""):
    drawn = "".join(
        f'<polygon label="{label}" points="{20 * k},1;{20 * k + 9},1;{20 * k},9" group_id="1">{attribute}</polygon>'
        for k, label in enumerate(labels)
    )
    path.write_text(
        f'<annotations><image id="0" name="a.png" width="100" height="80">{drawn}</image></annotations>'
    )
    return path


def test_what_tools_group_is_one_object_only_where_it_is_of_one_class(tmp_path):
    cvat = cvat_file(tmp_path / "cvat.xml", "corn", "corn", "water")
    shapes = [{"label": name, "group_id": 1} for name in ("corn", "corn", "water")]
    for path in (cvat, labelme_file(tmp_path / "labelme.json", *shapes)):
        (labels,) = recognise(path).read(path, ReadOptions())
        assert labels.objects["class_name"].tolist() == ["corn", "water"]
        assert labels.objects["object_id"].is_unique


def test_shapes_without_a_class_are_unclassified_and_told(tmp_path):
    shapes = [{"label": "corn"}, {"label": ""}, {"label": None}, {}]
    for path, count in (
        (labelme_file(tmp_path / "labelme.json", *shapes), 3),
        (cvat_file(tmp_path / "cvat.xml", "corn", ""), 1),
    ):
        source = recognise(path).read(path, ReadOptions())
        (labels,) = source
        assert labels.objects["class_name"].tolist() == ["corn", *["unclassified"] * count]
        assert "unclassified" in labels.taxonomy
        assert f"{count} objects have no class" in source.notes[0]


@pytest.mark.parametrize(
    ("shape", "content", "told"),
    [
        ({}, {"imageHeight": None}, "imageHeight"),
        ({}, {"imageWidth": "100 px"}, "imageWidth"),
        ({}, {"imageWidth": 100.5}, "imageWidth"),
        ({}, {"shapes": None}, "shapes"),
        ({"points": None}, {}, "shape 1"),
        ({"points": [[1, float("nan")]] * 3}, {}, "finite"),
        ({"score": "high"}, {}, "high"),
        ({"shape_type": "mask", "points": [[1, 1], [9, 9]]}, {}, "no 'mask'"),
        ({"shape_type": "mask", "points": [[1, 1], [9, 9]], "mask": "aGk="}, {}, "no PNG"),
    ],
)
def test_damaged_labelme_files_are_refused_with_their_place(tmp_path, shape, content, told):
    path = labelme_file(tmp_path / "a.json", {"label": "corn"} | shape, **content)
    with pytest.raises(UsageError, match=told) as refused:
        list(format_named("labelme").read(path, ReadOptions()))
    assert "a.json" in str(refused.value)


def test_groups_of_labelme_may_have_names(tmp_path):
    shapes = [{"label": "corn", "group_id": name} for name in ("north", "north", "7")]
    (labels,) = format_named("labelme").read(labelme_file(tmp_path / "a.json", *shapes), ReadOptions())
    assert sorted(labels.objects["object_id"]) == [7, 8]


def test_numbers_of_labelme_may_be_whole_floats(tmp_path):
    shapes = [{"label": "corn", "group_id": number} for number in (3.0, 3)]
    path = labelme_file(tmp_path / "a.json", *shapes, imageHeight=80.0, imageWidth=100.0)
    (labels,) = format_named("labelme").read(path, ReadOptions())
    assert labels.objects["object_id"].tolist() == [3]
    assert labels.canvas.shape == (80, 100)


def test_a_score_of_cvat_that_is_no_number_is_refused_with_its_place(tmp_path):
    path = cvat_file(tmp_path / "a.xml", "corn", attribute='<attribute name="score">high</attribute>')
    with pytest.raises(UsageError, match="polygon 1: its score is 'high'"):
        list(recognise(path).read(path, ReadOptions()))


def coco_file(path, *annotations, **image):
    drawn = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 100} | image],
        "categories": [{"id": 1, "name": "corn"}],
        "annotations": [drawn | each for each in annotations],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("annotation", "image", "told"),
    [
        ({"category_id": 9}, {}, "annotation 1: there is no category 9"),
        ({"image_id": 7}, {}, "annotation 1: there is no image 7"),
        ({"segmentation": [[1, 1, 9, 1, float("nan"), 9]]}, {}, "annotation 1: a corner"),
        ({}, {"height": -80}, "a.png is 100 x -80 pixels"),
    ],
)
def test_damaged_coco_files_are_refused_with_their_place(tmp_path, annotation, image, told):
    path = coco_file(tmp_path / "a.json", annotation, **image)
    with pytest.raises(UsageError, match=told):
        list(recognise(path).read(path, ReadOptions()))


def test_scores_of_coco_may_be_null_and_percentages_are_none(tmp_path):
    path = coco_file(tmp_path / "null.json", {"score": None}, {"score": 0.5})
    (labels,) = recognise(path).read(path, ReadOptions())
    assert labels.objects["score"].fillna(-1).tolist() == [-1, 0.5]
    source = recognise(path).read(
        coco_file(tmp_path / "a.json", {"score": 87}, {"score": 0.5}), ReadOptions()
    )
    (labels,) = source
    assert labels.objects["score"].isna().all()
    assert labels.objects["stated_score"].tolist() == [87, 0.5]
    assert "87.0 is none" in source.notes[0]
    (labels,) = recognise(path).read(
        coco_file(tmp_path / "b.json", {"score": 87, "stated_score": "high"}), ReadOptions()
    )
    assert labels.objects[["stated_score", "stated_score_2"]].to_numpy().tolist() == [["high", 87]]


@pytest.mark.filterwarnings("ignore:.crs. was not provided")
def test_attributes_may_have_the_names_that_a_geopackage_uses_itself(tmp_path):
    path = coco_file(tmp_path / "a.json", {"fid": 3, "geom": "hilly"})
    convert(path, tmp_path / "a.gpkg", to="gpkg")
    found = geopandas.read_file(tmp_path / "a.gpkg", layer="objects")
    assert (found["fid"].tolist(), found["geom"].tolist()) == ([3], ["hilly"])
    assert found.geometry.area.tolist() == [32]


def boxed(folder, *shapes):
    """Shapes on an image of 20 x 40 px, as labelImg has them."""
    table = {"object_id": np.arange(1, len(shapes) + 1), "class_name": "corn", "score": np.nan}
    labels = OutlineLabels(
        objects=geopandas.GeoDataFrame(table, geometry=list(shapes)),
        taxonomy=taxonomy_of_names(["corn"]),
        canvas=Canvas(image="a.png", height=20, width=40),
    )
    format_named("labelimg").write(iter([labels]), folder, WriteOptions())
    return folder


def test_a_box_of_labelimg_holds_its_outline(tmp_path):
    folder = boxed(tmp_path / "boxes", shapely.box(3.6, 5.4, 9.2, 12.7))
    (found,) = format_named("labelimg").read(folder, ReadOptions())
    assert found.objects.geometry.iloc[0].bounds == (3, 5, 10, 13)


def test_boxes_at_the_edge_of_a_wide_image_are_truncated_and_others_not(tmp_path):
    folder = boxed(tmp_path / "boxes", shapely.box(22, 5, 30, 12), shapely.box(22, 12, 30, 20))
    root = ElementTree.parse(folder / "a.xml").getroot()
    assert [each.findtext("truncated") for each in root.iter("object")] == ["0", "1"]
