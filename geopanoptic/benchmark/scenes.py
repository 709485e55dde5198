"""Generated scenes of any size, written window by window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from geopanoptic.errors import OutputError
from geopanoptic.grid import Grid

BANDS = ("blue", "green", "red", "nir")
TILE_PX = 1024

_ROWS_PX = 512


def write_mosaic(path: Path, size_px: int, *, seed: int = 0) -> None:
    """A tiled GeoTIFF of ``size_px`` squared, four bands of 10 m: one generated country, mirrored at its edges.

    Mirror images meet without an edge, so the network sees borders only where fields have them. The country
    has ``TILE_PX`` squared pixels at most; the same arguments give the same pixels. Raises OutputError where
    the file cannot be written.
    """
    from geopanoptic.training.synthetic import synthesize

    side_px = min(TILE_PX, size_px)
    scene = synthesize((side_px, side_px), bands=BANDS, character="mosaic", month=6, seed=seed)
    grid = Grid(crs_wkt=scene.grid.crs_wkt, transform=scene.grid.transform, height=size_px, width=size_px)
    columns = _mirrored(np.arange(size_px), side_px)
    try:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype=scene.image.dtype,
            count=len(BANDS),
            height=size_px,
            width=size_px,
            crs=grid.crs_wkt,
            transform=grid.transform,
            nodata=0,
            tiled=True,
            blockxsize=512,
            blockysize=512,
            compress="deflate",
            predictor=2,
            bigtiff="if_safer",
        ) as file:
            file.descriptions = BANDS
            for row in range(0, size_px, _ROWS_PX):
                rows = _mirrored(np.arange(row, min(row + _ROWS_PX, size_px)), side_px)
                window = rasterio.windows.Window(0, row, size_px, len(rows))
                file.write(scene.image[:, rows[:, None], columns], window=window)
    except (OSError, rasterio.errors.RasterioError) as failure:
        raise OutputError(
            f"The scene {path} cannot be written: {failure}.", remedy="Name another folder with --work."
        ) from failure


def _mirrored(positions: NDArray[np.int64], side_px: int) -> NDArray[np.int64]:
    """Positions on an endless line as positions in a tile that is repeated there and back."""
    within = positions % (2 * side_px)
    return np.minimum(within, 2 * side_px - 1 - within)
