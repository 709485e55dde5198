"""A parcel map to compare: valid polygons with ids and, where there are any, classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.evaluate import open_map
from geopanoptic.evaluation.maps.vector_source import CLASS_COLUMN, VectorSource, names_of, vector_source
from geopanoptic.products.literal import literally
from geopanoptic.products.vector_files import layer_of_polygons, layers_of_file, read_table

ID_COLUMN = "parcel_id"
"""Where our own layers keep the id of a parcel."""

NEXT_ID = "next_id"
"""Item of a layer's metadata: the first number that no parcel of its line of maps ever had."""

UNSEEN = "unseen"
"""Layer of a comparison: earlier parcels that the later map could not show, with their ids."""

_AREAL = (3, 6)
_LARGEST_ID = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelMap:
    """``polygons`` (n,) and ``landcover`` (k,), none where the map has none: valid Polygons and MultiPolygons in
    ``crs``; ``ids`` (n,) int64, or text as objects, each once; ``class_names`` (n,) and ``landcover_names`` (k,)
    objects, None where unknown; ``next_id`` where the map states one; ``table`` the rows as they were read."""

    name: str
    polygons: NDArray[np.object_]
    landcover: NDArray[np.object_]
    landcover_names: NDArray[np.object_]
    ids: NDArray[Any]
    class_names: NDArray[np.object_]
    crs: pyproj.CRS
    next_id: int | None
    table: geopandas.GeoDataFrame
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.polygons)


def read_parcels(
    source: Any,
    *,
    id_column: str | None = None,
    class_column: str | None = None,
    layer: str | None = None,
    with_unseen: bool = False,
) -> ParcelMap:
    """Parcels of a vector file, a GeoDataFrame, or what ``geopanoptic.run`` or ``compare`` returns.

    Ids come from ``id_column``, by default ``parcel_id``, and are row numbers from 1 where there is none;
    classes from ``class_column``, by default ``class_name``. Parcels without an area are left out, with a note.
    ``with_unseen`` adds what a comparison could not see and knows from before, with a note.
    Raises UsageError where the source cannot be read, lacks a CRS, polygons or the column, or where
    an id is missing or occurs twice.
    """
    found = open_map(source, layer=layer)
    if not isinstance(found, VectorSource):
        raise UsageError(
            f"{found.name} is a raster, where polygons are expected.",
            remedy="Give the vector file: a GeoPackage, GeoJSON, zipped shapefile or GeoParquet.",
        )
    more: tuple[str, ...] = ()
    if with_unseen and layer is None and id_column in (None, ID_COLUMN):
        found, more = _with_unseen(found, source)
    polygons, solid = _solid(found.things)
    landcover, solid_cover = _solid(found.stuff)
    flat = int(np.count_nonzero(~solid))
    if flat:
        more += (f"{found.name}: {flat} parcels without an area are left out.",)
    table = found.things[solid].reset_index(drop=True)
    ids, numbered = _ids(table, id_column, found.name)
    return ParcelMap(
        name=found.name,
        polygons=polygons,
        landcover=landcover,
        landcover_names=_classes(found.stuff[solid_cover], None, found.name),
        ids=ids,
        class_names=_classes(table, class_column, found.name),
        crs=pyproj.CRS.from_user_input(found.things.crs),
        next_id=_stated_next_id(source, layer),
        table=table,
        notes=(*found.notes, *more, *numbered),
    )


def _with_unseen(found: VectorSource, source: Any) -> tuple[VectorSource, tuple[str, ...]]:
    if not isinstance(source, str | Path):
        table = getattr(source, UNSEEN, None)
    else:
        table = read_table(Path(source), UNSEEN) if UNSEEN in layers_of_file(Path(source)) else None
    unseen = () if table is None else vector_source(table, name=found.name).things
    if not len(unseen):
        return found, ()
    note = f"{found.name}: {len(unseen)} parcels that it could not see are taken as they were seen last."
    things = pd.concat([found.things, unseen], ignore_index=True)
    return replace(found, things=things), (note,)


def _solid(frame: geopandas.GeoDataFrame) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Polygons without the lines and points that repairing a polygon may leave beside it; which rows have an area."""
    polygons = np.array(frame.geometry.to_numpy(), dtype=object)
    mixed = ~np.isin(shapely.get_type_id(polygons), _AREAL)
    for row in np.flatnonzero(mixed):
        parts = shapely.get_parts(polygons[row])
        polygons[row] = shapely.union_all(parts[np.isin(shapely.get_type_id(parts), _AREAL)])
    solid: NDArray[np.bool_] = shapely.area(polygons) > 0
    return polygons[solid], solid


def _ids(
    table: geopandas.GeoDataFrame, column: str | None, name: str
) -> tuple[NDArray[Any], tuple[str, ...]]:
    if column is None and ID_COLUMN not in table.columns:
        note = f"{name} has no column {ID_COLUMN}: its parcels are numbered by their rows, from 1."
        return np.arange(1, len(table) + 1, dtype=np.int64), (note,)
    values = _column(table, column or ID_COLUMN, name, "--id-column")
    missing, twice = values.isna(), values.duplicated(keep=False)
    if missing.any() or twice.any():
        what = (
            f"{int(missing.sum())} parcels without an id"
            if missing.any()
            else f"id {values[twice].iloc[0]} {int((values == values[twice].iloc[0]).sum())} times"
        )
        raise UsageError(
            f"Column {values.name} of {name} has {what}, where each parcel needs its own.",
            remedy="Name another column with --id-column, or dissolve the parts of a parcel to one row.",
        )
    numbers = pd.to_numeric(values, errors="coerce") if values.dtype.kind in "iuf" else None
    # Larger ones would leave no room for the numbers of new parcels.
    if numbers is not None and (numbers == np.floor(numbers)).all() and numbers.between(0, _LARGEST_ID).all():
        return numbers.to_numpy(np.int64), ()
    return values.astype(str).to_numpy(object), ()


def _classes(table: geopandas.GeoDataFrame, column: str | None, name: str) -> NDArray[np.object_]:
    if column is None and CLASS_COLUMN not in table.columns:
        return np.full(len(table), None, dtype=object)
    return names_of(_column(table, column or CLASS_COLUMN, name, "--class-column"))


def _column(table: geopandas.GeoDataFrame, column: str, name: str, option: str) -> pd.Series:
    if column not in table.columns:
        there = [str(each) for each in table.columns if each != table.geometry.name]
        raise UsageError(
            f"{name} has no column {column!r}; its columns are {', '.join(there) or 'none'}.",
            remedy=f"Name one of them with {option}; for two maps that differ, EARLIER,LATER.",
        )
    return table[column]


def _stated_next_id(source: Any, layer: str | None) -> int | None:
    if hasattr(source, "report"):
        return source.report.get(NEXT_ID)
    if not isinstance(source, str | Path) or Path(source).suffix.lower() != ".gpkg":
        return None
    path = Path(source)
    layer = layer_of_polygons(path, layers_of_file(path), layer)
    with literally(path) as plain:
        stated = (pyogrio.read_info(plain, layer=layer)["layer_metadata"] or {}).get(NEXT_ID, "")
    return int(stated) if stated.isdecimal() else None
