"""A GeoTIFF of object ids, and a CSV table beside it that says what the ids are.

``labels.tif`` holds int32 ids, 0 unlabelled; ``labels.csv`` has a row per id: ``object_id``, ``class_id``,
``class_name``, ``kind``, ``score`` and the attributes. A raster without a table is objects of one class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.tables import read_safe_csv, safe_csv, score_notes, with_columns
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels, as_raster, claim_losses
from geopanoptic.labels.sidecar import canvas_of_image
from geopanoptic.labels.taxonomy import (
    UNCLASSIFIED,
    LabelClass,
    Taxonomy,
    taxonomy_of_names,
    unclassified_notes,
    with_unclassified,
)

_INTEGERS = {"uint8", "int16", "uint16", "int32", "uint32", "int64"}


def recognises(path: Path) -> bool:
    """A GeoTIFF of one band of integers."""
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return False
    try:
        with rasterio.open(path, driver="GTiff") as file:
            return file.count == 1 and file.dtypes[0] in _INTEGERS
    except rasterio.errors.RasterioError:
        return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    canvas = canvas_of_image(path)
    with rasterio.open(path, driver="GTiff") as file:
        if file.count != 1 or file.dtypes[0] not in _INTEGERS:
            raise UsageError(
                f"{path} has {file.count} band(s) of {file.dtypes[0]}; labels are one band of integers.",
                remedy="Give the raster of object ids.",
            )
    stored = path.with_suffix(".csv")
    described = _read_table(stored) if stored.is_file() else None
    taxonomy = options.taxonomy or (
        _taxonomy_of(described, stored) if described is not None else taxonomy_of_names(["object"])
    )
    notes: tuple[str, ...] = ()
    if described is not None:
        names = described["class_name"].fillna("")
        notes = unclassified_notes(names, stored.name) + score_notes(described, stored.name)
        if not options.raw and (names == "").any():
            names, taxonomy = names.mask(names == "", UNCLASSIFIED), with_unclassified(taxonomy)
        described = described.assign(class_name=names)

    def images() -> Iterator[Labels]:
        ids_hw = _read_ids(path)
        present = np.unique(ids_hw)
        present = present[present > 0]
        if described is None:
            table = pd.DataFrame(
                {"object_id": present.astype(np.int64), "class_name": taxonomy.classes[0].name}
            )
        else:
            lacking = np.setdiff1d(present, described["object_id"])
            if len(lacking):
                raise UsageError(
                    f"{stored} says nothing of {len(lacking)} ids of {path.name}, first {lacking[0]}.",
                    remedy="Add rows for them, or remove the table.",
                )
            table = described[described["object_id"].isin(present)].drop(
                columns=["class_id", "kind"], errors="ignore"
            )
        yield RasterLabels(ids_hw=ids_hw, objects=with_columns(table), taxonomy=taxonomy, canvas=canvas)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=images, notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    images = list(labels)
    if len(images) != 1:
        raise UsageError(
            f"A raster holds the labels of one image, not of {len(images)}.",
            remedy="Convert to a format for many images, or give images that lie on one map.",
        )
    raster, claims = as_raster(images[0])
    _write_ids(raster, target)
    table = raster.objects.copy()
    of_class = {each.name: each for each in raster.taxonomy.classes}
    table.insert(1, "class_id", [of_class[name].id for name in table["class_name"]])
    table.insert(3, "kind", [of_class[name].kind for name in table["class_name"]])
    beside = target.with_suffix(".csv")
    safe_csv(table, beside)
    return Written(files=(target, beside), images=1, objects=len(table), losses=claim_losses(claims))


FORMAT = Format(
    name="raster",
    title="GeoTIFF of object ids with a CSV table",
    form="raster",
    images="one",
    keeps=frozenset({"scores", "stuff", "georeference", "holes", "parts", "attributes", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _read_ids(path: Path) -> np.ndarray:
    with rasterio.open(path, driver="GTiff") as file:
        values = file.read(1)
        nodata = file.nodata
    if nodata is not None:
        values = np.where(values == nodata, 0, values)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise UsageError(
            f"{path} holds ids from {low} to {high}; ids are 0 (unlabelled) to 2147483647.",
            remedy="Number the objects from 1.",
        )
    return values.astype(np.int32)


def _write_ids(raster: RasterLabels, target: Path) -> None:
    canvas: Canvas = raster.canvas
    with rasterio.open(
        target,
        "w",
        driver="GTiff",
        dtype="int32",
        count=1,
        height=canvas.height,
        width=canvas.width,
        crs=canvas.crs_wkt,
        transform=canvas.placed,
        nodata=0,
        tiled=True,
        compress="deflate",
        predictor=2,
        bigtiff="if_safer",
    ) as file:
        file.write(raster.ids_hw, 1)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = read_safe_csv(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as CSV: {error}.", remedy="Correct or remove it.") from None
    lacking = [name for name in ("object_id", "class_name") if name not in table]
    if lacking:
        raise UsageError(f"{path} has no column {', '.join(lacking)}.", remedy="Add it, or remove the table.")
    return table


def _taxonomy_of(table: pd.DataFrame, path: Path) -> Taxonomy:
    table = table[table["class_name"].notna()]
    names = table["class_name"]
    if not {"class_id", "kind"} <= set(table):
        return taxonomy_of_names(list(dict.fromkeys(names)))
    rows = table.drop_duplicates(["class_id", "class_name", "kind"])
    try:
        classes = tuple(
            LabelClass(id=row.class_id, name=row.class_name, kind=row.kind)
            for row in rows.sort_values("class_id").itertuples()
        )
        return Taxonomy(name="labels", classes=classes)
    except ValueError as error:
        raise UsageError(
            f"{path}: the classes contradict each other: {error}.", remedy="Correct it."
        ) from None
