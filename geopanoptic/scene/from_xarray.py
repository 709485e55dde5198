"""Opens xarray DataArrays and Datasets: bands named by coordinate, place by rioxarray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (registers .rio)
import xarray
from affine import Affine
from dask.base import tokenize
from rioxarray.exceptions import MissingSpatialDimensionError

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.arrays import ArraySource
from geopanoptic.scene.headers import BandHeader, FileHeader, assumed_wkt, check_bands, check_transform

_NAMES = ("band", "long_name", "common_name", "name")
"""Coordinates and attributes that may name the bands, the first of them that does."""


def array_headers(array: Any, *, assume_crs: str | None = None) -> Iterator[FileHeader]:
    """One header per time of a DataArray or Dataset with dimensions (time,) band, row, column.

    Raises SceneError for other dimensions, complex numbers, and where CRS or coordinates are missing.
    """
    for source in _sources(array):
        plane = source.array
        bands = tuple(_band(plane, index, name) for index, name in enumerate(band_names(plane), 1))
        check_bands(source, bands)
        when = plane.coords.get("time")
        tags = {"datetime": str(when.values)[:10]} if when is not None and when.ndim == 0 else {}
        yield FileHeader(
            source=source,
            grid=grid_of(plane[0], source.name, assume_crs),
            bands=bands,
            tags=tuple(tags.items()),
            crs_assumed=plane.rio.crs is None,
            block_shape=(plane.shape[1], plane.shape[2]),
            block_bytes=0,
        )


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
    nodata = plane.rio.nodata
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
    )


def _number(value: Any, index: int) -> float:
    """One value for all bands, or one per band."""
    values = np.atleast_1d(value)
    return float(values[index - 1] if len(values) > 1 else values[0])


def grid_of(plane: xarray.DataArray, name: str, assume_crs: str | None) -> Grid:
    """The grid of an array of rows and columns. Raises SceneError without CRS or coordinates."""
    if plane.rio.crs is None and assume_crs is None:
        raise SceneError(
            f"{name} has no coordinate reference system.",
            remedy="Set it: `array.rio.write_crs('EPSG:<code>')`, or state it with --assume-crs (assume_crs).",
        )
    stored, by_coordinates = plane.rio.transform(), plane.rio.transform(recalc=True)
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


def _sources(array: Any) -> Iterator[ArraySource]:
    """One source per time of a DataArray or Dataset, with dimensions (band, row, column).

    The variables of a Dataset that have rows and columns are its bands. Raises SceneError where the
    dimensions are others.
    """
    if isinstance(array, xarray.Dataset):
        try:
            spatial = {array.rio.y_dim, array.rio.x_dim}
        except MissingSpatialDimensionError:
            raise _no_place("Dataset", array.sizes) from None
        planes = {name: plane for name, plane in array.data_vars.items() if spatial <= set(plane.dims)}
        merged = xarray.Dataset(planes, array.coords).to_dataarray("band")
        array = merged.rio.write_crs(array.rio.crs) if array.rio.crs is not None else merged
    name = str(array.name or "array")
    try:
        place = (array.rio.y_dim, array.rio.x_dim)
    except MissingSpatialDimensionError:
        raise _no_place(name, array.sizes) from None
    others = [dim for dim in array.dims if dim not in place]
    bands = [dim for dim in others if str(dim).lower() in ("band", "bands", "channel", "variable")]
    times = [dim for dim in others if np.issubdtype(array[dim].dtype, np.datetime64)]
    if len(bands) > 1 or set(others) - set(bands) - set(times) or len(times) > 1:
        raise _no_place(name, array.sizes)
    if not bands:
        array, bands = array.expand_dims("band"), ["band"]
    for one in (array.isel({times[0]: i}) for i in range(array.sizes[times[0]])) if times else (array,):
        ordered = one.transpose(bands[0], *place)
        yield ArraySource(token=tokenize(ordered), name=name, array=ordered)


def _no_place(name: str, sizes: Any) -> SceneError:
    return SceneError(
        f"{name} has the dimensions {', '.join(f'{dim} ({size})' for dim, size in sizes.items())}.",
        remedy="Give an array of band, y and x, and at most time; rename or select the others.",
    )
