"""Time and memory of ``geopanoptic compare`` on a generated coverage of many parcels.

``python tests/benchmarks/comparing.py [--side 450]``: a coverage of side x side parcels of 16 vertices that share
their edges, against itself shifted by 4 m in both directions, with a tenth of neighbouring pairs merged and a
twentieth of the parcels cut in two. Prints processor seconds and the peak of resident memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.change.compare import compare
from geopanoptic.products.report import peak_memory_bytes

PER_SIDE = 4
"""Vertices along one side of a parcel."""

VERTEX_M = 25.0
SHIFT_M = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=450)
    side = parser.parse_args().side
    rng = np.random.default_rng(1)
    lattice = coverage(side, rng)
    earlier = as_table(lattice)
    later = as_table(changed(shapely.transform(lattice, lambda xy: xy + SHIFT_M).reshape(side, side), rng))
    before = peak_memory_bytes() or 0
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        found = compare(earlier, later, Path(folder) / "changes.gpkg")
        seconds = time.process_time() - started
    added = (peak_memory_bytes() or 0) - before
    print(
        f"{len(earlier):,} against {len(later):,} parcels: {seconds:.0f} processor seconds, {added / 2**20:,.0f} MB"
        f" above the {before / 2**20:,.0f} MB that the maps take; {found!r}"
    )


def coverage(side: int, rng: np.random.Generator) -> NDArray[np.object_]:
    """(side * side,) polygons whose vertices lie on a jittered lattice, shared between neighbours."""
    points = side * PER_SIDE + 1
    xy = np.stack(np.meshgrid(np.arange(points), np.arange(points)), axis=-1) * VERTEX_M
    xy += rng.uniform(-0.2, 0.2, xy.shape) * VERTEX_M + (500_000, 5_000_000)
    along = range(PER_SIDE)
    outline = [
        *((0, step) for step in along),
        *((step, PER_SIDE) for step in along),
        *((PER_SIDE, PER_SIDE - step) for step in along),
        *((PER_SIDE - step, 0) for step in along),
    ]
    row, col = (each.ravel() * PER_SIDE for each in np.mgrid[0:side, 0:side])
    return np.asarray(shapely.polygons(np.stack([xy[row + r, col + c] for r, c in outline], axis=1)))


def changed(parcels: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.object_]:
    """Some of the parcels (rows, cols) merged with their neighbour in the row, some others cut in two."""
    pairs = parcels[:, : parcels.shape[1] // 2 * 2].reshape(-1, 2)
    joined = rng.random(len(pairs)) < 0.1
    rest = np.concatenate([pairs[~joined].ravel(), parcels[:, parcels.shape[1] // 2 * 2 :].ravel()])
    merged = shapely.union(pairs[joined, 0], pairs[joined, 1])
    cut = rng.random(len(rest)) < 0.05
    xmin, ymin, xmax, ymax = shapely.bounds(rest[cut]).T
    west = shapely.box(xmin, ymin, (xmin + xmax) / 2, ymax)
    halves = [shapely.intersection(rest[cut], west), shapely.difference(rest[cut], west)]
    return np.concatenate([rest[~cut], merged, *halves])


def as_table(parcels: NDArray[np.object_]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(geometry=parcels, crs="EPSG:32632")


if __name__ == "__main__":
    main()
