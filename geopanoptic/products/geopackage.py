"""The GeoPackage: two styled layers, what made them, and the same bytes every time.

GDAL stamps its tables with the clock unless ``OGR_CURRENT_DATE`` is set, so that is pinned while a file is
written. It builds large spatial indexes in a thread of its own, to the same bytes. The QGIS style table is laid
out as QGIS itself creates it (``layer_styles``, registered in ``gpkg_contents`` as ``attributes``).
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import geopandas
import pyarrow
import pyogrio

from geopanoptic.products import style
from geopanoptic.products.classes import MapClass, of_kind
from geopanoptic.products.layers import LANDCOVER, PARCELS, Layer
from geopanoptic.products.literal import literally
from geopanoptic.products.rows import GEOMETRY, crs_of_rows, rows_of_table
from geopanoptic.products.writing import damaged, writing

GEOMETRY_COLUMN = "geom"

_CLOCK = "OGR_CURRENT_DATE"

UNDATED = datetime(2000, 1, 1, tzinfo=UTC)
"""What an output says of when, where its inputs state no date: equal inputs give equal bytes."""

Rows: TypeAlias = geopandas.GeoDataFrame | Iterable[pyarrow.RecordBatch]

_STYLE_TABLE = """
CREATE TABLE "layer_styles" (
  "id" INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  "f_table_catalog" TEXT(256),
  "f_table_schema" TEXT(256),
  "f_table_name" TEXT(256),
  "f_geometry_column" TEXT(256),
  "styleName" TEXT(30),
  "styleQML" TEXT,
  "styleSLD" TEXT,
  "useAsDefault" BOOLEAN,
  "description" TEXT,
  "owner" TEXT(30),
  "ui" TEXT(30),
  "update_time" DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
)"""


def write_geopackage(
    path: Path,
    *,
    parcels: Rows,
    landcover: Rows,
    classes: Sequence[MapClass],
    metadata: Mapping[str, Any],
    timestamp: datetime,
) -> None:
    """Writes both layers, their QGIS styles and ``metadata`` to a new file at ``path``.

    ``parcels`` and ``landcover`` have the columns of :data:`~geopanoptic.products.layers.PARCELS` and
    ``LANDCOVER``, valid Polygons, and a CRS; either may be empty. Either may come in batches, at least one, as
    :mod:`geopanoptic.products.rows` makes them, of which only one is looked at at a time. ``metadata`` becomes
    metadata items of both layers (``ogrinfo FILE parcels`` shows them), everything but text as JSON.
    ``timestamp`` (aware) is the only time in the file. Equal arguments in equal batches give equal bytes.

    Raises OutputError where the disk refuses, or where a polygon is invalid (a bug, never written).
    """
    with writing(path), fixed_clock(timestamp):
        append_layer(path, PARCELS, parcels, metadata)
        append_layer(path, LANDCOVER, landcover, metadata)
        add_styles(path, _map_styles(classes), timestamp)


def verify_geopackage(path: Path, /, **features: int) -> None:
    """Reopens a GeoPackage and raises OutputError unless it is whole and holds these many ``features`` by
    layer (``parcels=12, landcover=3``)."""
    with writing(path), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as base:
        state = base.execute("PRAGMA integrity_check").fetchone()[0]
    if state != "ok":
        raise damaged(path, f"SQLite says {state}")
    for layer, expected in features.items():
        with writing(path), literally(path) as plain:
            found = pyogrio.read_info(plain, layer=layer, force_feature_count=True)["features"]
        if found != expected:
            raise damaged(path, f"{found} of {expected} features in layer {layer}")


def append_layer(path: Path, layer: Layer, rows: Rows, metadata: Mapping[str, Any]) -> None:
    """Adds one layer of valid polygons, ``layer.geometry`` all of them, to the file at ``path`` or a new one.

    Call it within :func:`fixed_clock`. ``metadata`` becomes the layer's, everything but text as JSON.
    """
    batches = iter([rows_of_table(layer, rows)] if isinstance(rows, geopandas.GeoDataFrame) else rows)
    first = next(batches)
    stream = _Stream(chain([first], batches))
    try:
        with literally(path) as plain:
            pyogrio.write_arrow(
                pyarrow.RecordBatchReader.from_batches(first.schema, stream),
                plain,
                layer=layer.name,
                driver="GPKG",
                geometry_name=GEOMETRY,
                geometry_type=layer.geometry,
                crs=crs_of_rows(first.schema),
                append=path.exists(),
                # As metadata of the data set, GDAL 3.12 would write an .aux.xml beside it whenever it is listed.
                layer_metadata=_as_text(metadata),
                layer_options={
                    "GEOMETRY_NAME": GEOMETRY_COLUMN,
                    "DESCRIPTION": layer.description,
                    "SPATIAL_INDEX": "YES",
                },
            )
    finally:
        # What fails while a batch is made reaches GDAL as text only.
        if stream.failure is not None:
            raise stream.failure


class _Stream:
    """Batches as they are; ``failure`` is what the making of one raised."""

    def __init__(self, batches: Iterable[pyarrow.RecordBatch]) -> None:
        self._batches = batches
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[pyarrow.RecordBatch]:
        try:
            yield from self._batches
        except BaseException as failure:
            self.failure = failure
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStyle:
    """How one layer looks: as a QGIS style and as an OGC style."""

    layer: str
    qml: str
    sld: str


def _map_styles(classes: Sequence[MapClass]) -> list[LayerStyle]:
    things, stuff = of_kind(classes, "thing"), of_kind(classes, "stuff")
    fill_opacity = style.PARCEL_FILL_ALPHA / 255
    return [
        LayerStyle(
            layer=PARCELS.name,
            qml=style.parcels_qml(things),
            sld=style.sld(PARCELS.name, things, fill_opacity=fill_opacity, outline=True),
        ),
        LayerStyle(
            layer=LANDCOVER.name,
            qml=style.landcover_qml(stuff),
            sld=style.sld(LANDCOVER.name, stuff, fill_opacity=1.0, outline=False),
        ),
    ]


def add_styles(path: Path, styles: Sequence[LayerStyle], timestamp: datetime) -> None:
    """Adds the table from which QGIS takes a layer's default style."""
    now = _sqlite_time(timestamp)
    with closing(sqlite3.connect(path)) as base, base:
        base.execute(_STYLE_TABLE)
        base.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,"
            " styleName, styleQML, styleSLD, useAsDefault, description, owner, update_time)"
            " VALUES ('', '', ?, ?, 'geopanoptic', ?, ?, 1, 'Colours of the legend', '', ?)",
            [(each.layer, GEOMETRY_COLUMN, each.qml, each.sld, now) for each in styles],
        )
        base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', 'Styles for QGIS', ?)",
            (now,),
        )


@contextmanager
def fixed_clock(timestamp: datetime) -> Iterator[None]:
    """Within it, GDAL writes ``timestamp`` wherever it would write the time."""
    before = pyogrio.get_gdal_config_option(_CLOCK)
    pyogrio.set_gdal_config_options({_CLOCK: _sqlite_time(timestamp)})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({_CLOCK: before})


def _sqlite_time(timestamp: datetime) -> str:
    return timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z"


def _as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    # GDAL takes "=" and ":" for the end of a metadata item's name.
    return {
        re.sub("[=:\\s]+", "_", key): value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
        for key, value in metadata.items()
        if value is not None
    }
