"""``open_scene``: from paths to a Scene, by headers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from geopanoptic.errors import SceneError
from geopanoptic.scene.arrays import is_array
from geopanoptic.scene.bandnames import OTHER_BANDS
from geopanoptic.scene.filenames import stem_of
from geopanoptic.scene.formats import looks_like_image
from geopanoptic.scene.headers import read_header
from geopanoptic.scene.layering import common_grid, lay_on
from geopanoptic.scene.naming import (
    NamedBand,
    Naming,
    name_by_evidence,
    name_by_list,
    parse_band_list,
)
from geopanoptic.scene.scene import Scene, listed, parse_date
from geopanoptic.scene.sentinel2 import radiometry_of
from geopanoptic.scene.sources import SceneSource, as_list, files_in, shown, without_secrets

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The files that a source stands for; ``lenient`` where the user named a folder, not each file."""

    name: str
    paths: tuple[Path | str, ...]
    lenient: bool


def open_scene(
    source: SceneSource | xarray.DataArray | xarray.Dataset,
    *,
    bands: str | Sequence[str] | None = None,
    dates: str | date | Sequence[str | date] | None = None,
    assume_crs: str | None = None,
    allow_vrt: bool = False,
    allow_remote: bool = False,
) -> Scene:
    """Opens a GeoTIFF, JPEG 2000 or georeferenced PNG or JPEG, several of them, or a folder of them.

    Bands and dates come from descriptions, tags and file names (``s2_l3a_20210615_nir.tif``,
    ``T32UQD_20210615T101559_B08_10m.jp2``). Bands of other resolutions are read on the finest band's
    grid, bilinear. Only headers are read: nothing is allocated for a file's size.

    An xarray DataArray or Dataset ((time,) band, y, x, with a CRS for rioxarray) is opened likewise: its
    band coordinate or variables name the bands, and lazy chunks are computed when they are read.

    Args:
        source: one path, several paths, a folder (its own files, not its subfolders'), or an xarray object.
        bands: names in the order of the file's bands, as a list or comma separated; ``-`` leaves one out.
            For several single-band files: one name per file.
        dates: the dates to keep, as dates or ``2021-06-15`` (a list, or comma separated).
        assume_crs: CRS of files that state none, for example ``EPSG:32632``.
        allow_vrt: also open GDAL VRT files whose sources lie below their own folder.
        allow_remote: also open GeoTIFFs at http, https and s3 addresses.

    Raises:
        SceneError: the files are missing, unreadable, of another format, damaged, not georeferenced, or
            their bands cannot be named without a guess; or a remote server refuses.
    """
    if is_array(source):
        from geopanoptic.scene.from_xarray import array_headers

        files = list(array_headers(source, assume_crs=assume_crs))
        name, lenient = files[0].source.name, False
    else:
        found = _find(source, allow_vrt=allow_vrt, allow_remote=allow_remote)  # type: ignore[arg-type]
        files = [read_header(path, assume_crs=assume_crs, allow_vrt=allow_vrt) for path in found.paths]
        name, lenient = found.name, found.lenient
    words = parse_band_list(bands)
    naming = name_by_evidence(files, lenient=lenient) if words is None else name_by_list(files, words)
    named, notes = _usable(naming)
    named = _of_dates(named, dates, name)
    _check_duplicates(named)
    _check_dates_complete(named)
    _check_harmonised(named)
    grid = common_grid(named)
    layers, more_notes, warnings = lay_on(grid, named)
    assumed = [
        f"{shown(f.source.name)}: the CRS is assumed to be {assume_crs}." for f in files if f.crs_assumed
    ]
    return Scene(
        name=name,
        grid=grid,
        layers=layers,
        notes=(*naming.notes, *notes, *more_notes),
        warnings=(*naming.warnings, *assumed, *warnings),
    )


def _find(source: SceneSource, *, allow_vrt: bool, allow_remote: bool) -> _Found:
    paths = as_list(source, allow_remote=allow_remote)
    folder = paths[0]
    if len(paths) == 1 and isinstance(folder, Path) and folder.is_dir():
        images = [
            path
            for path in files_in(folder)
            if looks_like_image(path) or (allow_vrt and path.suffix.lower() == ".vrt")
        ]
        images = [path for path in images if not path.name.lower().endswith((".msk", ".ovr"))]
        if not images:
            raise SceneError(
                f"The folder {shown(folder)} holds no image.",
                remedy="Give a folder of GeoTIFF or JPEG 2000 files (subfolders are not searched).",
            )
        return _Found(name=shown(folder.resolve().name), paths=tuple(images), lenient=True)
    for path in paths:
        if isinstance(path, Path) and path.is_dir():
            raise SceneError(
                f"{shown(path)} is a folder among files.", remedy="Give one folder, or files only."
            )
    first = paths[0]
    name = first.name if isinstance(first, Path) else without_secrets(first).rpartition("/")[2]
    name = shown(stem_of(name))
    if len(paths) > 1:
        name += f" and {len(paths) - 1} more"
    return _Found(name=name, paths=tuple(paths), lenient=False)


def _usable(naming: Naming) -> tuple[list[NamedBand], list[str]]:
    """Without the bands that no model takes: their pixels must not decide the scene's grid or validity."""
    kept = [item for item in naming.bands if item.band not in OTHER_BANDS]
    left_out = [item for item in naming.bands if item.band in OTHER_BANDS]
    if not kept:
        raise SceneError(
            f"No reflectance band of the surface was found, only {', '.join(i.band for i in left_out)}.",
            remedy="Give the visible and infrared bands.",
        )
    return kept, [
        f"{shown(item.file.source.name)} band {item.header.index}: {item.band} is not used by any model, "
        "left out."
        for item in left_out
    ]


def _of_dates(
    named: list[NamedBand], dates: str | date | Sequence[str | date] | None, name: str
) -> list[NamedBand]:
    if dates is not None:
        words = dates.split(",") if isinstance(dates, str) else [dates] if isinstance(dates, date) else dates
        wanted = {parse_date(word) for word in words}
        available = sorted({item.date for item in named}, key=_order)
        if missing := sorted(wanted - set(available)):
            raise SceneError(
                f"{name} has no image of {listed(missing)}; it has {listed(available)}.",
                remedy="Choose from those dates." if any(available) else "Leave --dates out.",
            )
        named = [item for item in named if item.date in wanted]
    return sorted(named, key=lambda item: _order(item.date))


def _order(when: date | None) -> date:
    return when or date.min


def _check_duplicates(named: Sequence[NamedBand]) -> None:
    seen: dict[tuple[str, date | None], NamedBand] = {}
    for item in named:
        first = seen.setdefault((item.band, item.date), item)
        if first is item:
            continue
        places = " and ".join(f"{shown(x.file.source.name)} band {x.header.index}" for x in (first, item))
        when = f" on {item.date}" if item.date else ""
        undated = "" if item.date else " If they are different dates, put the date into the file names."
        raise SceneError(
            f"The band {item.band} comes twice{when}: {places}.",
            remedy="Leave one out, by naming the files or by '-' in --bands." + undated,
        )


def _check_dates_complete(named: Sequence[NamedBand]) -> None:
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
    for when, bands in bands_of.items():
        if missing := sorted(every - bands):
            raise SceneError(
                f"The date {when} has no {' and no '.join(missing)} band; other dates have it.",
                remedy="Add its file, leave the band out, or choose other --dates.",
            )


def _check_harmonised(named: Sequence[NamedBand]) -> None:
    """Dates whose numbers are 1000 higher than the others' would look brighter to a model of series."""
    shifted = {item.date: item for item in named if radiometry_of(item.file, item.header).shifted}
    if shifted and (others := sorted({item.date for item in named} - set(shifted), key=_order)):
        newer = next(iter(shifted.values()))
        raise SceneError(
            f"{shown(newer.file.source.name)} ({newer.date}) is of a Sentinel-2 processing baseline whose "
            f"numbers are 1000 higher, and nothing says that they are on {listed(others)}.",
            remedy="State in the newer files what is to be added (`gdal_edit -mo BOA_ADD_OFFSET=-1000`, or 0 "
            "where it was subtracted already), or choose other --dates.",
        )
