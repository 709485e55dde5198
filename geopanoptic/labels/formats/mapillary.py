"""Mapillary Vistas: ``config.json``, ``instances/NAME.png`` (uint16, class * 256 + number) and ``labels/NAME.png``.

A class id is the place of the label in ``config.json``; up to 256 objects of a class and image (Neuhold et al.,
ICCV 2017). The last label is "Unlabeled", which Vistas writes where nobody has said anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
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

CONFIG = "config.json"
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
        content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        return "labels" in content and next(image_files(path / "instances", "*.png"), None) is not None
    except (OSError, ValueError, TypeError):
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    config = path / CONFIG
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
            f"{config} does not list labels: {type(error).__name__} {error}.",
            remedy="Give the data set's folder.",
        ) from None
    numbers = code(names.index(_UNLABELLED) if _UNLABELLED in names else 255)

    def read_one(file: Path) -> RasterLabels:
        values = read_grey(file).astype(np.int64)
        canvas = Canvas(image=f"{file.stem}.jpg", height=values.shape[0], width=values.shape[1])
        return numbers.decode(values, taxonomy, canvas, file)

    files = list(image_files(path / "instances", "*.png"))
    return LabelSource(name=path.name, taxonomy=taxonomy, images=lambda: map(read_one, files))


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    for name in ("instances", "labels"):
        (target / name).mkdir(parents=True)

    def write_one(raster: RasterLabels, stem: str) -> None:
        unlabelled = max(each.id for each in raster.taxonomy.classes) + 1
        if unlabelled > 255:
            raise UsageError(
                f"The class ids go up to {unlabelled - 1}; Mapillary Vistas holds them up to 254.",
                remedy="Convert to classes with smaller ids first, with --taxonomy.",
            )
        values = code(unlabelled).encode(raster)
        write_png(target / "instances" / f"{stem}.png", values.astype(np.uint16))
        write_png(target / "labels" / f"{stem}.png", (values // 256).astype(np.uint8))

    images, objects, losses, taxonomy = write_images(labels, write_one)
    config = target / CONFIG
    config.write_text(json.dumps({"labels": _labels_of(taxonomy)}, indent=1) + "\n", encoding="utf-8")
    return Written(files=(config, target / "instances"), images=images, objects=objects, losses=losses)


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
