"""Rows of a layer as Arrow batches: what GDAL writes, made and checked on any thread."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import geopandas
import numpy as np
import pyarrow
import pyproj
import shapely
from numpy.typing import ArrayLike, NDArray

from geopanoptic.errors import OutputError
from geopanoptic.products.classes import MapClass
from geopanoptic.products.layers import LANDCOVER, PARCELS, Layer
from geopanoptic.products.measures import centres_inside, measure
from geopanoptic.products.polygons import Polygons

GEOMETRY = "geometry"
"""Column of the polygons; the CRS is in its metadata (GeoArrow's ``geoarrow.wkb``)."""

_ARROW_TYPE = {
    "bool": pyarrow.bool_(),
    "int32": pyarrow.int32(),
    "int64": pyarrow.int64(),
    "float64": pyarrow.float64(),
    "str": pyarrow.string(),
}


def parcel_rows(
    polygons: Polygons,
    *,
    parcel_id: ArrayLike,
    class_id: ArrayLike,
    class_score: ArrayLike,
    score: ArrayLike,
    classes: Sequence[MapClass],
    crs: pyproj.CRS,
    bounds: tuple[float, float, float, float] | None = None,
) -> pyarrow.RecordBatch:
    """Rows of ``PARCELS`` from n polygons and their attributes.

    ``bounds`` are those of the whole layer, see :func:`~geopanoptic.products.measures.measure`. Raises
    OutputError where a polygon is invalid.
    """
    geometries = valid(PARCELS, polygons.geometries())
    measures = measure(geometries, crs, bounds=bounds, rings=polygons.rings())
    centre = centres_inside(geometries)
    return _rows(
        PARCELS,
        polygons.wkb(),
        crs,
        parcel_id=parcel_id,
        class_id=class_id,
        class_name=_names(class_id, classes),
        class_score=class_score,
        score=score,
        area_m2=measures.area_m2,
        perimeter_m=measures.perimeter_m,
        centre_x=centre[:, 0],
        centre_y=centre[:, 1],
    )


def landcover_rows(
    polygons: Polygons,
    *,
    class_id: ArrayLike,
    classes: Sequence[MapClass],
    crs: pyproj.CRS,
    bounds: tuple[float, float, float, float] | None = None,
) -> pyarrow.RecordBatch:
    """Rows of ``LANDCOVER`` from n polygons and their class ids, see :func:`parcel_rows`."""
    geometries = valid(LANDCOVER, polygons.geometries())
    return _rows(
        LANDCOVER,
        polygons.wkb(),
        crs,
        class_id=class_id,
        class_name=_names(class_id, classes),
        area_m2=measure(geometries, crs, bounds=bounds, rings=polygons.rings()).area_m2,
    )


def rows_of_table(layer: Layer, table: geopandas.GeoDataFrame) -> pyarrow.RecordBatch:
    """Rows of any layer from a table with its columns and a CRS, see :func:`parcel_rows`."""
    wkb = shapely.to_wkb(valid(layer, table.geometry.to_numpy()), byte_order=1)
    # pandas gives an empty column of texts whatever type it likes.
    columns = {
        name: table[name].to_numpy(object if kind == "str" else None) for name, kind in layer.columns.items()
    }
    return _rows(layer, pyarrow.array(wkb, pyarrow.binary()), table.crs, **columns)


def table_of_rows(rows: Iterable[pyarrow.RecordBatch]) -> geopandas.GeoDataFrame:
    """Batches of one layer, at least one, as a table in memory."""
    return geopandas.GeoDataFrame.from_arrow(pyarrow.Table.from_batches(list(rows)))


def crs_of_rows(schema: pyarrow.Schema) -> str:
    """The CRS of the polygons, as WKT2."""
    crs: str = json.loads(schema.field(GEOMETRY).metadata[b"ARROW:extension:metadata"])["crs"]
    return crs


def valid(layer: Layer, geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """The same ``geometries``. Raises OutputError where one is invalid: a bug, never written."""
    invalid = int(np.count_nonzero(~shapely.is_valid(geometries)))
    if invalid:
        raise OutputError(
            f"{invalid} of {len(geometries)} polygons of layer {layer.name} are invalid; "
            "an existing output is unchanged.",
            remedy="This is a bug in geopanoptic: please report it with the scene and the command.",
        )
    return geometries


def _rows(layer: Layer, wkb: pyarrow.Array, crs: pyproj.CRS, **columns: ArrayLike) -> pyarrow.RecordBatch:
    placed = json.dumps({"crs": crs.to_wkt(), "crs_type": "wkt2:2019"})
    geometry = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": placed}
    fields = [pyarrow.field(name, _ARROW_TYPE[kind]) for name, kind in layer.columns.items()]
    arrays = [pyarrow.array(np.asarray(columns[each.name]), each.type, from_pandas=True) for each in fields]
    return pyarrow.record_batch(
        [*arrays, wkb],
        schema=pyarrow.schema([*fields, pyarrow.field(GEOMETRY, pyarrow.binary(), metadata=geometry)]),
    )


def _names(class_id: ArrayLike, classes: Sequence[MapClass]) -> NDArray[np.object_]:
    name = {each.id: each.name for each in classes}
    ids, inverse = np.unique(np.asarray(class_id, dtype=np.int64), return_inverse=True)
    return np.array([name[each] for each in ids.tolist()], dtype=object)[inverse]
