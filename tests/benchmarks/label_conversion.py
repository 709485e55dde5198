"""Time and memory of converting the labels of a country.

``python tests/benchmarks/label_conversion.py --parcels 1000000``: a generated coverage of parcels of about a hundred
pixels each, every conversion in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely

SIDE_PX = 10
PIXEL_M = 10.0
LEFT, TOP = 300_000.0, 5_900_000.0
CRS = "EPSG:32632"
CLASSES = np.array(["corn", "meadow", "wheat"])

IMAGE = ("--image", "scene.tif", "--tile", "1024")
JOURNEYS = (
    ("register.gpkg", "fields.parquet", ("--to", "geoparquet")),
    ("fields.parquet", "back-from-parquet.gpkg", ("--to", "gpkg")),
    ("register.gpkg", "fields.geojson", ("--to", "geojson")),
    ("register.gpkg", "tiles.json", ("--to", "coco-instances", *IMAGE)),
    ("tiles.json", "back-from-coco.gpkg", ("--to", "gpkg")),
    ("register.gpkg", "panoptic", ("--to", "coco-panoptic", *IMAGE)),
    ("panoptic", "back-from-panoptic.tif", ("--to", "raster")),
    ("register.gpkg", "ids.tif", ("--to", "raster", "--image", "scene.tif")),
    ("ids.tif", "back-from-raster.gpkg", ("--to", "gpkg")),
)


def write_register(folder: Path, parcels: int, seed: int = 0) -> None:
    """``register.gpkg``: four-cornered parcels that share their corners; ``scene.tif``: the image they lie on."""
    across = math.ceil(math.sqrt(parcels))
    along = math.ceil(parcels / across)
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(np.arange(across + 1), np.arange(along + 1)), axis=-1).astype(np.float64)
    corners[1:-1, 1:-1] += rng.uniform(-0.3, 0.3, (along - 1, across - 1, 2))
    corners = corners * SIDE_PX * PIXEL_M * [1, -1] + [LEFT, TOP]
    rings = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], axis=2)
    outlines = shapely.polygons(rings.reshape(-1, 4, 2)[:parcels])
    number = np.arange(1, parcels + 1)
    frame = geopandas.GeoDataFrame(
        {"object_id": number, "class_name": CLASSES[number % 3]}, geometry=outlines, crs=CRS
    )
    pyogrio.write_dataframe(frame, folder / "register.gpkg", layer="objects", driver="GPKG")
    with rasterio.open(
        folder / "scene.tif",
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        width=across * SIDE_PX,
        height=along * SIDE_PX,
        crs=CRS,
        transform=rasterio.Affine(PIXEL_M, 0, LEFT, 0, -PIXEL_M, TOP),
        sparse_ok=True,
        tiled=True,
    ):
        pass


def converted(folder: Path, source: str, target: str, options: tuple[str, ...]) -> tuple[float, float, float]:
    """Seconds, seconds of a core and peak memory in MiB of one conversion."""
    program = "from geopanoptic.cli.main import main; main()"
    command = [sys.executable, "-c", program, "labels", "convert", source, target, "--quiet", *options]
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{source} to {target}: exit code {child.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def bytes_of(path: Path) -> int:
    """What a file or the files of a folder take."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=100_000)
    parser.add_argument("--only", help="journeys to files whose names hold this")
    parser.add_argument("--folder", type=Path, help="where to work, kept afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(exist_ok=True)
        if not (folder / "register.gpkg").exists():
            write_register(folder, options.parcels)
        for source, target, how in JOURNEYS:
            if options.only and options.only not in target:
                continue
            seconds, core_s, peak_mib = converted(folder, source, target, (*how, "--overwrite"))
            size_mib = bytes_of(folder / target) / 2**20
            print(
                f"{options.parcels:>9,} parcels  {source:>15} -> {target:<22}"
                f"{seconds:8.1f} s, {core_s:8.1f} s of a core, {peak_mib:8,.0f} MiB peak, {size_mib:8,.1f} MiB file",
                flush=True,
            )


if __name__ == "__main__":
    main()
