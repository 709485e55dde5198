"""The fitted seasons are what is known of crops; a season is continuous around the year."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.training.synthetic.phenology import COVERS, KINDS, MONTH_MIDDLE_DAY, TABLE, at_day, phenology
from geopanoptic.training.synthetic.phenology_fit import fit
from geopanoptic.training.synthetic.season_points import ndvi


def months(kind: str) -> np.ndarray:
    return ndvi(phenology().seasons[kind].mean)


def test_crops_are_green_in_their_season():
    winter, summer, grass, wood = (months(kind) for kind in (*KINDS[:3], "woodland"))
    assert winter.argmax() in (3, 4, 5)
    assert summer.argmax() in (6, 7, 8)
    assert winter[7] < 0.45 < 0.6 < summer[7]
    assert np.ptp(grass) < np.ptp(winter)
    assert wood[6] > 0.7
    assert (months("water") < 0.1).all()


def test_every_kind_has_a_season():
    assert set(phenology().seasons) == {*KINDS, *COVERS}
    assert set(phenology().shift_days) == set(KINDS[:2])


def test_drawn_seasons_scatter_around_the_mean():
    season = phenology().seasons["summer crop"]
    drawn = season.draw(np.random.default_rng(0), 4000)
    np.testing.assert_allclose(drawn.mean(0), season.mean, atol=0.05)
    # Components over the whole season: months go together.
    july, august = drawn[:, 6, 6], drawn[:, 7, 6]
    assert np.corrcoef(july, august)[0, 1] > 0.7
    np.testing.assert_array_equal(season.draw(np.random.default_rng(0), 1, spread=0)[0], season.mean)


def test_a_season_takes_its_months_values_in_their_middle():
    mean = phenology().seasons["grassland"].mean
    seen = at_day(np.repeat(mean[None], 12, axis=0), MONTH_MIDDLE_DAY)
    np.testing.assert_allclose(seen, mean, atol=1e-9)


@given(day=st.floats(-400, 800))
def test_a_season_is_continuous_and_periodic(day):
    season = phenology().seasons["winter crop"].mean[None]
    here = at_day(season, np.array([day]))
    np.testing.assert_allclose(at_day(season, np.array([day + 365.25])), here, atol=1e-9)
    np.testing.assert_allclose(at_day(season, np.array([day + 1e-4])), here, atol=1e-3)


def test_the_fit_gives_the_table(shared_data):
    folder = shared_data / "spectra-points"
    again = fit(folder / "global-500.parquet", folder / "ndvi-46-steps-24-classes.tsv")
    table = json.loads(TABLE.read_text())
    assert again["points"] == table["points"]
    assert again["shift_days"] == table["shift_days"]
    for kind, season in table["seasons"].items():
        assert np.array(season["mean"]) == pytest.approx(np.array(again["seasons"][kind]["mean"]), abs=2e-3)
