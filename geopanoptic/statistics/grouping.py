"""The way through a scene: groups of neighbouring parcels, each read with every date once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from geopanoptic.grid import Grid, Window
from geopanoptic.reprojection import reprojected
from geopanoptic.scene import OnUnreadable, Scene
from geopanoptic.statistics.coverage import Cells, covered_cells

CELL_PX = 1024
"""Parcels whose middles lie in one square of this side are read together."""

GROUP_PX = 1 << 22
"""Pixels in the boxes of a group's parcels, at most, unless one parcel alone has more."""

READ_PX = 1 << 22
"""Pixels of a band read at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """``rows`` (n,) of the parcels, ascending, their ``cells``, and ``size_px`` (n,) their areas in pixels,
    of which a part may lie beyond the scene."""

    rows: NDArray[np.int64]
    cells: Cells
    size_px: NDArray[np.float64]


def in_pixels(polygons: NDArray[np.object_], crs: pyproj.CRS, grid: Grid) -> NDArray[np.object_]:
    """Polygons of ``crs`` in the pixel coordinates of ``grid`` (x: columns, y: rows), valid; empty ones for those
    that the grid's projection does not reach."""
    to_pixel = ~grid.transform
    moved = shapely.transform(
        reprojected(polygons, crs, grid.crs), lambda xy: np.column_stack(to_pixel @ (xy[:, 0], xy[:, 1]))
    )
    broken = ~shapely.is_valid(moved)
    moved[broken] = shapely.make_valid(moved[broken], method="structure", keep_collapsed=False)
    return np.asarray(moved, dtype=object)


def groups(polygons_px: NDArray[np.object_], grid: Grid) -> Iterator[Group]:
    """Groups of the polygons that cover some of ``grid``, square by square, row after row.

    A parcel's cells do not depend on its group, so that neither do its figures.
    """
    scene = shapely.box(0, 0, grid.width, grid.height)
    bounds = shapely.bounds(polygons_px)
    inside = np.flatnonzero(shapely.intersects(scene, polygons_px))
    middle = (bounds[inside, :2] + bounds[inside, 2:]) / 2
    square = np.clip(middle, 0, [grid.width - 1, grid.height - 1]) // CELL_PX
    order = np.lexsort((inside, square[:, 0], square[:, 1]))
    inside, square = inside[order], square[order]
    box_px = np.prod(bounds[inside, 2:] - bounds[inside, :2] + 2, axis=1)
    for part in _runs(square, box_px):
        rows = np.sort(inside[part])
        whole = polygons_px[rows]
        clipped = whole.copy()
        over = ~shapely.covers(scene, whole)
        clipped[over] = shapely.intersection(whole[over], scene)
        cells = covered_cells(_areas(clipped))
        covered = np.diff(cells.starts) > 0
        if covered.all():
            yield Group(rows=rows, cells=cells, size_px=shapely.area(whole))
        elif covered.any():
            kept = np.append(cells.starts[:-1][covered], cells.starts[-1])
            yield Group(
                rows=rows[covered],
                cells=Cells(row=cells.row, col=cells.col, share=cells.share, starts=kept),
                size_px=shapely.area(whole[covered]),
            )


def _runs(square: NDArray[np.float64], box_px: NDArray[np.float64]) -> Iterator[slice]:
    """Slices of equal rows of ``square`` (n, 2), each of at most ``GROUP_PX`` or of one parcel."""
    if not len(square):
        return
    borders = np.flatnonzero(np.any(np.diff(square, axis=0) != 0, axis=1)) + 1
    for start, end in pairwise([0, *borders.tolist(), len(square)]):
        while start < end:
            fitting = int(np.searchsorted(np.cumsum(box_px[start:end]), GROUP_PX, side="right"))
            yield slice(start, start + max(fitting, 1))
            start += max(fitting, 1)


def gather(
    scene: Scene, cells: Cells, bands: Sequence[str], on_unreadable: OnUnreadable
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values (C, c) of a scene of one date at all cells, and their validity (c,).

    Read in strips of rows, so that a parcel as large as the scene needs memory for its cells only.
    """
    values = np.zeros((len(bands), len(cells)), np.float32)
    valid = np.zeros(len(cells), np.bool_)
    col0, col1 = int(cells.col.min()), int(cells.col.max()) + 1
    row0, row1 = int(cells.row.min()), int(cells.row.max()) + 1
    step = max(READ_PX // (col1 - col0), 1)
    for top in range(row0, row1, step):
        window = Window(top, col0, min(top + step, row1), col1)
        within = np.flatnonzero((cells.row >= top) & (cells.row < window.row1))
        if not len(within):
            continue
        read, read_valid = scene.read(window, bands, on_unreadable=on_unreadable)
        at = (cells.row[within] - top, cells.col[within] - col0)
        values[:, within] = read[:, at[0], at[1]]
        valid[within] = read_valid[at]
    return values, valid


def _areas(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Clipping may leave points and lines where a polygon only touches the edge."""
    for row in np.flatnonzero(~np.isin(shapely.get_type_id(polygons), (3, 6))):
        parts = shapely.get_parts(polygons[row])
        polygons[row] = shapely.multipolygons(parts[shapely.area(parts) > 0])
    return polygons
