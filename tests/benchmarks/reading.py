"""How often GDAL decodes each block of a file, and how fast scenes are read, in the order that a run reads.

``python tests/benchmarks/reading.py [--size 10980x2240] [--cache-mb 64 200] [--only strip]`` writes GeoTIFFs
of several layouts and reads every tile with its halo, block by block, once per cache size and once with the
cache that ``cache_bytes`` asks for. Each reading is a process of its own, because GDAL's cache belongs to
the process. *decodes* is the number of bytes read from the file over the bytes it holds: a compressed block
is read whole each time that it is decoded. 1.00 would be every block once per scene; *least* is once per
block of tiles, halo included, which no cache below the scene's width can beat.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geopanoptic.grid import Window
from geopanoptic.pipeline.planning.layout import Layout
from geopanoptic.scene import cache_bytes, configure_gdal, open_scene

LAYOUT = Layout(tile_px=560, halo_px=192, stride_px=32, block_px=1120, batch=2)
"""That of the bundled model within 4 GB."""

BANDS = ("blue", "green", "red", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
STORED = {
    "tiles 256": {"tiled": True, "blockxsize": 256, "blockysize": 256},
    "tiles 512": {"tiled": True, "blockxsize": 512, "blockysize": 512},
    "strips": {"blockysize": 16},
    "one strip": {"blockysize": 1 << 20},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measured reading of a whole scene."""

    cache_bytes: int
    read_s: float
    decodes: float
    least: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="10980x2240", help="columns x rows")
    parser.add_argument("--cache-mb", type=int, nargs="*", default=[64, 200])
    parser.add_argument("--only", default="", help="part of a case's name")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    cases = [
        *itertools.product(STORED, ("deflate",), (4, 10), ("pixel", "band")),
        *itertools.product(("tiles 512",), ("lzw", "zstd"), (4,), ("pixel",)),
    ]
    print(f"{'case':<34} {'cache':>9} {'Mpx/CPU-s':>7} {'decodes':>8} {'least':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for stored, compress, count, interleave in cases:
            name = f"{stored}, {compress}, {count} bands, {interleave}"
            if options.only not in name:
                continue
            path = Path(folder) / "scene.tif"
            write(path, width, height, count, compress=compress, interleave=interleave, **STORED[stored])
            for cache in (*(size << 20 for size in options.cache_mb), None):
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    found = pool.apply(read_all, (path, cache))
                print(
                    f"{name:<34} {found.cache_bytes >> 20:>6} MB {width * height / found.read_s / 1e6:7.2f} "
                    f"{found.decodes:8.2f} {found.least:6.2f}{'  configured' if cache is None else ''}",
                    flush=True,
                )


def write(path: Path, width: int, height: int, count: int, **profile: object) -> None:
    """A smooth landscape with noise of five bits, which compresses about as reflectances do."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 32, (1024, width), np.uint16)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=count, dtype="uint16", predictor=2,
        crs="EPSG:32632", transform=Affine(10, 0, 600_000, 0, -10, 5_700_000), BIGTIFF="IF_SAFER",
        num_threads=2, zlevel=1, **profile,
    ) as dataset:  # fmt: skip
        dataset.descriptions = BANDS[:count]
        values = np.empty((count, height, width), np.uint16)
        for band, plane in enumerate(values):
            slope = np.arange(width, dtype=np.uint16) // (band + 3)
            plane[...] = 500 + slope + np.resize(np.roll(noise, 97 * band, axis=1), (height, width))
        dataset.write(values)


def read_all(path: Path, cache: int | None) -> Reading:
    """Every tile of every block, in a run's order; ``cache`` None: as the pipeline sets it."""
    scene = open_scene(path)
    span_px = LAYOUT.block_px + 2 * LAYOUT.halo_px
    in_force = configure_gdal(cache if cache is not None else cache_bytes(scene, span_px))
    started, before = time.process_time(), bytes_read()
    for block in scene.grid.blocks(LAYOUT.block_px):
        for core in LAYOUT.cores(block):
            scene.read(core.grown(LAYOUT.halo_px))
    read_s, fetched = time.process_time() - started, bytes_read() - before
    least = sum(touched_px(path, scene.grid.window, block) for block in scene.grid.blocks(LAYOUT.block_px))
    return Reading(
        cache_bytes=in_force,
        read_s=read_s,
        decodes=fetched / path.stat().st_size,
        least=least / scene.grid.window.size_px,
    )


def touched_px(path: Path, whole: Window, block: Window) -> int:
    """Pixels of the file's blocks under a block of tiles with its halo."""
    needed = block.grown(LAYOUT.halo_px).intersection(whole)
    with rasterio.open(path) as dataset:
        height, width = dataset.block_shapes[0]
    if needed is None:
        return 0
    aligned = Window(
        needed.row0 // height * height,
        needed.col0 // width * width,
        -(-needed.row1 // height) * height,
        -(-needed.col1 // width) * width,
    ).intersection(whole)
    return aligned.size_px if aligned is not None else 0


def bytes_read() -> int:
    """Bytes that this process has asked the system for, cached by it or not (Linux)."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


if __name__ == "__main__":
    main()
