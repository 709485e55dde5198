"""Real parcel geometry for generated scenes: from a file of parcels, or a raster of parcel numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.products.vector_files import read_table

_RASTER_PIXEL_M = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RealParcels:
    """Outlines of a parcel register, in metres: shapely polygons ``outlines`` (n,) and a tree of them."""

    outlines: NDArray[np.object_]
    tree: shapely.STRtree

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a vector file that GDAL or GeoParquet reads, or a ``.npy`` of parcel numbers (PASTIS ParcelIDs).

        Numbers are (h, w) of 10 m, 0 for no parcel. Raises UsageError for a file that cannot be read or has
        no polygons.
        """
        path = Path(path)
        try:
            outlines = _of_numbers(path) if path.suffix == ".npy" else _of_features(path)
        except (OSError, ValueError, RuntimeError) as reason:
            raise UsageError(
                f"{path}: cannot be read as parcels ({reason}).",
                remedy="Give a vector file of polygons or a .npy raster of parcel numbers.",
            ) from reason
        outlines = outlines[(shapely.get_dimensions(outlines) == 2) & ~shapely.is_empty(outlines)]
        if not len(outlines):
            raise UsageError(
                f"{path}: has no polygons, expected outlines of parcels.",
                remedy="Give a file, or its layer, that holds polygons.",
            )
        return cls(outlines=outlines, tree=shapely.STRtree(outlines))

    def draw(
        self, shape: tuple[int, int], rng: np.random.Generator, *, pixel_m: float
    ) -> list[shapely.Geometry]:
        """Outlines around a random parcel, turned and mirrored, in pixels of ``pixel_m`` (x right, y down)."""
        middle = shapely.get_coordinates(
            shapely.point_on_surface(self.outlines[rng.integers(len(self.outlines))])
        )
        reach_m = np.hypot(*shape) / 2 * pixel_m
        near = np.sort(self.tree.query(shapely.Point(middle[0]).buffer(reach_m)))
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[:, 0] *= rng.choice([-1, 1])
        frame = np.array([shape[1] / 2, shape[0] / 2])
        placed = shapely.transform(
            self.outlines[near], lambda xy_m: (xy_m - middle) / pixel_m @ turn.T + frame
        )
        return list(placed)


def _of_features(path: Path) -> NDArray[np.object_]:
    frame = read_table(path)
    frame = frame[frame.geometry.notna()]
    if frame.crs is not None and len(frame) and not _in_metres(frame.crs):
        frame = frame.to_crs(frame.estimate_utm_crs())
    return np.asarray(shapely.force_2d(frame.geometry.to_numpy()))


def _in_metres(crs: Any) -> bool:
    return bool(crs.is_projected and crs.axis_info[0].unit_conversion_factor == 1 and crs.to_epsg() != 3857)


def _of_numbers(path: Path) -> NDArray[np.object_]:
    from rasterio.features import shapes

    numbers = np.load(path)
    if numbers.ndim != 2:
        raise ValueError(f"{numbers.ndim} dimensions, expected 2")
    found = shapes(numbers.astype(np.int32), mask=numbers > 0, connectivity=4)
    return np.array(
        [
            shapely.transform(shapely.geometry.shape(outline), lambda xy: xy * _RASTER_PIXEL_M)
            for outline, _ in found
        ],
        object,
    )
