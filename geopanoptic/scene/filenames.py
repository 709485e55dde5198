"""What a text (file name, description, tag) says: a band, a date, or that it is no reflectance band.

>>> parse("T32UQD_20210615T101559_B08_10m").code.number, str(date_of("T32UQD_20210615T101559_B08_10m"))
('8', '2021-06-15')
>>> parse("s2_l3a_20210615_nir").name
'nir'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from geopanoptic.scene.bandnames import BandCode, band_code, common_name, letter_name, words_of

_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_./:]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_YEAR_AND_DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})(00[1-9]|0[1-9]\d|[12]\d{2}|3[0-5]\d|36[0-6])(?!\d)")
_SUFFIX = re.compile(r"\.(?:tiff?|gtiff?|cog|jp2|j2k|jpe?g|png|vrt)$", re.IGNORECASE)

_ANCILLARY = frozenset({
    "scl", "tci", "aot", "wvp", "pvi", "cld", "snw", "clp", "clm", "cldprb", "bqa", "qa", "qa60", "qapixel",
    "fmask", "mask", "cloud", "clouds", "cloudmask", "cloudprobability", "sceneclassification", "preview",
    "quicklook", "thumbnail", "thumb", "browse", "overview", "rgb", "ndvi", "ndwi", "evi", "savi", "dem", "vza", "vaa", "sza", "saa", "radsat", "visual",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one text says: a canonical ``name``, or a ``code`` that waits for its sensor, or the word by
    which it is ``ancillary`` (a mask, an index, a preview), or nothing."""

    name: str | None = None
    code: BandCode | None = None
    ancillary: str | None = None

    @property
    def has_band(self) -> bool:
        return self.name is not None or self.code is not None


def parse(text: str, *, letters: bool = False) -> Reading:
    """The band of a description, tag or file stem.

    The longest run of words counts, then the last: file names end with the band. A common name wins over
    a code ("B4 - Red" is red on any sensor). ``letters`` takes a lone r, g, b or n as a band.
    """
    words = list(words_of(_DATE.sub(" ", text)))
    name = next((found for word in words if (found := common_name(word))), None)
    if name is None and letters and len(words) == 1:
        name = letter_name(words[0])
    if name is not None:
        return Reading(name=name)
    ancillary = next((word.lower() for word in words if word.lower() in _ANCILLARY), None)
    if ancillary is not None:
        return Reading(ancillary=ancillary)
    return Reading(code=next((code for word in words if (code := band_code(word))), None))


def date_of(text: str) -> date | None:
    """The first calendar date in a text (20210615, 2021-06-15, 2021166), or None.

    Product names carry the acquisition first and the processing date after it.
    """
    for year, _, month, day in _DATE.findall(text):
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            continue
    for year, day in _YEAR_AND_DAY.findall(text):
        when = date(int(year), 1, 1) + timedelta(days=int(day) - 1)
        if when.year == int(year):
            return when
    return None


def stem_of(name: str) -> str:
    """A file name without its image suffix; other points stay (``HLS.S30.T32UQD.B04.tif``)."""
    return _SUFFIX.sub("", name)
