"""labelme: one JSON file per image, ``shapes`` of polygons, rectangles, circles and masks; ``group_id`` joins pieces."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json, write_json
from geopanoptic.labels.formats.shapes import (
    Shape,
    Tally,
    corners,
    labels_of_shapes,
    mask_outline,
    shapes_of,
    taxonomy_for,
)
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels
from geopanoptic.labels.taxonomy import unclassified_notes

_VERSION = "5.5.0"
"""Version of the layout, as labelme writes it."""

_KEYS = {"shapes": list, "imagePath": str, "imageHeight": int, "imageWidth": int}

_BESIDE = ("labels.json", "provenance.json")
"""Files about a data set that lie in its folder and are no images' labels."""


def recognises(path: Path) -> bool:
    """A JSON file with ``shapes`` and ``imagePath``, or a folder that begins with one."""
    file = next(iter(_files_of(path)), None)
    if file is None:
        return False
    try:
        content = read_json(file)
    except UsageError:
        return False
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def read(path: Path, options: ReadOptions) -> LabelSource:
    files = list(_files_of(path))
    names = [_class_of(shape) for file in files for shape in _content(file)["shapes"]]
    taxonomy = taxonomy_for(names, options.taxonomy)
    notes = unclassified_notes(names, path.name)

    def read_one(file: Path) -> OutlineLabels:
        content = _content(file)
        canvas = Canvas(
            image=Path(str(content["imagePath"]).replace("\\", "/")).name,
            height=int(content["imageHeight"]),
            width=int(content["imageWidth"]),
        )
        shapes = list(_shapes_in(content, canvas, file))
        return labels_of_shapes(shapes, taxonomy, canvas, raw=options.raw)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, files), notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    target.mkdir(parents=True)
    tally = Tally(labels)
    for outlines in tally:
        canvas = outlines.image
        shapes = [
            {
                "label": shape.class_name,
                "points": shape.ring.tolist(),
                "group_id": shape.key,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                **({} if np.isnan(shape.score) else {"score": shape.score}),
            }
            for shape in shapes_of(outlines, canvas)
        ]
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": options.image_root + canvas.image,
            "imageData": None,
            "imageHeight": canvas.height,
            "imageWidth": canvas.width,
        }
        write_json(target / f"{Path(canvas.image).stem}.json", content, indent=1)
    return tally.written(target)


FORMAT = Format(
    name="labelme",
    title="labelme",
    form="outlines",
    images="many",
    keeps=frozenset({"scores", "holes", "parts", "overlaps", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.suffix.lower() == ".json":
            yield path
    elif path.is_dir():
        yield from (file for file in sorted(path.glob("*.json")) if file.name not in _BESIDE)


def _content(file: Path) -> dict[str, Any]:
    content = read_json(file)
    lacking = [
        key
        for key, kind in _KEYS.items()
        if not isinstance(content, dict) or not isinstance(_whole(content.get(key)), kind)
    ]
    if lacking or not all(isinstance(each, dict) for each in content["shapes"]):
        raise UsageError(
            f"{file} has no {', '.join(lacking) or 'shapes'} as labelme writes them.",
            remedy="Open the image in labelme and save its labels again.",
        )
    return dict(content)


def _whole(value: Any) -> Any:
    """The value, 60 for 60.0: scripts that write labelme's files do not tell these apart."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _class_of(shape: dict[str, Any]) -> str:
    return str(shape.get("label") or "")


def _shapes_in(content: dict[str, Any], canvas: Canvas, file: Path) -> Iterator[Shape]:
    for number, each in enumerate(content["shapes"]):
        where, group, score = f"{file}, shape {number + 1}", _whole(each.get("group_id")), each.get("score")
        try:
            outline = _outline(each, canvas, where)
            known = float("nan") if score is None else float(score)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else error
            raise UsageError(f"{where}: {reason}.", remedy="Redraw it.") from None
        if outline is None:
            continue
        # Other programs group by names.
        key = (
            ("shape", number)
            if group is None
            else int(group)
            if str(group).isdecimal()
            else ("group", str(group))
        )
        yield Shape(key=key, class_name=_class_of(each), outline=outline, score=known)


def _outline(each: dict[str, Any], canvas: Canvas, where: str) -> shapely.Geometry | None:
    kind = each.get("shape_type", "polygon")
    points = corners(each["points"])
    if kind == "polygon" and len(points) >= 3:
        return shapely.Polygon(points)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    if kind == "circle" and len(points) == 2:
        return shapely.Point(points[0]).buffer(float(np.hypot(*(points[1] - points[0]))))
    if kind == "mask" and len(points) == 2:
        # The corner pixels are part of the mask.
        (x0, y0), _ = np.round(points).astype(int)
        try:
            with Image.open(io.BytesIO(base64.b64decode(each["mask"])), formats=["PNG"]) as picture:
                part = np.asarray(picture) > 0
        except OSError:
            raise ValueError("its mask is no PNG") from None
        whole = np.zeros(canvas.shape, np.bool_)
        ground = whole[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        if ground.shape != part.shape:
            raise ValueError(f"the mask of {part.shape[1]} x {part.shape[0]} pixels reaches beyond the image")
        ground[:] = part
        return mask_outline(whole)
    if kind in ("point", "points", "line", "linestrip") or len(points) < 3:
        return None  # no area
    raise UsageError(
        f"{where}: there is no way to read a {kind!r} of {len(points)} points.", remedy="Redraw it."
    )
