"""``open_scene``: from paths to a Scene, by headers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.alignment import align, covered_share, pixel_area, same_crs, same_grid, upright
from geopanoptic.scene.bandnames import OTHER_BANDS
from geopanoptic.scene.filenames import stem_of
from geopanoptic.scene.formats import looks_like_image
from geopanoptic.scene.headers import FileHeader, read_header
from geopanoptic.scene.naming import (
    NamedBand,
    Naming,
    name_by_evidence,
    name_by_list,
    parse_band_list,
)
from geopanoptic.scene.reading import Layer
from geopanoptic.scene.scene import Scene, listed, parse_date
from geopanoptic.scene.sources import SceneSource, as_list, files_in, shown

_COVERED = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The files that a source stands for; ``lenient`` where the user named a folder, not each file."""

    name: str
    paths: tuple[Path, ...]
    lenient: bool


def open_scene(
    source: SceneSource,
    *,
    bands: str | Sequence[str] | None = None,
    dates: str | date | Sequence[str | date] | None = None,
    assume_crs: str | None = None,
    allow_vrt: bool = False,
) -> Scene:
    """Opens a GeoTIFF, JPEG 2000 or georeferenced PNG or JPEG, several of them, or a folder of them.

    Bands and dates come from descriptions, tags and file names (``s2_l3a_20210615_nir.tif``,
    ``T32UQD_20210615T101559_B08_10m.jp2``). Bands of other resolutions are read on the finest band's
    grid, bilinear. Only headers are read: nothing is allocated for a file's size.

    Args:
        source: one path, several paths, or a folder (its own files, not its subfolders').
        bands: names in the order of the file's bands, as a list or comma separated; ``-`` leaves one out.
            For several single-band files: one name per file.
        dates: the dates to keep, as dates or ``2021-06-15`` (a list, or comma separated).
        assume_crs: CRS of files that state none, for example ``EPSG:32632``.
        allow_vrt: also open GDAL VRT files whose sources lie below their own folder.

    Raises:
        SceneError: the files are missing, unreadable, of another format, damaged, not georeferenced, or
            their bands cannot be named without a guess.
    """
    found = _find(source, allow_vrt=allow_vrt)
    files = [read_header(path, assume_crs=assume_crs, allow_vrt=allow_vrt) for path in found.paths]
    words = parse_band_list(bands)
    naming = name_by_evidence(files, lenient=found.lenient) if words is None else name_by_list(files, words)
    named, notes = _usable(naming)
    named = _of_dates(named, dates, found.name)
    _check_duplicates(named)
    _check_dates_complete(named)
    grid = _common_grid(named)
    layers, more_notes, warnings = _lay_on(grid, named)
    assumed = [
        f"{shown(f.source.name)}: the CRS is assumed to be {assume_crs}." for f in files if f.crs_assumed
    ]
    return Scene(
        name=found.name,
        grid=grid,
        layers=layers,
        notes=(*naming.notes, *notes, *more_notes),
        warnings=(*naming.warnings, *assumed, *warnings),
    )


def _find(source: SceneSource, *, allow_vrt: bool) -> _Found:
    paths = as_list(source)
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
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
        if path.is_dir():
            raise SceneError(
                f"{shown(path)} is a folder among files.", remedy="Give one folder, or files only."
            )
    name = shown(stem_of(paths[0].name))
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


def _common_grid(named: Sequence[NamedBand]) -> Grid:
    """The grid of the finest band (the first of several), which must be the same on every date."""
    finest: dict[date | None, NamedBand] = {}
    first = named[0]
    for item in named:
        if not same_crs(item.file.grid, first.file.grid):
            raise SceneError(
                f"{shown(item.file.source.name)} has another CRS than {shown(first.file.source.name)}.",
                remedy="Bring all files onto one grid with gdalwarp, or give only those of one CRS.",
            )
        rival = finest.get(item.date)
        if rival is None or pixel_area(item.file.grid) < 0.999 * pixel_area(rival.file.grid):
            finest[item.date] = item
    reference = next(iter(finest.values()))
    for item in finest.values():
        if not same_grid(item.file.grid, reference.file.grid):
            raise SceneError(
                f"{shown(item.file.source.name)} ({item.date}) has another grid than "
                f"{shown(reference.file.source.name)} ({reference.date}): {_difference(item, reference)}.",
                remedy="Choose one date with --dates, or bring all onto one grid with gdalwarp.",
            )
    return upright(reference.file.grid)


def _difference(one: NamedBand, other: NamedBand) -> str:
    grids = (one.file.grid, other.file.grid)
    shapes = [f"{grid.height} x {grid.width} px" for grid in grids]
    corners = [f"corner ({grid.transform.c:.9g}, {grid.transform.f:.9g})" for grid in grids]
    return " against ".join(f"{shape}, {corner}" for shape, corner in zip(shapes, corners, strict=True))


def _lay_on(grid: Grid, named: Sequence[NamedBand]) -> tuple[tuple[Layer, ...], list[str], list[str]]:
    """The layers of the scene, with notes on resampled files and warnings on incomplete ones."""
    layers: list[Layer] = []
    notes: list[str] = []
    warnings: list[str] = []
    resampled: dict[FileHeader, list[str]] = {}
    for item in named:
        file, header = item.file, item.header
        alignment = align(file.grid, grid)
        if alignment is None:
            raise SceneError(
                f"{shown(file.source.name)} is rotated against the other files.",
                remedy="Bring all files onto one grid with gdalwarp.",
            )
        if file.grid.shape != grid.shape or not alignment.keeps_pixels(grid.shape):
            resampled.setdefault(file, []).append(item.band)
            share = covered_share(file.grid, grid, alignment)
            if share == 0:
                raise SceneError(
                    f"{shown(file.source.name)} does not overlap the other files.",
                    remedy="Give the bands of one place.",
                )
            if share < _COVERED:
                warnings.append(
                    f"{shown(file.source.name)} covers {share:.1%} of the scene; the rest is invalid."
                )
        alphas = [band.index for band in file.bands if band.colour == "alpha"]
        taken = {other.header.index for other in named if other.file is file}
        alpha = next((index for index in alphas if index not in taken), None)
        layers.append(
            Layer(
                band=item.band,
                date=item.date,
                source=file.source,
                index=header.index,
                dtype=header.dtype,
                nodata=header.nodata,
                scale=header.scale,
                offset=header.offset,
                has_mask_band=header.has_mask_band,
                alpha_index=alpha,
                grid=file.grid,
                alignment=alignment,
            )
        )
    for file, bands in resampled.items():
        notes.append(
            f"{shown(file.source.name)}: {', '.join(bands)} resampled (bilinear) from {_step(file.grid)} to "
            f"{_step(grid)} pixels."
        )
    return tuple(layers), notes, warnings


def _step(grid: Grid) -> str:
    """A pixel's size along its row in the CRS's own unit, for a message."""
    unit = grid.crs.axis_info[0].unit_name if grid.crs.axis_info else "unit"
    return f"{math.hypot(grid.transform.a, grid.transform.d):.6g} {unit}"
