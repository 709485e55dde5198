"""The day of the year in both hemispheres, and the latitude that decides it."""

from __future__ import annotations

import math
from datetime import date

import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from geopanoptic.grid import Grid
from geopanoptic.scene.season import middle_latitude_deg, season_day

DATES = st.dates(date(1980, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize(
    ("when", "latitude_deg", "day"),
    [
        (date(2021, 1, 1), 52.0, 1.0),
        (date(2020, 12, 31), 52.0, 366.0),
        (date(2021, 7, 1), 0.0, 182.0),
        (date(2021, 7, 1), math.nan, 182.0),
        (date(2021, 1, 1), -30.0, 183.625),
        (date(2021, 7, 3), -30.0, 1.375),
    ],
)
def test_days_count_the_seasons_of_the_north(when: date, latitude_deg: float, day: float) -> None:
    assert season_day(when, latitude_deg) == pytest.approx(day)


def test_an_unknown_date_has_no_day() -> None:
    assert math.isnan(season_day(None, 10.0))


@given(DATES, st.floats(-90, 90))
def test_days_stay_within_a_year(when: date, latitude_deg: float) -> None:
    assert 0 <= season_day(when, latitude_deg) <= 366


@given(DATES)
def test_the_south_is_half_a_year_apart(when: date) -> None:
    apart = abs(season_day(when, -1.0) - season_day(when, 1.0)) % 365.25
    assert apart == pytest.approx(182.625)


@pytest.mark.parametrize(
    ("crs", "x", "y", "latitude_deg"),
    [
        ("EPSG:32632", 500_000.0, 5_761_038.0, 52.0),
        ("EPSG:32733", 500_000.0, 6_680_830.0, -30.0),
        ("EPSG:4326", 11.0, -33.5, -33.5),
    ],
)
def test_the_latitude_is_that_of_the_middle(crs: str, x: float, y: float, latitude_deg: float) -> None:
    size = 1e-4 if crs == "EPSG:4326" else 10.0
    corner = Affine(size, 0, x - 5 * size, 0, -size, y + 5 * size)
    grid = Grid(crs_wkt=CRS(crs).to_wkt(), transform=corner, height=10, width=10)
    assert middle_latitude_deg(grid) == pytest.approx(latitude_deg, abs=0.01)


def test_a_grid_without_a_place_has_no_latitude() -> None:
    local = (
        'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    )
    grid = Grid(crs_wkt=local, transform=Affine.identity(), height=10, width=10)
    assert math.isnan(middle_latitude_deg(grid))
