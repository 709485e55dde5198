"""Files that are written here are read by the tools' own parsers, and what those write is read here.

The tools are not installed with the package (they pin many others); each test is skipped without its tool.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from test_raster_formats import CLASSES, image

from geopanoptic.labels.formats.format import ReadOptions, WriteOptions
from geopanoptic.labels.formats.registry import format_named
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def labels():
    ids = np.zeros((40, 60), np.int32)
    ids[5:30, 4:25] = 1
    ids[5:30, 30:55] = 2
    return image(ids, {1: "corn", 2: "meadow"}, name="a.png")


def write(name, path, found):
    format_named(name).write(iter([found]), path, WriteOptions())
    return path


def test_cvat_files_are_read_by_datumaro(tmp_path, labels):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    path = write("cvat", tmp_path / "train.xml", labels)
    for name in re.findall(r'<image id="\d+" name="([^"]+)"', path.read_text()):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / name)
    (item,) = datumaro.Dataset.import_from(str(tmp_path), "cvat")
    assert [tuple(each.get_bbox()) for each in item.annotations] == [(4, 5, 21, 25), (30, 5, 25, 25)]


def test_coco_instances_are_read_and_written_by_datumaro(tmp_path, labels):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    (tmp_path / "a" / "annotations").mkdir(parents=True)
    (tmp_path / "a" / "images" / "train").mkdir(parents=True)
    Image.new("RGB", (60, 40)).save(tmp_path / "a" / "images" / "train" / "a.png")
    write("coco-instances", tmp_path / "a" / "annotations" / "instances_train.json", labels)
    found = datumaro.Dataset.import_from(str(tmp_path / "a"), "coco_instances")
    found.export(str(tmp_path / "b"), "coco_instances")
    (exported,) = (tmp_path / "b" / "annotations").glob("*.json")
    (again,) = format_named("coco-instances").read(exported, ReadOptions())
    assert [each.bounds for each in again.objects.geometry] == [(4, 5, 25, 30), (30, 5, 55, 30)]


def test_label_studio_s_converter_makes_coco_of_our_tasks(tmp_path, labels):
    converter = pytest.importorskip(
        "label_studio_sdk.converter", reason="the SDK of Label Studio is not installed"
    )
    path = write("label-studio", tmp_path / "tasks.json", labels)
    colours = {each.name: "#ff0000" for each in CLASSES.classes}
    from geopanoptic.labels.formats.label_studio import labelling_config

    made = converter.Converter(labelling_config(colours), project_dir=None, download_resources=False)
    made.convert_to_coco(str(path), str(tmp_path / "coco"), is_dir=False)
    assert len(json.loads((tmp_path / "coco" / "result.json").read_text())["annotations"]) == 2
    (again,) = format_named("coco-instances").read(tmp_path / "coco" / "result.json", ReadOptions())
    assert again.objects["class_name"].tolist() == ["corn", "meadow"]
    assert again.objects.geometry.iloc[0].bounds == pytest.approx((4, 5, 25, 30), abs=1e-6)


def test_labelme_opens_our_files(tmp_path, labels):
    module = pytest.importorskip("labelme._label_file", reason="labelme is not installed")
    folder = write("labelme", tmp_path / "set", labels)
    Image.new("RGB", (60, 40)).save(folder / "a.png")
    assert len(module.LabelFile(str(folder / "a.json")).shapes) == 2


def test_cityscapes_scripts_make_coco_panoptic_of_our_files(tmp_path):
    module = pytest.importorskip(
        "cityscapesscripts.preparation.createPanopticImgs", reason="cityscapesScripts is not installed"
    )
    taxonomy = Taxonomy(
        name="streets",
        classes=(LabelClass(id=7, name="road", kind="stuff"), LabelClass(id=26, name="car", kind="thing")),
    )
    ids = np.zeros((40, 60), np.int32)
    ids[20:] = 1
    ids[18:30, 5:20], ids[18:30, 20:32] = 2, 3
    before = replace(image(ids, {1: "road", 2: "car", 3: "car"}, name="a.png"), taxonomy=taxonomy)
    folder = write("cityscapes", tmp_path / "set", before)
    module.convert2panoptic(str(folder / "gtFine"), str(tmp_path), setNames=["train"])
    (again,) = format_named("coco-panoptic").read(tmp_path / "cityscapes_panoptic_train.json", ReadOptions())
    pairs = set(zip(ids.ravel().tolist(), again.ids_hw.ravel().tolist(), strict=True))
    assert len(pairs) == 4
    names = again.objects.set_index("object_id")["class_name"]
    assert {old: names[new] for old, new in pairs if old} == {1: "road", 2: "car", 3: "car"}
    # Theirs knows nothing of classes.json: the numbers alone say it.
    (theirs,) = format_named("cityscapes").read(folder / "gtFine", ReadOptions())
    assert sorted(theirs.objects["class_name"]) == ["car", "car", "road"]
