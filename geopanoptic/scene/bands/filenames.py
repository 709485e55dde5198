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

from geopanoptic.scene.bands.bandnames import (
    AMBIGUOUS_NAMES,
    BandCode,
    band_code,
    common_name,
    letter_name,
    runs_of,
)

_DATE = re.compile(r"(?<!\d)((?:19|20)\d{2})([-_./:]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_YEAR_AND_DAY = re.compile(r"(?<!\d)((?:19|20)\d{2})(00[1-9]|0[1-9]\d|[12]\d{2}|3[0-5]\d|36[0-6])(?!\d)")
_SUFFIX = re.compile(r"\.(?:tiff?|gtiff?|cog|jp2|j2k|jpe?g|png|vrt)$", re.IGNORECASE)

_ANCILLARY = frozenset({
    "scl", "tci", "aot", "wvp", "pvi", "cld", "snw", "clp", "clm", "cldprb", "bqa", "qa", "qa60", "qapixel",
    "fmask", "udm2", "mask", "cloud", "clouds", "cloudmask", "cloudprobability", "sceneclassification", "preview",
    "quicklook", "thumbnail", "thumb", "browse", "overview", "rgb", "ndvi", "ndwi", "evi", "savi", "dem", "vza", "vaa", "sza", "saa", "radsat", "visual",
})  # fmt: skip

_DERIVED = frozenset({
    "ratio", "minus", "difference", "diff", "deviation", "std", "stdev",
    "stddev", "variance", "covariance", "uncertainty", "error", "sigma", "anomaly", "angle", "zenith",
    "azimuth", "slope", "trend", "amplitude", "texture", "entropy", "irradiance", "noise", "snr", "ndvi",
    "ndwi", "evi", "savi",
})  # fmt: skip
"""Words by which a name or number of a band is no longer the band itself."""

_NEUTRAL = frozenset({"band", "nm", "um", "cloudfree", "cloudless", "cloudmasked"})
"""Words that say nothing about which band it is, and stand between a name and its code or hold the name of a mask."""

_NUMBER = re.compile(r"\d+(?:nm|um|m)?", re.IGNORECASE)


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

    Of what is said the last counts, longer runs of words before shorter ones: file names end with the band. Only a
    code that follows a common name at once does not count ("Red (B4)" is red on any sensor, "red_river_B4" need not
    be; "Red (visual)" is no picture), nor does a name that stands for several bands after a code ("B05 red edge"). What is computed from bands ("Red-NIR ratio") is none. ``letters`` takes a lone r, g, b or n as a band.
    """
    runs = list(runs_of(_DATE.sub(" ", text)))
    if letters and len(runs) == 1 and (name := letter_name(runs[0][1])):
        return Reading(name=name)
    said: dict[int, Reading] = {}
    known: set[int] = set()
    ambiguous: set[int] = set()
    derived = False
    for places, run in runs:
        reading = _meaning(run)
        if reading is not None and known.isdisjoint(places):
            known.update(places)
            derived |= run.lower() in _DERIVED
            ambiguous |= {places.start} if run.lower() in AMBIGUOUS_NAMES else set()
            said[places.start] = reading
    counting = [
        place
        for place, reading in sorted(said.items())
        if reading.ancillary or (not derived and (reading.has_band or place in ambiguous))
    ]
    if not counting:
        return Reading()
    *before, last = counting
    if before and known.issuperset(range(before[-1], last)):
        previous = said[before[-1]]
        if previous.name and (said[last].code or said[last].ancillary == "visual"):
            return previous
        if last in ambiguous and previous.code:
            return previous
    return said[last]


def _meaning(word: str) -> Reading | None:
    """What a run of words says; empty for one that is known and says no band, None for any other."""
    if name := common_name(word):
        return Reading(name=name)
    if word.lower() in _ANCILLARY:
        return Reading(ancillary=word.lower())
    if code := band_code(word):
        return Reading(code=code)
    if word.lower() in _DERIVED | _NEUTRAL | AMBIGUOUS_NAMES or _NUMBER.fullmatch(word):
        return Reading()
    return None


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
