"""GeoParquet 1.1 of parcels that follows fiboa 0.3 (field boundaries for agriculture) on Vecorel 0.1.

Sources: https://geoparquet.org/releases/v1.1.0, https://fiboa.org/specification/v0.3.0 and
https://vecorel.org/specification/v0.1.0 (2025). Vecorel keeps what holds for the whole file in the Parquet
metadata ``collection``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pyproj
import shapely
from numpy.typing import ArrayLike, NDArray
from pyarrow.parquet import ParquetWriter

from geopanoptic.products.classes import MapClass
from geopanoptic.products.layers import PARCELS
from geopanoptic.products.rows import GEOMETRY, crs_of_rows
from geopanoptic.products.writing import damaged, writing

SUFFIX = ".parquet"
MEDIA_TYPE = "application/vnd.apache.parquet"

VECOREL = "https://vecorel.org/specification/v0.1.0/schema.yaml"
FIBOA = "https://fiboa.org/specification/v0.3.0/schema.yaml"

AREA, PERIMETER = "metrics:area", "metrics:perimeter"
METHOD, DATETIME = "determination:method", "determination:datetime"
LARGEST = {AREA: 1e9, PERIMETER: 1.25e9}
"""Square metres and metres."""
BY_IMAGE = "auto-imagery"
"""The ``METHOD`` of what a model drew."""

GEO, COLLECTION, CLASSES, RUN = "geo", "collection", "geopanoptic:classes", "geopanoptic:run"
"""Keys of the Parquet metadata; fiboa has no place for classes, nor for what made the parcels."""

ROWS = 65_536
"""Of a row group, which readers can pass over by its boxes."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def passing_parcels(
    path: Path,
    batches: Iterable[pyarrow.RecordBatch],
    *,
    collection: str,
    classes: Sequence[MapClass],
    metadata: Mapping[str, Any],
    observed: datetime | None,
) -> Iterator[pyarrow.RecordBatch]:
    """The same batches of ``PARCELS``, at least one, stored at ``path`` as they pass: the file is whole after the last one.

    Its columns are ``id``, ``collection`` (the name given, made plain), ``determination:method``,
    ``determination:datetime`` where ``observed`` (aware: when the fields were last seen) is known, ``metrics:area`` (m2),
    ``metrics:perimeter`` (m), those of the layer, ``bbox`` and ``geometry``. ``metadata``, as the GeoPackage has it, stands under
    ``geopanoptic:run``. No more than a row group is held. Equal arguments in equal batches give equal bytes. Raises OutputError
    where the disk refuses.
    """
    batches = iter(batches)
    first = next(batches)
    name = collection_name(collection)
    told = {
        GEO: geo_metadata(pyproj.CRS.from_wkt(crs_of_rows(first.schema)), {PARCELS.geometry}),
        COLLECTION: {"schemas": {name: [VECOREL, FIBOA]}},
        CLASSES: [{key: getattr(each, key) for key in ("id", "name", "kind", "colour")} for each in classes],
        RUN: {key: each for key, each in metadata.items() if each is not None},
    }
    schema = _fields(first, name, observed).schema.with_metadata(
        {key: json.dumps(each, ensure_ascii=False, default=str) for key, each in told.items()}
    )
    # Opened here: Arrow takes no name that is not in UTF-8.
    with (
        writing(path),
        path.open("wb") as file,
        ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        held: list[pyarrow.RecordBatch] = []
        for batch in chain([first], batches):
            held.append(_fields(batch, name, observed))
            if sum(map(len, held)) >= ROWS:
                writer.write_table(pyarrow.Table.from_batches(held, schema))
                held.clear()
            yield batch
        if held:
            writer.write_table(pyarrow.Table.from_batches(held, schema))


def verify_geoparquet(path: Path, *, parcels: int) -> None:
    """Reads a file of :func:`passing_parcels` back; raises OutputError unless it is whole and holds so many ``parcels``."""
    with writing(path):
        try:
            with (
                path.open("rb") as file,
                pyarrow.parquet.ParquetFile(file, page_checksum_verification=True) as stored,
            ):
                found = sum(map(len, stored.iter_batches(ROWS)))
        except pyarrow.ArrowException as failure:
            raise damaged(path, str(failure)) from failure
    if found != parcels:
        raise damaged(path, f"{found} of {parcels} features")


def told_of_run(path: Path) -> dict[str, Any]:
    """What a file of :func:`passing_parcels` says of the run that made it; nothing of any other file."""
    try:
        with path.open("rb") as file:
            stored = pyarrow.parquet.read_schema(file).metadata or {}
        told = json.loads(stored.get(RUN.encode(), b"{}"))
    except (OSError, ValueError, pyarrow.ArrowException):
        return {}
    return told if isinstance(told, dict) else {}


def collection_name(name: str) -> str:
    """As Vecorel allows it: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "fields"


def geo_metadata(crs: pyproj.CRS | None, geometry_types: Iterable[str]) -> dict[str, Any]:
    """GeoParquet's metadata of a file with the columns ``geometry`` (WKB) and ``bbox``; no ``crs``: of unknown place."""
    column = {
        "encoding": "WKB",
        "geometry_types": sorted(geometry_types),
        "crs": None if crs is None else crs.to_json_dict(),
        "covering": {"bbox": {corner: ["bbox", corner] for corner in _CORNERS}},
    }
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def boxes(geometries: NDArray[np.object_]) -> pyarrow.StructArray:
    """The column ``bbox``."""
    bounds = shapely.bounds(geometries).reshape(-1, 4)
    return pyarrow.StructArray.from_arrays([pyarrow.array(each) for each in bounds.T], list(_CORNERS))


def within(measured: ArrayLike, largest: float) -> NDArray[np.float32]:
    """Float32 as the schema has it; NaN, written as null, where fiboa has no place for the figure."""
    figures = np.asarray(measured, np.float64)
    return np.where((figures > 0) & (figures <= largest), figures, np.nan).astype(np.float32)


def _fields(batch: pyarrow.RecordBatch, collection: str, observed: datetime | None) -> pyarrow.RecordBatch:
    """The rows as they are stored."""
    n = len(batch)
    columns: dict[str, pyarrow.Array] = {
        "id": batch.column("parcel_id").cast(pyarrow.string()),
        "collection": pyarrow.repeat(collection, n),
        METHOD: pyarrow.repeat(BY_IMAGE, n),
    }
    if observed is not None:
        columns[DATETIME] = pyarrow.repeat(pyarrow.scalar(observed, pyarrow.timestamp("ms", "UTC")), n)
    for name, column in ((AREA, "area_m2"), (PERIMETER, "perimeter_m")):
        columns[name] = pyarrow.array(within(batch.column(column), LARGEST[name]), from_pandas=True)
    columns |= {name: batch.column(name) for name in PARCELS.columns}
    wkb = batch.column(GEOMETRY)
    columns["bbox"] = boxes(shapely.from_wkb(wkb.to_numpy(zero_copy_only=False)))
    columns[GEOMETRY] = wkb.cast(pyarrow.binary())
    needed = {"id", "collection", GEOMETRY}
    return pyarrow.record_batch(
        list(columns.values()),
        schema=pyarrow.schema(
            [pyarrow.field(name, each.type, nullable=name not in needed) for name, each in columns.items()]
        ),
    )
