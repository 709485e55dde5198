"""Label Studio: a JSON list of tasks, an image each, with polygons in percent of the image and brush strokes.

Labels without a score are written as annotations, labels with scores as predictions, which Label Studio shows as
pre-annotations. ``meta.object_id`` joins the pieces of an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats import brush
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json, write_list
from geopanoptic.labels.formats.shapes import (
    Shape,
    Tally,
    labels_of_shapes,
    mask_outline,
    shapes_of,
    taxonomy_for,
)
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, on_corners
from geopanoptic.labels.sidecar import known_image
from geopanoptic.wording import fault

MODEL_VERSION = "geopanoptic"
_FROM, _TO = "label", "image"
_KINDS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels")


def recognises(path: Path) -> bool:
    if not path.is_file() or path.suffix.lower() not in {".json", ""}:
        return False
    try:
        tasks = read_json(path)
        return (
            isinstance(tasks, list)
            and "data" in tasks[0]
            and bool({"annotations", "predictions"} & set(tasks[0]))
        )
    except (UsageError, IndexError, TypeError):
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise UsageError(f"{path} is no list of tasks.", remedy="Export as JSON (not JSON-MIN).")
    try:
        names = {
            name for task in tasks for result in _results_of(task) if (name := _class_of(result)) is not None
        }
        taxonomy = taxonomy_for(names, options.taxonomy)
        # The same once more when images are read; here so that damage shows before anything is written.
        canvases = [_canvas_of(task, options.images, f"{path}, task {n + 1}") for n, task in enumerate(tasks)]
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no export of Label Studio: {fault(error)}.",
            remedy="Export as JSON (not JSON-MIN).",
        ) from None

    def images() -> Iterator[Labels]:
        for number, (task, canvas) in enumerate(zip(tasks, canvases, strict=True)):
            try:
                shapes = list(_shapes_in(task, canvas))
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{path}, task {number + 1}: {fault(error)}.", remedy="Export it again."
                ) from None
            yield labels_of_shapes(shapes, taxonomy, canvas, raw=options.raw)

    several = sum(len(task.get("annotations") or []) > 1 for task in tasks)
    notes = (f"{several} images have several annotations; the latest counts",) if several else ()
    return LabelSource(name=path.name, taxonomy=taxonomy, images=images, notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    tally = Tally(labels)
    write_list(target, (_task_of(outlines, tally.images, options) for outlines in tally))
    return tally.written(target)


FORMAT = Format(
    name="label-studio",
    title="Label Studio JSON",
    form="outlines",
    images="many",
    keeps=frozenset({"scores", "holes", "parts", "overlaps", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def labelling_config(class_colours: Mapping[str, str]) -> str:
    """The labelling interface that a project needs for these classes, as XML."""
    from xml.sax.saxutils import quoteattr

    labels = "\n".join(
        f"    <Label value={quoteattr(name)} background={quoteattr(colour)}/>"
        for name, colour in class_colours.items()
    )
    return (
        f'<View>\n  <Image name="{_TO}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <PolygonLabels name="{_FROM}" toName="{_TO}" strokeWidth="2">\n{labels}\n  </PolygonLabels>\n</View>\n'
    )


def _task_of(labels: OutlineLabels, number: int, options: WriteOptions) -> dict[str, Any]:
    canvas = labels.image
    results = [_result_of(shape, canvas, n) for n, shape in enumerate(shapes_of(labels, canvas))]
    task: dict[str, Any] = {"id": number, "data": {"image": options.image_root + canvas.image}}
    scores = labels.objects["score"].dropna()
    if len(scores) or options.predictions:
        prediction = {"model_version": MODEL_VERSION, "result": results}
        task["predictions"] = [prediction | ({"score": float(scores.mean())} if len(scores) else {})]
    else:
        task["annotations"] = [{"id": number, "result": results}]
    return task


def _results_of(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the latest annotation that was not cancelled, else of the first prediction."""
    annotations = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
    chosen = annotations[-1:] or (task.get("predictions") or [])[:1]
    return list(chosen[0]["result"]) if chosen else []


def _class_of(result: Mapping[str, Any]) -> str | None:
    if result.get("type") not in _KINDS:
        return None
    labels = result["value"].get(result["type"]) or []
    return str(labels[0]) if labels else "object"


def _canvas_of(task: Mapping[str, Any], images: Mapping[str, Canvas], where: str) -> Canvas:
    address = next(
        (str(value) for key, value in task["data"].items() if key in ("image", "img", "url")), None
    )
    if address is None:
        raise UsageError(f"{where} names no image in its data.", remedy="Give tasks with data.image.")
    parts = urlsplit(address)
    # Files of the server's own folders are addressed as /data/local-files/?d=folder/name.png.
    path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    name = PurePosixPath(path).name or address
    sizes = {
        (int(each["original_height"]), int(each["original_width"]))
        for each in _results_of(task)
        if "original_height" in each
    }
    # Label Studio puts eight characters and a dash before the names of uploaded files.
    known = known_image(name, images) or known_image(name.partition("-")[2], images)
    if len(sizes) == 1:
        height, width = sizes.pop()
        return Canvas(image=name if known is None else known.image, height=height, width=width)
    if known is None:
        raise UsageError(
            f"{where} ({name}) {'does not say how large its image is' if not sizes else 'states several image sizes'}.",
            remedy="Name the folder of images with --image.",
        )
    return Canvas(image=known.image, height=known.height, width=known.width)


def _shapes_in(task: Mapping[str, Any], canvas: Canvas) -> Iterator[Shape]:
    for number, result in enumerate(_results_of(task)):
        name = _class_of(result)
        if name is None:
            continue
        outline = _outline(result, canvas)
        if outline is None:
            continue
        own = (result.get("meta") or {}).get("object_id")
        score = result.get("score")
        yield Shape(
            key=own if isinstance(own, int) else ("region", number),
            class_name=name,
            outline=outline,
            score=float("nan") if score is None else float(score),
        )


def _outline(result: Mapping[str, Any], canvas: Canvas) -> shapely.Geometry | None:
    value, kind = result["value"], result["type"]
    percent = np.array([canvas.width, canvas.height]) / 100
    if kind == "polygonlabels":
        points = np.asarray(value["points"], np.float64).reshape(-1, 2) * percent
        return shapely.Polygon(on_corners(points)) if len(points) >= 3 else None
    if kind == "brushlabels":
        return mask_outline(brush.decode(value["rle"], canvas.shape))
    # Boxes and ellipses turn about their corner and their centre.
    x, y = np.array([value["x"], value["y"]], np.float64) * percent
    turn = np.radians(float(value.get("rotation", 0.0)))
    if kind == "rectanglelabels":
        across, along = np.array([value["width"], value["height"]], np.float64) * percent
        corners = np.array([(0, 0), (across, 0), (across, along), (0, along)])
    else:
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        radii = np.array([value["radiusX"], value["radiusY"]], np.float64) * percent
        corners = np.column_stack([np.cos(angle), np.sin(angle)]) * radii
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return shapely.Polygon(on_corners(turned + (x, y)))


def _result_of(shape: Shape, canvas: Canvas, number: int) -> dict[str, Any]:
    percent = shape.ring / np.array([canvas.width, canvas.height]) * 100
    result: dict[str, Any] = {
        "id": f"{shape.key}-{number}",
        "type": "polygonlabels",
        "from_name": _FROM,
        "to_name": _TO,
        "original_width": canvas.width,
        "original_height": canvas.height,
        "image_rotation": 0,
        "value": {"points": percent.tolist(), "closed": True, "polygonlabels": [shape.class_name]},
        "meta": {"object_id": shape.key},
    }
    if not np.isnan(shape.score):
        result["score"] = shape.score
    return result
