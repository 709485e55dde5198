"""What parcels do over the year: harvest leaves soil, mown grass grows again, neighbours differ on some dates."""

from __future__ import annotations

import numpy as np
import pytest

from geopanoptic.training.synthetic.ground import leafiness
from geopanoptic.training.synthetic.landscape import procedural_landscape
from geopanoptic.training.synthetic.season_points import ndvi
from geopanoptic.training.synthetic.seasons import GRASSLAND, SUMMER, WINTER, ParcelSeasons, draw_seasons

DAYS = np.arange(5, 366, 10)


@pytest.fixture(scope="module")
def seasons() -> ParcelSeasons:
    rng = np.random.default_rng(4)
    return draw_seasons(procedural_landscape((400, 400), rng, character="mosaic"), rng)


def test_every_parcel_has_a_season(seasons):
    for day in DAYS:
        log = seasons.at(float(day))
        assert log.shape == (len(seasons.kind), 10)
        assert np.isfinite(log).all()
        assert (log <= 0).all()


def test_harvest_leaves_soil(seasons):
    cropped = np.flatnonzero(np.isin(seasons.kind, (WINTER, SUMMER)) & (seasons.next_cover == 0))
    assert len(cropped) > 20
    for parcel in cropped[:20]:
        after = seasons.at(seasons.harvest[parcel] + 5)[parcel]
        np.testing.assert_allclose(after, seasons.soil_nb[parcel], atol=1e-9)


def test_winter_crops_are_green_before_summer_crops(seasons):
    spring, late = ndvi(seasons.at(125.0)), ndvi(seasons.at(225.0))
    winter, summer = seasons.kind == WINTER, seasons.kind == SUMMER
    assert np.median(spring[winter]) > np.median(spring[summer]) + 0.3
    assert np.median(late[summer]) > np.median(late[winter]) + 0.2


def test_mown_grass_falls_and_grows_again(seasons):
    mown = np.flatnonzero((seasons.kind == GRASSLAND) & np.isfinite(seasons.cuts[:, 0]))
    parcel = mown[seasons.cut_depth[mown].argmax()]
    cut = seasons.cuts[parcel, 0]
    before, after, later = (leafiness(seasons.at(day))[parcel] for day in (cut - 0.5, cut + 0.5, cut + 34))
    assert after < before - 0.1
    assert later > after


def test_neighbours_of_a_kind_part_on_some_dates_only(seasons):
    index = np.stack([ndvi(seasons.at(float(day))) for day in DAYS])
    same = np.flatnonzero((seasons.kind == WINTER) & (seasons.shift_days != 0))
    difference = np.abs(index[:, same[:-1]] - index[:, same[1:]])
    assert np.median(difference.max(0)) > 3 * np.median(difference)
