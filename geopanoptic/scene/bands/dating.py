"""When a band was taken, as far as anything states it: an acquisition date in its description, its tags, its
file's tags, its file's name, and last, where the scene's files lie in several folders, its folder's name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from geopanoptic.scene.bands.filenames import date_of, stem_of
from geopanoptic.scene.bands.headers import BandHeader, FileHeader

_DATE_TAGS = (
    "date_acquired", "acquisition_date", "acquisitiondate", "acquisition_time", "acquisition_datetime",
    "sensing_time", "sensing_date", "datatake_1_datatake_sensing_start", "product_start_time",
    "tifftag_acquisition_date", "start_time", "datetime", "date", "timestamp",
)  # fmt: skip  # not TIFFTAG_DATETIME: that is when the file was written


def stated_date(file: FileHeader, band: BandHeader, *, by_folder: bool = False) -> date | None:
    """The date of one band; ``by_folder``: its folder's name counts too, where nothing else states one."""
    texts = [band.description]
    for tags in (band.tags, file.tags):
        lower = {key.lower(): value for key, value in tags}
        texts += [lower[key] for key in _DATE_TAGS if key in lower]
    stated = next((found for text in texts if (found := date_of(text))), None)
    return stated or date_of_names((*file.source.parts[:-1], file.source.name), by_folder=by_folder)


def date_of_names(parts: Sequence[str], *, by_folder: bool = False) -> date | None:
    """The date that a file's name states (or its folder's), the last of ``parts``."""
    texts = [stem_of(parts[-1]), *(parts[-2:-1] if by_folder else ())]
    return next((found for text in texts if (found := date_of(text))), None)


def in_several_folders(parts: Iterable[Sequence[str]]) -> bool:
    """Whether files, each given by the names of its folders and its own, lie in several folders.

    A folder of its own name says little: it may be the day of a download.
    """
    return len({tuple(names[:-1]) for names in parts}) > 1
