"""Labels of whole scenes, generated and real, as other programs' own readers see them.

What a reader finds is held against the pixels of the label raster that went out. The programs are not installed with
the package; each test is skipped without its program.
"""

import json
import re
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window

from geopanoptic.labels.convert import convert
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import format_named
from geopanoptic.training.synthetic import synthesize

pytestmark = pytest.mark.filterwarnings("default")

NAIP_IMAGES = 2
READERS = (
    "panopticapi", "hotcoco", "cityscapesscripts", "datumaro", "supervision", "labelme", "libs", "globox",
    "label_studio_sdk",
)  # fmt: skip


@pytest.fixture(scope="module", params=["generated", "naip", "netherlands"])
def scene(request, tmp_path_factory):
    """A folder with labels as COCO panoptic, which every reader is held against, and the way to write others."""
    if not any(find_spec(name) for name in READERS):
        pytest.skip(f"none of {', '.join(READERS)} is installed")
    folder = tmp_path_factory.mktemp(request.param)
    options = {"tile_px": 96}
    if request.param == "generated":
        made = synthesize((150, 200), bands=("red", "green", "blue"), character="mosaic", seed=4)
        made.to_geotiff(folder / "scene.tif")
        made.to_gpkg(folder / "truth.gpkg")
        convert(folder / "truth.gpkg", folder / "ids.tif", to="raster", image=folder / "scene.tif")
    elif request.param == "netherlands":
        source = request.getfixturevalue("shared_data") / "ndvi-brp-netherlands"
        with rasterio.open(source / "NDVI.tif") as file:
            part = Window(300, 300, 300, 250)
            profile = file.profile | {
                "height": part.height, "width": part.width, "transform": file.window_transform(part)
            }  # fmt: skip
            with rasterio.open(folder / "scene.tif", "w", **profile) as crop:
                crop.write(file.read(window=part))
        convert(
            source / "fields_cropped.zip", folder / "ids.tif", to="raster", image=folder / "scene.tif",
            class_column="gewas",
        )  # fmt: skip
    else:
        source = request.getfixturevalue("shared_data") / "fields-naip-midwest"
        whole = json.loads((source / "annotations.json").read_text())
        some = dict(list(whole.items())[:NAIP_IMAGES])
        (folder / "some.json").write_text(json.dumps(some))
        convert(folder / "some.json", folder / "panoptic", to="coco-panoptic", image=source)
        return folder
    convert(folder / "ids.tif", folder / "panoptic", to="coco-panoptic", **options)
    return folder


def written(scene, name, suffix=""):
    target = scene / f"{name}{suffix}"
    if not target.exists():
        convert(scene / "panoptic", target, to=name)
    return target


def images_of(scene):
    return list(format_named("coco-panoptic").read(scene / "panoptic", ReadOptions()))


def ground(scene):
    """Stem of an image to class to the areas in pixels of its objects, sorted; of stuff their sum."""
    found = {}
    for each in images_of(scene):
        kinds = {one.name: one.kind for one in each.taxonomy.classes}
        table = each.objects.set_index("object_id")["class_name"]
        areas = defaultdict(list)
        ids, pixels = np.unique(each.ids_hw, return_counts=True)
        for number, area in zip(ids.tolist(), pixels.tolist(), strict=True):
            if number:
                areas[table[number]].append(area)
        found[Path(each.canvas.image).stem] = {
            name: sorted(each) if kinds[name] == "thing" else [sum(each)] for name, each in areas.items()
        }
    return found


def blank_images(scene, folder, suffix=".png", *, name="{}"):
    folder.mkdir(parents=True, exist_ok=True)
    for each in images_of(scene):
        file = folder / f"{name.format(Path(each.canvas.image).stem)}{suffix}"
        Image.new("RGB", (each.canvas.width, each.canvas.height)).save(file)


def class_ids(scene):
    return {each.id: each.name for each in images_of(scene)[0].taxonomy.classes}


def test_coco_panoptic_is_perfect_to_panopticapi_and_hotcoco(scene):
    evaluation = pytest.importorskip("panopticapi.evaluation", reason="panopticapi is not installed")
    file, masks = scene / "panoptic" / "panoptic.json", scene / "panoptic" / "panoptic"
    content = json.loads(file.read_text())
    categories = {each["id"]: each for each in content["categories"]}
    pairs = [(each, each) for each in content["annotations"]]
    told = evaluation.pq_compute_single_core(0, pairs, str(masks), str(masks), categories)
    overall, _ = told.pq_average(categories, isthing=None)
    assert overall["pq"] == pytest.approx(1, abs=1e-12)
    matched = sum(each.tp for each in told.pq_per_cat.values())
    assert matched == sum(len(each["segments_info"]) for each in content["annotations"])
    hotcoco = pytest.importorskip("hotcoco.panoptic", reason="hotcoco is not installed")
    assert hotcoco.pq_compute(str(file), str(file), str(masks), str(masks))["All"]["pq"] == pytest.approx(1)


def test_panoptic_fpn_stuff_is_what_detectron2_would_make(scene):
    utils = pytest.importorskip("panopticapi.utils", reason="panopticapi is not installed")
    folder = written(scene, "panoptic-fpn")
    content = json.loads((folder / "annotations" / "panoptic_train.json").read_text())
    # As prepare_panoptic_fpn.py of Detectron2 has it: things 0, stuff counted on, 255 elsewhere.
    value = {each["id"]: 0 for each in content["categories"] if each["isthing"]}
    stuff = [each["id"] for each in content["categories"] if not each["isthing"]]
    value |= {number: place for place, number in enumerate(stuff, 1)}
    for each in content["annotations"]:
        rgb = np.asarray(Image.open(folder / "panoptic_train" / each["file_name"]), np.uint32)
        pan = utils.rgb2id(rgb)
        wanted = np.full(pan.shape, 255, np.uint8)
        for segment in each["segments_info"]:
            wanted[pan == segment["id"]] = value[segment["category_id"]]
        ours = np.asarray(Image.open(folder / "panoptic_stuff_train" / each["file_name"]))
        np.testing.assert_array_equal(ours, wanted)


def test_cityscapes_scripts_find_every_instance(scene):
    module = pytest.importorskip(
        "cityscapesscripts.evaluation.instances2dict", reason="cityscapesScripts is not installed"
    )
    labels = pytest.importorskip("cityscapesscripts.helpers.labels")
    names = class_ids(scene)
    called = {label.name: label.id for label in labels.labels}
    files = sorted((written(scene, "cityscapes") / "gtFine").rglob("*_instanceIds.png"))
    found = module.instances2dict([str(file) for file in files])
    wanted = ground(scene)
    for file, classes in found.items():
        areas = {
            names[called[name]]: sorted(each["pixelCount"] for each in instances)
            for name, instances in classes.items()
            if instances and called[name]
        }
        assert areas == wanted[Path(file).name.removesuffix("_gtFine_instanceIds.png")]


def test_datumaro_reads_classes_of_cityscapes(scene):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    folder = written(scene, "cityscapes")
    blank_images(scene, folder / "leftImg8bit" / "train" / "scene", name="{}_leftImg8bit")
    names, wanted = class_ids(scene), ground(scene)
    kinds = {each.name: each.kind for each in images_of(scene)[0].taxonomy.classes}
    items = list(datumaro.Dataset.import_from(str(folder), "cityscapes"))
    assert len(items) == len(wanted)
    for item in items:
        # It reads what has the bare number of a class, so stuff.
        areas = {names[each.label]: [int(each.get_area())] for each in item.annotations}
        stuff = {name: each for name, each in wanted[Path(item.id).name].items() if kinds[name] == "stuff"}
        assert areas == stuff


def test_datumaro_reads_mapillary_vistas(scene):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    folder = written(scene, "mapillary")
    blank_images(scene, folder / "training" / "images", ".jpg")
    found = datumaro.Dataset.import_from(str(folder), "mapillary_vistas_instances", format_version="v1.2")
    config = json.loads((folder / "config_v1.2.json").read_text())
    readable = [each["readable"] for each in config["labels"]]
    wanted = ground(scene)
    assert {item.id for item in found} == wanted.keys()
    for item in found:
        areas = defaultdict(list)
        for each in item.annotations:
            areas[readable[each.label]].append(int(each.get_area()))
        areas.pop("Unlabeled", None)
        assert {name: sorted(each) for name, each in areas.items()} == wanted[item.id]


def test_supervision_reads_labelme_with_its_groups(scene):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    folder = written(scene, "labelme")
    for each in images_of(scene):
        # Under the name that the labels have, whatever is inside.
        picture = Image.new("RGB", (each.canvas.width, each.canvas.height))
        picture.save(folder / each.canvas.image, format="PNG")
    labels = folder.parent / "labelme-only"
    labels.mkdir()
    for file in folder.glob("*.json"):
        if "shapes" in json.loads(file.read_text()):
            (labels / file.name).write_bytes(file.read_bytes())
    found = supervision.DetectionDataset.from_labelme(
        images_directory_path=str(folder), annotations_directory_path=str(labels), force_masks=False
    )
    objects = {Path(each.canvas.image).stem: len(each.objects) for each in images_of(scene)}
    assert {Path(path).stem: len(each) for path, _, each in found} == objects


def test_labelme_opens_every_file(scene, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    module = pytest.importorskip(
        "labelme._label_file", reason="labelme is not installed", exc_type=ImportError
    )
    folder = written(scene, "labelme")
    for each in images_of(scene):
        picture = Image.new("RGB", (each.canvas.width, each.canvas.height))
        picture.save(folder / each.canvas.image, format="PNG")
        opened = module.LabelFile(str(folder / f"{Path(each.canvas.image).stem}.json"))
        groups = {shape["group_id"] for shape in opened.shapes}
        assert groups == set(each.objects["object_id"])


def test_labelimg_reads_every_box(scene):
    module = pytest.importorskip("libs.pascal_voc_io", reason="labelImg is not installed")
    folder = written(scene, "labelimg")
    for each in images_of(scene):
        file = folder / f"{Path(each.canvas.image).stem}.xml"
        names = [label for label, *_ in module.PascalVocReader(str(file)).get_shapes()]
        assert sorted(names) == sorted(each.objects["class_name"])


def test_datumaro_reads_voc_boxes(scene, tmp_path):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    folder = written(scene, "labelimg")
    for name in ("Annotations", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    names = set()
    for file in folder.glob("*.xml"):
        (tmp_path / "Annotations" / file.name).write_bytes(file.read_bytes())
        names |= set(re.findall("<name>(.*?)</name>", file.read_text()))
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text(
        "".join(f"{file.stem}\n" for file in folder.glob("*.xml"))
    )
    labels = "".join(f"{name}:{n},0,0::\n" for n, name in enumerate(sorted(names), 1))
    (tmp_path / "labelmap.txt").write_text(f"background:0,0,0::\n{labels}")
    blank_images(scene, tmp_path / "JPEGImages", ".jpg")
    items = datumaro.Dataset.import_from(str(tmp_path), "voc_detection")
    objects = {Path(each.canvas.image).stem: len(each.objects) for each in images_of(scene)}
    assert {item.id: len(item.annotations) for item in items} == objects


def test_globox_opens_via_and_its_boxes_are_read(scene, tmp_path):
    globox = pytest.importorskip("globox", reason="globox is not installed")
    path = written(scene, "via", ".json")
    # It keeps boxes and drops polygons: that the file opens is all that it can say.
    names = {each.canvas.image for each in images_of(scene)}
    assert set(globox.AnnotationSet.from_via_json(path, label_key="class").image_ids) == names
    box = globox.BoundingBox.create(label="corn", coords=(3, 4, 30, 20))
    (tmp_path / "a.png").write_bytes(b"")
    boxes = globox.AnnotationSet([globox.Annotation("a.png", (40, 60), [box])])
    boxes.save_via_json(tmp_path / "boxes.json", image_folder=tmp_path, label_key="class")
    (found,) = format_named("via").read(tmp_path / "boxes.json", ReadOptions())
    assert found.objects["class_name"].tolist() == ["corn"]
    assert found.objects.geometry.iloc[0].bounds == (3, 4, 30, 20)


def test_label_studio_s_converter_makes_coco_that_comes_back(scene, tmp_path):
    converter = pytest.importorskip(
        "label_studio_sdk.converter", reason="the SDK of Label Studio is not installed"
    )
    from geopanoptic.labels.formats.label_studio import labelling_config

    path = written(scene, "label-studio", ".json")
    colours = dict.fromkeys(class_ids(scene).values(), "#ff0000")
    made = converter.Converter(labelling_config(colours), project_dir=None, download_resources=False)
    made.convert_to_coco(str(path), str(tmp_path / "coco"), is_dir=False)
    source = format_named("coco-instances").read(tmp_path / "coco" / "result.json", ReadOptions())
    areas = {}
    for each in source:
        stem = Path(each.canvas.image).stem.partition("__")[2]
        areas[stem] = each.objects.geometry.area.sum()
    for stem, classes in ground(scene).items():
        assert areas.get(stem, 0) == pytest.approx(sum(map(sum, classes.values())), abs=1e-3)


def test_datumaro_reads_cvat_and_coco(scene, tmp_path):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    masks = pytest.importorskip("pycocotools.coco")
    cvat = written(scene, "cvat", ".xml").read_text()
    (tmp_path / "cvat").mkdir()
    (tmp_path / "cvat" / "train.xml").write_text(cvat)
    (tmp_path / "cvat" / "images").mkdir()
    for each in images_of(scene):
        picture = Image.new("RGB", (each.canvas.width, each.canvas.height))
        picture.save(tmp_path / "cvat" / "images" / each.canvas.image, format="PNG")
    polygons = sum(
        len(item.annotations) for item in datumaro.Dataset.import_from(str(tmp_path / "cvat"), "cvat")
    )
    assert polygons == cvat.count("<polygon ") + cvat.count("<mask ")
    loaded = masks.COCO(written(scene, "coco-instances", ".json"))
    wanted = ground(scene)
    whole = sum(sum(map(sum, each.values())) for each in wanted.values())
    assert sum(int(loaded.annToMask(each).sum()) for each in loaded.loadAnns(loaded.getAnnIds())) == whole
