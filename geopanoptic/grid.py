"""Pixel grids and half-open windows: the vocabulary that every other module shares.

Rows and columns count pixels from the upper left corner of the file's first pixel; x and y are map
coordinates in the grid's CRS. A window ``[row0, row1) x [col0, col1)`` may reach outside its grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pyproj
from affine import Affine


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open rectangle of pixels, ``[row0, row1) x [col0, col1)``."""

    row0: int
    col0: int
    row1: int
    col1: int

    @property
    def height(self) -> int:
        return self.row1 - self.row0

    @property
    def width(self) -> int:
        return self.col1 - self.col0

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def size_px(self) -> int:
        return max(self.height, 0) * max(self.width, 0)

    def grown(self, margin_px: int) -> Window:
        """This window with ``margin_px`` more pixels on each side."""
        return Window(
            self.row0 - margin_px,
            self.col0 - margin_px,
            self.row1 + margin_px,
            self.col1 + margin_px,
        )

    def intersection(self, other: Window) -> Window | None:
        """The common rectangle, or None where there is none."""
        row0, row1 = max(self.row0, other.row0), min(self.row1, other.row1)
        col0, col1 = max(self.col0, other.col0), min(self.col1, other.col1)
        return Window(row0, col0, row1, col1) if row0 < row1 and col0 < col1 else None

    def scaled(self, factor: int) -> Window:
        """The same ground in pixels ``factor`` times smaller."""
        return Window(self.row0 * factor, self.col0 * factor, self.row1 * factor, self.col1 * factor)

    def covering(self, factor: int) -> Window:
        """The smallest window of pixels ``factor`` times larger that covers this one."""
        return Window(
            self.row0 // factor, self.col0 // factor, -(-self.row1 // factor), -(-self.col1 // factor)
        )

    def blocks(self, size_px: int) -> Iterator[Window]:
        """Windows of at most ``size_px`` squared that cover this one once, row by row from its first pixel."""
        for row in range(self.row0, self.row1, size_px):
            for col in range(self.col0, self.col1, size_px):
                yield Window(row, col, min(row + size_px, self.row1), min(col + size_px, self.col1))

    def slices(self, origin: Window | None = None) -> tuple[slice, slice]:
        """Index of this window in an array whose first pixel is that of ``origin`` (default 0, 0)."""
        row, col = (origin.row0, origin.col0) if origin else (0, 0)
        return slice(self.row0 - row, self.row1 - row), slice(self.col0 - col, self.col1 - col)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A raster's place on Earth: CRS as WKT2, affine transform (pixel corner to map), shape in pixels."""

    crs_wkt: str
    transform: Affine
    height: int
    width: int

    def __repr__(self) -> str:
        t = self.transform
        name = self.crs_wkt.partition('"')[2].partition('"')[0]
        return f"<Grid: {self.height:,} x {self.width:,} px, {name}, ({t.a:g}, {t.b:g}, {t.c:.10g}, {t.d:g}, {t.e:g}, {t.f:.10g})>"

    @property
    def crs(self) -> pyproj.CRS:
        return pyproj.CRS.from_wkt(self.crs_wkt)

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The whole grid as a window."""
        return Window(0, 0, self.height, self.width)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least and greatest x and y of the grid: xmin, ymin, xmax, ymax."""
        corners = [(0, 0), (self.width, 0), (0, self.height), (self.width, self.height)]
        xs, ys = zip(*(self.transform @ corner for corner in corners), strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def scaled(self, factor: int) -> Grid:
        """The same ground in pixels ``factor`` times smaller (10 m and factor 2: 5 m)."""
        return Grid(
            crs_wkt=self.crs_wkt,
            transform=self.transform @ Affine.scale(1 / factor),
            height=self.height * factor,
            width=self.width * factor,
        )

    def crop(self, window: Window) -> Grid:
        """The grid of one window of this grid."""
        return Grid(
            crs_wkt=self.crs_wkt,
            transform=self.transform @ Affine.translation(window.col0, window.row0),
            height=window.height,
            width=window.width,
        )

    def blocks(self, size_px: int) -> Iterator[Window]:
        """Windows of at most ``size_px`` squared that cover the grid once, row by row."""
        return self.window.blocks(size_px)

    def pixel_size_m(self) -> tuple[float, float]:
        """Ground length in metres of one pixel step along a row (col + 1) and along a column (row + 1).

        Measured on the CRS's ellipsoid in the middle of the grid, so it holds for degrees, for feet
        and for Web Mercator, whose metres are not metres on the ground. A CRS without a place on Earth
        (an engineering CRS) is measured in the plane, in its own unit.
        """
        crs = self.crs
        geographic = crs.geodetic_crs
        if geographic is None:
            unit_m = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
            along_row = math.hypot(self.transform.a, self.transform.d)
            return along_row * unit_m, math.hypot(self.transform.b, self.transform.e) * unit_m
        col, row = self.width / 2, self.height / 2
        points = [self.transform @ point for point in ((col, row), (col + 1, row), (col, row + 1))]
        xs, ys = zip(*points, strict=True)
        # Some geographic CRSs count in grads.
        degrees_per_unit = math.degrees(geographic.axis_info[0].unit_conversion_factor)
        to_geographic = pyproj.Transformer.from_crs(crs, geographic, always_xy=True)
        lons, lats = to_geographic.transform(xs, ys)
        lon, lat = ([value * degrees_per_unit for value in values] for values in (lons, lats))
        geodesic = crs.get_geod() or pyproj.Geod(ellps="WGS84")
        _, _, along_row_m = geodesic.inv(lon[0], lat[0], lon[1], lat[1])
        _, _, along_col_m = geodesic.inv(lon[0], lat[0], lon[2], lat[2])
        return abs(along_row_m), abs(along_col_m)
