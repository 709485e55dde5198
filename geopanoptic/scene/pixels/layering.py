"""Lays named bands of several files on one grid: the layers of a scene."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.bands.headers import FileHeader
from geopanoptic.scene.bands.landsat import surface_reflectance
from geopanoptic.scene.bands.naming import NamedBand
from geopanoptic.scene.bands.sentinel2 import radiometry_of
from geopanoptic.scene.files.alignment import (
    Alignment,
    align,
    covered_share,
    pixel_area,
    same_crs,
    same_grid,
    upright,
)
from geopanoptic.scene.files.resampling import reached_share
from geopanoptic.scene.files.sources import named_files, shown
from geopanoptic.scene.pixels.reading import Layer

_COVERED = 0.99
_LARGE_BLOCK_BYTES = 64 << 20
"""No tile of a file made for reading windows comes near; ten bands of 1024 x 1024 uint16 are 20 MB."""


def common_grid(named: Sequence[NamedBand], *, align_dates: bool = False) -> Grid:
    """The grid of the finest band (the first of several), which must be the same on every date.

    ``align_dates`` lets dates lie on other grids of the same CRS: that of the finest pixels then counts, of
    several the one that most dates have, then the earliest.

    Raises SceneError naming the file that differs from most.
    """
    finest: dict[date | None, NamedBand] = {}
    for item in named:
        rival = finest.get(item.date)
        if rival is None or pixel_area(item.file.grid) < 0.999 * pixel_area(rival.file.grid):
            finest[item.date] = item
    groups: list[list[NamedBand]] = []
    for item in finest.values():
        group = next((g for g in groups if same_grid(g[0].file.grid, item.file.grid)), None)
        groups.append([item]) if group is None else group.append(item)
    # Both keep the earliest of equals.
    largest = max(groups, key=len)[0]
    reference = largest
    if align_dates:
        least = min(pixel_area(group[0].file.grid) for group in groups)
        fine = [group for group in groups if pixel_area(group[0].file.grid) < 1.001 * least]
        reference = max(fine, key=len)[0]
    _check_crs(named, largest)
    if len(groups) > 1 and not align_dates:
        odd = next(group[0] for group in groups if group[0] is not largest)
        raise SceneError(
            f"{shown(odd.file.source.name)} ({odd.date}) has another grid than "
            f"{shown(largest.file.source.name)} ({largest.date}): {_difference(odd, largest)}.",
            remedy="Resample all dates onto one grid with --align, or choose among them with --dates.",
        )
    return upright(reference.file.grid)


def _check_crs(named: Sequence[NamedBand], reference: NamedBand) -> None:
    for item in named:
        if not same_crs(item.file.grid, reference.file.grid):
            one, other = (shown(each.file.source.name) for each in (item, reference))
            raise SceneError(
                f"{one} has another CRS ({item.file.grid.crs.name}) than {other} "
                f"({reference.file.grid.crs.name}).",
                remedy="Bring all files onto one grid with gdalwarp, or give only those of one CRS.",
            )


def _difference(one: NamedBand, other: NamedBand) -> str:
    grids = (one.file.grid, other.file.grid)
    shapes = [f"{grid.height} x {grid.width} px" for grid in grids]
    corners = [f"corner ({grid.transform.c:.9g}, {grid.transform.f:.9g})" for grid in grids]
    return " against ".join(f"{shape}, {corner}" for shape, corner in zip(shapes, corners, strict=True))


def lay_on(grid: Grid, named: Sequence[NamedBand]) -> tuple[tuple[Layer, ...], list[str], list[str]]:
    """The layers of the scene, with notes on resampled files and warnings on incomplete ones."""
    layers: list[Layer] = []
    warnings: list[str] = []
    resampled: dict[tuple[str, str], dict[FileHeader, None]] = {}
    told: dict[str, dict[FileHeader, None]] = {}
    bands_of: dict[FileHeader, list[NamedBand]] = {}
    for item in named:
        bands_of.setdefault(item.file, []).append(item)
    # Dates mostly share one grid; one object for all keeps a pickled scene small.
    grids: dict[Grid, Grid] = {}
    for file, items in bands_of.items():
        file_grid = grids.setdefault(file.grid, file.grid)
        alignment = placed(file, grid, "bands")
        if file_grid.shape != grid.shape or not alignment.keeps_pixels(grid.shape):
            names = ", ".join(item.band for item in items)
            resampled.setdefault((names, _step(file_grid)), {})[file] = None
            share = reached_share(grid.shape, alignment, file_grid.shape)
            if share < _COVERED:
                warnings.append(
                    f"{shown(file.source.name)} covers {share:.1%} of the scene; the rest is invalid."
                )
        taken = {item.header.index for item in items}
        alphas = (band.index for band in file.bands if band.colour == "alpha")
        alpha = next((index for index in alphas if index not in taken), None)
        for item in items:
            radiometry = surface_reflectance(file, item.header) or radiometry_of(file, item.header)
            if radiometry.note:
                told.setdefault(radiometry.note, {})[file] = None
            layers.append(
                Layer(
                    band=item.band,
                    date=item.date,
                    source=file.source,
                    index=item.header.index,
                    dtype=item.header.dtype,
                    nodata=radiometry.nodata,
                    scale=radiometry.scale,
                    offset=radiometry.offset,
                    has_mask_band=item.header.has_mask_band,
                    alpha_index=alpha,
                    grid=file_grid,
                    alignment=alignment,
                    stated_one=item.header.stated_one,
                )
            )
    step = _step(grid)
    notes = [
        f"{_names(files)}: {bands} resampled (bilinear) "
        + (f"from {stored} to {step} pixels." if stored != step else "onto the grid of the others.")
        for (bands, stored), files in resampled.items()
    ]
    notes += [f"{_names(files)}: {note}" for note, files in told.items()]
    # Every date has its bands in the order of the first, whatever its files are called.
    order = {band: number for number, band in enumerate(dict.fromkeys(item.band for item in named))}
    layers.sort(key=lambda layer: (layer.date or date.min, order[layer.band]))
    return tuple(layers), notes, warnings + _slow(bands_of)


def placed(file: FileHeader, grid: Grid, what: str) -> Alignment:
    """How a file lies on the scene's grid. Raises SceneError for another CRS, and where it is rotated or elsewhere."""
    if not same_crs(file.grid, grid):
        raise SceneError(
            f"{shown(file.source.name)} has another CRS ({file.grid.crs.name}) than the scene "
            f"({grid.crs.name}).",
            remedy="Bring all files onto one grid with gdalwarp.",
        )
    alignment = align(file.grid, grid)
    if alignment is None:
        raise SceneError(
            f"{shown(file.source.name)} is rotated against the other files.",
            remedy="Bring all files onto one grid with gdalwarp.",
        )
    if covered_share(file.grid, grid, alignment) == 0:
        raise SceneError(
            f"{shown(file.source.name)} does not overlap the other files.",
            remedy=f"Give the {what} of one place.",
        )
    return alignment


def _slow(files: Iterable[FileHeader]) -> list[str]:
    large = [file for file in files if file.block_bytes > _LARGE_BLOCK_BYTES]
    if not large:
        return []
    (height, width), stored = large[0].block_shape, large[0].block_bytes >> 20
    return [
        f"{_names(large)} {'are' if len(large) > 1 else 'is'} stored in blocks of {height} x {width} px, and "
        f"any window decodes {stored} MB at once: slow, and more memory than a tile needs. Convert: "
        "`gdal_translate -of COG in.tif out.tif`."
    ]


def _names(files: Iterable[FileHeader]) -> str:
    return named_files(file.source.name for file in files)


def _step(grid: Grid) -> str:
    """A pixel's size along its row in the CRS's own unit, for a message."""
    unit = grid.crs.axis_info[0].unit_name if grid.crs.axis_info else "unit"
    return f"{math.hypot(grid.transform.a, grid.transform.d):.6g} {unit}"
