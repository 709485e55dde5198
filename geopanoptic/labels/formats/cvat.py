"""CVAT, "for images 1.1": one XML file, polygons, boxes and masks per image; ``group_id`` joins pieces.

A mask's ``rle`` are run lengths within its box, row by row, the first of unset pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.shapes import (
    Shape,
    Tally,
    labels_of_shapes,
    mask_outline,
    shapes_of,
    taxonomy_for,
)
from geopanoptic.labels.formats.xml_files import read_xml, write_elements
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy, unclassified_notes, with_unclassified

_SCORE, _OBJECT = "score", "object_id"


def recognises(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in {".xml", ""}:
        return False
    try:
        root = read_xml(path)
    except UsageError:
        return False
    return root.tag == "annotations" and root.find("image") is not None


def read(path: Path, options: ReadOptions) -> LabelSource:
    root = read_xml(path)
    if root.tag != "annotations":
        raise UsageError(
            f"{path} begins with <{root.tag}>, where CVAT writes <annotations>.",
            remedy="Export as 'CVAT for images 1.1'.",
        )
    images = root.findall("image")
    named = [name for image in images for each in image if (name := each.get("label")) is not None]
    taxonomy = _taxonomy_of(root, [name for name in named if name], options.taxonomy)
    if "" in named:
        taxonomy = with_unclassified(taxonomy)
    notes = unclassified_notes(named, path.name)

    def read_one(image: ElementTree.Element) -> OutlineLabels:
        where = f"{path}, image {image.get('name')}"
        canvas = Canvas(
            image=Path(image.get("name", "")).name,
            height=_number(image, "height", where),
            width=_number(image, "width", where),
        )
        return labels_of_shapes(_shapes_in(image, canvas, where), taxonomy, canvas, raw=options.raw)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, images), notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    tally = Tally(labels)

    def elements() -> Iterator[ElementTree.Element]:
        version = ElementTree.Element("version")
        version.text = "1.1"
        yield version
        for number, outlines in enumerate(tally):
            if number == 0:
                yield _described(outlines.taxonomy)
            yield _image_of(outlines, number)

    write_elements(target, "annotations", elements())
    return tally.written(target)


FORMAT = Format(
    name="cvat",
    title="CVAT for images 1.1",
    form="outlines",
    images="many",
    keeps=frozenset({"scores", "holes", "parts", "overlaps", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def label_constructor(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """The labels of a task as CVAT's constructor takes them ("Raw"): classes, colours, and what joins pieces."""
    attributes = [
        {"name": name, "input_type": "text", "mutable": False, "values": [""]} for name in (_OBJECT, _SCORE)
    ]
    return [
        {
            "name": each.name,
            "color": "#{:02x}{:02x}{:02x}".format(*each.rgb),
            "type": "any",
            "attributes": attributes,
        }
        for each in taxonomy.classes
    ]


def _taxonomy_of(root: ElementTree.Element, named: list[str], given: Taxonomy | None) -> Taxonomy:
    """The known classes, else those of the task in their order, with their colours."""
    if given is not None and all(name in given for name in named):
        return given
    listed = [
        (each.findtext("name", ""), each.findtext("color", ""))
        for each in root.iterfind("meta//labels/label")
    ]
    if not listed or not {name for name, _ in listed} >= set(named):
        return taxonomy_for(named, None)
    classes = [
        LabelClass(id=number, name=name, colour=colour if len(colour) == 7 else "")
        for number, (name, colour) in enumerate(dict(listed).items(), 1)
    ]
    return Taxonomy(name="cvat", classes=tuple(classes))


def _shapes_in(image: ElementTree.Element, canvas: Canvas, where: str) -> Iterator[Shape]:
    for number, each in enumerate(image):
        if each.get("label") is None:
            continue
        place = f"{where}, {each.tag} {number + 1}"
        outline = _outline(each, canvas, place)
        if outline is None:
            continue
        told = {child.get("name"): child.text for child in each.iterfind("attribute")}
        own, group = told.get(_OBJECT), each.get("group_id")
        key: object = ("shape", number)
        if own is not None and own.isdigit():
            key = int(own)
        elif group not in (None, "", "0"):
            key = ("group", group)
        yield Shape(
            key=key,
            class_name=each.get("label", ""),
            outline=outline,
            score=_score(told.get(_SCORE), place),
        )


def _score(stated: str | None, where: str) -> float:
    try:
        return float(stated or "nan")
    except ValueError:
        raise UsageError(
            f"{where}: its score is {stated!r}, which is no number.", remedy="Correct it."
        ) from None


def _outline(each: ElementTree.Element, canvas: Canvas, where: str) -> shapely.Geometry | None:
    try:
        if each.tag == "polygon":
            points = [tuple(map(float, pair.split(","))) for pair in each.get("points", "").split(";")]
            return shapely.Polygon(points) if len(points) >= 3 else None
        if each.tag == "box":
            return shapely.box(*(float(each.get(name, "")) for name in ("xtl", "ytl", "xbr", "ybr")))
        if each.tag == "mask":
            return mask_outline(_mask(each, canvas))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}.", remedy="Correct the file, or export it again.") from None
    return None  # points and lines have no area; tags belong to the whole image


def _mask(each: ElementTree.Element, canvas: Canvas) -> np.ndarray:
    left, top, width, height = (int(float(each.get(name, ""))) for name in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in each.get("rle", "").split(",")])
    if runs.sum() != width * height:
        raise ValueError(f"the runs cover {runs.sum()} pixels of {width} x {height}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    whole = np.zeros(canvas.shape, np.bool_)
    whole[top : top + height, left : left + width] = values
    return whole


def _image_of(labels: OutlineLabels, number: int) -> ElementTree.Element:
    canvas = labels.image
    size = {"width": str(canvas.width), "height": str(canvas.height)}
    image = ElementTree.Element("image", {"id": str(number), "name": canvas.image, **size})
    for shape in shapes_of(labels, canvas):
        _add_polygon(image, shape)
    return image


def _add_polygon(image: ElementTree.Element, shape: Shape) -> None:
    points = ";".join(f"{x!r},{y!r}" for x, y in shape.ring.tolist())
    polygon = ElementTree.SubElement(
        image,
        "polygon",
        {
            "label": shape.class_name,
            "source": "manual",
            "occluded": "0",
            "points": points,
            "z_order": "0",
            "group_id": str(shape.key),
        },
    )
    ElementTree.SubElement(polygon, "attribute", {"name": _OBJECT}).text = str(shape.key)
    if not np.isnan(shape.score):
        ElementTree.SubElement(polygon, "attribute", {"name": _SCORE}).text = repr(shape.score)


def _described(taxonomy: Taxonomy) -> ElementTree.Element:
    meta = ElementTree.Element("meta")
    task = ElementTree.SubElement(meta, "task")
    for name, value in (("name", "geopanoptic"), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = value
    listed = ElementTree.SubElement(task, "labels")
    for each in taxonomy.classes:
        label = ElementTree.SubElement(listed, "label")
        ElementTree.SubElement(label, "name").text = each.name
        ElementTree.SubElement(label, "color").text = "#{:02x}{:02x}{:02x}".format(*each.rgb)
        ElementTree.SubElement(label, "type").text = "any"
        attributes = ElementTree.SubElement(label, "attributes")
        for attribute in (_OBJECT, _SCORE):
            described = ElementTree.SubElement(attributes, "attribute")
            for key, text in (
                ("name", attribute),
                ("mutable", "False"),
                ("input_type", "text"),
                ("default_value", ""),
                ("values", ""),
            ):
                ElementTree.SubElement(described, key).text = text
    return meta


def _number(element: ElementTree.Element, name: str, where: str) -> int:
    try:
        return int(element.get(name, ""))
    except ValueError:
        raise UsageError(
            f"{where}: {name} is {element.get(name)!r}, where a number is expected.",
            remedy="Correct the file.",
        ) from None
