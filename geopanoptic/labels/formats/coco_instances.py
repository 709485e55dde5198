"""COCO instances: one JSON file, objects as lists of polygons or as run lengths; things, no land cover needed.

Polygons of one annotation are one object. They have no holes: an outline with holes is cut into pieces. Run lengths
have them, and are the pixels of an object exactly; pycocotools reads and writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from pydantic import ValidationError

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats import run_lengths
from geopanoptic.labels.formats.coco_panoptic import categories_of, taxonomy_of_categories
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json, write_items
from geopanoptic.labels.formats.shapes import (
    Shape,
    Tally,
    corners,
    labels_of_shapes,
    mask_outline,
    without_holes,
)
from geopanoptic.labels.formats.tables import STATED_SCORE, free_name, score_notes
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, pixel_outlines
from geopanoptic.labels.sidecar import known_image
from geopanoptic.labels.taxonomy import Taxonomy
from geopanoptic.wording import fault

_OWN_KEYS = {
    "id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "score", "object_id", "ignore",
}  # fmt: skip


def recognises(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in {".json", ""}:
        return False
    try:
        content = read_json(path)
        return {"images", "categories", "annotations"} <= set(content) and all(
            "category_id" in each for each in content["annotations"][:1]
        )
    except (UsageError, TypeError, AttributeError):
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    content = read_json(path)
    try:
        taxonomy = taxonomy_of_categories(content["categories"])
        by_image: dict[int, list[dict[str, Any]]] = {each["id"]: [] for each in content["images"]}
        known = {each.id for each in taxonomy.classes}
        for each in content["annotations"]:
            for what, id_, there in (
                ("image", each["image_id"], by_image),
                ("category", each["category_id"], known),
            ):
                if id_ not in there:
                    raise UsageError(
                        f"{path}, annotation {each.get('id')}: there is no {what} {id_!r} in the file.",
                        remedy=f"Correct its {what}_id, or add the {what}.",
                    )
            by_image[each["image_id"]].append(each)
        canvases = [_canvas_of(each, options.images) for each in content["images"]]
        found = [by_image[each["id"]] for each in content["images"]]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UsageError(
            f"{path} is no COCO file: {fault(error)}.",
            remedy="It needs images, annotations and categories.",
        ) from None
    names = {each.id: each.name for each in taxonomy.classes}
    keys = sorted({"score"}.union(*content["annotations"]))
    scores = pd.DataFrame({"score": [each.get("score") for each in content["annotations"]]}, columns=keys)
    odd_scores = score_notes(scores, path.name)
    score_name = free_name(STATED_SCORE, scores) if odd_scores else "score"
    for image, canvas, labelled in zip(content["images"], canvases, found, strict=True):
        if canvas is None and labelled:
            raise UsageError(
                f"{path} does not say how large {image['file_name']} is.",
                remedy="Name the folder of images with --image.",
            )
    unknown = canvases.count(None)
    notes = odd_scores + (
        (f"{path.name}: {unknown} images without labels and without a size are left out",) if unknown else ()
    )
    return LabelSource(
        name=path.name,
        taxonomy=taxonomy,
        images=lambda: (
            _read_image(path, canvas, labelled, names, taxonomy, score_name=score_name, raw=options.raw)
            for canvas, labelled in zip(canvases, found, strict=True)
            if canvas is not None
        ),
        notes=notes,
    )


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    images: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    tally = Tally(labels)
    unseen = 0

    def annotations() -> Iterator[dict[str, Any]]:
        nonlocal unseen
        first_id = 1
        for number, outlines in enumerate(tally, 1):
            canvas = outlines.image
            images.append(
                {"id": number, "file_name": canvas.image, "height": canvas.height, "width": canvas.width}
            )
            categories[:] = categories_of(outlines.taxonomy)
            for each in _annotations_of(
                outlines, canvas, image_id=number, first_id=first_id, rle=options.rle
            ):
                if options.rle and each["area"] == 0:
                    unseen += 1
                else:
                    yield each
            first_id = tally.objects + 1

    def rest() -> dict[str, Any]:
        return {"info": {}, "licenses": [], "images": images, "categories": categories}

    write_items(target, annotations(), key="annotations", rest=rest)
    losses = (f"{unseen:,} objects cover no pixel of their image and are left out",) if unseen else ()
    return replace(tally.written(target, losses=losses), objects=tally.objects - unseen)


FORMAT = Format(
    name="coco-instances",
    title="COCO instances",
    form="outlines",
    images="many",
    keeps=frozenset({"scores", "stuff", "holes", "parts", "attributes", "overlaps", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _annotations_of(
    labels: OutlineLabels, canvas: Canvas, *, image_id: int, first_id: int, rle: bool
) -> Iterator[dict[str, Any]]:
    frame = labels.objects
    attributes = frame.drop(columns=["object_id", "class_name", "score", frame.geometry.name]).to_dict(
        "records"
    )
    outlines = pixel_outlines(labels, canvas)
    rows = zip(
        outlines,
        frame["object_id"].tolist(),
        frame["class_name"],
        frame["score"].tolist(),
        attributes or [{}] * len(frame),
        strict=True,
    )
    for number, (outline, own, name, score, told) in enumerate(rows, first_id):
        segmentation, area, bbox = run_lengths.encode(outline, canvas.shape) if rle else _polygons(outline)
        annotation: dict[str, Any] = {
            "id": number,
            "image_id": image_id,
            "category_id": labels.taxonomy[name].id,
            "segmentation": segmentation,
            "area": area,
            "bbox": bbox,
            "iscrowd": 0,
            "object_id": own,
        }
        if not np.isnan(score):
            annotation["score"] = score
        annotation |= {key: value for key, value in told.items() if value is not None and value == value}
        yield annotation


def _polygons(outline: shapely.Geometry) -> tuple[list[list[float]], float, list[float]]:
    """Pieces as x, y, x, y, ...; area and box (x, y, width, height)."""
    pieces = [piece for part in shapely.get_parts(outline) for piece in without_holes(part)]
    left, top, right, bottom = shapely.bounds(outline).tolist()
    return (
        [shapely.get_coordinates(piece)[:-1].ravel().tolist() for piece in pieces],
        outline.area,
        [left, top, right - left, bottom - top],
    )


def _canvas_of(image: dict[str, Any], known: Mapping[str, Canvas]) -> Canvas | None:
    """Label Studio's converter gives no size to images without labels, and renames all: HASH__NAME."""
    name = str(image["file_name"])
    found = known_image(name, known) or known_image(Path(name).name.partition("__")[2], known)
    if found is not None:
        name = found.image
    height, width = image.get("height"), image.get("width")
    if height is None or width is None:
        return None if found is None else Canvas(image=name, height=found.height, width=found.width)
    if int(height) < 1 or int(width) < 1:
        raise ValueError(f"{name} is {width} x {height} pixels")
    return Canvas(image=name, height=int(height), width=int(width))


def _read_image(
    path: Path,
    canvas: Canvas,
    annotations: list[dict[str, Any]],
    names: dict[int, str],
    taxonomy: Taxonomy,
    *,
    score_name: str,
    raw: bool,
) -> OutlineLabels:
    own = [each.get("object_id") for each in annotations]
    told = all(isinstance(each, int) and each > 0 for each in own) and len(set(own)) == len(own)
    shapes: list[Shape] = []
    for number, each in enumerate(annotations):
        key = own[number] if told else ("annotation", number)
        attributes = {name: value for name, value in each.items() if name not in _OWN_KEYS}
        if each.get("iscrowd"):
            attributes["iscrowd"] = True
        try:
            name = names[each["category_id"]]
            outlines = list(_outlines(each["segmentation"], canvas))
            score = float("nan")
            if score_name != "score":
                attributes[score_name] = each.get("score")
            elif each.get("score") is not None:
                score = float(each["score"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"{path}, annotation {each.get('id')}: {fault(error)}.",
                remedy="Correct the file.",
            ) from None
        shapes += [
            Shape(key=key, class_name=name, outline=outline, score=score, attributes=attributes)
            for outline in outlines
        ]
    return labels_of_shapes(shapes, taxonomy, canvas, raw=raw)


def _outlines(segmentation: Any, canvas: Canvas) -> Iterator[shapely.Geometry]:
    if isinstance(segmentation, dict):
        outline = mask_outline(run_lengths.decode(segmentation, canvas.shape))
        if outline is not None:
            yield outline
        return
    for ring in segmentation:
        points = corners(ring)
        if len(points) >= 3:
            yield shapely.Polygon(points)
