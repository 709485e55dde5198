"""Maps of a few polygons for the tests of products."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from geopanoptic.products.polygons import Polygons
from geopanoptic.products.rows import landcover_rows, parcel_rows, table_of_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeClass:
    id: int
    name: str
    kind: str
    colour: str


CLASSES = (
    SomeClass(id=1, name="parcel", kind="thing", colour="#e6c229"),
    SomeClass(id=2, name="water", kind="stuff", colour="#3b7dd8"),
    SomeClass(id=3, name='wóod & "<script>"', kind="stuff", colour="#1f6b3a"),
)

CUSTOM_WKT = pyproj.CRS.from_proj4("+proj=laea +lat_0=52 +lon_0=10 +x_0=1000 +ellps=GRS80 +units=m").to_wkt()

PLACES = {
    "utm": (pyproj.CRS.from_epsg(32632).to_wkt(), 500_000.0, 5_600_000.0, 10.0),
    "degrees": (pyproj.CRS.from_epsg(4326).to_wkt(), 10.0, 50.0, 1e-4),
    "web-mercator": (pyproj.CRS.from_epsg(3857).to_wkt(), 1_100_000.0, 6_400_000.0, 10.0),
    "polar": (pyproj.CRS.from_epsg(3413).to_wkt(), 0.0, 0.0, 10.0),
    "grads": (pyproj.CRS.from_epsg(27572).to_wkt(), 600_000.0, 2_400_000.0, 10.0),
    "feet": (pyproj.CRS.from_epsg(2263).to_wkt(), 1_000_000.0, 200_000.0, 30.0),
    "custom": (CUSTOM_WKT, 0.0, 0.0, 10.0),
}
"""CRS as WKT2, x, y and the length of a pixel, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallMap:
    crs: pyproj.CRS
    parcels: geopandas.GeoDataFrame
    landcover: geopandas.GeoDataFrame


def small_map(place: str = "utm", parcels: int = 12, landcover: int = 4) -> SmallMap:
    """A row of square parcels of 10 x 10 pixels above a row of land cover, one with a hole."""
    wkt, x, y, pixel = PLACES[place]
    crs = pyproj.CRS.from_wkt(wkt)
    left = x + 10 * pixel * np.arange(parcels)
    fields = shapely.box(left, y, left + 10 * pixel, y + 10 * pixel)
    left = x + 20 * pixel * np.arange(landcover)
    rest = shapely.box(left, y - 20 * pixel, left + 20 * pixel, y)
    if landcover:
        middle = rest[0].centroid
        rest[0] = rest[0].difference(
            shapely.box(
                middle.x - 2 * pixel, middle.y - 2 * pixel, middle.x + 2 * pixel, middle.y + 2 * pixel
            )
        )
    return SmallMap(
        crs=crs,
        parcels=table_of_rows(
            [
                parcel_rows(
                    as_arrays(fields),
                    parcel_id=np.arange(1, parcels + 1),
                    class_id=np.ones(parcels, dtype=int),
                    class_score=np.linspace(1, 0.3, parcels),
                    score=np.linspace(0.2, 0.9, parcels),
                    classes=CLASSES,
                    crs=crs,
                )
            ]
        ),
        landcover=table_of_rows(
            [landcover_rows(as_arrays(rest), class_id=np.arange(landcover) % 2 + 2, classes=CLASSES, crs=crs)]
        ),
    )


def as_arrays(polygons: NDArray[np.object_]) -> Polygons:
    """Polygons (n,) in the form in which a map has them."""
    if not len(polygons):
        nothing = np.zeros(1, np.int64)
        return Polygons(xy=np.zeros((0, 2)), ring_offsets=nothing, polygon_offsets=nothing)
    _, xy, (rings, parts) = shapely.to_ragged_array(polygons)
    return Polygons(xy=xy, ring_offsets=rings.astype(np.int64), polygon_offsets=parts.astype(np.int64))
