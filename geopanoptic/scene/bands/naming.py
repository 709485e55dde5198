"""Gives every band of every file its canonical name and its date, or refuses to guess.

In this order: the user's list (``bandlist``); a band's description and tags; the file's name where the file holds one
band; colour interpretation; and, with a warning, three nameless 8-bit bands as red, green, blue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby

from geopanoptic.errors import SceneError
from geopanoptic.scene.bands.bandnames import (
    REFLECTANCE_BANDS,
    Sensor,
    name_of_code,
    sensor_of,
    sensor_of_codes,
)
from geopanoptic.scene.bands.dating import in_several_folders, stated_date
from geopanoptic.scene.bands.filenames import Reading, parse, stem_of
from geopanoptic.scene.bands.headers import BandHeader, FileHeader
from geopanoptic.scene.bands.masking import UDM2, NamedMask, mask_of
from geopanoptic.scene.files.sources import named_files, shown

SKIP = "-"
"""In a list of bands: leave this band of the file out."""

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
    """All named bands and cloud masks, what was left out (``notes``) and what was assumed (``warnings``)."""

    bands: tuple[NamedBand, ...]
    masks: tuple[NamedMask, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    file: FileHeader
    header: BandHeader
    reading: Reading
    sensor: Sensor | None
    sensor_is_guess: bool = False

    @property
    def nameless(self) -> bool:
        described = not _GENERIC.fullmatch(self.header.description)
        return not (self.reading.has_band or self.reading.ancillary or described)

    @property
    def place(self) -> str:
        return f"{shown(self.file.source.name)} band {self.header.index}"

    @property
    def label(self) -> str:
        return f"{shown(self.file.source.name)} {self.described}"

    @property
    def described(self) -> str:
        return f"band {self.header.index} ({self.header.description or 'no name'}, {self.header.dtype})"


def name_by_evidence(files: Sequence[FileHeader], *, lenient: bool) -> Naming:
    """Names from descriptions, tags, file names and colours.

    ``lenient`` (a folder: the user did not pick each file) leaves files without a recognisable band out,
    with a warning, provided that other files have one.
    """
    by_folder = in_several_folders(file.source.parts for file in files)
    candidates = _candidates(files)
    named: list[NamedBand] = []
    masks: list[NamedMask] = []
    aside: dict[str, dict[str, str]] = {}
    warnings: list[str] = []
    unknown: list[_Candidate] = []
    for file in files:
        if mask := mask_by_name(file, by_folder=by_folder):
            masks.append(mask)
            continue
        own = [candidate for candidate in candidates if candidate.file is file]
        assumed = _colours_of(own) if own and all(c.nameless for c in own) else None
        if assumed is not None:
            names, reason = assumed
            warnings.append(f"{shown(file.source.name)}: taken as {', '.join(names)} ({reason}).")
            named += [
                NamedBand(
                    file=file,
                    header=c.header,
                    band=name,
                    date=stated_date(file, c.header, by_folder=by_folder),
                )
                for c, name in zip(own, names, strict=True)
            ]
            continue
        for candidate in own:
            band, word = _resolved(candidate), candidate.reading.ancillary
            when = stated_date(file, candidate.header, by_folder=by_folder)
            if band is not None:
                named.append(NamedBand(file=file, header=candidate.header, band=band, date=when))
            elif word is not None and (mask := mask_of(word, file, candidate.header, when)):
                masks.append(mask)
            elif word is not None:
                place = candidate.place if len(own) > 1 else file.source.name
                aside.setdefault(word, {})[f"{file.source.path} {candidate.header.index}"] = place
            else:
                unknown.append(candidate)
    _settle(candidates, unknown, named, warnings, lenient=lenient)
    if not any(item.band in REFLECTANCE_BANDS for item in named):
        raise _nothing_named(candidates)
    notes = [
        f"{named_files(names.values())} {'is' if len(names) == 1 else 'are'} left out: not a reflectance band."
        for names in aside.values()
    ]
    if guessed := [c for c in candidates if c.sensor and c.sensor_is_guess and c.reading.code]:
        notes.append(
            f"Nothing but the way they are written says that the band numbers are Sentinel-2's ({guessed[0].place}); "
            "if they are not, name the bands with --bands."
        )
    return Naming(bands=tuple(named), masks=tuple(masks), notes=tuple(notes), warnings=tuple(warnings))


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


def mask_by_name(file: FileHeader, *, by_folder: bool) -> NamedMask | None:
    """The cloud mask that a file of one band, or of Planet's eight, is by its name, or None."""
    own = file.data_bands
    if len(own) == 1:
        word = _candidate(file, own[0], among_others=True).reading.ancillary
    else:
        word = UDM2 if parse(stem_of(file.source.name)).ancillary == UDM2 else None
    return mask_of(word, file, own[0], stated_date(file, own[0], by_folder=by_folder)) if word else None


def _nothing_named(candidates: Sequence[_Candidate]) -> SceneError:
    listed = "; ".join(
        f"{shown(file.source.name)} {', '.join(each.described for each in own)}"
        for file, own in groupby(candidates[:14], key=lambda each: each.file)
    )
    more = f"; and {len(candidates) - 14} more" if len(candidates) > 14 else ""
    count = len({id(candidate.file) for candidate in candidates})
    if len(candidates) == 1 and candidates[0].reading.ancillary:
        return SceneError(
            f"There is only {listed}, which is no band of an image.",
            remedy="Give the image (of an index that from which it was made), with at least red, green and blue.",
        )
    if len(candidates) == 1:
        return SceneError(
            f"Which band this is cannot be told, and it is the only one: {listed}. "
            "The model needs at least red, green and blue.",
            remedy="Give the scene's other bands too (one file per band is fine), or name it with --bands.",
        )
    which = "one name per file"
    example = _example(candidates)
    if count == 1:
        which = "the file's band order"
        example += f" or {example.replace('red,green,blue', 'blue,green,red')}"
    return SceneError(
        f"Which bands these are cannot be told: {listed}{more}.",
        remedy=f"Name them with --bands, {which}, for example --bands {example} "
        "('-' leaves a band out, such as a mask or alpha).",
    )


def _example(candidates: Sequence[_Candidate]) -> str:
    first = [c for c in candidates if c.file is candidates[0].file]
    count = len(first) if len(first) > 1 else len(candidates)
    return ",".join((["red", "green", "blue", "nir"] + [SKIP] * count)[:count])


def _candidates(files: Sequence[FileHeader]) -> list[_Candidate]:
    """All bands, of the sensor that their file states or else all codes together."""
    among_others = len(files) > 1
    candidates = [_candidate(f, band, among_others=among_others) for f in files for band in f.data_bands]
    by_codes = sensor_of_codes(c.reading.code for c in candidates if c.reading.code is not None)
    return [c if c.sensor else replace(c, sensor=by_codes, sensor_is_guess=True) for c in candidates]


def _candidate(file: FileHeader, band: BandHeader, *, among_others: bool) -> _Candidate:
    reading = next((found for text in band.names if (found := parse(text, letters=True)).has_band), None)
    if reading is None:
        reading = parse(band.description)
        if len(file.data_bands) == 1 and not band.description:
            reading = parse(stem_of(file.source.name))
        elif among_others and _is_picture(file):
            reading = replace(reading, ancillary=parse(stem_of(file.source.name)).ancillary)
    return _Candidate(file=file, header=band, reading=reading, sensor=stated_sensor(file))


def own_names(files: Sequence[FileHeader]) -> dict[tuple[FileHeader, int], str]:
    """What bands, by file and index, say that they are; not what their number alone says."""
    names = {}
    for each in _candidates(files):
        code, name = each.reading.code, _resolved(each)
        if name is not None and (code is None or code.zero_padded or code.landsat_product):
            names[each.file, each.header.index] = name
    return names


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


def stated_sensor(file: FileHeader) -> Sensor | None:
    """The sensor that a file's tags, its name or its folder's name state, or None."""
    tags = {key.lower(): value for key, value in file.tags}
    texts = [tags[key] for key in _SENSOR_TAGS if key in tags]
    texts += [stem_of(file.source.name), *file.source.parts[-2:-1]]
    return next((found for text in texts if (found := sensor_of(text))), None)
