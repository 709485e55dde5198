"""What a name says: band, date, or that it is no reflectance band at all.

>>> parse("T32UQD_20210615T101559_B08_10m").code, date_of("T32UQD_20210615T101559_B08_10m")
('B08', datetime.date(2021, 6, 15))
>>> parse("s2_l3a_20210615_nir").name
'nir'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath

from geopanoptic.scene.bandnames import band_code, common_name, letter_name

_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_./]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_YEAR_AND_DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})(00[1-9]|0[1-9]\d|[12]\d{2}|3[0-5]\d|36[0-6])(?!\d)")

_ANCILLARY = {
    "scl", "tci", "aot", "wvp", "pvi", "cld", "snw", "clp", "clm", "bqa", "qa", "fmask", "mask", "cloud",
    "clouds", "cloudmask", "preview", "quicklook", "thumbnail", "thumb", "browse", "overview", "rgb", "ndvi",
    "evi", "dem", "vza", "vaa", "sza", "saa", "radsat", "visual",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """A canonical ``name``, or a ``code`` whose meaning depends on the sensor, or what ``ancillary`` it is."""

    name: str | None = None
    code: str | None = None
    ancillary: str | None = None

    @property
    def has_band(self) -> bool:
        return self.name is not None or self.code is not None


def parse(text: str, *, letters: bool = False) -> Reading:
    """Read a description, tag or file stem; the last word that names a band counts.

    ``letters`` lets the whole text be a single letter (r, g, b, n).
    """
    whole = common_name(text) or (letter_name(text) if letters else None)
    if whole is not None:
        return Reading(name=whole)
    if band_code(text) is not None:
        return Reading(code=band_code(text))
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    # "SR_B4", "Band 4" and "Red Edge 1" are two or three words to the splitter.
    for size in (1, 2, 3):
        for start in range(len(words) - size, -1, -1):
            phrase = "".join(words[start : start + size])
            if size == 1 and (name := common_name(phrase)) is not None:
                return _longer_name(words, start, name)
            if (code := band_code(phrase)) is not None:
                return Reading(code=code)
            if size > 1 and (name := common_name(phrase)) is not None:
                return Reading(name=name)
    ancillary = next((word.lower() for word in reversed(words) if word.lower() in _ANCILLARY), None)
    return Reading(ancillary=ancillary)


def _longer_name(words: list[str], at: int, name: str) -> Reading:
    """``red`` within ``red edge 1`` is red edge: the longest phrase through the word wins."""
    for size in (4, 3, 2):
        for start in range(max(at - size + 1, 0), min(at, len(words) - size) + 1):
            longer = common_name("".join(words[start : start + size]))
            if longer is not None:
                return Reading(name=longer)
    return Reading(name=name)


def date_of(text: str) -> date | None:
    """The first calendar date (2021-06-15, 20210615, 2021.06.15, 2021166) in a text, or None."""
    for year, _, month, day in _DATE.findall(text):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    for year, day in _YEAR_AND_DAY.findall(text):
        ordinal = date(int(year), 1, 1).toordinal() + int(day) - 1
        if date.fromordinal(ordinal).year == int(year):
            return date.fromordinal(ordinal)
    return None


def stem_of(name: str) -> str:
    """A file's name without its last suffix."""
    return PurePath(name).stem
