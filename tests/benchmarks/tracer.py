"""Label raster to shapely polygons against rasterio: ``python tests/benchmarks/tracer.py``.

A mosaic of irregular parcels with nodata gaps. Rounds are interleaved, so that other load hits all alike;
medians are reported. Both sides end with shapely polygons of the whole raster in map coordinates.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import zoom
from scipy.spatial import cKDTree
from shapely.geometry import shape

from geopanoptic.panoptic.coverage import Arcs, assemble, simplify, trace
from geopanoptic.panoptic.coverage.in_memory import pieces_of, trace_arcs

Result = TypeVar("Result")
TRANSFORM = Affine(5, 0, 500_000, 0, -5, 5_400_000)


def mosaic(size_px: int, parcels: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Voronoi cells with wavy, rough borders, int32 (size, size); one in twelve is nodata."""
    points = rng.uniform(0, size_px, (parcels, 2))
    tree = cKDTree(points)
    names = np.where(rng.random(parcels) < 1 / 12, 0, np.arange(1, parcels + 1)).astype(np.int32)
    coarse = rng.normal(0, 0.12 * size_px / np.sqrt(parcels), (2, size_px // 25 + 2, size_px // 25 + 2))
    labels = np.empty((size_px, size_px), np.int32)
    for row in range(0, size_px, 250):
        rows = np.arange(row, min(row + 250, size_px))
        strip = coarse[:, row // 25 : row // 25 + 12]
        wave = np.stack([zoom(axis, 25, order=1)[: len(rows), :size_px] for axis in strip], axis=-1)
        pixels = np.stack(np.meshgrid(rows, np.arange(size_px), indexing="ij"), axis=-1)
        rough = rng.normal(0, 0.3, (*pixels.shape[:2], 2))
        labels[rows] = names[tree.query(pixels + wave + rough)[1]]
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="side of the raster in pixels")
    parser.add_argument("--parcels", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    labels = mosaic(options.size, options.parcels, np.random.default_rng(7))
    pieces, _, _ = pieces_of(labels)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, action: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = action()
        seconds.setdefault(name, []).append(time.perf_counter() - start)
        return result

    def peer() -> list[object]:
        return [shape(geometry) for geometry, _ in shapes(pieces, mask=pieces > 0, transform=TRANSFORM)]

    def arcs_and_polygons() -> tuple[Arcs, NDArray[np.object_]]:
        arcs = trace_arcs(pieces)
        return arcs, assemble(arcs, TRANSFORM)[1]

    trace(labels[:100, :100], TRANSFORM, tolerance_px=(1, 1))  # compiles
    for _ in range(options.repeats):
        arcs, polygons = timed("coverage: trace_block, link, assemble", arcs_and_polygons)
        timed("coverage: trace, any labels (with cc3d)", lambda: trace(labels, TRANSFORM))
        timed("coverage: simplify by 1 px", lambda arcs=arcs: simplify(arcs, (1, 1)))
        others = timed("rasterio.features.shapes + shape", peer)
    print(
        f"{options.size} x {options.size} px, {len(polygons)} polygons, {len(arcs)} arcs,"
        f" {len(arcs.coordinates)} vertices; coverage_is_valid: {shapely.coverage_is_valid(polygons)};"
        f" rasterio: {len(others)} polygons, {shapely.coverage_is_valid(np.array(others, object))}"
    )
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    reference = medians["rasterio.features.shapes + shape"]
    print(f"{'':42}{'median s':>9}{'Mpx/s':>8}{'speed-up':>10}")
    for name, median in medians.items():
        print(f"{name:42}{median:9.2f}{options.size**2 / median / 1e6:8.0f}{reference / median:10.1f}")
    rate = len(arcs.coordinates) / medians["coverage: simplify by 1 px"] / 1e6
    print(f"simplify: {rate:.2f} M vertices/s")


if __name__ == "__main__":
    main()
