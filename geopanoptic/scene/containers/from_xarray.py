"""Opens xarray DataArrays and Datasets: bands named by coordinate, place by rioxarray."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rioxarray  # noqa: F401  (registers .rio)
import xarray
from affine import Affine
from dask.base import tokenize
from rioxarray.exceptions import MissingSpatialDimensionError

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.bands.filenames import parse
from geopanoptic.scene.bands.headers import BandHeader, FileHeader, assumed_wkt, check_bands, check_transform
from geopanoptic.scene.bands.masking import MASK_WORDS
from geopanoptic.scene.files.arrays import ArraySource
from geopanoptic.scene.files.cube_file import Engine, engine_of
from geopanoptic.scene.files.sources import state_of
from geopanoptic.scene.pixels.reading import UNIT_ATTRIBUTE

BAND_DIMENSIONS = ("band", "bands", "channel", "channels", "variable")
_NAMES = ("band", "long_name", "common_name", "name")
"""Coordinates and attributes that may name the bands, the first of them that does."""

_FIRST_DAY, _LAST_DAY = 19720101, 21001231
"""Numbers between these are read as days, ``20210615``."""
_TIMES = ("time", "t", "date", "dates", "datetime")
"""What a dimension of time is called, also where it states no dates."""
_DEFAULT_FILL = {"uint16": 65535.0}
_UNEVEN_PX = 0.01
_METRES = ("metre", "meter", "m")
_UNITS_OF_NO_CRS = ("km", "kilometre", "kilometres", "kilometer", "kilometers", "rad", "radian", "radians")
_CHUNK_PX = 1024


def array_headers(array: Any, *, assume_crs: str | None = None) -> Iterator[FileHeader]:
    """One header per time of a DataArray or Dataset with dimensions (time,) band, row, column.

    Raises SceneError for other dimensions, complex numbers, and where CRS or coordinates are missing.
    """
    for source, bands in _sources(array):
        plane = source.array
        check_bands(source, bands)
        when = _day(plane)
        tags = {} if when is None else {"datetime": when}
        yield FileHeader(
            source=source,
            grid=grid_of(plane[0], source.name, assume_crs),
            bands=bands,
            tags=tuple(tags.items()),
            crs_assumed=plane.rio.crs is None,
            block_shape=(plane.shape[1], plane.shape[2]),
            block_bytes=0,
        )


def _day(plane: xarray.DataArray) -> str | None:
    """The date of an array of one: of its only coordinate of dates, or of the one called time, or None."""
    single = {name: each for name, each in plane.coords.items() if each.ndim == 0}
    dated = [each for each in single.values() if each.dtype.kind == "M"]
    when = dated[0] if len(dated) == 1 else single.get("time")
    return None if when is None or when.isnull() else str(when.values)[:10]


def band_names(plane: xarray.DataArray) -> list[str]:
    """The names along the first dimension of an array, empty where nothing names them."""
    count = plane.shape[0]
    for name in (plane.dims[0], *_NAMES):
        values = plane.coords[name].values if name in plane.coords else plane.attrs.get(str(name), ())
        words = [values] if isinstance(values, str) else list(np.atleast_1d(values))
        if len(words) == count and all(isinstance(word, str) for word in words):
            return [str(word) for word in words]
    return [""] * count


def _band(plane: xarray.DataArray, index: int, name: str) -> BandHeader:
    """The band ``index`` of an array, or the only one of a variable."""
    nodata = plane.rio.nodata
    if nodata is None and isinstance(source := plane.encoding.get("source"), str):
        nodata = fill_of(plane, engine_of(Path(source)))
    return BandHeader(
        index=index,
        description=name,
        tags=(),
        dtype=plane.dtype.name,
        nodata=None if nodata is None or np.isnan(nodata) else float(nodata),
        scale=_number(plane.attrs.get("scale_factor", 1.0), index),
        offset=_number(plane.attrs.get("add_offset", 0.0), index),
        colour="other",
        has_mask_band=False,
        stated_one=unit_of(plane),
    )


def fill_of(variable: xarray.DataArray, engine: Engine | None) -> float | None:
    """What stands for missing numbers in a variable of a cube that declares nothing, or None: NetCDF's own."""
    declared = any(variable.encoding.get(key) is not None for key in ("_FillValue", "missing_value"))
    return None if declared or engine in (None, "zarr") else _DEFAULT_FILL.get(variable.dtype.name)


def unit_of(variable: xarray.DataArray) -> float | None:
    """What stands for a reflectance of 1 in the numbers of a variable, as its attribute says, or None."""
    stated = variable.attrs.get(UNIT_ATTRIBUTE)
    return float(stated) if isinstance(stated, int | float | np.number) and stated > 0 else None


def _number(value: Any, index: int) -> float:
    """One value for all bands, or one per band."""
    values = np.atleast_1d(value)
    return float(values[index - 1] if len(values) > 1 else values[0])


def grid_of(plane: xarray.DataArray, name: str, assume_crs: str | None) -> Grid:
    """The grid of an array of rows and columns. Raises SceneError without CRS or coordinates, and where these are
    uneven or in kilometres."""
    if plane.rio.crs is None and assume_crs is None:
        raise SceneError(
            f"{name} has no coordinate reference system.",
            remedy="Set it: `array.rio.write_crs('EPSG:<code>')`, or state it with --assume-crs (assume_crs).",
        )
    for axis in plane.dims:
        _check_coordinates(plane, str(axis), name)
    stored, by_coordinates = plane.rio.transform(), plane.rio.transform(recalc=True)
    if _are_corners(plane, by_coordinates):
        stored = by_coordinates = by_coordinates @ Affine.translation(0.5, 0.5)
    # A stored transform is exact, but outlives a selection; coordinates follow it.
    transform = stored if stored.almost_equals(by_coordinates, abs(stored.a) * 1e-3) else by_coordinates
    if transform == Affine.identity():
        raise SceneError(
            f"{name} has no coordinates along its rows and columns.",
            remedy="Give it x and y coordinates, or `array.rio.write_transform(...)`.",
        )
    check_transform(name, transform)
    wkt = (
        plane.rio.crs.to_wkt(version="WKT2_2019")
        if plane.rio.crs is not None
        else assumed_wkt(str(assume_crs))
    )
    return Grid(crs_wkt=wkt, transform=transform, height=plane.shape[0], width=plane.shape[1])


def _are_corners(plane: xarray.DataArray, by_coordinates: Affine) -> bool:
    """Whether coordinates are those of the pixels' corners, as stackstac writes them: half a pixel off the transform
    beside them, as no selection ever is."""
    try:
        told = Affine(*map(float, plane.attrs["transform"][:6]))
    except (KeyError, TypeError, ValueError):
        return False
    if not np.allclose([by_coordinates.a, by_coordinates.e], [told.a, told.e], rtol=1e-6):
        return False
    off_px = ~told @ (by_coordinates.c, by_coordinates.f)
    return np.allclose(np.mod(off_px, 1), 0.5, atol=_UNEVEN_PX)


def _check_coordinates(plane: xarray.DataArray, axis: str, name: str) -> None:
    """Raises SceneError where they are uneven, or of a unit that no CRS here has."""
    if axis not in plane.coords:
        return
    unit = str(plane.coords[axis].attrs.get("units", ""))
    if unit.lower() in _UNITS_OF_NO_CRS and (
        plane.rio.crs is None or plane.rio.crs.linear_units.lower() in _METRES
    ):
        raise SceneError(
            f"{name}: the coordinates along {axis} are in {unit}, and the CRS counts metres.",
            remedy="Multiply them: `array.assign_coords(x=array.x * 1000)` from kilometres; from radians, by the "
            "satellite's height.",
        )
    if plane.sizes[axis] < 2:
        return
    stored = plane.coords[axis].values
    centres = stored.astype(np.float64)
    even = np.linspace(centres[0], centres[-1], len(centres))
    # Degrees in float32 are rounded to a metre: even as far as their numbers can say.
    rounding = float(np.spacing(np.abs(stored).max())) if stored.dtype.kind == "f" else 0.0
    if not np.abs(centres - even).max() <= max(_UNEVEN_PX * abs(even[1] - even[0]), rounding):
        raise SceneError(
            f"{name}: the coordinates along {axis} are uneven, so its pixels are no grid.",
            remedy="Resample it onto a regular grid, or select pixels that lie side by side.",
        )


def _sources(array: Any) -> Iterator[tuple[ArraySource, tuple[BandHeader, ...]]]:
    """One source per time of a DataArray or Dataset, with dimensions (band, row, column), and its bands.

    The variables of a Dataset that have rows and columns are its bands. Raises SceneError where the
    dimensions are others.
    """
    variables: list[xarray.DataArray] = []
    if isinstance(array, xarray.Dataset):
        try:
            spatial = {array.rio.y_dim, array.rio.x_dim}
        except MissingSpatialDimensionError:
            raise _no_place("Dataset", array.sizes) from None
        placed = {name: plane for name, plane in array.data_vars.items() if spatial <= set(plane.dims)}
        if not placed:
            raise _no_place("Dataset", array.sizes)
        for name in sorted(set(map(str, array.data_vars)) - set(map(str, placed))):
            if is_meant(name) and array[name].ndim > 1:
                raise SceneError(
                    f"{name} has {_sizes(array[name].sizes)}, and is not on the rows and columns of the others.",
                    remedy=f"Bring it there, `dataset[{name!r}].interp(...)`, or leave it out: "
                    f"`dataset.drop_vars({name!r})`.",
                )
        planes = {name: _lazy(plane) for name, plane in placed.items()}
        variables = list(planes.values())
        dims = {dim for plane in planes.values() for dim in plane.dims}
        coords = {name: each for name, each in array.coords.items() if dims.issuperset(each.dims)}
        merged = xarray.Dataset(planes, coords).to_dataarray("band")
        array = merged.rio.write_crs(array.rio.crs) if array.rio.crs is not None else merged
    name = str(array.name or "array")
    try:
        place = (array.rio.y_dim, array.rio.x_dim)
    except MissingSpatialDimensionError:
        raise _no_place(name, array.sizes) from None
    array = _lazy(array)
    if not all(array.shape):
        raise SceneError(
            f"{name} has no pixels: {_sizes(array.sizes)}.", remedy="Check what it was selected by."
        )
    others = [dim for dim in array.dims if dim not in place]
    bands = [dim for dim in others if str(dim).lower() in BAND_DIMENSIONS]
    dated = {dim: days_of(array[dim], name) for dim in others if dim not in bands}
    array = array.assign_coords({dim: days for dim, days in dated.items() if days is not None})
    times = [dim for dim in others if np.issubdtype(array[dim].dtype, np.datetime64)]
    if len(bands) > 1 or set(others) - set(bands) - set(times) or len(times) > 1:
        raise _no_place(name, array.sizes)
    if not bands:
        array, bands = array.expand_dims("band"), ["band"]
    for one in (array.isel({times[0]: i}) for i in range(array.sizes[times[0]])) if times else (array,):
        ordered = one.transpose(bands[0], *place)
        # What a Dataset's variables declare is lost where they become one array.
        each = variables or [ordered] * ordered.shape[0]
        yield (
            ArraySource(token=tokenize(ordered), name=name, array=ordered),
            tuple(
                _band(variable, number, band)
                for number, (variable, band) in enumerate(zip(each, band_names(ordered), strict=True), 1)
            ),
        )


def is_meant(name: str) -> bool:
    """Whether a variable of this name is a band or a mask, which must not be left out without a word."""
    meaning = parse(name)
    return meaning.has_band or meaning.ancillary in MASK_WORDS


def days_of(coordinate: xarray.DataArray, name: str) -> xarray.DataArray | None:
    """A coordinate of dates, their texts, or numbers such as 20210615, as one of dates; of NaT where it is only called
    time, such as one of months or of another calendar; None for any other.

    Raises SceneError where some dates are missing.
    """
    stated = coordinate.values
    try:
        if (
            stated.dtype.kind in "iu"
            and stated.size
            and _FIRST_DAY <= stated.min() <= stated.max() <= _LAST_DAY
        ):
            days = pd.to_datetime(stated.astype(str), format="%Y%m%d").to_numpy()
        elif stated.dtype.kind in "MOU":
            days = stated.astype("datetime64[ns]")
        else:
            return _undated(coordinate)
    except (ValueError, TypeError):
        return _undated(coordinate)
    if np.isnat(days).any():
        raise SceneError(
            f"{name}: a position along {coordinate.name} has no date.", remedy="Drop it, or date it."
        )
    return coordinate.copy(data=days)


def _undated(coordinate: xarray.DataArray) -> xarray.DataArray | None:
    if str(coordinate.name).lower() not in _TIMES:
        return None
    return coordinate.copy(data=np.full(coordinate.shape, "NaT", "datetime64[ns]"))


def _lazy(array: xarray.DataArray) -> xarray.DataArray:
    """An array that is still in its file in chunks, of which only those that are looked at are ever loaded."""
    if array.chunks is not None or array.variable._in_memory:
        return array
    source = array.encoding.get("source")
    # The same in every process, so that a run can be resumed; dask would give it a new name each time. What xarray
    # will read, which selection of the file and how decoded, is told by its description, but for addresses in memory.
    token = None
    if isinstance(source, str):
        view = re.sub(r"0x[0-9a-fA-F]+", "", repr(array.variable._data))
        stored = {key: repr(value) for key, value in array.encoding.items()}
        token = tokenize(
            source, state_of(Path(source)), array.name, array.shape, array.coords.to_dataset(), view, stored
        )
    return array.chunk({array.rio.y_dim: _CHUNK_PX, array.rio.x_dim: _CHUNK_PX}, token=token)


def _no_place(name: str, sizes: Any) -> SceneError:
    return SceneError(
        f"{name} has the dimensions {_sizes(sizes)}.",
        remedy="Give an array of band, y and x, and at most time (dates); rename or select the others.",
    )


def _sizes(sizes: Any) -> str:
    return ", ".join(f"{dim} ({size})" for dim, size in sizes.items()) or "no length"
