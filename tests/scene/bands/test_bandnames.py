"""Band vocabulary and what texts say."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.scene.bands.bandnames import (
    CANONICAL_BANDS,
    REFLECTANCE_BANDS,
    BandCode,
    Sensor,
    band_code,
    common_name,
    name_of_code,
    nearest_name,
    sensor_of,
    sensor_of_codes,
)
from geopanoptic.scene.bands.filenames import date_of, parse, stem_of


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nir", "nir"),
        ("Near Infrared", "nir"),
        ("red_edge_2", "rededge2"),
        ("Vegetation red edge 3", "rededge3"),
        ("NIR narrow", "nir08"),
        ("SWIR 1", "swir16"),
        ("B4 - Red (665 nm)", "red"),
        ("s2_l3a_20210615_nir", "nir"),
        ("river_red_20210615_green", "green"),
        ("greenland", None),
        ("Band 4", None),
        ("b3", None),
        ("rededge", None),
        ("NDVI", None),
        ("Red (B4)", "red"),
        ("Red band 665 nm B04", "red"),
        ("Surface reflectance in red", "red"),
        ("coastal_blue", "coastal"),
        ("yellow_river_20210615_red", "red"),
        ("Thermal Infrared", "thermal"),
        ("red_river_B02", None),
        ("Red Edge", None),
        ("Red, Red Edge", None),
        ("Shortwave infrared", None),
        ("Mid-Infrared", None),
        ("green_i", None),
        ("yellow", None),
        ("NIR standard deviation", None),
        ("Red-NIR ratio", None),
        ("red_uncertainty", None),
        ("EVI (nir, red, blue)", None),
        ("red_mask", None),
    ],
)
def test_common_names(text: str, name: str | None) -> None:
    assert parse(text).name == name


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("T32UQD_20210615T101559_B08_10m", "8"),
        ("s2_B8A", "8A"),
        ("LC08_L1TP_170068_20200101_20200113_01_T1_B4", "4"),
        ("LT05_L2SP_170068_SR_B3", "3"),
        ("lc08_sr_band4", "4"),
        ("B1", "1"),
        ("b02", "2"),
        ("HLS.S30.T32UQD.2021166T101559.v2.0.B11", "11"),
        ("red_river_B02", "2"),
        ("B05 - Vegetation red edge", "5"),
        ("S2A_20210615_cloud_masked_B02", "2"),
        ("Overview_Farm_S2_20210615_B03", "3"),
        ("B02 cloud-free median", "2"),
    ],
)
def test_codes(text: str, number: str) -> None:
    assert parse(text).code is not None
    assert parse(text).code.number == number


@pytest.mark.parametrize("word", ["B13", "B0", "B00", "B9A", "4", "b4", "band4", "BB4", "B4x", "B123"])
def test_what_is_no_code(word: str) -> None:
    assert band_code(word) is None


def test_one_number_three_meanings() -> None:
    four, five = BandCode(number="4"), BandCode(number="5")
    assert [name_of_code(four, sensor) for sensor in Sensor] == ["red", "nir", "red"]
    assert [name_of_code(five, sensor) for sensor in Sensor] == ["rededge1", "swir16", "nir"]


@pytest.mark.parametrize(
    ("text", "sensor"),
    [
        ("S2A_MSIL2A_20210615T101559", Sensor.SENTINEL2),
        ("T32UQD_20210615T101559_B08_10m", Sensor.SENTINEL2),
        ("Sentinel-2B", Sensor.SENTINEL2),
        ("LC08_L2SP_170068_20200101", Sensor.LANDSAT_8_9),
        ("LANDSAT_9", Sensor.LANDSAT_8_9),
        ("l8_B1", Sensor.LANDSAT_8_9),
        ("LE07_L1TP", Sensor.LANDSAT_4_7),
        ("landsat-5", Sensor.LANDSAT_4_7),
        ("HLS.L30.T32UQD.2021166", Sensor.LANDSAT_8_9),
        ("HLS.S30.T32UQD.2021166", Sensor.SENTINEL2),
        ("scene_7", None),
        ("planet", None),
    ],
)
def test_sensors(text: str, sensor: Sensor | None) -> None:
    assert sensor_of(text) is sensor


def test_codes_that_only_sentinel2_has() -> None:
    plain = [BandCode(number=str(n)) for n in range(1, 8)]
    assert sensor_of_codes(plain) is None
    assert sensor_of_codes([*plain, BandCode(number="8A")]) is Sensor.SENTINEL2
    assert sensor_of_codes([BandCode(number="4", zero_padded=True)]) is Sensor.SENTINEL2
    assert sensor_of_codes([BandCode(number="12", landsat_product=True)]) is None


def test_numbers_that_only_count_are_of_no_sensor() -> None:
    padded = [BandCode(number=str(n), zero_padded=True) for n in range(1, 5)]
    assert sensor_of_codes(padded) is None
    assert sensor_of_codes(padded[1:]) is Sensor.SENTINEL2
    assert sensor_of_codes([*padded, BandCode(number="8A")]) is Sensor.SENTINEL2
    assert sensor_of_codes(BandCode(number=str(n)) for n in range(1, 13)) is None
    for text in ("Band02", "band_02", "b02"):
        assert parse(text).code == BandCode(number="2", zero_padded=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s2_l3a_20210615_nir", date(2021, 6, 15)),
        ("2021-06-15T10:15:59Z", date(2021, 6, 15)),
        ("S2A_20210615T101559_N0300_20210616T131234", date(2021, 6, 15)),
        ("HLS.S30.T32UQD.2021166T101559", date(2021, 6, 15)),
        ("scene_20210230_20210301", date(2021, 3, 1)),
        ("m_4709963_se_14_1_20090818", date(2009, 8, 18)),
        ("41.8049052687692--89.9462267030189", None),
        ("1985", None),
        ("2021_06-15", None),
    ],
)
def test_dates(text: str, expected: date | None) -> None:
    assert date_of(text) == expected


@given(st.dates(date(1972, 1, 1), date(2099, 12, 31)), st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%Y%j"]))
def test_every_date_is_found_between_words(when: date, layout: str) -> None:
    assert date_of(f"T32UQD_{when.strftime(layout)}T101559_B08") == when


@given(st.sampled_from(CANONICAL_BANDS), st.sampled_from(["{}", "s2_{}", "{}_10m", "20210615_{}"]))
def test_canonical_names_survive_any_place(name: str, layout: str) -> None:
    assert parse(layout.format(name.upper())).name == name


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    reading = parse(text, letters=True)
    assert reading.name is None or reading.name in CANONICAL_BANDS
    date_of(text)
    sensor_of(text)


def test_stem_keeps_points_within_a_name() -> None:
    assert stem_of("HLS.S30.T32UQD.2021166.B04.tif") == "HLS.S30.T32UQD.2021166.B04"
    assert stem_of("scene.v2.TIFF") == "scene.v2"


def test_hints() -> None:
    assert nearest_name("gren") == "green"
    assert nearest_name("zzzz") is None
    assert all(common_name(name) == name for name in REFLECTANCE_BANDS)


@pytest.mark.parametrize("text", ["Red (visual)", "s2_nbar_normalized_20210615_red", "red_normalized"])
def test_words_that_leave_a_band_what_it_is(text: str) -> None:
    assert parse(text).name == "red"


def test_lower_case_codes_with_gaps_are_sentinel2() -> None:
    assert sensor_of_codes(filter(None, map(band_code, ("b02", "b03", "b04", "b08")))) is Sensor.SENTINEL2
    assert sensor_of_codes(filter(None, map(band_code, ("b01", "b02", "b03", "b04")))) is None
