"""Synthetic seasons: exact truth, the same again for the same seed, files that open as a scene of dates."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.scene import open_scene
from geopanoptic.training.synthetic import SyntheticSeries, synthesize_series
from geopanoptic.training.synthetic.phenology import COVERS, KINDS
from geopanoptic.training.synthetic.series import draw_days


@pytest.fixture(scope="module")
def series() -> SyntheticSeries:
    return synthesize_series((72, 88), n_dates=5, seed=3)


def test_the_truth_covers_the_ground(series):
    assert series.images_tchw.shape == (5, 10, 72, 88)
    assert series.instances.shape == series.cover.shape == (144, 176)
    assert ((series.cover == 0) == (series.instances > 0)).all()
    assert len(series.kinds) == series.instances.max() + 1
    assert series.classes.max() < len(KINDS) + len(COVERS)
    assert list(series.dates) == sorted(set(series.dates))
    assert (series.images_tchw[:, :, 0, 0] > 0).any()
    assert (series.images_tchw.min(1)[series.valid_thw] > 0).all()


def test_the_same_seed_gives_the_same_series(series):
    again = synthesize_series((72, 88), n_dates=5, seed=3)
    np.testing.assert_array_equal(again.images_tchw, series.images_tchw)
    np.testing.assert_array_equal(again.valid_thw, series.valid_thw)
    assert again.dates == series.dates
    assert (synthesize_series((72, 88), n_dates=5, seed=4).instances != series.instances).any()


def test_a_series_is_shown_in_one_line(series):
    first, last, parcels = series.dates[0], series.dates[-1], len(series.parcels())
    assert repr(series).startswith(f"<SyntheticSeries: {len(series.dates)} dates from {first} to {last}, ")
    assert repr(series).endswith(f" bands, {parcels:,} parcels>")


def test_days_and_bands_are_taken_as_wanted():
    series = synthesize_series((40, 40), days=[200, 100], bands=("red", "nir"), seed=0, weather=False)
    assert series.days == (100.0, 200.0)
    assert series.images_tchw.shape == (2, 2, 40, 40)
    assert series.valid_thw.all()


def test_seasons_change_the_image_and_leave_the_ground_where_it_is():
    series = synthesize_series((80, 80), days=[120, 121, 230], seed=6, weather=False)
    next_day, next_season = (
        np.abs(np.log(series.images_tchw[t] / series.images_tchw[0])).mean() for t in (1, 2)
    )
    assert next_season > 2 * next_day


def test_the_files_open_as_a_scene_of_dates(series, tmp_path):
    series.to_geotiffs(tmp_path)
    scene = open_scene(tmp_path)
    assert scene.dates == series.dates
    assert scene.bands == series.bands
    for t, date in enumerate(series.dates):
        values, valid = scene.at(date).read(Window(0, 0, 72, 88), scene.bands)
        np.testing.assert_array_equal(valid, series.valid_thw[t])
        np.testing.assert_array_equal(values[:, valid], series.images_tchw[t][:, valid])


def test_the_truth_is_written_with_kinds(series, tmp_path):
    series.to_gpkg(tmp_path / "truth.gpkg")
    parcels = geopandas.read_file(tmp_path / "truth.gpkg", layer="parcels")
    assert len(parcels) == series.instances.max()
    assert [KINDS.index(name) for name in parcels["class_name"]] == series.kinds[1:].tolist()
    assert parcels.area.sum() == pytest.approx((series.instances > 0).sum() * 25)
    ground = geopandas.read_file(tmp_path / "truth.gpkg", layer="landcover")
    assert set(ground["class_name"]) <= set(COVERS)


@given(n_dates=st.integers(1, 365), seed=st.integers(0, 99))
def test_days_are_different_days_of_one_year(n_dates, seed):
    days = draw_days(n_dates, np.random.default_rng(seed))
    assert len(days) == n_dates
    assert days[0] >= 1
    assert days[-1] <= 365
    gaps = np.diff(days)
    assert (gaps >= min(5, 365 // n_dates)).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"days": [3, 3]}, "different numbers"),
        ({"days": [0]}, "1 to 365"),
        ({"n_dates": 0}, "n_dates 0"),
        ({"bands": ("thermal",)}, "thermal"),
        ({"seed": -1}, "seed -1"),
        ({"pixel_size_m": 0.1}, "pixel_size_m"),
        ({"character": "moon"}, "moon"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        synthesize_series((20, 20), **arguments)
