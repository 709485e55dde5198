"""Peak memory and rate of a run over a season, by its number of dates.

``python tests/benchmarks/series_memory.py [--dates 3 6 30 60] [--size 768] [--tile 384] [--model BUNDLE]``: writes as
many dated GeoTIFFs of four bands, runs ``geopanoptic run`` on them in a process of its own, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from geopanoptic.benchmark.processes import Finished, run_measured

BANDS = ("blue", "green", "red", "nir")
FIRST, STEP = date(2021, 1, 3), timedelta(days=5)
DISTINCT_IMAGES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    dates: int
    finished: Finished
    report: dict[str, Any]

    def processor_s_per_date_after(self, fewer: Measured) -> float:
        """What every further date costs: start and decoding are the same. Other load hardly changes it."""
        return (self.finished.processor_s - fewer.finished.processor_s) / (self.dates - fewer.dates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dates", type=int, nargs="+", default=(3, 6, 30, 60))
    parser.add_argument("--size", type=int, default=768, help="pixels along a side of the scene")
    parser.add_argument("--tile", type=int, default=384)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--model", default="fields-series")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = write_images(folder / "images", options.size)
        run_options = [
            *("--model", options.model, "--tile", str(options.tile)),
            *("--threads", str(options.threads), "--runtime", options.runtime),
        ]
        measured = [measure(folder / f"{n}-dates", images, n, run_options) for n in options.dates]
    print(
        f"{'dates':>6} {'peak MB':>9} {'planned MB':>11} {'s':>8} {'processor s':>12} {'per added date':>15}"
    )
    for before, each in zip([None, *measured], measured, strict=False):
        added = "" if before is None else f"{each.processor_s_per_date_after(before):.3f}"
        print(
            f"{each.dates:>6} {each.finished.peak_bytes / 2**20:>9.0f} "
            f"{each.report['plan']['memory_bytes'] / 2**20:>11.0f} {each.finished.seconds:>8.1f} "
            f"{each.finished.processor_s:>12.1f} {added:>15}"
        )
    print(f"peak x {measured[-1].finished.peak_bytes / measured[0].finished.peak_bytes:.3f}")


def write_images(folder: Path, size_px: int) -> list[Path]:
    """A few images of fields that differ, tiled as products are."""
    folder.mkdir()
    rows, cols = np.indices((size_px, size_px)) // 24
    paths = []
    for number in range(DISTINCT_IMAGES):
        rng = np.random.default_rng(number)
        tones = rng.integers(300, 3500, (len(BANDS), rows.max() + 1, cols.max() + 1))
        image = tones[:, rows, cols] + rng.integers(0, 80, (len(BANDS), size_px, size_px))
        path = folder / f"{number}.tif"
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype="uint16",
            count=len(BANDS),
            height=size_px,
            width=size_px,
            crs="EPSG:32632",
            transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
            nodata=0,
            tiled=True,
            compress="deflate",
        ) as file:
            file.write(image.astype(np.uint16))
            file.descriptions = BANDS
        paths.append(path)
    return paths


def measure(folder: Path, images: Sequence[Path], n_dates: int, run_options: Sequence[str]) -> Measured:
    """One run over ``n_dates`` files, which share their contents on disk but not in any cache of GDAL's."""
    folder.mkdir()
    for number in range(n_dates):
        when = FIRST + number * STEP
        (folder / f"scene_{when:%Y%m%d}.tif").hardlink_to(images[number % len(images)])
    out = folder.with_suffix(".gpkg")
    command = [sys.executable, "-m", "geopanoptic", "run", str(folder), "--out", str(out), *run_options]
    finished = run_measured(command)
    return Measured(
        dates=n_dates, finished=finished, report=json.loads(out.with_suffix(".run.json").read_text())
    )


if __name__ == "__main__":
    main()
