"""Gives every band of every file its canonical name and its date, or refuses to guess.

In this order: the user's list; a band's description and tags; the file's name where the file holds one
band; colour interpretation; and, with a warning, three nameless 8-bit bands as red, green, blue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from geopanoptic.errors import SceneError
from geopanoptic.scene.bandnames import (
    CANONICAL_BANDS,
    REFLECTANCE_BANDS,
    Sensor,
    band_code,
    common_name,
    letter_name,
    name_of_code,
    nearest_name,
    sensor_of,
    sensor_of_codes,
)
from geopanoptic.scene.filenames import Reading, date_of, parse, stem_of
from geopanoptic.scene.headers import BandHeader, FileHeader
from geopanoptic.scene.sources import shown

SKIP = "-"
"""In a list of bands: leave this band of the file out."""

_NAME_TAGS = ("common_name", "band_name", "bandname", "band", "name", "long_name", "description")
_DATE_TAGS = (
    "date_acquired", "acquisition_date", "acquisitiondate", "acquisition_time", "acquisition_datetime",
    "sensing_time", "sensing_date", "datatake_1_datatake_sensing_start", "product_start_time",
    "tifftag_acquisition_date", "start_time", "datetime", "date", "timestamp",
)  # fmt: skip  # not TIFFTAG_DATETIME: that is when the file was written
_SENSOR_TAGS = ("spacecraft_name", "spacecraft_id", "spacecraft", "satellite", "platform", "mission", "sensor",
                "datatake_1_spacecraft_name", "sensor_id", "constellation")  # fmt: skip

_GENERIC = re.compile(r"(?:(?:band|layer|channel|b)?[\s_-]*\d+|gray|grey|undefined)?", re.IGNORECASE)
"""What programs write where nobody named the band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBand:
    """One band that belongs to the scene: where it is, what it shows, when it was taken."""

    file: FileHeader
    header: BandHeader
    band: str
    date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """All named bands, what was left out (``notes``) and what was assumed (``warnings``)."""

    bands: tuple[NamedBand, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    file: FileHeader
    header: BandHeader
    reading: Reading
    sensor: Sensor | None

    @property
    def nameless(self) -> bool:
        described = not _GENERIC.fullmatch(self.header.description)
        return not (self.reading.has_band or self.reading.ancillary or described)

    @property
    def place(self) -> str:
        return f"{shown(self.file.source.name)} band {self.header.index}"

    @property
    def label(self) -> str:
        return f"{self.place} ({self.header.description or 'no name'}, {self.header.dtype})"


def parse_band_list(bands: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """``"red,green,-"`` or a sequence as a tuple of stripped words; None stays None."""
    if bands is None:
        return None
    words = bands.split(",") if isinstance(bands, str) else list(bands)
    return tuple(word.strip() for word in words)


def name_by_list(files: Sequence[FileHeader], words: tuple[str, ...]) -> Naming:
    """Names from the user's list: one word per band of each file, or one per file of single bands.

    Raises SceneError where the count differs, a word is unknown, or a name comes twice.
    """
    singles = len(files) > 1 and all(len(file.bands) == 1 for file in files)
    counts = {len(file.bands) for file in files}
    if singles and len(words) == len(files):
        pairs = [(file, file.bands[0], word) for file, word in zip(files, words, strict=True)]
    elif counts == {len(words)}:
        pairs = [(file, band, word) for file in files for band, word in zip(file.bands, words, strict=True)]
    else:
        raise SceneError(
            f"The list of bands has {len(words)} names ({', '.join(words)}), but {_counts_of(files)}.",
            remedy="Give one name per band in the order of the file; '-' leaves a band out.",
        )
    named = tuple(
        NamedBand(file=file, header=band, band=_listed_name(word, file), date=_date_of(file, band))
        for file, band, word in pairs
        if word != SKIP
    )
    if not named:
        raise SceneError("Every band is left out by '-'.", remedy="Name at least red, green and blue.")
    return Naming(bands=named)


def name_by_evidence(files: Sequence[FileHeader], *, lenient: bool) -> Naming:
    """Names from descriptions, tags, file names and colours.

    ``lenient`` (a folder: the user did not pick each file) leaves files without a recognisable band out,
    with a warning, provided that other files have one.
    """
    among_others = len(files) > 1
    candidates = [_candidate(f, band, among_others=among_others) for f in files for band in f.data_bands]
    by_codes = sensor_of_codes(c.reading.code for c in candidates if c.reading.code is not None)
    candidates = [replace(c, sensor=c.sensor or by_codes) for c in candidates]
    named: list[NamedBand] = []
    notes: list[str] = []
    warnings: list[str] = []
    unknown: list[_Candidate] = []
    for file in files:
        own = [candidate for candidate in candidates if candidate.file is file]
        assumed = _colours_of(own) if own and all(c.nameless for c in own) else None
        if assumed is not None:
            names, reason = assumed
            warnings.append(f"{shown(file.source.name)}: taken as {', '.join(names)} ({reason}).")
            named += [
                NamedBand(file=file, header=c.header, band=name, date=_date_of(file, c.header))
                for c, name in zip(own, names, strict=True)
            ]
            continue
        for candidate in own:
            band = _resolved(candidate)
            if band is not None:
                when = _date_of(file, candidate.header)
                named.append(NamedBand(file=file, header=candidate.header, band=band, date=when))
            elif candidate.reading.ancillary is not None:
                notes.append(f"{candidate.place}: left out, not a reflectance band.")
            else:
                unknown.append(candidate)
    _settle(candidates, unknown, named, warnings, lenient=lenient)
    if not any(item.band in REFLECTANCE_BANDS for item in named):
        raise _nothing_named(candidates)
    return Naming(bands=tuple(named), notes=tuple(notes), warnings=tuple(warnings))


def _settle(
    candidates: list[_Candidate],
    unknown: list[_Candidate],
    named: list[NamedBand],
    warnings: list[str],
    *,
    lenient: bool,
) -> None:
    """Left out with a warning where the band says that it is something else; otherwise refused."""
    ambiguous = [c for c in unknown if c.reading.code is not None and c.sensor is None]
    if ambiguous:
        raise SceneError(
            f"The band number of {ambiguous[0].label} means different colours on different satellites.",
            remedy="Name the bands with --bands, or keep the satellite in the file name (S2A, LC08, LT05).",
        )
    files_named = {id(item.file) for item in named}
    for candidate in unknown:
        another = lenient and bool(named) and id(candidate.file) not in files_named
        if another or not candidate.nameless:
            warnings.append(f"{candidate.label}: left out, its name is not that of a known band.")
        else:
            raise _nothing_named([each for each in candidates if each.file is candidate.file])


def _nothing_named(candidates: Sequence[_Candidate]) -> SceneError:
    listed = "; ".join(candidate.label for candidate in candidates[:14])
    more = f"; and {len(candidates) - 14} more" if len(candidates) > 14 else ""
    count = len({id(candidate.file) for candidate in candidates})
    if len(candidates) == 1:
        return SceneError(
            f"Which band this is cannot be told, and it is the only one: {listed}. "
            "The model needs at least red, green and blue.",
            remedy="Give the scene's other bands too (one file per band is fine), or name it with --bands.",
        )
    which = "the file's band order" if count == 1 else "one name per file"
    return SceneError(
        f"Which bands these are cannot be told: {listed}{more}.",
        remedy=f"Name them with --bands, {which}, for example --bands {_example(candidates)} "
        "('-' leaves a band out).",
    )


def _example(candidates: Sequence[_Candidate]) -> str:
    first = [c for c in candidates if c.file is candidates[0].file]
    count = len(first) if len(first) > 1 else len(candidates)
    return ",".join((["red", "green", "blue", "nir"] + [SKIP] * count)[:count])


def _candidate(file: FileHeader, band: BandHeader, *, among_others: bool) -> _Candidate:
    tags = {key.lower(): value for key, value in band.tags}
    texts = [band.description, *(tags[key] for key in _NAME_TAGS if key in tags)]
    reading = next((found for text in texts if (found := parse(text, letters=True)).has_band), None)
    if reading is None:
        reading = parse(band.description)
        if len(file.data_bands) == 1 and not band.description:
            reading = parse(stem_of(file.source.name))
        elif among_others and _is_picture(file):
            reading = replace(reading, ancillary=parse(stem_of(file.source.name)).ancillary)
    return _Candidate(file=file, header=band, reading=reading, sensor=_sensor_of(file))


def _is_picture(file: FileHeader) -> bool:
    """A preview or true-colour image beside the bands says so in its name."""
    return len(file.data_bands) == 3 and all(band.dtype == "uint8" for band in file.data_bands)


def _colours_of(candidates: Sequence[_Candidate]) -> tuple[list[str], str] | None:
    colours = [candidate.header.colour for candidate in candidates]
    if sorted(colours) in (["blue", "green", "red"], ["blue", "green", "nir", "red"]):
        return [str(colour) for colour in colours], "its colour interpretation; no band has a name"
    if len(colours) == 3 and all(candidate.header.dtype == "uint8" for candidate in candidates):
        return ["red", "green", "blue"], "three 8-bit bands without names; say otherwise with --bands"
    return None


def _resolved(candidate: _Candidate) -> str | None:
    reading = candidate.reading
    if reading.name is not None or reading.code is None or candidate.sensor is None:
        return reading.name
    return name_of_code(reading.code, candidate.sensor)


def _sensor_of(file: FileHeader) -> Sensor | None:
    tags = {key.lower(): value for key, value in file.tags}
    texts = [tags[key] for key in _SENSOR_TAGS if key in tags]
    texts += [stem_of(file.source.name), *file.source.parts[-2:-1]]
    return next((found for text in texts if (found := sensor_of(text))), None)


def _date_of(file: FileHeader, band: BandHeader) -> date | None:
    texts = [band.description]
    for tags in (band.tags, file.tags):
        lower = {key.lower(): value for key, value in tags}
        texts += [lower[key] for key in _DATE_TAGS if key in lower]
    texts.append(stem_of(file.source.name))
    return next((found for text in texts if (found := date_of(text))), None)


def _listed_name(word: str, file: FileHeader) -> str:
    name = common_name(word.replace(" ", "").replace("_", "").replace("-", "")) or letter_name(word)
    code = band_code(word.replace("_", ""))
    if name is None and code is not None:
        sensor = _sensor_of(file) or sensor_of_codes([code])
        name = name_of_code(code, sensor) if sensor else None
        if sensor is None:
            raise SceneError(
                f"{word!r} in the list of bands means different colours on different satellites.",
                remedy=f"Use common names: {', '.join(REFLECTANCE_BANDS)}.",
            )
    if name is None:
        close = nearest_name(word)
        hint = f" Did you mean {close!r}?" if close else ""
        raise SceneError(
            f"{word!r} is not a band name.{hint}",
            remedy=f"Use {', '.join(CANONICAL_BANDS)}; '-' leaves a band out.",
        )
    return name


def _counts_of(files: Sequence[FileHeader]) -> str:
    if len(files) == 1:
        count = len(files[0].bands)
        return f"{shown(files[0].source.name)} has {count} band{'s' if count > 1 else ''}"
    counts = sorted({len(file.bands) for file in files})
    return f"the {len(files)} files have {' or '.join(map(str, counts))} bands each"
