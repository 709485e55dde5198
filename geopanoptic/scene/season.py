"""The day of a date as the seasons count it: the same in both hemispheres."""

from __future__ import annotations

import math
from datetime import date

import pyproj
from pyproj.exceptions import ProjError

from geopanoptic.grid import Grid

DAYS_PER_YEAR = 365.25


def season_day(when: date | None, latitude_deg: float) -> float:
    """Day of the year, 1 to 366; south of the equator half a year later, modulo 365.25 days.

    NaN where the date is not known. An unknown latitude (NaN) counts as northern.
    """
    if when is None:
        return math.nan
    day = float(when.timetuple().tm_yday)
    return (day + DAYS_PER_YEAR / 2) % DAYS_PER_YEAR if latitude_deg < 0 else day


def middle_latitude_deg(grid: Grid) -> float:
    """Geodetic latitude of the middle of a grid in degrees; NaN for a CRS without a place on Earth."""
    geographic = grid.crs.geodetic_crs
    if geographic is None:
        return math.nan
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    try:
        _, latitude = pyproj.Transformer.from_crs(grid.crs, geographic, always_xy=True).transform(x, y)
    except ProjError:
        return math.nan
    # Some geographic CRSs count in grads. What lies outside a projection has no latitude, but infinity.
    degrees = math.degrees(latitude * geographic.axis_info[0].unit_conversion_factor)
    return degrees if math.isfinite(degrees) else math.nan
