"""What a plan says of a season: which model, which dates, what is kept in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopanoptic.models.bundle import DEFAULT_BUNDLE, list_bundles, load_bundle
from geopanoptic.pipeline.layout import Layout
from geopanoptic.pipeline.memory import needed_bytes, sums_bytes
from geopanoptic.pipeline.plan import SERIES_BUNDLE, bundle_for, make_plan
from geopanoptic.scene import Scene, open_scene

LAYOUT = Layout(tile_px=256, halo_px=64, stride_px=8, block_px=512, batch=2)


@pytest.fixture(scope="module")
def season(tmp_path_factory) -> Scene:
    folder = tmp_path_factory.mktemp("season")
    for number in range(3):
        when = date(2021, 4, 1) + timedelta(20 * number)
        with rasterio.open(
            Path(folder, f"s_{when:%Y%m%d}.tif"),
            "w",
            driver="GTiff",
            count=4,
            height=40,
            width=50,
            dtype="uint16",
            crs="EPSG:32632",
            transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
        ) as file:
            file.write(np.full((4, 40, 50), 100 + number, np.uint16))
            file.descriptions = ("blue", "green", "red", "nir")
    return open_scene(folder)


def test_a_season_takes_the_series_bundle_where_it_is_there(season, tiny_bundle):
    bundled = SERIES_BUNDLE if SERIES_BUNDLE in list_bundles() else DEFAULT_BUNDLE
    assert bundle_for(season).name == bundled
    assert bundle_for(season.at("2021-04-21")).name == DEFAULT_BUNDLE
    assert bundle_for(season, tiny_bundle.path).name == tiny_bundle.name


def test_the_plan_names_dates_and_what_is_kept_of_them(season, tiny_series_bundle):
    planned = make_plan(season, tiny_series_bundle)
    assert "3 dates from 2021-04-01 to 2021-05-11" in planned.describe()
    assert "for the season" in planned.describe()
    assert planned.to_dict()["dates"] == ["2021-04-01", "2021-04-21", "2021-05-11"]
    assert planned.notes == (
        "All 3 dates from 2021-04-01 to 2021-05-11 are used: model tiny-series takes a season.",
    )
    assert not make_plan(season.at("2021-04-01"), tiny_series_bundle).notes


def test_memory_does_not_grow_with_the_number_of_dates(season, tiny_series_bundle):
    one, three = (make_plan(each, tiny_series_bundle) for each in (season.at("2021-04-01"), season))
    assert one.memory_bytes == three.memory_bytes
    assert three.sums_bytes > 0


def test_sums_grow_with_the_tiles_at_once(tiny_bundle, tiny_series_bundle):
    assert sums_bytes(LAYOUT, tiny_bundle) == 0
    assert sums_bytes(replace(LAYOUT, batch=4), tiny_series_bundle) == 2 * sums_bytes(
        LAYOUT, tiny_series_bundle
    )
    assert needed_bytes(LAYOUT, tiny_series_bundle, 2) > needed_bytes(LAYOUT, tiny_bundle, 2)


def test_kinds_of_parcels_without_a_date_are_told_to_be_guesses(season):
    bundle = load_bundle("fields-series")
    assert not any("kinds of parcels" in text for text in make_plan(season, bundle).warnings)
    first, *_ = season.dates
    (told,) = make_plan(season.at(first), bundle).warnings
    assert "has one date: kinds of parcels are often wrong" in told
