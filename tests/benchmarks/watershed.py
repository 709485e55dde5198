"""Rates of the centre and watershed stages, Mpx/s of one thread: ``python tests/benchmarks/watershed.py``.

One block inside a larger scene, so all four faces are terminals, on a smooth relief (Voronoi boundaries
over gaussian-filtered noise, seeds at its heat's centres) and on white noise (the worst case).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree

from geopanoptic.grid import Window
from geopanoptic.panoptic.watershed import centres, forest, stitching, watershed


def smooth_relief(size_px: int, parcel_px: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Blurred boundaries of a Voronoi diagram, the distance to them, and a little smooth noise, as uint16."""
    points = rng.uniform(0, size_px, ((size_px // parcel_px) ** 2, 2))
    axes = np.arange(size_px)
    pixels = np.stack(np.meshgrid(axes, axes, indexing="ij"), axis=-1).reshape(-1, 2)
    cell = cKDTree(points).query(pixels)[1].reshape(size_px, size_px)
    inside = np.ones((size_px, size_px), bool)
    inside[:, 1:] &= cell[:, 1:] == cell[:, :-1]
    inside[1:] &= cell[1:] == cell[:-1]
    distance = np.minimum(distance_transform_edt(inside) / (parcel_px / 2), 1)
    boundary = np.minimum(gaussian_filter((~inside).astype(np.float64), 1.5) * 3, 1)
    noise = gaussian_filter(rng.normal(size=inside.shape), 2) * 0.3
    relief = 0.3 * boundary + 0.7 * (1 - distance) + noise
    return (np.clip(relief, 0, 1) * 65535).astype(np.uint16)


def best_s(action: Callable[[], object], repeats: int) -> float:
    """Shortest of several runs, the first of which (compilation) does not count."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="side of the block in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size_px, rng = options.size, np.random.default_rng(2)
    scene_shape = (3 * size_px, 3 * size_px)
    window = Window(size_px, size_px, 2 * size_px, 2 * size_px)
    domain = np.ones((size_px, size_px), bool)

    reliefs = {"smooth": smooth_relief(size_px, 30, rng)}
    reliefs["noise"] = rng.integers(0, 65536, (size_px, size_px), dtype=np.uint16)
    for name, relief in reliefs.items():
        heat = 65535 - relief

        find = partial(centres.find_centres, heat, domain, window, window, scene_shape[1], 5, 30000)
        seeds = find()
        build = partial(forest.forest_block, relief, domain, seeds, window, scene_shape)
        block = build()
        stitch = partial(stitching.stitch, [block.summary])
        label = partial(watershed.label_block, block, stitch()[window])
        stages: dict[str, Callable[[], object]] = {"centres": find, "forest": build, "label": label}
        rates = {
            stage: size_px**2 / best_s(action, options.repeats) / 1e6 for stage, action in stages.items()
        }
        rates["forest+label"] = 1 / (1 / rates["forest"] + 1 / rates["label"])
        stitch_ms = best_s(stitch, options.repeats) * 1e3
        figures = ", ".join(f"{stage} {rate:.1f}" for stage, rate in rates.items())
        print(f"{name}: {len(seeds)} seeds; Mpx/s: {figures}; stitch {stitch_ms:.1f} ms a block")


if __name__ == "__main__":
    main()
