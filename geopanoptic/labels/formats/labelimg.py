"""labelImg: one Pascal VOC XML file per image, objects as upright boxes.

Boxes are all that it can hold: an outline becomes the box around it, and a box is read as its outline. labelImg
writes 1 for a box that begins at the edge, so that edge may be off by a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.shapes import Shape, Tally, labels_of_shapes, taxonomy_for
from geopanoptic.labels.formats.xml_files import read_xml, write_xml
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, pixel_outlines
from geopanoptic.labels.taxonomy import unclassified_notes


def recognises(path: Path) -> bool:
    """An XML file of boxes (``annotation``), or a folder that begins with one."""
    file = next(_files_of(path), None)
    if file is None:
        return False
    try:
        return read_xml(file).tag == "annotation"
    except UsageError:
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    files = list(_files_of(path))
    names = [each.findtext("name", "") for file in files for each in read_xml(file).iter("object")]
    taxonomy = taxonomy_for(names, options.taxonomy)
    notes = unclassified_notes(names, path.name)

    def read_one(file: Path) -> OutlineLabels:
        root = read_xml(file)
        canvas = Canvas(
            image=root.findtext("filename") or f"{file.stem}.png",
            height=_number(root, "size/height", file),
            width=_number(root, "size/width", file),
        )
        return labels_of_shapes(_shapes_in(root, file), taxonomy, canvas, raw=options.raw)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, files), notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    target.mkdir(parents=True)
    tally = Tally(labels)
    for outlines in tally:
        canvas = outlines.image
        root = ElementTree.Element("annotation")
        _text(root, "folder", target.name)
        _text(root, "filename", canvas.image)
        size = ElementTree.SubElement(root, "size")
        for name, value in (("width", canvas.width), ("height", canvas.height), ("depth", 3)):
            _text(size, name, value)
        _text(root, "segmented", 0)
        bounds = shapely.bounds(pixel_outlines(outlines, canvas))
        for name, box in zip(outlines.objects["class_name"], bounds.tolist(), strict=True):
            _add_box(root, name, box, canvas)
        write_xml(target / f"{Path(canvas.image).stem}.xml", root)
    losses = ("outlines became the boxes around them: labelImg holds nothing else",) if tally.objects else ()
    return tally.written(target, losses=losses)


FORMAT = Format(
    name="labelimg",
    title="labelImg (Pascal VOC boxes)",
    form="outlines",
    images="many",
    keeps=frozenset({"overlaps"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_file() and path.suffix.lower() == ".xml":
        yield path
    elif path.is_dir():
        yield from sorted(path.glob("*.xml"))


def _shapes_in(root: ElementTree.Element, file: Path) -> Iterator[Shape]:
    for number, each in enumerate(root.iter("object")):
        left, top, right, bottom = (
            _float(each, f"bndbox/{name}", file) for name in ("xmin", "ymin", "xmax", "ymax")
        )
        outline = shapely.box(left, top, right, bottom)
        yield Shape(key=("box", number), class_name=each.findtext("name", ""), outline=outline)


def _add_box(root: ElementTree.Element, name: str, box: list[float], canvas: Canvas) -> None:
    each = ElementTree.SubElement(root, "object")
    cut = min(box[:2]) <= 0 or box[2] >= canvas.width or box[3] >= canvas.height
    for key, value in (("name", name), ("pose", "Unspecified"), ("truncated", int(cut)), ("difficult", 0)):
        _text(each, key, value)
    place = ElementTree.SubElement(each, "bndbox")
    low = [max(math.floor(value), 1) for value in box[:2]]
    high = [
        min(math.ceil(value), side)
        for value, side in zip(box[2:], (canvas.width, canvas.height), strict=True)
    ]
    for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (*low, *high), strict=True):
        _text(place, key, value)


def _text(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)


def _number(root: ElementTree.Element, path: str, file: Path) -> int:
    return int(_float(root, path, file))


def _float(root: ElementTree.Element, path: str, file: Path) -> float:
    text = root.findtext(path)
    try:
        return float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(
            f"{file}: {path.replace('/', '.')} is {text!r}, where a number is expected.",
            remedy="Correct the file.",
        ) from None
