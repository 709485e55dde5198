"""Mapillary Vistas: a list of labels, and images of uint16 whose pixels are class * 256 + number.

``config_v1.2.json``, ``SPLIT/v1.2/instances/NAME.png`` and ``SPLIT/v1.2/labels/NAME.png``, beside
``SPLIT/images``; read too as version 2.0, and without a version (``config.json``, ``instances``). A class id is the
place of the label in the list; up to 256 objects of a class and image (Neuhold et al., ICCV 2017). The last label is
"Unlabeled", which Vistas writes where nobody has said anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.numbered import Code, image_files, write_images
from geopanoptic.labels.formats.pictures import read_grey, write_png
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy
from geopanoptic.wording import fault

VERSIONS = {"v1.2": "config_v1.2.json", "v2.0": "config_v2.0.json", "": "config.json"}
"""Folder of a version's images and name of its list of labels; the first is written."""

_SPLIT = "training"
_UNLABELLED = "Unlabeled"


def code(unlabelled_class: int) -> Code:
    """The code where ``unlabelled_class`` means that nobody has said anything."""
    return Code(
        title="Mapillary Vistas",
        divisor=256,
        bare_stuff=False,
        first=0,
        limit=256,
        largest_class=255,
        unlabelled=unlabelled_class * 256,
    )


def recognises(path: Path) -> bool:
    try:
        config, version = _config_of(path)
        content = json.loads(config.read_text(encoding="utf-8"))
        return "labels" in content and next(_images_of(path, version), None) is not None
    except (UsageError, OSError, ValueError, TypeError):
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    config, version = _config_of(path)
    try:
        labels: list[dict[str, Any]] = json.loads(config.read_text(encoding="utf-8"))["labels"]
        names = [str(each.get("readable") or each["name"]) for each in labels]
        classes = tuple(
            LabelClass(
                id=number,
                name=name,
                kind="thing" if each["instances"] else "stuff",
                colour="#{:02x}{:02x}{:02x}".format(*each["color"]),
            )
            for number, (name, each) in enumerate(zip(names, labels, strict=True))
            if name != _UNLABELLED
        )
        taxonomy = Taxonomy(name="mapillary", classes=classes)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise UsageError(
            f"{config} does not list labels: {fault(error)}.",
            remedy="Give the data set's folder.",
        ) from None
    numbers = code(names.index(_UNLABELLED) if _UNLABELLED in names else 255)

    def read_one(file: Path) -> RasterLabels:
        values = read_grey(file).astype(np.int64)
        canvas = Canvas(image=f"{file.stem}.jpg", height=values.shape[0], width=values.shape[1])
        return numbers.decode(values, taxonomy, canvas, file)

    files = list(_images_of(path, version))
    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, files))


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    version, listed = next(iter(VERSIONS.items()))
    instances, classes = (target / _SPLIT / version / name for name in ("instances", "labels"))
    for folder in (instances, classes):
        folder.mkdir(parents=True)

    def write_one(raster: RasterLabels, stem: str) -> None:
        unlabelled = max(each.id for each in raster.taxonomy.classes) + 1
        if unlabelled > 255:
            raise UsageError(
                f"The class ids go up to {unlabelled - 1}; Mapillary Vistas holds them up to 254.",
                remedy="Convert to classes with smaller ids first, with --taxonomy.",
            )
        values = code(unlabelled).encode(raster)
        write_png(instances / f"{stem}.png", values.astype(np.uint16))
        write_png(classes / f"{stem}.png", (values // 256).astype(np.uint8))

    images, objects, losses, taxonomy = write_images(labels, write_one)
    config = target / listed
    config.write_text(json.dumps({"labels": _labels_of(taxonomy)}, indent=1) + "\n", encoding="utf-8")
    return Written(files=(config, target / _SPLIT), images=images, objects=objects, losses=losses)


FORMAT = Format(
    name="mapillary",
    title="Mapillary Vistas",
    form="raster",
    images="many",
    keeps=frozenset({"stuff", "holes", "parts"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _config_of(path: Path) -> tuple[Path, str]:
    """The list of labels, and the version that it belongs to."""
    for version, name in VERSIONS.items():
        if (path / name).is_file():
            return path / name, version
    raise UsageError(
        f"{path} holds none of {', '.join(VERSIONS.values())}.", remedy="Give the data set's folder."
    )


def _images_of(path: Path, version: str) -> Iterator[Path]:
    for file in image_files(path, "*.png"):
        folder = file.parent
        above = folder.parent.name
        if folder.name == "instances" and (above == version or (not version and above not in VERSIONS)):
            yield file


def _labels_of(taxonomy: Taxonomy | None) -> list[dict[str, Any]]:
    """Labels in the order of class ids, gaps filled, "Unlabeled" last."""
    by_id = {each.id: each for each in taxonomy.classes} if taxonomy is not None else {}
    labels = []
    for number in range(max(by_id, default=-1) + 1):
        each = by_id.get(number)
        name = each.name if each is not None else f"unused {number}"
        labels.append(
            {
                "name": name.replace(" ", "-"),
                "readable": name,
                "instances": each is not None and each.kind == "thing",
                "evaluate": each is not None,
                "color": list(each.rgb) if each is not None else [0, 0, 0],
            }
        )
    unlabelled = {"name": "void--unlabeled", "readable": _UNLABELLED, "instances": False, "evaluate": False}
    return [*labels, {**unlabelled, "color": [0, 0, 0]}]
