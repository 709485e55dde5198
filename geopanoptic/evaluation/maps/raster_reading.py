"""Windows of label rasters on any grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
import rasterio.warp
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as RasterioWindow

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.scene.files.formats import driver_of

_ALIGNED_PX = 0.01
_EXACT = 2**52
"""GDAL resamples in float64 and rounds by adding a half, which float64 holds below this number."""


@contextmanager
def opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    """A label raster. Raises ``UsageError`` where it cannot be read."""
    try:
        # Other drivers would follow a file to what it names, on this machine or the network.
        driver = "HFA" if path.suffix.lower() == ".img" else driver_of(path)
        with rasterio.open(path, driver=driver) as file:
            yield file
    except (rasterio.errors.RasterioError, SceneError) as failure:
        raise UsageError(
            f"{path} cannot be read as a raster: {str(getattr(failure, 'message', failure)).rstrip('.')}.",
            remedy="Give a GeoTIFF of labels that is whole.",
        ) from None


def reader(path: Path, own: Grid, grid: Grid, *, largest: int = 0) -> Callable[[Window], NDArray[np.int64]]:
    """Reads windows of ``grid``; nearest pixels where that is another grid than the file's ``own``, 0 outside.

    Raises ``UsageError`` where that would not keep values up to ``largest`` apart.
    """
    shift = ~own.transform @ grid.transform
    near = np.round([shift.c, shift.f])
    aligned = own.crs == grid.crs and np.allclose(
        [shift.a, shift.b, shift.d, shift.e], [1, 0, 0, 1], atol=_ALIGNED_PX / max(grid.shape)
    )
    if aligned and np.allclose([shift.c, shift.f], near, atol=_ALIGNED_PX):
        col, row = (int(each) for each in near)

        def read(window: Window) -> NDArray[np.int64]:
            asked = Window(window.row0 + row, window.col0 + col, window.row1 + row, window.col1 + col)
            values = np.zeros(window.shape, np.int64)
            part = asked.intersection(own.window)
            if part is not None:
                with opened(path) as file:
                    values[part.slices(asked)] = file.read(1, window=_rasterio_window(part))
            return values

        return read

    if largest >= _EXACT:
        raise UsageError(
            f"{path} has values up to {largest}, and on another grid only those below {_EXACT} stay apart.",
            remedy="Number its parcels from 1, or give them as polygons.",
        )

    def warp(window: Window) -> NDArray[np.int64]:
        with opened(path) as file:
            values = np.full(window.shape, file.nodata or 0, file.dtypes[0])
            rasterio.warp.reproject(
                rasterio.band(file, 1),
                values,
                dst_transform=grid.crop(window).transform,
                dst_crs=grid.crs_wkt,
                resampling=Resampling.nearest,
                init_dest_nodata=False,
                # Without the tolerance of an eighth of a pixel that would let labels depend on the window.
                tolerance=0,
            )
            return values.astype(np.int64)

    return warp


def _rasterio_window(window: Window) -> RasterioWindow:
    return RasterioWindow(window.col0, window.row0, window.width, window.height)


def row_blocks(grid: Grid, block_px: int) -> Iterator[Window]:
    """Windows of whole rows, each of about ``block_px`` pixels, that cover the grid once."""
    rows = max(1, block_px // max(grid.width, 1))
    for row in range(0, grid.height, rows):
        yield Window(row, 0, min(row + rows, grid.height), grid.width)
