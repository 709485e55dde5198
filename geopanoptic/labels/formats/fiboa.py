"""Field boundaries for agriculture (fiboa 0.3 on Vecorel 0.1): GeoParquet, and GeoJSON where somebody wrote that.

Written are ``id``, ``collection``, ``bbox``, ``metrics:area`` (m2) and ``metrics:perimeter`` (m) of the outlines as
they are in the file, and ``determination:method`` where it is known; beside them the columns of labels. The classes
stand in the Parquet metadata as ``geopanoptic:classes``. GeoParquet that is no fiboa is read too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import shapely
from pydantic import ValidationError

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats import fiboa_rules as rules
from geopanoptic.labels.formats.features import labels_of_layers, one_map, with_classes
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json
from geopanoptic.labels.objects import Labels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy
from geopanoptic.products.geoparquet import (
    AREA,
    BY_IMAGE,
    CLASSES,
    COLLECTION,
    DATETIME,
    FIBOA,
    GEO,
    LARGEST,
    METHOD,
    PERIMETER,
    ROWS,
    VECOREL,
    boxes,
    collection_name,
    geo_metadata,
    within,
)
from geopanoptic.products.measures import measure
from geopanoptic.wording import fault

_FOLLOWS = ["bbox", AREA, PERIMETER, "geometry_bbox"]
"""What the outlines say themselves, and better after they were cut or moved."""
_CLASS_COLUMNS = ("class_name", "crop:name", "crop:code")


def recognises(path: Path) -> bool:
    """GeoParquet, or GeoJSON with ``schemas``."""
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet") and path.is_file():
            return GEO.encode() in (pa.parquet.read_schema(path).metadata or {})
        if path.suffix.lower() in (".json", ".geojson") and path.is_file():
            content = read_json(path)
            return content["type"] in ("Feature", "FeatureCollection") and "schemas" in content
    except (UsageError, pa.ArrowException, OSError, KeyError, TypeError):
        pass
    return False


def read(path: Path, options: ReadOptions) -> LabelSource:
    """Raises ``UsageError`` for files that call themselves fiboa and break its rules, naming the first faults."""
    stored = _from_json(path) if path.suffix.lower() in (".json", ".geojson") else _from_parquet(path)
    fields = stored.fields
    if stored.common is not None:
        wrong = list(islice(rules.faults(fields, stored.common), 4))
        if wrong:
            more = "; and more" if len(wrong) > 3 else ""
            raise UsageError(
                f"{path} breaks the rules of fiboa 0.3: {'; '.join(wrong[:3])}{more}.",
                remedy="Correct the file, or read it as plain GeoJSON: labels convert --from geojson.",
            )
        told = {name: value for name, value in stored.common.items() if isinstance(value, (str, int, float))}
        fields = fields.assign(**told)
    column = options.class_column or next((name for name in _CLASS_COLUMNS if name in fields), "class_name")
    if column != "class_name" and options.class_column is None:
        fields = fields.assign(class_name=fields[column])
    fields = fields.drop(columns=[name for name in _FOLLOWS if name in fields])
    found = labels_of_layers(path, {path.stem: fields}, options, stored=stored.classes)
    return found if not stored.note else LabelSource(
        name=found.name, taxonomy=found.taxonomy, images=found.images, notes=(*found.notes, stored.note)
    )  # fmt: skip


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    found = one_map(labels)
    frame = with_classes(found.objects, found.taxonomy)
    metadata: dict[str, str] = {
        GEO: json.dumps(_geo_metadata(frame)),
        CLASSES: json.dumps([each.model_dump() for each in found.taxonomy.classes]),
    }
    losses: tuple[str, ...] = ()
    if frame.crs is None:
        losses = ("labels in pixels are no fields of fiboa: this is GeoParquet without its columns",)
    else:
        frame, losses = _renamed(frame)
        frame = _fields(frame, collection_name(target.stem))
        schemas = {name: [VECOREL, FIBOA] for name in sorted(set(frame["collection"]))}
        metadata[COLLECTION] = json.dumps({"schemas": schemas})
    table = _arrow(frame).replace_schema_metadata(metadata)
    with pa.parquet.ParquetWriter(target, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=ROWS)
    return Written(files=(target,), images=1, objects=len(frame), losses=losses)


FORMAT = Format(
    name="geoparquet",
    title="GeoParquet (fiboa)",
    form="outlines",
    images="none",
    keeps=frozenset({"scores", "stuff", "georeference", "holes", "parts", "attributes", "overlaps", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """Features of a file; ``common`` is what fiboa says of all of them, None in a file that is no fiboa."""

    fields: geopandas.GeoDataFrame
    common: Mapping[str, Any] | None
    classes: Taxonomy | None = None
    note: str = ""


def _from_parquet(path: Path) -> _Stored:
    try:
        stored = pa.parquet.read_schema(path).metadata or {}
        metadata = {key.decode(): value for key, value in stored.items()}
        fields = geopandas.read_parquet(path)
        if fields.geometry.name != "geometry":
            fields = fields.rename_geometry("geometry")
        common = json.loads(metadata[COLLECTION]) if COLLECTION in metadata else None
        classes = _classes(metadata[CLASSES]) if CLASSES in metadata else None
        older = json.loads(metadata.get("fiboa", b"{}")).get("fiboa_version")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UsageError(
            f"{path} cannot be read as GeoParquet: {error}.", remedy="Export it again."
        ) from None
    note = f"{path.name} is of fiboa {older}: read as plain GeoParquet" if older and common is None else ""
    return _Stored(fields=fields, common=common, classes=classes, note=note)


def _from_json(path: Path) -> _Stored:
    content = read_json(path)
    try:
        features = content["features"] if content["type"] == "FeatureCollection" else [content]
        common = {key: content[key] for key in content if key not in ("type", "features", "bbox")}
        if content["type"] == "Feature":
            common = {"schemas": content["schemas"]}
        rows = [{"id": each.get("id"), **(each.get("properties") or {})} for each in features]
        outlines = [
            None if each.get("geometry") is None else shapely.from_geojson(json.dumps(each["geometry"]))
            for each in features
        ]
    except (KeyError, TypeError, AttributeError, shapely.errors.GEOSException) as error:
        raise UsageError(
            f"{path} is no GeoJSON of fiboa: {fault(error)}.",
            remedy="It needs type, schemas and features.",
        ) from None
    fields = geopandas.GeoDataFrame(
        pd.DataFrame(rows, dtype=object).infer_objects(), geometry=outlines, crs="OGC:CRS84"
    )
    return _Stored(fields=fields, common=common)


def _classes(stored: bytes) -> Taxonomy | None:
    try:
        return Taxonomy(name="labels", classes=tuple(LabelClass(**each) for each in json.loads(stored)))
    except (ValidationError, TypeError):
        return None  # a later version's


def _renamed(frame: geopandas.GeoDataFrame) -> tuple[geopandas.GeoDataFrame, tuple[str, ...]]:
    """Without columns to which fiboa gives another meaning: those are called otherwise."""
    rows = [str(row) for row in range(len(frame))]
    own = [name for name in (METHOD, DATETIME, "category") if name in frame]
    odd = [name for name in own if any(rules.property_faults(frame[[name]], rows))]
    losses = tuple(f"column {name} is not what fiboa means by it, and is called label_{name}" for name in odd)
    return frame.rename(columns={name: f"label_{name}" for name in odd}), losses


def _fields(frame: geopandas.GeoDataFrame, collection: str) -> geopandas.GeoDataFrame:
    """The columns of fiboa, before those of labels."""
    outlines = np.asarray(frame.geometry.array)
    measures = measure(outlines, frame.crs)
    own = (
        frame["id"].astype(str)
        if "id" in frame and _names_all(frame["id"])
        else frame["object_id"].astype(str)
    )
    columns: dict[str, Any] = {
        "id": own,
        "collection": frame["collection"]
        if "collection" in frame and _names_all(frame["collection"], unique=False)
        else collection,
        METHOD: frame["score"].notna().map({True: BY_IMAGE, False: None}),
        AREA: within(measures.area_m2, LARGEST[AREA]),
        PERIMETER: within(measures.perimeter_m, LARGEST[PERIMETER]),
    }
    if METHOD in frame:
        columns[METHOD] = frame[METHOD].where(frame[METHOD].notna(), columns[METHOD])
    if DATETIME in frame:
        times = pd.to_datetime(frame[DATETIME], utc=True, format="ISO8601")
        columns[DATETIME] = times.dt.as_unit("ms")
    rest = [name for name in frame if name not in columns and name != "bbox"]
    return frame.assign(**columns)[[*columns, *rest]]


def _names_all(values: pd.Series, *, unique: bool = True) -> bool:
    return all(isinstance(each, str) and each for each in values) and (not unique or values.is_unique)


def _arrow(frame: geopandas.GeoDataFrame) -> pa.Table:
    """The table as Parquet stores it, columns without any value left out."""
    outlines = np.asarray(frame.geometry.array)
    names: list[pa.Field] = []
    arrays: list[pa.Array] = []
    for name in frame.columns.drop(frame.geometry.name):
        array = _array(frame[name])
        if array.null_count < len(array) or name == "object_id":
            names.append(pa.field(name, array.type, nullable=name not in ("id", "collection")))
            arrays.append(array)
    box = boxes(outlines)
    names += [pa.field("bbox", box.type), pa.field("geometry", pa.binary(), nullable=False)]
    arrays += [box, pa.array(shapely.to_wkb(outlines), pa.binary())]
    return pa.Table.from_arrays(arrays, schema=pa.schema(names))


def _array(values: pd.Series) -> pa.Array:
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Attributes of several tools or images under one name.
        array = pa.array(
            [None if each is None or each != each else str(each) for each in values], pa.string()
        )
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _geo_metadata(frame: geopandas.GeoDataFrame) -> dict[str, Any]:
    geo = geo_metadata(frame.crs, set(frame.geometry.geom_type))
    if len(frame):
        geo["columns"]["geometry"]["bbox"] = frame.total_bounds.tolist()
    return geo
