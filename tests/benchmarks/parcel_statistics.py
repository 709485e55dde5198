"""Time and memory of ``geopanoptic stats`` by the number of dates.

``python tests/benchmarks/parcel_statistics.py --dates 60``: 2,500 parcels on a generated scene of 1500 x 1500
pixels with four bands, and two indices. Prints processor seconds per date and the peak of resident memory; run it
with several numbers of dates to see that memory does not grow with them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine

from geopanoptic.products.report import peak_memory_bytes
from geopanoptic.statistics.stats import stats

SIDE_PX = 1500
PIXEL_M = 10
PARCELS_PER_SIDE = 50
WEST, NORTH = 600_000, 5_700_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dates", type=int, default=6)
    n_dates = parser.parse_args().dates
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scene").mkdir()
        write_scene(folder / "scene", n_dates)
        started = time.process_time()
        found = stats(parcels(), folder / "scene", folder / "table.parquet", indices="ndvi,evi")
        seconds = time.process_time() - started
    print(
        f"{n_dates} dates: {seconds / n_dates:.2f} processor seconds per date, "
        f"{(peak_memory_bytes() or 0) / 2**20:,.0f} MB at most; {found!r}"
    )


def parcels() -> geopandas.GeoDataFrame:
    """Rectangles off the pixel borders."""
    step_m = SIDE_PX * PIXEL_M / PARCELS_PER_SIDE
    col, row = np.meshgrid(np.arange(PARCELS_PER_SIDE), np.arange(PARCELS_PER_SIDE))
    x, y = WEST + col.ravel() * step_m, NORTH - row.ravel() * step_m
    boxes = shapely.box(x + 13, y - step_m + 13, x + step_m - 11, y - 11)
    return geopandas.GeoDataFrame(geometry=boxes, crs="EPSG:32632")


def write_scene(folder: Path, n_dates: int) -> None:
    values = np.random.default_rng(0).integers(100, 5000, (SIDE_PX, SIDE_PX)).astype(np.int16)
    transform = Affine(PIXEL_M, 0, WEST, 0, -PIXEL_M, NORTH)
    for number in range(n_dates):
        when = date(2021, 1, 1) + timedelta(days=6 * number)
        for band in ("blue", "green", "red", "nir"):
            with rasterio.open(
                folder / f"s2_{when:%Y%m%d}_{band}.tif", "w", driver="GTiff", height=SIDE_PX, width=SIDE_PX,
                count=1, dtype="int16", crs="EPSG:32632", transform=transform, tiled=True, blockxsize=256,
                blockysize=256,
            ) as file:  # fmt: skip
                file.write(values, 1)


if __name__ == "__main__":
    main()
