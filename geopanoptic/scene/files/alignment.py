"""How a file's pixels lie on the scene's grid.

The grid of a scene is that of its finest band; a 20 m band is read through the exact affine relation of
the two grids, so pixel centres keep their place: a 20 m pixel's centre lies on the corner that four 10 m
pixels share, and a file that begins half a pixel earlier than its neighbour stays there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyproj
from affine import Affine

from geopanoptic.grid import Grid

_DIGITS = 4
"""Offsets are rounded to 1e-4 px (1 mm at 10 m): coordinates written as text leave noise below that."""
_DRIFT_PX = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Maps scene pixel coordinates to file pixel coordinates, per axis: ``file = scale * scene + offset``.

    Coordinates are in pixels from the corner of the first pixel, so centres lie at n + 0.5.
    """

    row_scale: float
    row_offset: float
    col_scale: float
    col_offset: float

    @property
    def is_identity(self) -> bool:
        return (self.row_scale, self.row_offset, self.col_scale, self.col_offset) == (1, 0, 1, 0)

    def keeps_pixels(self, shape: tuple[int, int]) -> bool:
        """Whether two grids of this shape have the same pixels, if perhaps in reversed order."""
        rows, cols = (self.row_scale, self.row_offset), (self.col_scale, self.col_offset)
        return rows in ((1, 0), (-1, shape[0])) and cols in ((1, 0), (-1, shape[1]))


def upright(grid: Grid) -> Grid:
    """The same pixels with rows running south and columns east, as far as flips alone can do that.

    A network sees a mirrored landscape differently; read this way, a south-up file gives the map of its
    north-up twin.
    """
    if grid.transform.e > 0 and grid.transform.b == grid.transform.d == 0:
        grid = replace(grid, transform=grid.transform @ Affine(1, 0, 0, 0, -1, grid.height))
    if grid.transform.a < 0 and grid.transform.b == grid.transform.d == 0:
        grid = replace(grid, transform=grid.transform @ Affine(-1, 0, grid.width, 0, 1, 0))
    return grid


def align(file_grid: Grid, scene_grid: Grid) -> Alignment | None:
    """The relation of two grids of one CRS, or None where they are rotated against each other."""
    relation = ~file_grid.transform @ scene_grid.transform
    drift_px = max(abs(relation.b) * scene_grid.height, abs(relation.d) * scene_grid.width)
    if drift_px > _DRIFT_PX:
        return None
    return Alignment(
        row_scale=_snap(relation.e, scene_grid.height),
        row_offset=round(relation.f, _DIGITS) + 0.0,
        col_scale=_snap(relation.a, scene_grid.width),
        col_offset=round(relation.c, _DIGITS) + 0.0,
    )


def same_crs(one: Grid, other: Grid) -> bool:
    """True where both grids use one CRS, whatever its name or the order of its axes in the text."""
    if one.crs_wkt == other.crs_wkt:
        return True
    return bool(
        pyproj.CRS.from_wkt(one.crs_wkt).equals(pyproj.CRS.from_wkt(other.crs_wkt), ignore_axis_order=True)
    )


def same_grid(one: Grid, other: Grid) -> bool:
    """True where both grids have the same pixels."""
    if one.shape != other.shape or not same_crs(one, other):
        return False
    alignment = align(one, other)
    return alignment is not None and alignment.is_identity


def pixel_area(grid: Grid) -> float:
    """Area of a pixel in squared units of the CRS."""
    return abs(grid.transform.determinant)


def covered_share(file_grid: Grid, scene_grid: Grid, alignment: Alignment) -> float:
    """Share of the scene's area that lies on the file."""
    share = 1.0
    for length, file_length, scale, offset in (
        (scene_grid.height, file_grid.height, alignment.row_scale, alignment.row_offset),
        (scene_grid.width, file_grid.width, alignment.col_scale, alignment.col_offset),
    ):
        low, high = sorted((offset, scale * length + offset))
        share *= max(0.0, min(high, file_length) - max(low, 0.0)) / (high - low)
    return share


def _snap(scale: float, length: int) -> float:
    """The scale without rounding noise that no pixel of the scene could notice."""
    simple = round(scale * 3600) / 3600
    return simple if abs(scale - simple) * length < 1e-3 else scale
