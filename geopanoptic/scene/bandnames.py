"""Canonical band names, and what sensors and people call them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Literal

Sensor = Literal["sentinel2", "oli", "tm"]
"""Sentinel-2 MSI; Landsat 8-9 OLI; Landsat 4-7 TM and ETM+: band numbers mean different things on each."""

REFLECTANCE_BANDS = (
    "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22",
)  # fmt: skip
"""Bands that a model may take; the finest of them sets the grid of a scene."""

OTHER_BANDS = ("coastal", "nir09", "cirrus", "pan", "thermal")
"""Bands that are recognised and left out."""

CANONICAL_BANDS = (*REFLECTANCE_BANDS, *OTHER_BANDS)

_NAME_OF_NUMBER: dict[Sensor, dict[str, str]] = {
    "sentinel2": {
        "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "rededge1", "6": "rededge2",
        "7": "rededge3", "8": "nir", "8A": "nir08", "9": "nir09", "10": "cirrus", "11": "swir16", "12": "swir22",
    },
    "oli": {
        "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "nir", "6": "swir16", "7": "swir22",
        "8": "pan", "9": "cirrus", "10": "thermal", "11": "thermal",
    },
    "tm": {
        "1": "blue", "2": "green", "3": "red", "4": "nir", "5": "swir16", "6": "thermal", "7": "swir22", "8": "pan",
    },
}  # fmt: skip

_ALIASES = {
    "nir1": "nir", "nearinfrared": "nir", "nearir": "nir", "nirbroad": "nir", "infrared": "nir",
    "nirnarrow": "nir08", "narrownir": "nir08", "nir2": "nir08", "nir8a": "nir08",
    "rededge": "rededge1", "re1": "rededge1", "re2": "rededge2", "re3": "rededge3",
    "vre1": "rededge1", "vre2": "rededge2", "vre3": "rededge3",
    "vegetationrededge1": "rededge1", "vegetationrededge2": "rededge2", "vegetationrededge3": "rededge3",
    "rededge4": "nir08", "swir1": "swir16", "swir2": "swir22", "swir": "swir16",
    "shortwaveinfrared1": "swir16", "shortwaveinfrared2": "swir22",
    "coastalaerosol": "coastal", "aerosol": "coastal", "watervapour": "nir09", "watervapor": "nir09",
    "panchromatic": "pan", "lwir": "thermal", "lwir11": "thermal", "lwir12": "thermal", "tir": "thermal",
}  # fmt: skip

_LETTERS = {"b": "blue", "g": "green", "r": "red", "n": "nir"}

_SENSOR_MARKS: tuple[tuple[Sensor, re.Pattern[str]], ...] = (
    ("oli", re.compile(r"(?<![a-z0-9])(?:l[89]|lc0?[89]|lo0?8|landsat[-_ ]?[89]|oli(?:_tirs)?|hls\.l30|l30)(?![a-z0-9])")),
    ("tm", re.compile(r"(?<![a-z0-9])(?:l[4-7]|l[te]0?[4-7]|landsat[-_ ]?[4-7]|etm\+?|tm)(?![a-z0-9])")),
    (
        "sentinel2",
        re.compile(r"(?<![a-z0-9])(?:s2[abcd]?|msil?[12]?[ac]?|sentinel[-_ ]?2[abcd]?|t\d{2}[a-z]{3}|s30)(?![a-z0-9])"),
    ),
)


def sensor_of(text: str) -> Sensor | None:
    """The sensor that a file name, folder or tag speaks of, or None."""
    lower = text.lower()
    return next((sensor for sensor, mark in _SENSOR_MARKS if mark.search(lower)), None)


def sensor_of_codes(codes: Iterable[str]) -> Sensor | None:
    """Sentinel-2 where the codes alone say so: ``B8A``, or all with a leading zero or two digits."""
    found = set(codes)
    if "B8A" in found or (found and all(re.fullmatch(r"B(0\d|1[0-2])", code) for code in found)):
        return "sentinel2"
    return None


def common_name(text: str) -> str | None:
    """The canonical name for a spelt-out band name in any case and spacing, or None.

    >>> common_name("Red Edge 2"), common_name("NIR"), common_name("B4")
    ('rededge2', 'nir', None)
    """
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    return plain if plain in CANONICAL_BANDS else _ALIASES.get(plain)


def letter_name(text: str) -> str | None:
    """The band that a single letter (r, g, b, n) stands for where bands are being listed."""
    return _LETTERS.get(text.strip().lower())


def band_code(text: str) -> str | None:
    """A band number as ``B4``, ``B04`` or ``B8A``, or None; its meaning depends on the sensor.

    >>> band_code("SR_B4"), band_code("band 8a"), band_code("b12"), band_code("blue")
    ('B4', 'B8A', 'B12', None)
    """
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    found = re.fullmatch(r"(?:sr|st)?b(?:and|n)?(0?[1-9]|1[0-2]|0?8a)", plain)
    return None if found is None else f"B{found[1].upper().replace('08A', '8A')}"


def name_of_code(code: str, sensor: Sensor) -> str | None:
    """The canonical name of a band code on a sensor, or None where it has no such band."""
    return _NAME_OF_NUMBER[sensor].get(code.removeprefix("B").lstrip("0"))


def nearest_name(text: str) -> str | None:
    """A canonical name that looks like ``text``, for a hint."""
    near = difflib.get_close_matches(text.lower(), CANONICAL_BANDS, n=1, cutoff=0.6)
    return near[0] if near else None
