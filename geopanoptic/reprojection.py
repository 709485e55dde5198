"""Polygons from one CRS to another, whose projection may not reach all of them, and where they lie."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

_WIDEST_DEG = 90


def reprojected(
    polygons: NDArray[np.object_], source: pyproj.CRS, target: pyproj.CRS | str
) -> NDArray[np.object_]:
    """Polygons (n,) in the CRS ``target``; empty ones for those that it has no place for.

    A zone of UTM ends a quarter of the globe away, and one stray polygon there is no reason to do without
    the others. They may not be valid any more: moved vertices are rounded.
    """
    target = pyproj.CRS.from_user_input(target)
    if source == target or not len(polygons):
        return polygons
    change = pyproj.Transformer.from_crs(source, target, always_xy=True)

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(change.transform(xy[:, 0], xy[:, 1]))

    moved: NDArray[np.object_] = shapely.transform(polygons, move)
    lost = ~np.isfinite(shapely.bounds(moved)).all(axis=1)
    if source.is_geographic and not target.is_geographic:
        # Of what goes around the globe a plane has the corners, and the inside may be on the other side of them.
        bounds = shapely.bounds(polygons)
        lost |= (bounds[:, 2] - bounds[:, 0] > _WIDEST_DEG) | (bounds[:, 3] - bounds[:, 1] > _WIDEST_DEG)
    moved[lost] = shapely.Polygon()
    return moved


def place_of(polygons: NDArray[np.object_], crs: pyproj.CRS) -> str:
    """Where polygons lie, in degrees, for messages."""
    west, south, east, north = shapely.total_bounds(reprojected(polygons, crs, "EPSG:4326"))
    return f"{west:.4f}..{east:.4f} E, {south:.4f}..{north:.4f} N"
