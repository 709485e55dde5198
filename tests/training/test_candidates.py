"""Samples of a pool as the grouping sees them, of one date or of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_seasons import write_season_pool

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.runtimes import load_runtime
from geopanoptic.npy import load_npz
from geopanoptic.training.candidates import map_sample
from geopanoptic.training.samples.season_crops import SeriesSample


@pytest.fixture
def seasons(tmp_path: Path, tiny_series_bundle: Bundle) -> Path:
    return write_season_pool(tmp_path / "pool" / "season", n_bands=len(tiny_series_bundle.bands))


def test_a_season_is_mapped_from_the_dates_that_show_something(
    seasons: Path, tiny_series_bundle: Bundle
) -> None:
    network = load_runtime(tiny_series_bundle, device="cpu")
    whole = map_sample(seasons / "a.npz", tiny_series_bundle, network)
    stored = SeriesSample(**load_npz(seasons / "a.npz"))
    assert not stored.valid_thw[0].any()
    replace(
        stored,
        image_tchw=stored.image_tchw[1:],
        available_tc=stored.available_tc[1:],
        valid_thw=stored.valid_thw[1:],
        day_t=stored.day_t[1:],
    ).save(seasons / "clear.npz")
    clear = map_sample(seasons / "clear.npz", tiny_series_bundle, network)
    for name, values in whole.layers.items():
        np.testing.assert_array_equal(values, clear.layers[name])
    assert not whole.valid[:, :2].any()
    assert whole.valid[:, 2:].all()
    assert (whole.truth[:, :2] == -1).all()
    one = map_sample(seasons / "a.npz", tiny_series_bundle, network, n_dates=1)
    assert not np.array_equal(one.layers["boundary"], whole.layers["boundary"])
