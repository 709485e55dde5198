"""The area of interest: which output pixels a run is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geopanoptic.arguments import path_text
from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.pipeline.resuming.fingerprints import fingerprint
from geopanoptic.scene.files.datasets import unplaced_is_no_news

if TYPE_CHECKING:
    import geopandas
    import shapely
    from shapely.geometry.base import BaseGeometry

    Area: TypeAlias = str | Path | geopandas.GeoDataFrame | geopandas.GeoSeries
    """A vector file, or polygons in memory."""

LATTICE_PX = 1024

_AROUND = 0.01
"""Of the scene's outline: polygons are kept so far around it."""
_BENDS = 400
"""Pieces into which an edge as long as the scene's outline is divided where it is bent."""

_POLYGONS = "Give --aoi a file of polygons, such as a GeoPackage, GeoJSON or Shapefile."


class AreaOfInterest:
    """Polygons in the grid's CRS; a pixel is wanted when its centre lies inside one.

    Pixels are decided in a fixed lattice of windows, so that rounding cannot make two blocks disagree
    about a centre that lies on an outline.
    """

    def __init__(self, geometries: Sequence[BaseGeometry], grid: Grid) -> None:
        import shapely

        self._tree = shapely.STRtree(geometries)
        self._grid = grid

    def __call__(self, window: Window) -> NDArray[np.bool_]:
        wanted = np.zeros(window.shape, bool)
        rows = range(window.row0 // LATTICE_PX * LATTICE_PX, window.row1, LATTICE_PX)
        cols = range(window.col0 // LATTICE_PX * LATTICE_PX, window.col1, LATTICE_PX)
        for row in rows:
            for col in cols:
                cell = Window(row, col, row + LATTICE_PX, col + LATTICE_PX)
                part = cell.intersection(window)
                if part is not None:
                    wanted[part.slices(window)] = self._decided(cell)[part.slices(cell)]
        return wanted

    def _decided(self, cell: Window) -> NDArray[np.bool_]:
        from rasterio.features import rasterize

        near = self._tree.query(_ground(self._grid, cell))
        if not len(near):
            return np.zeros(cell.shape, bool)
        # In the order of the file: none of them depends on the others, but nothing should depend on a tree.
        polygons = self._tree.geometries[np.sort(near)]
        transform = self._grid.crop(cell).transform
        with unplaced_is_no_news():
            burned = rasterize(polygons, out_shape=cell.shape, transform=transform, dtype="uint8")
        return burned > 0  # type: ignore[no-any-return]


def name_of_area(area: Area) -> str:
    """The file's name; polygons in memory have none of their own."""
    return Path(area).name if isinstance(area, str | Path) else "polygons in memory"


def identity_of_area(area: Area) -> dict[str, str | int]:
    """What tells an area from others: its name, and the file's fingerprint or a hash of the polygons.

    Raises UsageError for a file that cannot be read, and for a table in memory that has no geometry.
    """
    if isinstance(area, str | Path):
        try:
            return {"name": name_of_area(area), **fingerprint(Path(area))}
        except SceneError as failure:
            raise UsageError(f"The area of interest {failure.message}", remedy=_POLYGONS) from None
    outlines = _geometry_of(area, area)
    digest = hashlib.blake2b(str(outlines.crs).encode(), digest_size=16)
    for polygon in outlines.to_wkb():
        digest.update(polygon or b"")
    return {"name": name_of_area(area), "content": digest.hexdigest()}


def read_aoi(area: Area, grid: Grid) -> AreaOfInterest:
    """Polygons of any vector file or in memory, reprojected to the grid's CRS.

    Raises UsageError for a file that cannot be read, has no polygons, has no CRS or misses the scene.
    """
    outlines = _geometries(area)
    outlines = outlines[outlines.geom_type.isin(["Polygon", "MultiPolygon"])]
    if outlines.empty:
        raise _without_polygons(area)
    if outlines.crs is None:
        raise UsageError(
            f"{_subject(area)} has no CRS.",
            remedy="Store it with its coordinate system (GeoPackage, GeoJSON).",
        )
    scene = _ground(grid, grid.window)
    near = _in_crs_of(grid, outlines, scene)
    geometries = [each for each in near if scene.intersects(each)]
    if not geometries:
        from geopanoptic.reprojection import place_of

        here = place_of(outlines.to_numpy(), outlines.crs)
        there = place_of(np.array([scene], dtype=object), grid.crs)
        raise UsageError(
            f"{_subject(area)} does not touch the scene: it lies at {here}, the scene at {there}.",
            remedy="Give an area on its ground, or correct the CRS that is wrong.",
        )
    return AreaOfInterest(geometries, grid)


def _ground(grid: Grid, window: Window) -> shapely.Polygon:
    """What a window of a grid lies on, in the grid's CRS."""
    import shapely

    rows, cols = (window.row0, window.row1), (window.col0, window.col1)
    corners = [(cols[0], rows[0]), (cols[1], rows[0]), (cols[1], rows[1]), (cols[0], rows[1])]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def _in_crs_of(grid: Grid, outlines: geopandas.GeoSeries, scene: shapely.Polygon) -> list[BaseGeometry]:
    """The outlines near the scene in the grid's CRS.

    What lies far away is cut off before: it may have no place in that CRS. Edges are straight in the CRS of the
    outlines, so long ones are bent here.
    """
    import shapely
    from pyproj import Transformer

    if outlines.crs == grid.crs:
        return list(outlines.make_valid())
    back = Transformer.from_crs(grid.crs, outlines.crs, always_xy=True)
    west, south, east, north = scene.buffer(_AROUND * scene.length).bounds
    left, bottom, right, top = back.transform_bounds(west, south, east, north, densify_pts=21)
    if np.isfinite([left, bottom, right, top]).all():
        # Longitudes may be counted from -180, from 0 or on beyond 180; across the antimeridian, the left comes after
        # the right.
        turns = (-360, 0, 360) if outlines.crs.is_geographic else (0,)
        right += 360 * (left > right)
        around = [shapely.box(left + turn, bottom, right + turn, top) for turn in turns]
        near = outlines.iloc[np.unique(outlines.sindex.query(around)[1])]
        outlines = near.make_valid().intersection(shapely.union_all(around))
        outlines = outlines[~outlines.is_empty].segmentize(around[0].length / _BENDS)
    return [each for each in outlines.to_crs(grid.crs).make_valid() if np.isfinite(each.bounds).all()]


def _geometries(area: Any) -> geopandas.GeoSeries:
    import geopandas

    from geopanoptic.products.vector_files import read_table

    if isinstance(area, geopandas.GeoDataFrame | geopandas.GeoSeries):
        return _geometry_of(area, area)
    return read_table(
        Path(path_text(area, "The area of interest", remedy="Give a vector file, or a GeoDataFrame."))
    ).geometry


def _geometry_of(table: Any, area: Area) -> geopandas.GeoSeries:
    try:
        return table.geometry
    except AttributeError:
        raise _without_polygons(area) from None


def _without_polygons(area: Area) -> UsageError:
    return UsageError(
        f"{_subject(area)} has no polygons.", remedy="Give --aoi a file with at least one polygon."
    )


def _subject(area: Area) -> str:
    """An area at the beginning of a sentence."""
    return str(area) if isinstance(area, str | Path) else name_of_area(area).capitalize()
