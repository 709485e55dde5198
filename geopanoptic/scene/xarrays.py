"""A scene as a lazy, dask-backed xarray DataArray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.scene.pixels.reading import UNIT_ATTRIBUTE
from geopanoptic.scene.scene import Scene
from geopanoptic.scene.units import stated_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pixels:
    """The scene as an array that is read where it is indexed; dask slices it by chunks."""

    scene: Scene

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.scene.bands), *self.scene.grid.shape

    @property
    def dtype(self) -> np.dtype[np.float32]:
        return np.dtype(np.float32)

    @property
    def ndim(self) -> int:
        return 3

    def __getitem__(self, index: tuple[slice | int, ...]) -> NDArray[np.float32]:
        # Dask may fuse a later selection (integers, steps) into the reading of a chunk.
        box, rest = [], []
        for part, size in zip(index, self.shape, strict=True):
            indexes = np.atleast_1d(np.arange(size)[part])
            start, stop = (int(indexes.min()), int(indexes.max()) + 1) if indexes.size else (0, 0)
            box.append((start, stop))
            rest.append(indexes - start if isinstance(part, slice) else int(indexes[0]) - start)
        bands, rows, cols = box
        # Validity is the scene's, over all bands, however the array is cut.
        values, valid = self.scene.read(Window(rows[0], cols[0], rows[1], cols[1]))
        values[:, ~valid] = np.nan
        picked = values[bands[0] : bands[1]]
        for axis in (2, 1, 0):
            picked = np.take(picked, rest[axis], axis=axis)
        return picked


def to_xarray(scene: Scene, *, chunk_px: int = 1024) -> xarray.DataArray:
    """float32 DataArray (band, y, x), NaN where invalid, one dask chunk per ``chunk_px`` squared; (time, band,
    y, x) and as many chunks per date of a scene of several.

    Coordinates x and y are pixel centres; a rotated grid has only its transform (``.rio.transform()``). What stands for a
    reflectance of 1 is an attribute (``UNIT_ATTRIBUTE``), where the files tell.
    """
    unit = stated_unit(scene.layers)
    return _values(scene, chunk_px).assign_attrs({} if unit is None else {UNIT_ATTRIBUTE: unit})


def _values(scene: Scene, chunk_px: int) -> xarray.DataArray:
    import dask.array
    import rioxarray  # noqa: F401  (registers .rio)

    if len(scene.dates) > 1:
        # A date may lack a band that others have: NaN throughout.
        every = list(scene.bands)
        singles = [_values(single, chunk_px) for single in scene.single_dates()]
        dates = [each if list(each.band.values) == every else each.reindex(band=every) for each in singles]
        return xarray.concat(dates, "time", coords="minimal", compat="override", join="exact")
    pixels = _Pixels(scene=scene)
    lazy = dask.array.from_array(
        pixels,
        chunks=(len(scene.bands), chunk_px, chunk_px),
        name=f"scene-{scene.fingerprint()[:16]}-{chunk_px}",
        meta=np.empty((0, 0, 0), np.float32),
    )
    transform = scene.grid.transform
    coords: dict[str, object] = {"band": list(scene.bands)}
    if transform.b == 0 == transform.d:
        coords["x"] = transform.c + transform.a * (np.arange(scene.grid.width) + 0.5)
        coords["y"] = transform.f + transform.e * (np.arange(scene.grid.height) + 0.5)
    array = xarray.DataArray(lazy, dims=("band", "y", "x"), coords=coords, name=scene.name)
    if scene.dates[0] is not None:
        array = array.assign_coords(time=np.datetime64(scene.dates[0], "ns"))
    array = array.rio.write_crs(scene.grid.crs_wkt).rio.write_nodata(np.nan)
    return array.rio.write_transform(transform)
