"""Names bands by the user's list, ``--bands red,green,blue,nir,-``."""

from __future__ import annotations

from collections.abc import Sequence

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.scene.bands.bandnames import (
    CANONICAL_BANDS,
    REFLECTANCE_BANDS,
    BandCode,
    Sensor,
    band_code,
    common_name,
    letter_name,
    name_of_code,
    nearest_name,
    sensor_of_codes,
)
from geopanoptic.scene.bands.dating import in_several_folders, stated_date
from geopanoptic.scene.bands.headers import FileHeader
from geopanoptic.scene.bands.masking import mask_of
from geopanoptic.scene.bands.naming import SKIP, NamedBand, Naming, mask_by_name, own_names, stated_sensor
from geopanoptic.scene.files.sources import named_files, shown


def parse_band_list(bands: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """``"red,green,-"`` or a sequence as a tuple of stripped words; None stays None."""
    if bands is None:
        return None
    words = bands.split(",") if isinstance(bands, str) else list(bands)
    return tuple(word.strip() for word in words)


def name_by_list(files: Sequence[FileHeader], words: tuple[str, ...], *, n_dates: int = 1) -> Naming:
    """Names from the user's list: one word per band of each file, or one per file of single bands.

    A list that is ``n_dates`` times shorter than the file's bands is repeated for each date in it. Files that
    are cloud masks by their own names take no word.

    Raises SceneError where the count differs, UsageError for a word that is no band.
    """
    by_folder = in_several_folders(file.source.parts for file in files)
    masks = {file: mask for file in files if (mask := mask_by_name(file, by_folder=by_folder))}
    if len(masks) == len(files):
        # Whatever they are called, the user says that they are bands.
        masks = {}
    files = [file for file in files if file not in masks]
    singles = len(files) > 1 and all(len(file.bands) == 1 for file in files)
    counts = {len(file.bands) for file in files}
    if singles and len(words) == len(files):
        pairs = [(file, file.bands[0], word) for file, word in zip(files, words, strict=True)]
    elif counts == {len(words)} or counts == {len(words) * n_dates}:
        pairs = [
            (file, band, word)
            for file in files
            for band, word in zip(file.bands, words * (len(file.bands) // len(words)), strict=True)
        ]
    else:
        raise SceneError(
            f"The list of bands has {len(words)} names ({', '.join(words)}), but {_counts_of(files)}.",
            remedy="Give one name per band in the order of the file; '-' leaves a band out."
            + (
                " If it holds several dates, say which with --dates, and give the bands of one."
                if len(counts) == 1 and max(counts) % len(words) == 0
                else f" Or give {named_files(fitting)} without the others."
                if (fitting := [file.source.name for file in files if len(file.bands) == len(words)])
                else ""
            ),
        )
    by_codes = _sensor_of_list(words)
    named: list[NamedBand] = []
    named_masks = list(masks.values())
    for file, band, word in pairs:
        when = stated_date(file, band, by_folder=by_folder)
        if mask := mask_of(word.lower(), file, band, when):
            named_masks.append(mask)
        elif word != SKIP:
            name = _listed_name(word, stated_sensor(file) or by_codes)
            named.append(NamedBand(file=file, header=band, band=name, date=when))
    if not named:
        raise SceneError("Every band is left out by '-'.", remedy="Name at least red, green and blue.")
    return Naming(bands=tuple(named), masks=tuple(named_masks), warnings=_contradictions(named))


def listed_names(words: Sequence[str]) -> tuple[str, ...]:
    """The canonical name that each word of the user's list means where no file says more; ``-`` stays.

    Raises as ``name_by_list``.
    """
    sensor = _sensor_of_list(words)
    return tuple(word if word == SKIP else _listed_name(word, sensor) for word in words)


def _contradictions(named: Sequence[NamedBand]) -> tuple[str, ...]:
    """Of every file the bands that the list calls otherwise than the file does."""
    files = list(dict.fromkeys(item.file for item in named))
    own = own_names(files)
    warnings = []
    for file in files:
        unlike = [
            f"band {item.header.index} {item.band}, which is {own[file, item.header.index]} by its own name"
            for item in named
            if item.file is file and own.get((file, item.header.index), item.band) != item.band
        ]
        if unlike:
            warnings.append(f"{shown(file.source.name)}: --bands calls {'; '.join(unlike)}.")
    return tuple(warnings)


def _sensor_of_list(words: Sequence[str]) -> Sensor | None:
    codes = list(filter(None, map(_listed_code, words)))
    # Files count their bands from 01; whoever lists B01 means the code.
    padded = any(code.zero_padded for code in codes)
    return Sensor.SENTINEL2 if padded else sensor_of_codes(codes)


def _listed_code(word: str) -> BandCode | None:
    # In a list of bands "b04" can mean nothing else.
    return band_code(word.upper().replace("_", ""))


def _listed_name(word: str, sensor: Sensor | None) -> str:
    name = common_name(word.replace(" ", "").replace("_", "").replace("-", "")) or letter_name(word)
    code = _listed_code(word)
    if name is None and code is not None:
        name = name_of_code(code, sensor) if sensor else None
        if sensor is None:
            raise SceneError(
                f"{word!r} in the list of bands means different colours on different satellites.",
                remedy=f"Use common names: {', '.join(REFLECTANCE_BANDS)}.",
            )
    if name is None:
        close = nearest_name(word)
        hint = f" Did you mean {close!r}?" if close else ""
        raise UsageError(
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
