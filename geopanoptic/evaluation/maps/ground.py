"""The ground on which two maps are compared: a pixel grid, and where on it the truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import geopandas
import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.evaluation.maps.labelmap import MapSource, PolygonLabels, outline_of
from geopanoptic.evaluation.maps.vector_source import VectorSource, is_projected_in_metres
from geopanoptic.grid import Grid, Window
from geopanoptic.reprojection import place_of, reprojected

MEDIAN_PARCEL_PX = 400
"""Pixels of the median true parcel on the grid that two vector maps get."""

FINEST_M, COARSEST_M = 0.25, 10.0
_DEGREES = pyproj.CRS.from_epsg(4326).to_wkt()
_LARGEST_PX = 2**31
_TRUE_SCALE = 0.01
_TELL_LOST = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """``grid``: the pixels compared. ``row0``, ``col0``: where it begins on the lattice that ``--seams`` means, in its own
    pixels from the corner of the predicted raster, else of the true one, else of both maps. ``inside``: the area where the truth is complete, in the grid's CRS, and
    ``known(window)`` (h, w) bool its pixels."""

    grid: Grid
    row0: int
    col0: int
    inside: shapely.Geometry
    known: Callable[[Window], NDArray[np.bool_]]
    notes: tuple[str, ...]

    @property
    def pixel_m2(self) -> float:
        """Area of a pixel in the middle of the grid."""
        width_m, height_m = self.grid.pixel_size_m()
        return width_m * height_m


def common_ground(
    predicted: MapSource,
    true: MapSource,
    *,
    area: geopandas.GeoDataFrame | None,
    sparse: bool,
    resolution_m: float | None,
) -> Ground:
    """The grid of a raster, of two the finer one, or one made for two vector maps, cut to what both cover.

    A vector map covers its bounding box, unless ``area`` (polygons) says where the truth is complete: then
    it covers that area. A ``sparse`` vector truth cuts nothing: parcels reach out of its bounding box. Raises ``UsageError`` where nothing is common to all.
    """
    whole = _raster_grid(predicted, true, resolution_m) or _vector_grid(predicted, true, resolution_m)
    crs = whole.crs_wkt
    if any(each.bounds_in(crs) is None and each.bounds_in(_DEGREES) for each in (predicted, true)):
        raise _apart(predicted, true)
    if area is not None:
        inside = shapely.union_all(shapely.make_valid(reprojected(area.geometry.to_numpy(), area.crs, crs)))
        notes: tuple[str, ...] = ()
        if not inside.intersects(outline_of(whole)):
            raise UsageError(
                "The area does not touch the ground of the maps.", remedy="Check the file given with --area."
            )
    else:
        inside, notes = _common_box(predicted, true, crs, sparse=sparse)
    window = whole.window
    # What reaches out of the area is read whole: how much of it lies outside decides whether it counts.
    reach = [inside, *(each.bounds_in(crs, near=inside) for each in (predicted, true) if each.grid is None)]
    asked = _pixels(whole, shapely.union_all([each for each in reach if each is not None]))
    for part in (asked, *(_pixels(whole, _bounds(each, crs)) for each in (predicted, true) if each.grid)):
        common = part.intersection(window)
        if common is None:
            raise _apart(predicted, true)
        window = common
    if window.size_px > _LARGEST_PX:
        raise UsageError(
            f"The grid would have {window.width:,} x {window.height:,} pixels.",
            remedy="Give a coarser --resolution or a smaller --area.",
        )
    grid = whole.crop(window)
    row0, col0 = _corner(predicted, grid) or (window.row0, window.col0)
    empty = tuple(
        f"The {role} is empty."
        for each, role in ((true, "truth"), (predicted, "prediction"))
        if each.bounds_in(crs) is None
    )
    return Ground(
        grid=grid,
        row0=row0,
        col0=col0,
        inside=inside,
        known=_known_on(grid, inside),
        notes=(*empty, *notes),
    )


def _common_box(
    predicted: MapSource, true: MapSource, crs_wkt: str, *, sparse: bool
) -> tuple[shapely.Geometry, tuple[str, ...]]:
    """The bounding box common to both; of a sparse truth that of the prediction, and where it may have found nothing
    at its rim, that of all drawn objects as well."""
    ours, theirs = predicted.bounds_in(crs_wkt), true.bounds_in(crs_wkt)
    known = [each for each in (theirs, ours) if each is not None]
    box = shapely.intersection_all(known)
    if box.is_empty:
        raise _apart(predicted, true)
    if sparse and ours is not None and isinstance(predicted, VectorSource) and len(predicted.stuff):
        # With its land cover a map says how far it reaches: fields beyond are not missed.
        return ours, ()
    if sparse:
        return shapely.union_all(known), _beyond(predicted, true, ours, crs_wkt)
    lost = 1 - box.area / theirs.area if theirs is not None and theirs.area else 0.0
    if predicted.grid is not None or lost <= _TELL_LOST:
        return box, ()
    return box, (
        f"{lost:.0%} of the truth's ground lies outside the prediction's bounding box and is left out; "
        "give --area to say where both are complete.",
    )


def _beyond(
    predicted: MapSource, true: MapSource, ours: shapely.Polygon | None, crs_wkt: str
) -> tuple[str, ...]:
    if ours is None or predicted.grid is not None or not isinstance(true, VectorSource):
        return ()
    drawn = reprojected(true.things.geometry.to_numpy(), true.things.crs, crs_wkt)
    outside = int(np.sum(~shapely.intersects(drawn, ours)))
    if not outside:
        return ()
    return (
        f"{outside} of {len(true.things)} drawn things lie outside the bounding box of the predicted ones and count as "
        "missed; give --area to say which ground was mapped.",
    )


def _corner(predicted: MapSource, grid: Grid) -> tuple[int, int] | None:
    """Where ``grid`` begins in a predicted raster, whose tiles are looked for; None where it is none, or of another CRS."""
    if predicted.grid is None or predicted.grid.crs != grid.crs:
        return None
    col, row = ~grid.transform @ (predicted.grid.transform.c, predicted.grid.transform.f)
    return -round(row), -round(col)


def _bounds(source: MapSource, crs_wkt: str) -> shapely.Polygon:
    return source.bounds_in(crs_wkt) or shapely.Polygon()


def _known_on(grid: Grid, inside: shapely.Geometry) -> Callable[[Window], NDArray[np.bool_]]:
    polygons = PolygonLabels(np.array([inside], dtype=object), np.array([1]), grid)

    def known(window: Window) -> NDArray[np.bool_]:
        drawn = np.zeros(window.shape, np.int32)
        polygons.draw(window, drawn)
        return drawn > 0

    return known


def _raster_grid(predicted: MapSource, true: MapSource, resolution_m: float | None) -> Grid | None:
    grids = [each.grid for each in (true, predicted) if each.grid is not None]
    if not grids:
        return None
    finest = min(grids, key=lambda grid: math.prod(grid.pixel_size_m()))
    if resolution_m is None:
        return finest
    width_m, height_m = finest.pixel_size_m()
    across, down = resolution_m / width_m, resolution_m / height_m
    return Grid(
        crs_wkt=finest.crs_wkt,
        transform=finest.transform @ Affine.scale(across, down),
        height=math.ceil(finest.height / down),
        width=math.ceil(finest.width / across),
    )


def _vector_grid(predicted: MapSource, true: MapSource, resolution_m: float | None) -> Grid:
    """A north-up grid whose pixel edges are multiples of its resolution."""
    frames = [
        each.things if len(each.things) else each.stuff
        for each in (true, predicted)
        if isinstance(each, VectorSource) and (len(each.things) or len(each.stuff))
    ]
    if not frames:
        raise UsageError("Both maps are empty.", remedy="Give a truth with at least one polygon.")
    crs = _metric_crs(frames)
    ground = reprojected(frames[0].geometry.to_numpy(), frames[0].crs, crs)
    step = resolution_m or _resolution(ground)
    boxes = [each for each in (true.bounds_in(crs.to_wkt()), predicted.bounds_in(crs.to_wkt())) if each]
    if not boxes:
        raise _apart(predicted, true)
    left, bottom, right, top = shapely.total_bounds(np.array(boxes, dtype=object))
    col0, row0 = math.floor(left / step), math.floor(-top / step)
    return Grid(
        crs_wkt=crs.to_wkt(),
        transform=Affine(step, 0, col0 * step, 0, -step, -row0 * step),
        height=max(1, math.ceil(-bottom / step) - row0),
        width=max(1, math.ceil(right / step) - col0),
    )


def _resolution(ground: NDArray[np.object_]) -> float:
    median_m2 = float(np.median(shapely.area(ground))) or 1.0
    wanted = min(max(math.sqrt(median_m2 / MEDIAN_PARCEL_PX), FINEST_M), COARSEST_M)
    power = 10.0 ** math.floor(math.log10(wanted))
    return max(step * power for step in (1, 2, 2.5, 5) if step * power <= wanted * (1 + 1e-9))


def _metric_crs(frames: list[geopandas.GeoDataFrame]) -> pyproj.CRS:
    """The first CRS in metres that are metres on the ground, else the truth's UTM zone."""
    for frame in frames:
        if is_projected_in_metres(frame.crs):
            left, bottom, right, top = frame.total_bounds
            middle = Grid(
                crs_wkt=frame.crs.to_wkt(),
                transform=Affine(1, 0, (left + right) / 2, 0, -1, (bottom + top) / 2),
                height=1,
                width=1,
            )
            if max(abs(each - 1) for each in middle.pixel_size_m()) < _TRUE_SCALE:
                return frame.crs
    # The zone of most of them: one stray outline draws the middle of all bounds far away.
    middle = np.median(shapely.get_coordinates(shapely.centroid(frames[0].geometry.to_numpy())), axis=0)
    return geopandas.GeoSeries([shapely.Point(middle)], crs=frames[0].crs).estimate_utm_crs()


def _pixels(grid: Grid, polygon: shapely.Geometry) -> Window:
    to_px = ~grid.transform
    outline = shapely.transform(polygon, lambda xy: np.column_stack(to_px @ (xy[:, 0], xy[:, 1])))
    left, top, right, bottom = outline.bounds
    # An edge that lies on a pixel edge but for rounding does not reach into the next pixel.
    return Window(
        math.floor(top + 1e-6), math.floor(left + 1e-6), math.ceil(bottom - 1e-6), math.ceil(right - 1e-6)
    )


def _apart(predicted: MapSource, true: MapSource) -> UsageError:
    return UsageError(
        f"The maps do not overlap: {_place(true, 'truth')}, {_place(predicted, 'prediction')}.",
        remedy="Check that both show the same place, and that their CRS are right.",
    )


def _place(source: MapSource, role: str) -> str:
    bounds = source.bounds_in(_DEGREES)
    if bounds is None:
        return f"the {role} {source.name} is empty"
    lies_at = place_of(np.array([bounds], dtype=object), pyproj.CRS.from_wkt(_DEGREES))
    return f"the {role} {source.name} lies at {lies_at}"
