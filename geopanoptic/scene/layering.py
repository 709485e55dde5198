"""Lays named bands of several files on one grid: the layers of a scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.alignment import align, covered_share, pixel_area, same_crs, same_grid, upright
from geopanoptic.scene.headers import FileHeader
from geopanoptic.scene.naming import NamedBand
from geopanoptic.scene.reading import Layer
from geopanoptic.scene.sentinel2 import radiometry_of
from geopanoptic.scene.sources import shown

_COVERED = 0.99
_LARGE_BLOCK_BYTES = 64 << 20
"""No tile of a file made for reading windows comes near; ten bands of 1024 x 1024 uint16 are 20 MB."""


def common_grid(named: Sequence[NamedBand]) -> Grid:
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


def lay_on(grid: Grid, named: Sequence[NamedBand]) -> tuple[tuple[Layer, ...], list[str], list[str]]:
    """The layers of the scene, with notes on resampled files and warnings on incomplete ones."""
    layers: list[Layer] = []
    notes: list[str] = []
    warnings: list[str] = []
    resampled: dict[FileHeader, list[str]] = {}
    offsets: dict[FileHeader, float] = {}
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
        radiometry = radiometry_of(file, header)
        if radiometry.offset != header.offset:
            offsets.setdefault(file, radiometry.offset)
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
                nodata=radiometry.nodata,
                scale=radiometry.scale,
                offset=radiometry.offset,
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
    for file, offset in offsets.items():
        notes.append(
            f"{shown(file.source.name)}: {offset:+g} added to the numbers (Sentinel-2's radiometric offset)."
        )
    for file in dict.fromkeys(item.file for item in named):
        if file.block_bytes > _LARGE_BLOCK_BYTES:
            height, width = file.block_shape
            warnings.append(
                f"{shown(file.source.name)} is stored in blocks of {height} x {width} px, and any window "
                f"decodes {file.block_bytes >> 20} MB at once: slow, and more memory than a tile needs. "
                "Convert it: `gdal_translate -of COG in.tif out.tif`."
            )
    return tuple(layers), notes, warnings


def _step(grid: Grid) -> str:
    """A pixel's size along its row in the CRS's own unit, for a message."""
    unit = grid.crs.axis_info[0].unit_name if grid.crs.axis_info else "unit"
    return f"{math.hypot(grid.transform.a, grid.transform.d):.6g} {unit}"
