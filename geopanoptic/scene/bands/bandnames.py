"""Band names: one canonical vocabulary, and every spelling that means one of its words without a guess.

Common names (``red``, ``Near Infrared``, ``red_edge_1``) hold for any sensor. Codes (``B04``, ``SR_B4``)
hold for one sensor only: ``B4`` is red on Sentinel-2 and Landsat 8-9, near infrared on Landsat 4-7. A code
is therefore resolved only once the sensor is known. Landsat's near infrared is called ``nir`` here, as in
four-band imagery; ``nir08`` is Sentinel-2's narrow B8A.

Sources: Sentinel-2 MSI band table (ESA), Landsat Collection 2 band designations (USGS), STAC common names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from geopanoptic.wording import nearest

REFLECTANCE_BANDS = (
    "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22",
)  # fmt: skip
"""Bands that a model may take; the finest of them sets the grid of a scene."""

OTHER_BANDS = ("coastal", "nir09", "cirrus", "pan", "thermal")
"""Bands that are recognised and left out: aerosol, water vapour, cirrus, panchromatic, heat."""

CANONICAL_BANDS = (*REFLECTANCE_BANDS, *OTHER_BANDS)


class Sensor(Enum):
    """A family of sensors that share their band numbers."""

    SENTINEL2 = "Sentinel-2"
    LANDSAT_4_7 = "Landsat 4-7"
    LANDSAT_8_9 = "Landsat 8-9"


@dataclass(frozen=True, slots=True, kw_only=True)
class BandCode:
    """A sensor's band number without leading zeros (``"4"``, ``"8A"``); what it means depends on the sensor.

    ``zero_padded``: written with a leading zero, as ``B04``.
    ``landsat_product``: written as ``SR_B4`` or ``ST_B10``, which only Landsat products are.
    """

    number: str
    zero_padded: bool = False
    landsat_product: bool = False


_SYNONYMS = {
    "blue": "",
    "green": "",
    "red": "",
    "rededge1": "re1 vre1 vegetationrededge1 rededge705",
    "rededge2": "re2 vre2 vegetationrededge2 rededge740",
    "rededge3": "re3 vre3 vegetationrededge3 rededge783",
    "nir": "nearinfrared nearir infrared nir1 nirbroad broadnir nirwide",
    "nir08": "nirnarrow narrownir nearinfrarednarrow nir8a rededge4 re4 vre4",
    "swir16": "swir1 shortwaveinfrared1",
    "swir22": "swir2 shortwaveinfrared2",
    "coastal": "coastalaerosol aerosol ultrablue coastalblue deepblue",
    "nir09": "watervapour watervapor",
    "cirrus": "",
    "pan": "panchromatic",
    "thermal": "lwir lwir11 lwir12 tir tirs1 tirs2 thermalinfrared longwaveinfrared farinfrared",
}
_COMMON = {word: name for name, words in _SYNONYMS.items() for word in (name, *words.split())}
AMBIGUOUS_NAMES = frozenset(
    {
        "rededge",
        "vegetationrededge",
        "swir",
        "shortwaveinfrared",
        "mir",
        "midinfrared",
        "middleinfrared",
        "greeni",
        "yellow",
    }
)
"""Names of bands that are none of ours or several of them, though some hold the name of another."""

_LETTERS = {"r": "red", "g": "green", "b": "blue", "n": "nir"}

_NAME_OF_NUMBER: dict[Sensor, dict[str, str]] = {
    Sensor.SENTINEL2: {
        "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "rededge1", "6": "rededge2",
        "7": "rededge3", "8": "nir", "8A": "nir08", "9": "nir09", "10": "cirrus", "11": "swir16",
        "12": "swir22",
    },
    Sensor.LANDSAT_4_7: {
        "1": "blue", "2": "green", "3": "red", "4": "nir", "5": "swir16", "6": "thermal", "7": "swir22",
        "8": "pan",
    },
    Sensor.LANDSAT_8_9: {
        "1": "coastal", "2": "blue", "3": "green", "4": "red", "5": "nir", "6": "swir16", "7": "swir22",
        "8": "pan", "9": "cirrus", "10": "thermal", "11": "thermal",
    },
}  # fmt: skip

# Harmonised Landsat comes first: its L30 files lie on tiles named like Sentinel-2's.
_SENSOR_WORDS = (
    (Sensor.LANDSAT_8_9, r"l30"),
    (Sensor.SENTINEL2, r"s2[abcd]?|sentinel2[abcd]?|msil[12][ac]|t\d{2}[c-hj-np-x][a-hj-np-z]{2}|s30"),
    (Sensor.LANDSAT_4_7, r"l[457]|l[te]0?[457]|landsat0?[457]"),
    (Sensor.LANDSAT_8_9, r"l[89]|l[co]0?[89]|landsat0?[89]"),
)
_CODE = re.compile(r"(?P<product>sr|st|toa)?(?P<b>b|band)(?P<number>0?[1-9]|1[0-2])(?P<a>a)?", re.IGNORECASE)


def runs_of(text: str) -> Iterator[tuple[range, str]]:
    """The words of a text and runs of up to four of them, separators dropped; longest, then last first.

    Each with the places of its words.

    >>> [word for _, word in runs_of("red_edge 1")]
    ['rededge1', 'edge1', 'rededge', '1', 'edge', 'red']
    """
    parts = [part for part in re.split(r"[\W_]+", text) if part]
    for length in (4, 3, 2, 1):
        for start in range(len(parts) - length, -1, -1):
            yield range(start, start + length), "".join(parts[start : start + length])


def common_name(word: str) -> str | None:
    """The canonical name that a word without separators means on every sensor, or None."""
    return _COMMON.get(word.lower())


def letter_name(word: str) -> str | None:
    """R, G, B and N, which mean a band only where bands are being listed."""
    return _LETTERS.get(word.strip().lower())


def band_code(word: str) -> BandCode | None:
    """A sensor's band number, or None.

    ``b4`` and ``Band 4`` are what many programs call the fourth band of any file, so a number counts only
    with a capital B, a leading zero, the letter A or a Landsat product prefix.

    >>> band_code("B04"), band_code("b4"), band_code("SRB4")
    (BandCode(number='4', zero_padded=True, landsat_product=False), None, BandCode(number='4', zero_padded=False, landsat_product=True))
    """
    match = _CODE.fullmatch(word)
    if match is None:
        return None
    number, narrow = match["number"].lstrip("0"), match["a"] is not None
    padded = match["number"].startswith("0")
    if narrow and number != "8":
        return None
    if not (match["b"] == "B" or padded or narrow or match["product"]):
        return None
    return BandCode(
        number=number + ("A" if narrow else ""),
        zero_padded=padded,
        landsat_product=(match["product"] or "").lower() in ("sr", "st"),
    )


def name_of_code(code: BandCode, sensor: Sensor) -> str | None:
    """The canonical name of a band number on one sensor, or None where it has no such band."""
    return _NAME_OF_NUMBER[sensor].get(code.number)


def sensor_of(text: str) -> Sensor | None:
    """The sensor that a file name, folder name or tag states, or None."""
    words = [word.lower() for _, word in runs_of(text)]
    for sensor, pattern in _SENSOR_WORDS:
        if any(re.fullmatch(pattern, word) for word in words):
            return sensor
    return None


def sensor_of_codes(codes: Iterable[BandCode]) -> Sensor | None:
    """The only sensor that numbers its bands so: B8A, B12 and leading zeros are Sentinel-2's.

    Numbers from 1 on without a gap and without B8A are how the bands of anything are counted.
    """
    own = [code for code in codes if not code.landsat_product]
    numbers = {code.number for code in own}
    if "8A" in numbers:
        return Sensor.SENTINEL2
    counted = numbers == {str(number) for number in range(1, len(numbers) + 1)}
    typical = any(code.zero_padded or code.number == "12" for code in own)
    return Sensor.SENTINEL2 if typical and not counted else None


def nearest_name(word: str) -> str | None:
    """The canonical name that a misspelt word is close to, or None."""
    near = nearest(word.lower(), _COMMON)
    return None if near is None else _COMMON[near]
