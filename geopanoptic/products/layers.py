"""The two tables of every map: ``parcels`` (things) and ``landcover`` (stuff)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import geopandas
import numpy as np
import pyproj
from numpy.typing import ArrayLike, NDArray

from geopanoptic.products.classes import MapClass
from geopanoptic.products.measures import centres_inside, measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Name, one-sentence description, columns (name to numpy dtype, in order) and geometry of a vector layer."""

    name: str
    description: str
    columns: dict[str, str]
    geometry: Literal["Polygon", "MultiPolygon"] = "Polygon"


PARCELS = Layer(
    name="parcels",
    description="Parcels (things): one valid polygon each, sharing its edges with its neighbours.",
    columns={
        "parcel_id": "int32",
        "class_id": "int32",
        "class_name": "str",
        "class_score": "float64",
        "score": "float64",
        "area_m2": "float64",
        "perimeter_m": "float64",
        "centre_x": "float64",
        "centre_y": "float64",
    },
)
"""``score``, 0 to 1, is the probability that the parcel overlaps a true one with an IoU above one half, where
the model has a learned grouping (its card shows how reliable that is); else how distinct field and boundary
are, which orders parcels but is no probability. ``class_score``, 0 to 1, is the class's mean probability over
the parcel, given that it is one; 1 where the model knows a single class. ``area_m2`` and ``perimeter_m`` are measured on the
ellipsoid, on the geometry as written. ``centre_x``/``centre_y`` lie inside, in the layer's CRS."""

LANDCOVER = Layer(
    name="landcover",
    description="Land cover (stuff) between the parcels: one polygon per connected area.",
    columns={"class_id": "int32", "class_name": "str", "area_m2": "float64"},
)


def parcel_layer(
    polygons: NDArray[np.object_],
    *,
    parcel_id: ArrayLike,
    class_id: ArrayLike,
    class_score: ArrayLike,
    score: ArrayLike,
    classes: Sequence[MapClass],
    crs: pyproj.CRS,
    bounds: tuple[float, float, float, float] | None = None,
) -> geopandas.GeoDataFrame:
    """The ``parcels`` table, or some rows of it, from n polygons and their attributes.

    ``bounds`` are those of the whole layer, see :func:`~geopanoptic.products.measures.measure`.
    """
    measures = measure(polygons, crs, bounds=bounds)
    centre = centres_inside(polygons)
    return _table(
        PARCELS,
        polygons,
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


def landcover_layer(
    polygons: NDArray[np.object_],
    *,
    class_id: ArrayLike,
    classes: Sequence[MapClass],
    crs: pyproj.CRS,
    bounds: tuple[float, float, float, float] | None = None,
) -> geopandas.GeoDataFrame:
    """The ``landcover`` table, or some rows of it, from n polygons and their class ids."""
    return _table(
        LANDCOVER,
        polygons,
        crs,
        class_id=class_id,
        class_name=_names(class_id, classes),
        area_m2=measure(polygons, crs, bounds=bounds).area_m2,
    )


def _table(
    layer: Layer, polygons: NDArray[np.object_], crs: pyproj.CRS, **columns: ArrayLike
) -> geopandas.GeoDataFrame:
    typed = {name: np.asarray(columns[name], dtype=_numpy(kind)) for name, kind in layer.columns.items()}
    return geopandas.GeoDataFrame(typed, geometry=np.asarray(polygons, dtype=object), crs=crs)


def _numpy(kind: str) -> str:
    return "object" if kind == "str" else kind


def _names(class_id: ArrayLike, classes: Sequence[MapClass]) -> NDArray[np.object_]:
    name = {each.id: each.name for each in classes}
    ids, inverse = np.unique(np.asarray(class_id, dtype=np.int64), return_inverse=True)
    return np.array([name[each] for each in ids.tolist()], dtype=object)[inverse]
