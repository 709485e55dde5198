"""The area of interest: which output pixels a run is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.grid import Grid, Window

LATTICE_PX = 1024


class AreaOfInterest:
    """Polygons in the grid's CRS; a pixel is wanted when its centre lies inside one.

    Pixels are decided in a fixed lattice of windows, so that rounding cannot make two blocks disagree
    about a centre that lies on an outline.
    """

    def __init__(self, geometries: list[object], grid: Grid) -> None:
        self._geometries = geometries
        self._grid = grid

    def __call__(self, window: Window) -> NDArray[np.bool_]:
        from rasterio.features import rasterize

        wanted = np.zeros(window.shape, bool)
        rows = range(window.row0 // LATTICE_PX * LATTICE_PX, window.row1, LATTICE_PX)
        cols = range(window.col0 // LATTICE_PX * LATTICE_PX, window.col1, LATTICE_PX)
        for row in rows:
            for col in cols:
                cell = Window(row, col, row + LATTICE_PX, col + LATTICE_PX)
                part = cell.intersection(window)
                if part is None:
                    continue
                burnt = rasterize(
                    self._geometries,
                    out_shape=cell.shape,
                    transform=self._grid.crop(cell).transform,
                    dtype="uint8",
                )
                wanted[part.slices(window)] = burnt[part.slices(cell)] > 0
        return wanted


def read_aoi(path: Path, grid: Grid) -> AreaOfInterest:
    """Polygons of any vector file, reprojected to the grid's CRS.

    Raises UsageError for a file that cannot be read, has no polygons, has no CRS or misses the scene.
    """
    import geopandas
    import pyogrio.errors
    import shapely

    try:
        frame = geopandas.read_file(path)
    except (OSError, pyogrio.errors.DataSourceError) as failure:
        raise UsageError(f"The area of interest {path} cannot be read: {failure}") from failure
    frame = frame[frame.geometry.geom_type.isin(["Polygon", "MultiPolygon"])]
    if frame.empty:
        raise UsageError(f"{path} has no polygons.", remedy="Give --aoi a file with at least one polygon.")
    if frame.crs is None:
        raise UsageError(
            f"{path} has no CRS.", remedy="Store it with its coordinate system (GeoPackage, GeoJSON)."
        )
    geometries = [shapely.make_valid(each) for each in frame.to_crs(grid.crs).geometry]
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    scene = shapely.Polygon([grid.transform @ corner for corner in corners])
    if not any(scene.intersects(each) for each in geometries):
        raise UsageError(
            f"{path} does not touch the scene.", remedy="Compare the two extents with `geopanoptic inspect`."
        )
    return AreaOfInterest(geometries, grid)
