"""Writes a real set of products again and again, is killed at random moments, and counts the outcomes.

Run as a program with a folder; prints ``old new`` or fails. A process of its own, because it forks.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from affine import Affine
from small_maps import CLASSES, PLACES, small_map

from geopanoptic.grid import Grid
from geopanoptic.products.cog import class_raster, verify_cog, write_cog
from geopanoptic.products.commit import Commit
from geopanoptic.products.geopackage import verify_geopackage, write_geopackage
from geopanoptic.products.report import write_run_report

KILLS = 50


def main(folder: Path) -> None:
    (folder / "rasters").mkdir()
    write_set(folder, 0)
    started = time.monotonic()
    write_set(folder, 1)
    duration = time.monotonic() - started
    old = new = 0
    dice = random.Random(9)
    for turn in range(2, 2 + KILLS):
        before = turns(folder)
        child = os.fork()
        if not child:
            write_set(folder, turn)
            os._exit(0)
        time.sleep(dice.uniform(0, 1.15 * duration))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        recover(folder)
        after = turns(folder)
        if after not in (before, {turn}) or len(after) != 1:
            raise SystemExit(f"mixed: {before} -> {after}")
        if names(folder) != {"map.gpkg", "map.run.json", "rasters/class.tif"}:
            raise SystemExit(f"stray: {names(folder)}")
        old, new = old + (after == before), new + (after == {turn})
    print(old, new)


def write_set(folder: Path, turn: int) -> None:
    """One whole run; every file says its turn."""
    out, report, raster = folder / "map.gpkg", folder / "map.run.json", folder / "rasters" / "class.tif"
    mark = f"turn-{turn:04d}"
    drawn = small_map(parcels=400)
    wkt, x, y, pixel = PLACES["utm"]
    grid = Grid(crs_wkt=wkt, transform=Affine(pixel, 0, x, 0, -pixel, y), height=700, width=700)
    with Commit([out, report, raster], overwrite=True) as commit:
        write_geopackage(
            commit.staged(out),
            parcels=drawn.parcels,
            landcover=drawn.landcover,
            classes=CLASSES,
            metadata={"mark": mark},
            timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        )
        blocks = ((each, np.ones(each.shape, np.uint8)) for each in grid.blocks(256))
        write_cog(
            commit.staged(raster), blocks, grid=grid, product=class_raster(CLASSES), tags={"mark": mark}
        )
        write_run_report(commit.staged(report), {"mark": mark})
        commit.publish(
            {
                out: partial(verify_geopackage, parcels=400, landcover=4),
                raster: partial(verify_cog, grid=grid),
            }
        )


def recover(folder: Path) -> None:
    with Commit([folder / "map.gpkg"], overwrite=True):
        pass


def turns(folder: Path) -> set[int]:
    """The turns that the files of the set say they come from."""
    return {
        int(found)
        for name in ("map.gpkg", "map.run.json", "rasters/class.tif")
        for found in re.findall(rb"turn-(\d{4})", (folder / name).read_bytes())
    }


def names(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if not each.is_dir()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
