"""Formats of rasters give back every pixel."""

import numpy as np
import pandas as pd
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.objects import Canvas, RasterLabels
from geopanoptic.labels.taxonomy import taxonomy_of_names

CLASSES = taxonomy_of_names(["corn", "meadow", "water"], kinds=["thing", "thing", "stuff"])
DATASETS = ("coco-panoptic", "panoptic-fpn", "cityscapes", "deeplab", "mapillary")


def image(ids_hw, class_of, *, name="tile_0.png", scores=None):
    ids = np.unique(ids_hw)
    ids = ids[ids > 0]
    table = pd.DataFrame(
        {
            "object_id": ids.astype(np.int64),
            "class_name": pd.Series([class_of[k] for k in ids.tolist()], dtype=object),
            "score": [np.nan if scores is None else scores[k] for k in ids.tolist()],
        }
    ).astype({"score": np.float64})
    canvas = Canvas(image=name, height=ids_hw.shape[0], width=ids_hw.shape[1])
    return RasterLabels(ids_hw=ids_hw, objects=table, taxonomy=CLASSES, canvas=canvas)


def written_and_read(tmp_path, name, images):
    target = tmp_path / name
    written = format_named(name).write(iter(images), target, WriteOptions())
    assert written.images == len(images)
    assert recognise(target).name == name
    return list(format_named(name).read(target, ReadOptions()))


def same_objects(before, after, *, stuff_merges):
    """Every object has its pixels and its class again, whatever its number; nothing else is there."""
    assert after.ids_hw.shape == before.ids_hw.shape
    name_before = dict(zip(before.objects["object_id"], before.objects["class_name"], strict=True))
    name_after = dict(zip(after.objects["object_id"], after.objects["class_name"], strict=True))
    stuff = {each.name for each in CLASSES.classes if each.kind == "stuff"}
    pairs = set(zip(before.ids_hw.ravel().tolist(), after.ids_hw.ravel().tolist(), strict=True))
    for old, new in pairs:
        assert (old == 0) == (new == 0)
        if old:
            assert name_before[old] == name_after[new]
    of_old, of_new = {}, {}
    for old, new in pairs:
        of_old.setdefault(old, set()).add(new)
        of_new.setdefault(new, set()).add(old)
    assert all(len(each) == 1 for each in of_old.values())
    for new, olds in of_new.items():
        assert len(olds) == 1 or (stuff_merges and name_after[new] in stuff)


@pytest.mark.parametrize("name", DATASETS)
@settings(deadline=None, max_examples=15)
@given(
    ids=arrays(np.int32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 6)),
    classes=st.lists(st.sampled_from(["corn", "meadow", "water"]), min_size=6, max_size=6),
)
def test_pixels_classes_and_objects_survive(tmp_path_factory, name, ids, classes):
    class_of = dict(enumerate(classes, 1))
    before = image(ids, class_of)
    (after,) = written_and_read(tmp_path_factory.mktemp("set"), name, [before])
    same_objects(before, after, stuff_merges=name in ("cityscapes", "deeplab", "mapillary"))


@pytest.mark.parametrize("name", ["coco-panoptic", "panoptic-fpn"])
def test_coco_keeps_ids_and_scores(tmp_path, name):
    before = image(
        np.array([[5, 5, 900]], np.int32), {5: "corn", 900: "water"}, scores={5: 0.25, 900: np.nan}
    )
    (after,) = written_and_read(tmp_path, name, [before])
    np.testing.assert_array_equal(after.ids_hw, before.ids_hw)
    pd.testing.assert_frame_equal(after.objects, before.objects)


def test_coco_describes_what_is_drawn(tmp_path):
    import json

    ids = np.array([[1, 1, 0], [1, 2, 2]], np.int32)
    written_and_read(tmp_path, "coco-panoptic", [image(ids, {1: "corn", 2: "water"})])
    file = tmp_path / "coco-panoptic" / "panoptic.json"
    content = json.loads(file.read_text())
    assert [each["area"] for each in content["annotations"][0]["segments_info"]] == [3, 2]
    assert content["annotations"][0]["segments_info"][1]["bbox"] == [1, 1, 2, 1]
    categories = {each["name"]: each["isthing"] for each in content["categories"]}
    assert categories == {"corn": 1, "meadow": 1, "water": 0}


def test_several_images_are_read_one_by_one(tmp_path):
    images = [image(np.full((2, 2), k, np.int32), {k: "corn"}, name=f"tile_{k}.png") for k in (1, 2, 3)]
    for name in DATASETS:
        assert len(written_and_read(tmp_path, name, images)) == 3


def test_a_segment_that_is_drawn_but_not_described_is_refused(tmp_path):
    import json

    written_and_read(
        tmp_path, "coco-panoptic", [image(np.array([[1, 2]], np.int32), {1: "corn", 2: "water"})]
    )
    file = tmp_path / "coco-panoptic" / "panoptic.json"
    content = json.loads(file.read_text())
    del content["annotations"][0]["segments_info"][1]
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="drawn but not described, first id 2"):
        list(format_named("coco-panoptic").read(tmp_path / "coco-panoptic", ReadOptions()))


@pytest.mark.parametrize(("name", "limit"), [("cityscapes", 1000), ("mapillary", 256)])
def test_more_objects_than_a_format_can_number_are_refused(tmp_path, name, limit):
    ids = np.arange(1, limit + 2, dtype=np.int32)[None]
    with pytest.raises(UsageError, match=f"more than {limit:,} objects of class 'corn'"):
        written_and_read(tmp_path, name, [image(ids, dict.fromkeys(range(1, limit + 2), "corn"))])


def test_stuff_masks_of_panoptic_fpn(tmp_path):
    from PIL import Image

    written_and_read(
        tmp_path, "panoptic-fpn", [image(np.array([[1, 2, 0]], np.int32), {1: "corn", 2: "water"})]
    )
    mask = np.asarray(Image.open(tmp_path / "panoptic-fpn" / "panoptic_stuff_train" / "tile_0.png"))
    assert mask.tolist() == [[0, 1, 255]]


def test_a_real_cityscapes_file_has_cityscapes_classes(tmp_path):
    from PIL import Image

    folder = tmp_path / "gtFine" / "val" / "lindau"
    folder.mkdir(parents=True)
    values = np.array([[7, 26001, 26], [26000, 0, 23]], np.uint16)
    Image.fromarray(values).save(folder / "lindau_000000_000019_gtFine_instanceIds.png")
    (found,) = format_named("cityscapes").read(tmp_path, ReadOptions())
    told = found.objects.set_index("object_id")
    assert told.loc[found.ids_hw[0].tolist(), "class_name"].tolist() == ["road", "car", "car"]
    assert told.loc[found.ids_hw[0, 2], "iscrowd"] is True
    assert found.ids_hw[1, 1] == 0


def test_names_that_programs_take_for_something_else_come_back(tmp_path):
    names = ["None", "NA", "nan", "-Brache", "'-Brache", "=1+1", "007"]
    ids_hw = np.arange(1, len(names) + 1, dtype=np.int32)[None]
    classes = taxonomy_of_names(names)
    table = with_columns(pd.DataFrame({"class_name": names, "note": names, "yield": [1.5, *[np.nan] * 6]}))
    labels = RasterLabels(
        ids_hw=ids_hw,
        objects=table,
        taxonomy=classes,
        canvas=Canvas(image="a", height=1, width=7, transform=Affine.scale(10, -10)),
    )
    written = format_named("raster")
    written.write([labels], tmp_path / "a.tif", WriteOptions())
    assert "'-Brache" in (tmp_path / "a.csv").read_text()
    (found,) = written.read(tmp_path / "a.tif", ReadOptions())
    assert found.objects["class_name"].tolist() == names
    assert found.objects["note"].tolist() == names
    assert found.objects["yield"].isna().tolist() == [False, *[True] * 6]
    assert found.taxonomy.classes == classes.classes


def test_rows_of_a_table_may_lack_a_class(tmp_path):
    canvas = Canvas(image="a", height=1, width=2, transform=Affine.scale(10, -10))
    table = with_columns(pd.DataFrame({"class_name": ["corn", "corn"]}))
    labels = RasterLabels(
        ids_hw=np.array([[1, 2]], np.int32),
        objects=table,
        taxonomy=taxonomy_of_names(["corn"]),
        canvas=canvas,
    )
    raster = format_named("raster")
    raster.write([labels], tmp_path / "a.tif", WriteOptions())
    (tmp_path / "a.csv").write_text("object_id,class_name,score\n1,corn,87\n2,,NA\n")
    source = raster.read(tmp_path / "a.tif", ReadOptions())
    (found,) = source
    assert found.objects["class_name"].tolist() == ["corn", "unclassified"]
    assert found.objects["score"].isna().all()
    assert ["no class" in source.notes[0], "87.0 is none" in source.notes[1]] == [True, True]
    (raw,) = raster.read(tmp_path / "a.tif", ReadOptions(raw=True))
    assert raw.objects["class_name"].tolist() == ["corn", ""]
