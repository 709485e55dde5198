"""The normalisation of a season: medians over the dates that count."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_rasters import RGB, write_raster

from geopanoptic.scene import measure, open_scene, take_sample
from geopanoptic.scene.radiometry import DateRange, date_range, series_normalisation


def _range(low: float, high: float, share: float = 1.0) -> DateRange:
    return DateRange(bands=("red",), low=(low,), high=(high,), valid_share=share)


RANGES = st.lists(
    st.builds(
        lambda low, span, share: _range(low, low + span, share),
        st.floats(-1e4, 1e4),
        st.floats(1, 1e4),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=9,
)


@given(RANGES)
def test_the_range_is_ordered_and_within_those_of_the_dates(ranges: list[DateRange]) -> None:
    normal = series_normalisation(ranges)
    assert min(each.low[0] for each in ranges) <= normal.low[0] <= max(each.low[0] for each in ranges)
    assert normal.low[0] < normal.high[0]


@given(RANGES, st.randoms())
def test_the_order_of_the_dates_does_not_matter(ranges: list[DateRange], random) -> None:
    shuffled = list(ranges)
    random.shuffle(shuffled)
    assert series_normalisation(shuffled) == series_normalisation(ranges)


@given(RANGES)
def test_a_clouded_date_changes_nothing(ranges: list[DateRange]) -> None:
    if any(each.valid_share > 0 for each in ranges):
        assert series_normalisation([*ranges, _range(0, 1, share=0.0)]) == series_normalisation(ranges)


def test_medians_leave_a_single_bright_date_out() -> None:
    normal = series_normalisation([_range(10, 100), _range(12, 110), _range(500, 9000)])
    assert (normal.low, normal.high) == ((12,), (110,))


def test_dates_of_little_ground_count_where_nothing_else_is_there() -> None:
    normal = series_normalisation([_range(1, 2, share=0.01), _range(5, 9, share=0.001)])
    assert (normal.low, normal.high) == ((1,), (2,))


def test_a_band_is_measured_where_it_is_there() -> None:
    radar = DateRange(bands=("vv", "vh"), low=(-20.0, -30.0), high=(0.0, -5.0), valid_share=1.0)
    normal = series_normalisation([_range(0, 10), radar, _range(10, 20)])
    assert normal.bands == ("red", "vv", "vh")
    assert (normal.low, normal.high) == ((5, -20, -30), (15, 0, -5))


def test_a_scene_of_dates_is_measured_date_by_date(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    paths = [
        write_raster(
            tmp_path / f"{when:%Y-%m-%d}.tif",
            draw.integers(number * 1000 + 1, number * 1000 + 500, (3, 30, 30)).astype("uint16"),
            names=RGB,
            nodata=0,
        )
        for number, when in enumerate((date(2021, 4, 1), date(2021, 6, 1), date(2021, 8, 1)))
    ]
    scene = open_scene(paths)
    assert measure(scene, ("blue", "red")) == measure(scene.at("2021-06-01"), ("blue", "red"))


def test_one_date_is_its_own_season(tmp_path: Path) -> None:
    values = np.random.default_rng(4).integers(1, 5000, (3, 30, 30)).astype("uint16")
    scene = open_scene(write_raster(tmp_path / "scene.tif", values, names=RGB))
    expected = date_range(take_sample(scene))
    normal = measure(scene)
    assert (normal.low, normal.high) == (expected.low, expected.high)
    low, high = np.percentile(values[0], (2, 98))
    assert (normal.low[0], normal.high[0]) == pytest.approx((low, high))
