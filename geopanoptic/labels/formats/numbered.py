"""Images in which a pixel's number is its class and its object's number within the class and image.

Cityscapes, DeepLab and Mapillary Vistas differ in the divisor, in where they keep a class without objects, and in
the file. Objects of a stuff class are one area per image here. Neither ids nor scores have a place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels, as_raster, claim_losses
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy
from geopanoptic.wording import fault

CLASSES = "classes.json"

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """``value = class * divisor + number``; a stuff area is ``class`` alone, or has number 0 (``bare_stuff``).

    ``first`` is the number of a class's first object, ``limit`` how many it may have, ``largest_class`` the
    largest class id that fits the file. ``unlabelled`` is the value where nobody has said anything.
    """

    title: str
    divisor: int
    bare_stuff: bool
    first: int
    limit: int
    largest_class: int
    unlabelled: int

    def encode(self, raster: RasterLabels) -> Numbers:
        """The values (h, w). Raises ``UsageError`` for too many objects of a class and class ids that do not fit."""
        kinds = {each.name: each for each in raster.taxonomy.classes}
        ids = raster.objects["object_id"].to_numpy()
        order = np.argsort(ids, kind="stable")
        value_of = np.zeros(len(ids), np.int64)
        used: dict[str, int] = {}
        for place in order.tolist():
            each = kinds[raster.objects["class_name"].iloc[place]]
            if each.id > self.largest_class:
                raise UsageError(
                    f"Class {each.name!r} has the id {each.id}; {self.title} holds ids up to {self.largest_class}.",
                    remedy="Convert to classes with smaller ids first, with --taxonomy.",
                )
            if each.kind == "stuff":
                value_of[place] = each.id if self.bare_stuff else each.id * self.divisor
                continue
            number = used.get(each.name, 0)
            used[each.name] = number + 1
            if number >= self.limit:
                raise UsageError(
                    f"{raster.canvas.image} has more than {self.limit:,} objects of class {each.name!r}, the most "
                    f"that {self.title} can number in one image.",
                    remedy="Cut the scene into smaller images with --tile.",
                )
            value_of[place] = each.id * self.divisor + self.first + number
        values = np.full(raster.ids_hw.shape, self.unlabelled, np.int64)
        inside = raster.ids_hw > 0
        values[inside] = value_of[order][np.searchsorted(ids[order], raster.ids_hw[inside])]
        return values

    def decode(self, values_hw: Numbers, taxonomy: Taxonomy, canvas: Canvas, path: Path) -> RasterLabels:
        """Objects numbered from 1. Raises ``UsageError`` for class ids that the taxonomy does not have."""
        values, places = np.unique(values_hw, return_inverse=True)
        by_id = {each.id: each for each in taxonomy.classes}
        numbers = np.zeros(len(values), np.int32)
        rows: list[dict[str, object]] = []
        for place, value in enumerate(values.tolist()):
            if value == self.unlabelled:
                continue
            bare = self.bare_stuff and value < self.divisor
            class_id = value if bare else value // self.divisor
            if class_id not in by_id:
                raise UsageError(
                    f"{path} holds class {class_id}, which the classes do not have: {', '.join(map(str, by_id))}.",
                    remedy=f"Give the classes with --taxonomy, or {CLASSES} in the folder.",
                )
            # A thing class without a number marks a group that nobody told apart.
            crowd = by_id[class_id].kind == "thing" and bare
            numbers[place] = len(rows) + 1
            rows.append(
                {"object_id": len(rows) + 1, "class_name": by_id[class_id].name}
                | ({"iscrowd": True} if crowd else {})
            )
        table = pd.DataFrame(rows) if rows else pd.DataFrame({"object_id": [], "class_name": []})
        return RasterLabels(
            ids_hw=numbers[places].reshape(values_hw.shape),
            objects=with_columns(table),
            taxonomy=taxonomy,
            canvas=canvas,
        )


def write_images(
    labels: Iterable[Labels],
    write_one: Callable[[RasterLabels, str], None],
    *,
    classes: Path | None = None,
    extra: dict[str, object] | None = None,
) -> tuple[int, int, tuple[str, ...], Taxonomy | None]:
    """Hand every image, drawn, to ``write_one`` with the stem of its name, and write its classes to ``classes``.

    Returns the numbers of images and of objects, what was lost, and the classes.
    """
    images = objects = claims = 0
    taxonomy: Taxonomy | None = None
    stems: set[str] = set()
    for each in labels:
        raster, twice = as_raster(each)
        stem = Path(raster.canvas.image).stem
        if stem in stems:
            raise UsageError(
                f"Two images are called {stem}.", remedy="Rename one: the format tells images apart by name."
            )
        stems.add(stem)
        write_one(raster, stem)
        taxonomy = raster.taxonomy
        images, objects, claims = images + 1, objects + len(raster.objects), claims + twice
    if classes is not None and taxonomy is not None:
        write_classes(classes, taxonomy, **(extra or {}))
    return images, objects, claim_losses(claims), taxonomy


def write_classes(path: Path, taxonomy: Taxonomy, **extra: object) -> None:
    """Write the classes as JSON, with what else a reader must know."""
    content = {"classes": [each.model_dump() for each in taxonomy.classes], **extra}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_classes(
    path: Path, given: Taxonomy | None, *, default: Taxonomy | None = None
) -> tuple[Taxonomy, dict[str, object]]:
    """The classes that the user gave, those in the file, or the format's own; and what else the file says.

    Raises ``UsageError`` where there are none, or the file is damaged.
    """
    content: dict[str, object] = {}
    stored = None
    if path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = content.pop("classes")
            stored = Taxonomy(name="labels", classes=tuple(LabelClass(**each) for each in rows))  # type: ignore[attr-defined]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise UsageError(
                f"{path} does not hold classes: {fault(error)}.", remedy="Correct or remove it."
            ) from None
    taxonomy = given or stored or default
    if taxonomy is None:
        raise UsageError(
            f"What the class numbers in {path.parent} mean is written nowhere.",
            remedy="Give the classes with --taxonomy.",
        )
    return taxonomy, content


def image_files(folder: Path, pattern: str) -> Iterator[Path]:
    """The files of a data set below a folder, in the order of their names."""
    yield from sorted(folder.rglob(pattern))
