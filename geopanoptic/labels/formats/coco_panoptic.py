"""COCO panoptic: a JSON file and a folder of PNG files whose colour is a segment's id (Kirillov et al., CVPR 2019).

``DIR/panoptic.json`` beside ``DIR/panoptic/``; id = R + 256 G + 65536 B, unique per image, 0 unlabelled. Every id
of a PNG is in the JSON and the reverse. Scores go into ``segments_info`` as the results format has them, the id
of the object that a segment is a piece of as ``source_id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json, write_items
from geopanoptic.labels.formats.pictures import read_rgb, write_png
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels, as_raster, claim_losses
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy
from geopanoptic.labels.tiles import SOURCE_ID
from geopanoptic.wording import fault

ANNOTATIONS = "panoptic.json"
LARGEST_ID = 2**24 - 1

_OWN_KEYS = {"id", "category_id", "area", "bbox", "iscrowd", "score"}


def recognises(path: Path) -> bool:
    """A JSON file whose annotations have ``segments_info``, or a folder with one."""
    try:
        annotations = read_json(_annotations_of(path))["annotations"]
        return bool(annotations) and "segments_info" in annotations[0]
    except (UsageError, OSError, KeyError, TypeError, IndexError, AttributeError):
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    return read_split(_annotations_of(path), None, options)


def read_split(file: Path, masks: Path | None, options: ReadOptions) -> LabelSource:
    """The labels of one JSON file, whose PNG files lie in ``masks`` (None: in one of the usual places)."""
    content = read_json(file)
    try:
        taxonomy = taxonomy_of_categories(content["categories"])
        images = {each["id"]: each for each in content["images"]}
        annotations = [(images[each["image_id"]], each) for each in content["annotations"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{file} is no COCO panoptic file: {fault(error)}.",
            remedy="It needs images, annotations with segments_info, and categories.",
        ) from None
    names = {each.id: each.name for each in taxonomy.classes}
    folder = masks or _masks_of(file, annotations)
    return LabelSource(
        name=file.parent.name,
        taxonomy=taxonomy,
        images=lambda: (_read_image(folder, image, each, names, taxonomy) for image, each in annotations),
    )


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    target.mkdir(parents=True)
    return write_split(labels, target / ANNOTATIONS, target / "panoptic")


def write_split(labels: Iterable[Labels], file: Path, masks: Path) -> Written:
    """Write the JSON ``file`` and the folder ``masks``."""
    masks.mkdir()
    images: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    claims = objects = 0

    def annotations() -> Iterator[dict[str, Any]]:
        nonlocal claims, objects
        for number, each in enumerate(labels, 1):
            raster, twice = as_raster(each)
            canvas = raster.canvas
            ids_hw, table = _numbered(raster)
            name = f"{Path(canvas.image).stem}.png"
            write_png(masks / name, _colours(ids_hw))
            images.append(
                {"id": number, "file_name": canvas.image, "height": canvas.height, "width": canvas.width}
            )
            categories[:] = categories_of(raster.taxonomy)
            segments = _segments(ids_hw, table, raster.taxonomy)
            claims, objects = claims + twice, objects + len(segments)
            yield {"image_id": number, "file_name": name, "segments_info": segments}

    def rest() -> dict[str, Any]:
        return {"info": {}, "licenses": [], "images": images, "categories": categories}

    write_items(file, annotations(), key="annotations", rest=rest)
    return Written(files=(file, masks), images=len(images), objects=objects, losses=claim_losses(claims))


FORMAT = Format(
    name="coco-panoptic",
    title="COCO panoptic: PNG files and JSON",
    form="raster",
    images="many",
    keeps=frozenset({"scores", "stuff", "holes", "parts", "attributes"}),
    recognises=recognises,
    read=read,
    write=write,
)


def categories_of(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Classes as COCO's categories."""
    return [
        {
            "id": each.id,
            "name": each.name,
            "supercategory": each.parent or each.name,
            "isthing": int(each.kind == "thing"),
            "color": list(each.rgb),
        }
        for each in taxonomy.classes
    ]


def taxonomy_of_categories(categories: list[dict[str, Any]], *, name: str = "coco") -> Taxonomy:
    """COCO's categories as classes; without ``isthing`` they are things. Raises ValueError, KeyError, TypeError."""
    names = {each["name"] for each in categories}
    classes = []
    for each in categories:
        parent = each.get("supercategory")
        colour = each.get("color")
        classes.append(
            LabelClass(
                id=each["id"],
                name=each["name"],
                kind="thing" if each.get("isthing", 1) else "stuff",
                colour="" if colour is None else "#{:02x}{:02x}{:02x}".format(*colour),
                parent=parent if parent in names and parent != each["name"] else None,
            )
        )
    return Taxonomy(name=name, classes=tuple(classes))


def _read_image(
    folder: Path, image: dict[str, Any], annotation: dict[str, Any], names: dict[int, str], taxonomy: Taxonomy
) -> RasterLabels:
    path = folder / Path(annotation["file_name"]).name
    rgb = read_rgb(path).astype(np.int32)
    ids_hw = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
    segments = {each["id"]: each for each in annotation["segments_info"]}
    drawn = set(np.unique(ids_hw).tolist()) - {0}
    for what, odd in (
        ("drawn but not described", drawn - segments.keys()),
        ("described but not drawn", segments.keys() - drawn),
    ):
        if odd:
            raise UsageError(
                f"{path}: {len(odd)} segments are {what}, first id {min(odd)}.",
                remedy="PNG and JSON must come from the same export.",
            )
    if ids_hw.shape != (image["height"], image["width"]):
        raise UsageError(
            f"{path} has {ids_hw.shape[0]} x {ids_hw.shape[1]} pixels, its image {image['height']} x {image['width']}.",
            remedy="PNG and JSON must come from the same export.",
        )
    rows = [
        {
            "object_id": number,
            "class_name": names[each["category_id"]],
            "score": each.get("score", np.nan),
            **({"iscrowd": True} if each.get("iscrowd") else {}),
            **{key: value for key, value in each.items() if key not in _OWN_KEYS},
        }
        for number, each in segments.items()
    ]
    table = pd.DataFrame(rows) if rows else pd.DataFrame({"object_id": [], "class_name": []})
    canvas = Canvas(image=image["file_name"], height=image["height"], width=image["width"])
    return RasterLabels(ids_hw=ids_hw, objects=with_columns(table), taxonomy=taxonomy, canvas=canvas)


def _numbered(raster: RasterLabels) -> tuple[NDArray[np.int32], pd.DataFrame]:
    """Ids as they are, where they fit 24 bits, else from 1 with the old ones as ``source_id``."""
    ids = raster.objects["object_id"].to_numpy()
    if len(ids) == 0 or ids.max() <= LARGEST_ID:
        return raster.ids_hw, raster.objects
    if len(ids) > LARGEST_ID:
        raise UsageError(
            f"{raster.canvas.image} has {len(ids):,} segments; the format numbers {LARGEST_ID:,} per image.",
            remedy="Cut the scene into images with --tile.",
        )
    order = np.sort(ids)
    ids_hw = np.where(raster.ids_hw > 0, np.searchsorted(order, raster.ids_hw) + 1, 0).astype(np.int32)
    table = raster.objects.assign(**{SOURCE_ID: ids, "object_id": np.searchsorted(order, ids) + 1})
    return ids_hw, table


def _segments(ids_hw: NDArray[np.int32], table: pd.DataFrame, taxonomy: Taxonomy) -> list[dict[str, Any]]:
    from scipy import ndimage

    ids = table["object_id"].to_numpy()
    order = np.argsort(ids)
    dense = np.where(ids_hw > 0, np.searchsorted(ids[order], ids_hw) + 1, 0)
    places = ndimage.find_objects(dense, max_label=len(ids))
    areas = np.bincount(dense.ravel(), minlength=len(ids) + 1)[1:]
    attributes = [name for name in table if name not in ("object_id", "class_name", "score", "iscrowd")]
    told = table.iloc[order]
    given = told[attributes].notna().to_numpy()
    class_ids = {each.name: each.id for each in taxonomy.classes}
    segments = []
    for rank, (entry, area) in enumerate(zip(told.to_dict("records"), areas.tolist(), strict=True)):
        rows, cols = places[rank]
        segment: dict[str, Any] = {
            "id": entry["object_id"],
            "category_id": class_ids[entry["class_name"]],
            "area": area,
            "bbox": [cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start],
            "iscrowd": int(entry.get("iscrowd", False) is True),
        }
        if not np.isnan(entry["score"]):
            segment["score"] = entry["score"]
        segment |= {name: entry[name] for name, there in zip(attributes, given[rank], strict=True) if there}
        segments.append(segment)
    return segments


def _colours(ids_hw: NDArray[np.int32]) -> NDArray[np.uint8]:
    return np.stack([ids_hw & 255, ids_hw >> 8 & 255, ids_hw >> 16 & 255], axis=-1).astype(np.uint8)


def _annotations_of(path: Path) -> Path:
    return path / ANNOTATIONS if path.is_dir() else path


def _masks_of(file: Path, annotations: list[tuple[dict[str, Any], dict[str, Any]]]) -> Path:
    """The folder of the PNG files: named as the JSON file, ``panoptic``, or the file's own."""
    candidates = (file.with_suffix(""), file.parent / "panoptic", file.parent)
    wanted = annotations[0][1]["file_name"] if annotations else ""
    for folder in candidates:
        if (folder / Path(wanted).name).is_file():
            return folder
    if not annotations:
        return file.parent
    raise UsageError(
        f"{wanted} of {file} is in none of {', '.join(str(each) for each in candidates)}.",
        remedy="Put the folder of PNG files beside the JSON file.",
    )
