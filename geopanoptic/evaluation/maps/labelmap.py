"""A map on a pixel grid: labels by window, and what is known of each label's segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from geopanoptic.evaluation.maps.segments import Segments
from geopanoptic.grid import Grid, Window

_SNAP_PX = 4096
_MOST_CORNERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMap:
    """``read`` gives int32 labels (h, w) of a window of the grid: 1..n segments, things before stuff, 0 none,
    -1 not known. ``cover`` (h, w) bool: land cover of any class, also of one that is not compared; None for a map
    without. ``outlines`` (things,) polygons in the grid's CRS, empty where it has no place for them; None of a raster."""

    segments: Segments
    n_things: int
    read: Callable[[Window], NDArray[np.int32]]
    cover: Callable[[Window], NDArray[np.bool_]] | None = None
    outlines: NDArray[np.object_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScheme:
    """Category ids by class name. ``things`` None: every thing has category 1, whatever it is called."""

    things: Mapping[str, int] | None
    stuff: Mapping[str, int]

    def of_things(self, names: NDArray[np.object_] | None, n: int) -> NDArray[np.int64]:
        """Category ids (n,) of things with these class names; 0 where the class is not named."""
        if self.things is None or names is None:
            return np.ones(n, np.int64)
        return np.array([0 if name is None else self.things[name] for name in names], np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassNames:
    """Names of the classes in a map; None for things without a named class, and for a map that has no place for stuff."""

    things: frozenset[str] | None
    stuff: frozenset[str] | None


class MapSource(Protocol):
    """A map as it was given, before there is a common grid."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def grid(self) -> Grid | None:
        """The pixel grid of a raster."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out on reading."""

    def bounds_in(self, crs_wkt: str, *, near: shapely.Geometry | None = None) -> shapely.Polygon | None:
        """The ground that it covers, or its things that touch ``near`` cover; None where there is nothing."""

    def class_names(self, column: str | None) -> ClassNames:
        """Names by ``column``, or by the column of our own layers; UsageError where ``column`` is missing."""

    def on(self, grid: Grid, scheme: ClassScheme, *, column: str | None, void_class: str | None) -> LabelMap:
        """The map on a grid."""


def outline_of(grid: Grid) -> shapely.Polygon:
    """The ground of a grid in its CRS."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


class PolygonLabels:
    """Labels of polygons on a grid by pixel centres; the smaller of two that overlap is on top.

    The coordinates are rounded to 1/4096 pixel. A window's origin can then be subtracted without an error,
    so a pixel whose centre lies on an outline has one label, whatever window is read.
    """

    def __init__(self, polygons: NDArray[np.object_], labels: NDArray[np.integer], grid: Grid) -> None:
        to_px = ~grid.transform

        def snapped(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            return _snapped(np.column_stack(to_px @ (xy[:, 0], xy[:, 1])))

        outlines = shapely.transform(polygons, snapped)
        order = np.argsort(-shapely.area(outlines), kind="stable")
        pieces, of = _divided(outlines[order])
        self._outlines, self._labels = shapely.transform(pieces, _snapped), np.asarray(labels)[order][of]
        self._tree = shapely.STRtree(self._outlines)

    def draw(self, window: Window, onto: NDArray[np.int32]) -> None:
        """Draw over the array of a window."""
        near = np.sort(self._tree.query(shapely.box(window.col0, window.row0, window.col1, window.row1)))
        if not len(near):
            return
        pairs = zip(self._outlines[near], self._labels[near].tolist(), strict=True)
        rasterize(pairs, out=onto, transform=Affine.translation(window.col0, window.row0))


def _snapped(colrow: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(colrow * _SNAP_PX) / _SNAP_PX


def _divided(outlines: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """Polygons of few corners that together are the outlines, in their order, and the row of each one's outline.

    GDAL looks at all edges of a polygon for every row of pixels, and land cover may have a hundred thousand. Cuts
    run between pixels, halfway through what has too many: the same ones whatever window is read.
    """
    pieces, of = outlines.copy(), np.arange(len(outlines))
    # Rounded corners may cross, which the cuts would not forgive.
    many = shapely.get_num_coordinates(pieces) > _MOST_CORNERS
    pieces[many] = shapely.make_valid(pieces[many])
    while True:
        size_px = shapely.bounds(pieces)[:, 2:] - shapely.bounds(pieces)[:, :2]
        large = (shapely.get_num_coordinates(pieces) > _MOST_CORNERS) & (size_px.max(axis=1, initial=0) > 2)
        if not large.any():
            order = np.argsort(of, kind="stable")
            return pieces[order], of[order]
        halves = [half for piece in pieces[large] for half in _halves(piece)]
        parts, number = shapely.get_parts(np.array(halves, dtype=object), return_index=True)
        solid = shapely.area(parts) > 0
        pieces = np.concatenate([pieces[~large], parts[solid]])
        of = np.concatenate([of[~large], np.repeat(of[large], 2)[number[solid]]])


def _halves(piece: shapely.Geometry) -> tuple[shapely.Geometry, shapely.Geometry]:
    left, top, right, bottom = piece.bounds
    col, row = round((left + right) / 2), round((top + bottom) / 2)
    first, second = (
        ((left, top, col, bottom), (col, top, right, bottom))
        if right - left > bottom - top
        else ((left, top, right, row), (left, row, right, bottom))
    )
    return shapely.clip_by_rect(piece, *first), shapely.clip_by_rect(piece, *second)
