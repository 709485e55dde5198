"""NetCDF files and Zarr stores with rows, columns and at most time and bands, as scenes of many dates.

The variables, or the positions along a band dimension, are named as the bands of a file are (``B04``,
``S2-L2A-B04``, ``red``). Of the others a scene classification or a cloud mask becomes the mask of its dates, and
the rest is left out. CF decides what numbers mean (scale, offset, fill value, ``_Unsigned``); 16-bit unsigned
numbers of a NetCDF file that declare no fill value have NetCDF's own, 65535.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rioxarray.exceptions import MissingSpatialDimensionError

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.bands.bandlist import name_by_list
from geopanoptic.scene.bands.filenames import parse
from geopanoptic.scene.bands.headers import BandHeader, FileHeader, check_bands
from geopanoptic.scene.bands.masking import MASK_WORDS, NamedMask
from geopanoptic.scene.bands.naming import NamedBand, Naming, name_by_evidence
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.containers.cube_safety import check_hdf5, check_zarr
from geopanoptic.scene.containers.from_xarray import (
    BAND_DIMENSIONS,
    band_names,
    days_of,
    fill_of,
    grid_of,
    is_meant,
    unit_of,
)
from geopanoptic.scene.files.cube_file import CubeFile, Engine, Plane, engine_of, open_cube
from geopanoptic.scene.files.sources import resolve, shown, state_of

if TYPE_CHECKING:
    import xarray

_CLASSES = ("scl", "sceneclassification", "clm", "cloudmask")
"""Masks of whole numbers, also where a program wrote them as fractions with NaN for none."""
_MANY_DATES = 4
"""In one chunk, of which a user is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How a cube lies: the dimensions of rows and columns, of time, and what is read of each date."""

    axes: tuple[str, str]
    time: str | None
    dates: tuple[date | None, ...]
    planes: tuple[Plane, ...]
    names: tuple[str, ...]
    elsewhere: tuple[str, ...]
    """Bands and masks on other rows and columns, or of several kinds of time."""


def read_cube(path: Path, *, words: tuple[str, ...] | None = None, assume_crs: str | None = None) -> Contents:
    """The bands and masks of a cube with their dates, by metadata only.

    ``words``: the user's names of bands that the cube itself does not name.

    Raises SceneError: the package that reads it is missing, damaged, other files or code would be needed, no
    variable is a band, other dimensions than rows, columns, time and bands, uneven coordinates, no CRS.
    """
    resolved = resolve(path)
    engine = engine_of(resolved)
    if engine is None:
        raise SceneError(
            f"{shown(path)} is no NetCDF or Zarr cube.", remedy="Give a .nc file or a Zarr folder."
        )
    if engine == "zarr":
        check_zarr(resolved)
    elif engine == "h5netcdf":
        check_hdf5(resolved)
    state = state_of(resolved)
    cube = open_cube(resolved, engine, state)
    layout = _layout(cube, path)
    chunks = cube[layout.planes[0].variable].encoding.get("preferred_chunks") or {}
    sizes = {axis: cube.sizes[axis] for axis in layout.axes} | chunks
    source = CubeFile(
        path=resolved,
        name=path.name,
        engine=engine,
        planes=layout.planes,
        time=layout.time,
        axes=layout.axes,
        block_shape=(sizes[layout.axes[0]], sizes[layout.axes[1]]),
        size_bytes=state[0],
        mtime_ns=state[1],
    )
    file = _file(cube, layout, source, math.prod(chunks.values()) if chunks else 0, assume_crs)
    if words is not None and not all(layout.names):
        naming = name_by_list([file], words)
    else:
        naming = name_by_evidence([file], lenient=True)
    contents = _of_every_date(naming, file, layout, path)
    warnings = [
        f"{shown(path.name)}: {name} has {_sizes(cube[name])}, which are not the rows, columns and dates of the bands: "
        "it is left out."
        for name in layout.elsewhere
    ]
    if (together := min(chunks.get(layout.time, 1), len(layout.dates))) >= _MANY_DATES:
        warnings.append(
            f"{shown(path.name)} is stored in chunks of {together} dates, so that each date is read by decoding "
            f"{together}: slow. Store it with one date in a chunk: "
            f"`xarray.open_dataset(...).chunk({layout.time}=1).to_zarr(..., align_chunks=True)`."
        )
    return replace(contents, warnings=tuple(warnings))


def _file(
    cube: xarray.Dataset, layout: _Layout, source: CubeFile, chunk_size: int, assume_crs: str | None
) -> FileHeader:
    """What is read of the first date; ``chunk_size`` numbers are decoded at once."""
    first = cube[layout.planes[0].variable]
    file = FileHeader(
        source=source,
        grid=_grid(first, layout, source.path, assume_crs),
        bands=tuple(
            _header(cube[plane.variable], number, name, source.engine)
            for number, (plane, name) in enumerate(zip(layout.planes, layout.names, strict=True), 1)
        ),
        tags=(),
        crs_assumed=first.rio.crs is None,
        block_shape=source.block_shape,
        block_bytes=chunk_size * first.dtype.itemsize,
    )
    check_bands(source, file.bands)
    return file


def _of_every_date(naming: Naming, file: FileHeader, layout: _Layout, path: Path) -> Contents:
    """What the planes of one date are named, repeated for every date with the indexes of its planes."""
    bands: list[NamedBand] = []
    masks: list[NamedMask] = []
    for position, when in enumerate(layout.dates):
        headers = tuple(replace(band, index=position * len(file.bands) + band.index) for band in file.bands)
        dated = replace(file, bands=headers)
        bands += [
            replace(item, file=dated, header=headers[item.header.index - 1], date=when)
            for item in naming.bands
        ]
        masks += [
            replace(item, file=dated, header=headers[item.header.index - 1], date=when)
            for item in naming.masks
        ]
    used = {item.header.index for item in naming.bands} | {item.header.index for item in naming.masks}
    left_out = [name or str(number) for number, name in enumerate(layout.names, 1) if number not in used]
    notes = [f"{shown(path.name)}: left out, no reflectance: {', '.join(left_out)}."] if left_out else []
    return Contents(
        name=shown(path.name.rpartition(".")[0] or path.name),
        bands=tuple(bands),
        masks=tuple(masks),
        notes=tuple(notes),
    )


def _layout(cube: xarray.Dataset, path: Path) -> _Layout:
    try:
        axes = (str(cube.rio.y_dim), str(cube.rio.x_dim))
    except MissingSpatialDimensionError:
        raise _no_cube(cube, path) from None
    along = [dim for dim in cube.sizes if dim not in axes]
    times = {str(dim): days for dim in along if (days := days_of(cube[dim], shown(path))) is not None}
    if len(times) > 1:
        raise _no_cube(cube, path)
    time = next(iter(times), None)
    planes = list(_planes(cube, axes, time))
    if not planes or not all(cube.sizes[dim] for dim in (*axes, *times)):
        raise _no_cube(cube, path)
    read = {plane.variable for plane, _ in planes}
    return _Layout(
        axes=axes,
        time=time,
        dates=_dates(cube, times),
        planes=tuple(plane for plane, _ in planes),
        names=tuple(name for _, name in planes),
        elsewhere=tuple(
            str(name)
            for name, each in sorted(cube.data_vars.items(), key=lambda item: str(item[0]))
            if name not in read and each.ndim > 1 and is_meant(str(name))
        ),
    )


def _planes(cube: xarray.Dataset, axes: tuple[str, str], time: str | None) -> Iterator[tuple[Plane, str]]:
    """What can be read of each date, and its name, empty where nothing names it."""
    # A store lists its arrays in no order of its own.
    for key, variable in sorted(cube.data_vars.items(), key=lambda item: str(item[0])):
        others = [str(dim) for dim in variable.dims if dim not in (*axes, time)]
        bands = [dim for dim in others if dim.lower() in BAND_DIMENSIONS]
        # A mask without time holds for all dates.
        dated = time is None or time in variable.dims or parse(str(key)).ancillary in MASK_WORDS
        placed = set(axes) <= set(variable.dims) and dated
        if not placed or variable.dtype.kind not in "iufb" or len(bands) > 1 or others != bands:
            continue
        if not bands:
            yield Plane(variable=str(key)), str(key)
            continue
        for number, name in enumerate(band_names(variable.transpose(bands[0], ...))):
            yield Plane(variable=str(key), at=((bands[0], number),)), name


def _dates(cube: xarray.Dataset, times: Mapping[str, xarray.DataArray]) -> tuple[date | None, ...]:
    """The days along the dimension of time, None where it states none; without one, that of the whole cube."""
    for days in times.values():
        return tuple(days.values.astype("datetime64[D]").astype(object))
    stated = [each for each in cube.coords.values() if each.ndim == 0 and each.dtype.kind == "M"]
    return (stated[0].values.astype("datetime64[D]").astype(object) if len(stated) == 1 else None,)


def _grid(variable: xarray.DataArray, layout: _Layout, path: Path, assume_crs: str | None) -> Grid:
    plane = variable.isel({dim: 0 for dim in variable.dims if dim not in layout.axes})
    return grid_of(plane.transpose(*layout.axes), shown(path), assume_crs)


def _header(variable: xarray.DataArray, number: int, name: str, engine: Engine) -> BandHeader:
    fill = fill_of(variable, engine)
    declared = any(variable.encoding.get(key) is not None for key in ("_FillValue", "missing_value"))
    # CF has no such attribute, and programs write it all the same; of scaled numbers nobody knows what it counts.
    stated = variable.attrs.get("nodata")
    if (
        not declared
        and isinstance(stated, int | float | np.number)
        and "scale_factor" not in variable.encoding
    ):
        fill = float(stated)
    return BandHeader(
        index=number,
        description=name,
        tags=(),
        dtype="uint8" if parse(name).ancillary in _CLASSES else variable.dtype.name,
        nodata=fill,
        scale=1.0,
        offset=0.0,
        colour="other",
        has_mask_band=False,
        stated_one=unit_of(variable),
    )


def _no_cube(cube: xarray.Dataset, path: Path) -> SceneError:
    sizes = _sizes(cube)
    return SceneError(
        f"{shown(path)} has {sizes}, and no variable of rows and columns with at most time (dates) and bands.",
        remedy="Give a cube of y and x (or latitude and longitude), and at most a dimension of bands and one of dates, "
        "which is called time where it states none.",
    )


def _sizes(cube: xarray.Dataset | xarray.DataArray) -> str:
    return ", ".join(f"{dim} ({size})" for dim, size in cube.sizes.items()) or "no dimensions"
