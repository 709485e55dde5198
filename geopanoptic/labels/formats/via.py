"""VGG Image Annotator (VIA 2): regions of images by file name, ``all_points_x`` and ``all_points_y``.

An export of annotations, or a project (``_via_img_metadata``). VIA does not say how large images are: our own files
do, in ``file_attributes``; otherwise the images themselves, or the outermost point must tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json, write_members
from geopanoptic.labels.formats.shapes import Shape, Tally, labels_of_shapes, shapes_of, taxonomy_for
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels
from geopanoptic.labels.sidecar import known_image
from geopanoptic.wording import fault

_CLASS_KEYS = ("class", "class_name", "label", "name", "type", "category")
_ELLIPSE_POINTS = 64


def recognises(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in {".json", ""}:
        return False
    try:
        first = next(iter(_images_in(path).values()))
        return "regions" in first and "filename" in first
    except (UsageError, StopIteration, TypeError, AttributeError):
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    found = _images_in(path)
    try:
        shapes = {key: list(_shapes_in(each, f"{path}, {key}")) for key, each in found.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no VIA file: {fault(error)}.", remedy="Export annotations as JSON."
        ) from None
    taxonomy = taxonomy_for(
        (shape.class_name for each in shapes.values() for shape in each), options.taxonomy
    )
    guessed = [key for key, each in found.items() if _stated_canvas(each, options.images) is None]
    notes = (
        (
            f"{path.name} does not say how large {len(guessed)} images are; they are taken to end with the labels",
        )
        if guessed
        else ()
    )

    def images() -> Iterator[Labels]:
        for key, each in found.items():
            canvas = _stated_canvas(each, options.images) or _canvas_around(each["filename"], shapes[key])
            yield labels_of_shapes(shapes[key], taxonomy, canvas, raw=options.raw)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=images, notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    tally = Tally(labels)
    write_members(target, ((f"{outlines.image.image}-1", _image_of(outlines)) for outlines in tally))
    return tally.written(target)


FORMAT = Format(
    name="via",
    title="VGG Image Annotator",
    form="outlines",
    images="many",
    keeps=frozenset({"scores", "holes", "parts", "overlaps", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _image_of(labels: OutlineLabels) -> dict[str, Any]:
    canvas = labels.image
    regions = [
        {
            "shape_attributes": {
                "name": "polygon",
                "all_points_x": shape.ring[:, 0].tolist(),
                "all_points_y": shape.ring[:, 1].tolist(),
            },
            "region_attributes": {
                "class": shape.class_name,
                "object_id": str(shape.key),
                **({} if np.isnan(shape.score) else {"score": str(shape.score)}),
            },
        }
        for shape in shapes_of(labels, canvas)
    ]
    return {
        "filename": canvas.image,
        "size": -1,
        "regions": regions,
        "file_attributes": {"height": str(canvas.height), "width": str(canvas.width)},
    }


def _images_in(path: Path) -> dict[str, dict[str, Any]]:
    content = read_json(path)
    if isinstance(content, dict) and "_via_img_metadata" in content:
        content = content["_via_img_metadata"]
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no images by name.", remedy="Export annotations as JSON.")
    return content


def _shapes_in(image: Mapping[str, Any], where: str) -> Iterator[Shape]:
    regions = image["regions"]
    for number, region in enumerate(regions.values() if isinstance(regions, dict) else regions):
        outline = _outline(region["shape_attributes"], f"{where}, region {number + 1}")
        if outline is None:
            continue
        told = region.get("region_attributes") or {}
        name = next((str(told[key]) for key in _CLASS_KEYS if told.get(key)), "object")
        group = str(told.get("object_id", ""))
        yield Shape(
            key=int(group) if group.isdigit() else ("region", number),
            class_name=name,
            outline=outline,
            score=float(told.get("score", "nan")),
        )


def _outline(shape: Mapping[str, Any], where: str) -> shapely.Geometry | None:
    kind = shape["name"]
    if kind == "polygon":
        ring = np.column_stack([shape["all_points_x"], shape["all_points_y"]]).astype(np.float64)
        return shapely.Polygon(ring) if len(ring) >= 3 else None
    if kind == "rect":
        x, y = float(shape["x"]), float(shape["y"])
        return shapely.box(x, y, x + float(shape["width"]), y + float(shape["height"]))
    if kind in ("circle", "ellipse"):
        across = float(shape["r"]) if kind == "circle" else float(shape["rx"])
        along = across if kind == "circle" else float(shape["ry"])
        turn = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
        xs, ys = across * np.cos(turn), along * np.sin(turn)
        cos, sin = np.cos(float(shape.get("theta", 0.0))), np.sin(float(shape.get("theta", 0.0)))
        return shapely.Polygon(
            np.column_stack([shape["cx"] + cos * xs - sin * ys, shape["cy"] + sin * xs + cos * ys])
        )
    if kind in ("point", "polyline", "line"):
        return None  # no area
    raise UsageError(f"{where}: VIA has no shape {kind!r}.", remedy="Export the project again.")


def _stated_canvas(image: Mapping[str, Any], images: Mapping[str, Canvas]) -> Canvas | None:
    name = str(image["filename"])
    known = known_image(name, images)
    if known is not None:
        return Canvas(image=name, height=known.height, width=known.width)
    told = image.get("file_attributes") or {}
    if str(told.get("height", "")).isdigit() and str(told.get("width", "")).isdigit():
        return Canvas(image=name, height=int(told["height"]), width=int(told["width"]))
    return None


def _canvas_around(name: str, shapes: list[Shape]) -> Canvas:
    far = np.array([shape.outline.bounds[2:] for shape in shapes] or [(1.0, 1.0)]).max(axis=0)
    return Canvas(image=name, height=max(int(np.ceil(far[1])), 1), width=max(int(np.ceil(far[0])), 1))
