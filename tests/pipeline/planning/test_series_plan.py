"""What a plan says of a season: which model, which dates, what is kept in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geopanoptic.errors import SceneError
from geopanoptic.models.bundle import DEFAULT_BUNDLE, list_bundles, load_bundle
from geopanoptic.pipeline.execution.crew import PROCESSES, Crew
from geopanoptic.pipeline.memory import needed_bytes, sums_bytes
from geopanoptic.pipeline.planning.layout import Layout
from geopanoptic.pipeline.planning.plan import make_plan
from geopanoptic.pipeline.planning.suitability import SERIES_BUNDLE, THOROUGH_BUNDLE, bundle_for
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.scene import select_dates

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
    assert bundle_for(season.at("2021-04-21")).name == THOROUGH_BUNDLE
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


def test_several_years_are_no_season(season, tiny_series_bundle):
    def with_last_in(year: int) -> Scene:
        last = season.dates[-1]
        layers = (
            replace(each, date=last.replace(year=year)) if each.date == last else each
            for each in season.layers
        )
        return replace(season, layers=tuple(layers))

    assert not make_plan(with_last_in(2022), tiny_series_bundle).warnings, "PASTIS takes fourteen months"
    (told,) = make_plan(with_last_in(2023), tiny_series_bundle).warnings
    assert "reach from 2021-04-01 to 2023-05-11" in told
    assert "--from" in told
    one = with_last_in(2023).at("2021-04-01")
    assert not make_plan(one, tiny_series_bundle).warnings


def test_kinds_of_parcels_without_a_date_are_told_to_be_guesses(season):
    bundle = load_bundle("fields-series")
    assert not any("kinds of parcels" in text for text in make_plan(season, bundle).warnings)
    first, *_ = season.dates
    (told,) = make_plan(season.at(first), bundle).warnings
    assert "has one date: kinds of parcels are often wrong" in told


def test_two_dates_are_more_than_a_model_of_one_takes(season, tiny_bundle):
    with pytest.raises(SceneError, match=r"2 dates \(2021-04-01, 2021-04-21\) and model tiny takes one"):
        make_plan(select_dates(season, season.dates[:2]), tiny_bundle)


def test_a_model_of_one_kind_of_parcel_has_no_kinds_to_guess(season, tiny_series_bundle):
    warnings = make_plan(season.at("2021-04-01"), tiny_series_bundle).warnings
    assert not any("kinds of parcels" in text for text in warnings)


def test_without_any_date_kinds_are_told_to_be_guesses(tmp_path):
    path = tmp_path / "undated.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=4, height=40, width=50, dtype="uint16",
        crs="EPSG:32632", transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
    ) as file:  # fmt: skip
        file.write(np.full((4, 40, 50), 100, np.uint16))
        file.descriptions = ("blue", "green", "red", "nir")
    (told,) = make_plan(open_scene(path), load_bundle("fields-series")).warnings
    assert "states no date" in told
    assert "they are guesses" in told


def test_the_network_sees_a_tile_on_every_date(season, tiny_series_bundle):
    one, three = (make_plan(each, tiny_series_bundle) for each in (season.at("2021-04-01"), season))
    assert three.network_px == 3 * one.network_px


def test_what_processes_of_this_machine_need_adds_up(season, tiny_series_bundle):
    crew = Crew(scheduler=PROCESSES, processes=4, threads=1)
    alone, four = (
        make_plan(season, tiny_series_bundle, crew=each, memory=memory, tile_px=32, block_px=64, batch=1)
        for each, memory in ((replace(crew, processes=1), "2GB"), (crew, "8GB"))
    )
    assert four.layout == alone.layout
    assert four.memory_bytes == four.here_bytes == 4 * alone.memory_bytes
    assert four.sums_bytes == 4 * alone.sums_bytes > 0
