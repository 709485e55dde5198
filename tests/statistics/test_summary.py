"""Weighted figures: those of plain numpy where every value is repeated as often as it weighs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.statistics.summary import summarise

weighted = st.lists(
    st.tuples(st.integers(-50, 50) | st.just(float("nan")), st.integers(0, 5)), min_size=1, max_size=12
)


@given(st.lists(weighted, min_size=1, max_size=4))
def test_figures_are_those_of_repeated_values(parcels):
    cells = [cell for parcel in parcels for cell in parcel]
    values = np.array([value for value, _ in cells], np.float32)
    weights = np.array([weight for _, weight in cells], float) / 8
    starts = np.cumsum([0, *map(len, parcels)])
    found = summarise(values, weights, starts)
    for number, parcel in enumerate(parcels):
        repeated = [value for value, times in parcel for _ in range(times) if value == value]
        mean, median, std, low, high, weight = found[:, number]
        assert weight == pytest.approx(len(repeated) / 8)
        if repeated:
            assert (mean, std) == pytest.approx((np.mean(repeated), np.std(repeated)), abs=1e-9)
            assert (median, low, high) == (np.median(repeated), min(repeated), max(repeated))
        else:
            assert np.isnan([mean, median, std, low, high]).all()
