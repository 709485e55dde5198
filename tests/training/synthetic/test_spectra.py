"""The spectra of land: real ones, by month."""

from __future__ import annotations

import json

import numpy as np
import pytest

from geopanoptic.training.synthetic.spectra import BANDS, TABLE, mixtures
from geopanoptic.training.synthetic.spectra_fit import fit

RED, NIR, SWIR = (BANDS.index(name) for name in ("red", "nir", "swir16"))


def test_spectra_are_those_of_land():
    rng = np.random.default_rng(0)
    typical = {cover: np.median(mixture.draw(rng, 3000), 0) for cover, mixture in mixtures().items()}
    ndvi = {cover: (s[NIR] - s[RED]) / (s[NIR] + s[RED]) for cover, s in typical.items()}
    assert ndvi["water"] < 0 < ndvi["bare"] < ndvi["crop"] < ndvi["woodland"]
    assert all(typical["water"][SWIR] < typical[cover][SWIR] / 3 for cover in ("bare", "crop", "built-up"))
    assert typical["woodland"][RED] == min(typical[cover][RED] for cover in set(typical) - {"water"})


def test_draws_without_spread_are_the_component_means():
    crop = mixtures()["crop"]
    drawn = crop.draw(np.random.default_rng(0), 4, components=np.array([2]), spread=0)
    np.testing.assert_allclose(drawn, np.tile(np.exp(crop.mean[2]), (4, 1)))


def test_draws_keep_the_correlation_between_bands():
    crop = mixtures()["crop"]
    drawn = np.log(crop.draw(np.random.default_rng(0), 20_000, components=np.array([0])))
    inside = (drawn > np.log(2e-3)).all(1) & (drawn < -1e-6).all(1)  # reflectance is clipped to 0.001..1
    assert inside.mean() > 0.9
    expected = crop.factor[0] @ crop.factor[0].T
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.05 * expected.max())


@pytest.mark.realdata
def test_the_table_is_the_fit_of_its_source(shared_data):
    pytest.importorskip("pyarrow")
    fitted = fit(shared_data / "spectra-points" / "global-500.parquet")
    stored = json.loads(TABLE.read_text())
    assert fitted["source"] == stored["source"]
    for cover, parts in stored["covers"].items():
        for name, values in parts.items():
            np.testing.assert_allclose(fitted["covers"][cover][name], values, atol=2e-3)


def test_the_season_goes_round():
    """Shares of a month add up to one, and the crops of June are greener than those of January."""
    rng = np.random.default_rng(0)
    for mixture in mixtures().values():
        assert mixture.season.shape == (12, len(mixture.weight))
        np.testing.assert_allclose(mixture.season.sum(1), 1, atol=2e-3)
    january, june = (np.median(mixtures()["crop"].draw(rng, 3000, month=month), 0) for month in (1, 6))
    assert june[NIR] > 1.3 * january[NIR]
