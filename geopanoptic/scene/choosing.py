"""Which dates a scene has: those that its files state, or that the user says they are, and which are kept.

``--dates`` chooses among the dates that are stated. Where nothing states any, it says which they are: a band's
first occurrence is of the first date, its second of the second, in the order of the files given (in a folder:
by name) and of the bands within them. So one rule dates a list of undated files, and one file that holds
several dates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.scene.bands.masking import NamedMask
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.files.arrays import ArraySource
from geopanoptic.scene.files.cube_file import CubeFile
from geopanoptic.scene.files.sources import shown
from geopanoptic.scene.scene import listed, parse_date

Dates = str | date | Sequence[str | date]
"""``2021-06-15``, several of them in a list or separated by commas, or dates."""


def parse_dates(dates: Dates | None) -> tuple[date, ...] | None:
    """Dates in the order given; None stays None. Raises SceneError for none at all, UsageError for what is no date."""
    if dates is None:
        return None
    given = dates.split(",") if isinstance(dates, str) else dates
    words = list(given) if isinstance(given, Iterable) else [given]
    if not words:
        raise SceneError("The list of dates is empty.", remedy="Leave it out to keep all dates.")
    return tuple(parse_date(word) for word in words)


def choose_dates(
    contents: Contents,
    *,
    dates: tuple[date, ...] | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
) -> Contents:
    """The bands and masks of the chosen dates, ascending. ``start`` and ``end`` are kept themselves.

    Raises SceneError where a date is not there, where none is left, and where assigned dates do not fit the
    files; UsageError where ``start`` is after ``end``.
    """
    if dates is not None:
        stated = any(item.date is not None for item in contents.bands)
        contents = _selected(contents, dates) if stated else _assigned(contents, dates)
    elif len({item.date for item in contents.bands}) == 1:
        contents = _undated_masks_on(contents, contents.bands[0].date)
    if start is not None or end is not None:
        contents = _between(contents, start, end)
    in_order = sorted(contents.bands, key=lambda item: item.date or date.min)
    return replace(contents, bands=tuple(in_order))


def _selected(contents: Contents, dates: tuple[date, ...]) -> Contents:
    available = sorted({item.date for item in contents.bands if item.date is not None})
    if missing := sorted(set(dates) - set(available)):
        raise SceneError(
            f"{contents.name} has no image of {listed(missing)}; it has {listed(available)}.",
            remedy="Choose from those dates.",
        )
    chosen = replace(contents, bands=tuple(item for item in contents.bands if item.date in dates))
    return _undated_masks_on(chosen, available[0]) if len(available) == 1 else chosen


def _assigned(contents: Contents, dates: tuple[date, ...]) -> Contents:
    if twice := [when for when, count in Counter(dates).items() if count > 1]:
        raise SceneError(
            f"--dates gives {listed(twice)} to more than one image.", remedy="Give every image its own date."
        )
    counts = Counter(item.band for item in contents.bands)
    if odd := [band for band, count in counts.items() if count != len(dates)]:
        times = "once" if counts[odd[0]] == 1 else f"{counts[odd[0]]} times"
        raise SceneError(
            f"--dates gives {len(dates)} date{'s' if len(dates) > 1 else ''} ({listed(dates)}) to files that "
            f"state none, and the band {odd[0]} comes {times}.",
            remedy="Give one date per image, in the order of the files (in a folder: by name) and of the "
            "bands within them.",
        )
    taken: Counter[str] = Counter()
    bands: list[NamedBand] = []
    for item in contents.bands:
        bands.append(replace(item, date=dates[taken[item.band]]))
        taken[item.band] += 1
    masks: list[NamedMask] = []
    for mask in contents.masks:
        if mask.date is None and taken[mask.kind] < len(dates):
            mask = replace(mask, date=dates[taken[mask.kind]])
            taken[mask.kind] += 1
        masks.append(mask)
    return replace(contents, bands=tuple(bands), masks=tuple(masks))


def _undated_masks_on(contents: Contents, when: date | None) -> Contents:
    """Where there is one date only, a mask that states none is of that date."""
    masks = tuple(replace(mask, date=when) if mask.date is None else mask for mask in contents.masks)
    return replace(contents, masks=masks)


def _between(contents: Contents, start: str | date | None, end: str | date | None) -> Contents:
    first = date.min if start is None else parse_date(start)
    last = date.max if end is None else parse_date(end)
    if first > last:
        raise UsageError(
            f"The season would begin on {first} and end on {last}.", remedy="Swap --from and --to."
        )
    if any(item.date is None for item in contents.bands):
        raise SceneError(
            f"{contents.name} states no date that --from and --to could choose by.",
            remedy="Say which dates it has with --dates.",
        )
    kept = tuple(item for item in contents.bands if item.date is not None and first <= item.date <= last)
    if not kept:
        available = sorted({item.date for item in contents.bands if item.date is not None})
        raise SceneError(
            f"{contents.name} has no image {_span(start, end)}; it has {listed(available)}.",
            remedy="Choose another --from or --to.",
        )
    return replace(contents, bands=kept)


def _span(start: str | date | None, end: str | date | None) -> str:
    words = ([f"from {start}"] if start is not None else []) + ([f"to {end}"] if end is not None else [])
    return " ".join(words)


def check_dates(named: Sequence[NamedBand]) -> tuple[str, ...]:
    """Warnings of dates that lack a band which others have: they count without it.

    Raises SceneError where a band comes twice on a date, or some images state no date.
    """
    _check_duplicates(named)
    bands_of: dict[date | None, set[str]] = {}
    for item in named:
        bands_of.setdefault(item.date, set()).add(item.band)
    every = set().union(*bands_of.values())
    if None in bands_of and len(bands_of) > 1:
        undated = next(item for item in named if item.date is None)
        raise SceneError(
            f"{shown(undated.file.source.name)} states no date, but other files do "
            f"({listed([when for when in bands_of if when])}).",
            remedy="Put the date into its name (_20210615_), or leave it out.",
        )
    lacking: dict[tuple[str, ...], list[date | None]] = {}
    for when, bands in bands_of.items():
        if missing := tuple(sorted(every - bands)):
            lacking.setdefault(missing, []).append(when)
    return tuple(
        f"There is no {' and no '.join(missing)} band on {listed(dates)}, and on other dates there is; those count "
        "without it."
        for missing, dates in lacking.items()
    )


def _check_duplicates(named: Sequence[NamedBand]) -> None:
    seen: dict[tuple[str, date | None], NamedBand] = {}
    # Dates repeat every band; one band alone comes twice where two were taken for it.
    repeated = len(set(Counter((item.band, item.date) for item in named).values())) == 1
    for item in named:
        first = seen.setdefault((item.band, item.date), item)
        if first is item:
            continue
        if (
            isinstance(item.file.source, CubeFile | ArraySource)
            and item.file.source.name == first.file.source.name
        ):
            raise _several_along_time(named, item)
        files = [each.file.source for each in (first, item)]
        # Seasons kept in folders have files of the same name.
        names = [file.path if files[0].name == files[1].name else file.name for file in files]
        places = " and ".join(
            f"{shown(name)} band {each.header.index}" for name, each in zip(names, (first, item), strict=True)
        )
        when = f" on {item.date}" if item.date else ""
        undated = (
            ""
            if item.date or not repeated
            else " If these are several dates, say which with --dates 2021-04-15,2021-06-15,..., in their "
            "order, or put them into the file names."
        )
        raise SceneError(
            f"The band {item.band} comes twice{when}: {places}.",
            remedy="Leave one out, by naming the files or by '-' in --bands." + undated,
        )


def _several_along_time(named: Sequence[NamedBand], item: NamedBand) -> SceneError:
    """The refusal of a cube with several images of one day, or whose time states no dates."""
    count = sum((each.band, each.date) == (item.band, item.date) for each in named)
    images = f"{shown(item.file.source.name)} has {count} images"
    if item.date is None:
        return SceneError(
            f"{images} along its time, which states no dates.",
            remedy="Give them in their order: --dates 2021-04-15,2021-06-15,...",
        )
    return SceneError(
        f"{images} of {item.date}.",
        remedy="Make one of them with xarray, "
        "`cube.assign_coords(time=cube.time.dt.floor('D')).groupby('time').first()` (or .median()), or leave one out "
        "with .isel.",
    )
