"""The formats by name, and which of them a path is. A module is imported when its format is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format
from geopanoptic.labels.formats.json_files import parsed_once
from geopanoptic.wording import did_you_mean

MODULES = {
    "raster": "raster:FORMAT",
    "coco-panoptic": "coco_panoptic:FORMAT",
    "cityscapes": "cityscapes:FORMAT",
    "deeplab": "deeplab:FORMAT",
    "panoptic-fpn": "panoptic_fpn:FORMAT",
    "mapillary": "mapillary:FORMAT",
    "coco-instances": "coco_instances:FORMAT",
    "cvat": "cvat:FORMAT",
    "label-studio": "label_studio:FORMAT",
    "labelme": "labelme:FORMAT",
    "labelimg": "labelimg:FORMAT",
    "via": "via:FORMAT",
    "pastis": "pastis:FORMAT",
    "geoparquet": "fiboa:FORMAT",
    "gpkg": "vectors:GEOPACKAGE",
    "geojson": "vectors:GEOJSON",
}
"""Name of a format: module and value. In this order a path is tried; the first that recognises it is taken."""


_OF_SUFFIX = {
    ".gpkg": "gpkg",
    ".geojson": "geojson",
    ".parquet": "geoparquet",
    ".geoparquet": "geoparquet",
    ".tif": "raster",
    ".tiff": "raster",
}


def format_named(name: str) -> Format:
    """The format of a name. Raises ``UsageError`` with the nearest name."""
    if name not in MODULES:
        raise UsageError(
            f"There is no label format {name!r}.",
            remedy=did_you_mean(name, MODULES, f"Formats: {', '.join(MODULES)}."),
        )
    module, _, value = MODULES[name].partition(":")
    found = getattr(import_module(f"geopanoptic.labels.formats.{module}"), value)
    if not isinstance(found, Format):
        raise TypeError(f"{MODULES[name]} is no format")
    return found


def format_to_write(target: Path, name: str | None) -> Format:
    """The format of a name; without one, what the suffix of ``target`` says, of the formats of maps.

    Raises ``UsageError`` with the nearest name, or where no suffix says it.
    """
    if name is None and (name := _OF_SUFFIX.get(target.suffix.lower())) is None:
        raise UsageError(
            f"The name {target.name!r} does not say in which format labels shall be written.",
            remedy=f"Name the format: --to coco-panoptic. Formats: {', '.join(MODULES)}.",
        )
    return format_named(name)


def recognise(path: Path) -> Format:
    """The format of a file or folder, by its content.

    Raises ``UsageError`` where there is nothing, or nothing that any format recognises.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist.", remedy="Name a file or folder of labels.")
    with parsed_once():
        for name in MODULES:
            found = format_named(name)
            if found.recognises(path):
                return found
    raise UsageError(
        f"{path} is none of the label formats that are known by their content.",
        remedy="Name the file or folder of the labels themselves. labels convert and labels check can be told the "
        f"format with --from: {', '.join(MODULES)}.",
    )
