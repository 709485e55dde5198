"""Indices: formulas as published, and what they need."""

from __future__ import annotations

import numpy as np
import pytest
import rioxarray  # noqa: F401  (registers .rio)
import xarray

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.scene import open_scene
from geopanoptic.statistics.indices import INDICES, choose_indices, reflectance_of_one

BANDS = {
    "blue": 0.04,
    "green": 0.07,
    "red": 0.05,
    "rededge1": 0.11,
    "nir": 0.42,
    "swir16": 0.2,
    "swir22": 0.1,
}
PUBLISHED = {
    "ndvi": (0.42 - 0.05) / (0.42 + 0.05),
    "gndvi": (0.42 - 0.07) / (0.42 + 0.07),
    "ndre": (0.42 - 0.11) / (0.42 + 0.11),
    "ndwi": (0.07 - 0.42) / (0.07 + 0.42),
    "mndwi": (0.07 - 0.2) / (0.07 + 0.2),
    "ndmi": (0.42 - 0.2) / (0.42 + 0.2),
    "nbr": (0.42 - 0.1) / (0.42 + 0.1),
    "evi": 2.5 * (0.42 - 0.05) / (0.42 + 6 * 0.05 - 7.5 * 0.04 + 1),
    "evi2": 2.5 * (0.42 - 0.05) / (0.42 + 2.4 * 0.05 + 1),
    "savi": 1.5 * (0.42 - 0.05) / (0.42 + 0.05 + 0.5),
    "bsi": (0.2 + 0.05 - 0.42 - 0.04) / (0.2 + 0.05 + 0.42 + 0.04),
}


@pytest.mark.parametrize("one", [1.0, 10_000.0])
def test_values_are_those_of_the_published_formulas(one):
    bands = {name: np.array([value * one], np.float32) for name, value in BANDS.items()}
    assert set(PUBLISHED) == set(INDICES)
    for name, value in PUBLISHED.items():
        assert INDICES[name](bands, one=one)[0] == pytest.approx(value, rel=1e-5)


def test_nothing_divided_by_nothing_is_no_value():
    bands = dict.fromkeys(("nir", "red"), np.zeros(3, np.float32))
    assert np.isnan(INDICES["ndvi"](bands, one=1)).all()


def test_formulas_are_told():
    assert INDICES["evi"].formula == "2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1)"
    assert INDICES["ndvi"].formula == "(nir - red) / (nir + red)"


def test_choice():
    rgbn = ("blue", "green", "red", "nir")
    assert [each.name for each in choose_indices("NDVI, evi,ndvi", rgbn)] == ["ndvi", "evi"]
    assert [each.name for each in choose_indices("all", rgbn)] == [
        "ndvi",
        "gndvi",
        "ndwi",
        "evi",
        "evi2",
        "savi",
    ]
    assert choose_indices("", rgbn) == ()
    with pytest.raises(UsageError, match="Did you mean 'gndvi'"):
        choose_indices(["gnvdi"], rgbn)
    with pytest.raises(UsageError, match="ndmi needs swir16"):
        choose_indices("ndmi", rgbn)


@pytest.mark.parametrize(
    ("dtype", "factor", "one"), [("float32", 1, 1), ("float32", 10_000, 10_000), ("uint16", 10_000, 10_000)]
)
def test_what_stands_for_a_reflectance_of_one_is_seen_in_fractional_numbers(dtype, factor, one):
    bands = np.array([0.04, 0.07, 0.05, 0.42])[:, None, None] * np.ones((4, 6, 6)) * factor
    x, y = 600_005 + 10 * np.arange(6), 5_699_995 - 10 * np.arange(6)
    coords = {"band": ["blue", "green", "red", "nir"], "y": y, "x": x}
    array = xarray.DataArray(bands.astype(dtype), dims=("band", "y", "x"), coords=coords)
    scene = open_scene(array.rio.write_crs("EPSG:32632"))
    evi = [INDICES["evi"]]
    assert reflectance_of_one(scene, evi)[0] == one
    assert reflectance_of_one(open_scene(scene.to_xarray()), evi)[0] == one
    percent = (array * (100 / factor)).rio.write_crs("EPSG:32632")
    with pytest.raises(SceneError, match="neither reflectances from 0 to 1 nor 10,000 times those"):
        reflectance_of_one(open_scene(percent.astype("float32")), evi)
