"""The two tables of every map: ``parcels`` (things) and ``landcover`` (stuff)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
