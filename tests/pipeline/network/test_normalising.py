"""What a first look says of dates that do not go together."""

from __future__ import annotations

import pytest

from geopanoptic.errors import SceneError
from geopanoptic.models.manifest import Normalisation
from geopanoptic.pipeline.network.normalising import in_other_units, raised
from geopanoptic.scene.radiometry import CLIP, HIGH_PERCENT, LOW_PERCENT, DateRange


def bright(high: float, *, valid_share: float = 1.0) -> DateRange:
    return DateRange(bands=("red",), low=(0.0,), high=(high,), valid_share=valid_share)


@pytest.mark.parametrize("odd", [0.31, 3.1e7])
def test_a_date_that_lacks_its_scale_is_refused(odd: float) -> None:
    season = {"2021-04-01": bright(2500), "2021-05-01": bright(odd), "2021-06-01": bright(3100)}
    with pytest.raises(SceneError, match=r"red band of 2021-05-01.* different units") as refusal:
        in_other_units(season)
    assert "gdal_edit -scale" in str(refusal.value.remedy)


@pytest.mark.parametrize("odd", [0.0, 31.0, 3.1e5])
def test_a_date_in_another_unit_is_named(odd: float) -> None:
    season = {"2021-04-01": bright(2500), "2021-05-01": bright(odd), "2021-06-01": bright(3100)}
    (warning,) = in_other_units(season)
    assert "red band of 2021-05-01" in warning
    assert "different units" in warning


def test_clouds_darkness_and_hidden_dates_are_no_matter() -> None:
    season = {"a": bright(2500), "b": bright(15_000), "c": bright(400), "d": bright(0.3, valid_share=0.01)}
    assert in_other_units(season) == []
    assert in_other_units({"a": bright(-8.0), "b": bright(-15.0)}) == []
    assert in_other_units({"a": bright(0.3, valid_share=0.0)}) == []


def dark(low: float, *, valid_share: float = 1.0) -> DateRange:
    return DateRange(
        bands=("red", "nir"), low=(low, low + 900), high=(low + 2000, low + 4000), valid_share=valid_share
    )


def test_dates_with_sentinel2s_offset_after_dates_without() -> None:
    season = {"2021-06-15": dark(210), "2021-07-15": dark(340), "2022-06-15": dark(1230)}
    (warning,) = raised(season)
    assert "number of 2022-06-15 is below 1000" in warning
    assert "BOA_ADD_OFFSET=-1000" in warning
    assert raised(season | {"2022-07-15": dark(280)}) == [], "haze over one date"
    assert raised(season | {"2021-08-15": dark(1600)}) == [], "haze before the offset came"
    assert raised(season | {"2021-08-15": dark(1600, valid_share=0.01)}) == [warning]
    assert raised({"2022-06-15": dark(1230)}) == raised({"undated": dark(1230)}) == []


def test_bundles_state_the_percentiles_that_are_computed() -> None:
    stated = Normalisation()
    assert (stated.low_percentile, stated.high_percentile, stated.clip) == (LOW_PERCENT, HIGH_PERCENT, CLIP)
