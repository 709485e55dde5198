"""The truth about a generated landscape as polygons along label pixels, and as a file of the layers of every map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.grid import Grid
from geopanoptic.products.layers import LANDCOVER, PARCELS
from geopanoptic.training.synthetic.phenology import COVERS

if TYPE_CHECKING:
    import geopandas

COVER_NAMES = ("parcel", *COVERS)
"""Names of the values of ``cover``."""


def parcels_of(instances: NDArray[np.int32], grid: Grid) -> geopandas.GeoDataFrame:
    """One polygon per parcel, by number: ``parcel_id`` as in ``instances`` on ``grid``, ``area_m2``."""
    import geopandas

    found = sorted(_polygons(instances, grid.transform), key=lambda each: each[0])
    frame = geopandas.GeoDataFrame(
        {"parcel_id": np.array([number for number, _ in found], np.int32)},
        geometry=[outline for _, outline in found],
        crs=grid.crs_wkt,
    )
    frame.insert(1, "area_m2", frame.area)
    return frame


def cover_of(cover: NDArray[np.uint8], grid: Grid) -> geopandas.GeoDataFrame:
    """One polygon per connected area of ``cover`` on ``grid`` between parcels: ``class_name``, ``area_m2``."""
    import geopandas

    found = _polygons(cover.astype(np.int32), grid.transform)
    frame = geopandas.GeoDataFrame(
        {"class_name": [COVER_NAMES[value] for value, _ in found]},
        geometry=[outline for _, outline in found],
        crs=grid.crs_wkt,
    )
    frame.insert(1, "area_m2", frame.area)
    return frame


def write_truth(path: str | Path, parcels: geopandas.GeoDataFrame, cover: geopandas.GeoDataFrame) -> None:
    """Write a GeoPackage with the layers of every map, ``parcels`` and ``landcover``; replaces ``path``."""
    Path(path).unlink(missing_ok=True)
    parcels.to_file(path, layer=PARCELS.name, driver="GPKG")
    cover.to_file(path, layer=LANDCOVER.name, driver="GPKG")


def _polygons(labels: NDArray[np.int32], transform: Affine) -> list[tuple[int, object]]:
    """Value and outline of every 4-connected area that is not 0."""
    from rasterio.features import shapes
    from shapely.geometry import shape

    found = shapes(labels, mask=labels > 0, connectivity=4, transform=transform)
    return [(int(value), shape(outline)) for outline, value in found]
