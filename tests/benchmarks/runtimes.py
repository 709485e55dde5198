"""The network alone, on one thread: as trained, compacted, and in every runtime that is installed.

``python tests/benchmarks/runtimes.py [--model fields-s] [--tile 512 1024] [--repeats 5]``: a tile with the halo
of a run; a scene of four bands. Processor seconds, not wall-clock, so that other work on the machine
matters less; medians of interleaved repeats. ``core`` counts the pixels that a run keeps, ``tile`` all pixels.
A run loads its network with the scene's bands and its halo as margin.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.networks.compact import fold_normalisation
from geopanoptic.models.runtimes import load_runtime
from geopanoptic.models.runtimes.loading import installed_runtimes

BANDS = ("blue", "green", "red", "nir")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=None)
    parser.add_argument("--tile", type=int, nargs="+", default=[512, 1024], help="core, without halo")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(asked.model)
    halo_px = -(-bundle.reach_px // bundle.stride_px) * bundle.stride_px
    ways = all_ways(bundle, halo_px)
    for core_px in asked.tile:
        tile_px = core_px + 2 * halo_px
        input_bchw = four_bands(bundle, tile_px)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(asked.repeats + 1):
            for name, run in ways.items():
                started = time.process_time()
                run(input_bchw)
                if repeat:  # the first call chooses kernels and allocates
                    seconds[name].append(time.process_time() - started)
        print(f"{bundle.name}: core {core_px} px, halo {halo_px} px")
        for name, spent in seconds.items():
            median_s = statistics.median(spent)
            print(
                f"  {name:<34}{median_s:7.2f} s  core {core_px**2 / median_s / 1e6:6.3f} Mpx/s"
                f"  tile {tile_px**2 / median_s / 1e6:6.3f} Mpx/s"
            )


def all_ways(bundle: Bundle, halo_px: int) -> dict[str, Callable[[np.ndarray], Any]]:
    ways: dict[str, Callable[[np.ndarray], Any]] = {"torch, batch norm folded": as_trained(bundle)}
    for name in installed_runtimes():
        ways[f"{name}, compact"] = load_runtime(bundle, "cpu", 1, name)
        ways[f"{name}, with bands and margin"] = load_runtime(
            bundle, "cpu", 1, name, bands=BANDS, margin_px=halo_px
        )
    return ways


def as_trained(bundle: Bundle) -> Callable[[np.ndarray], list[np.ndarray]]:
    network = fold_normalisation(bundle.network()).to(memory_format=torch.channels_last)

    def run(input_bchw: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            tiles = torch.from_numpy(input_bchw).contiguous(memory_format=torch.channels_last)
            return [
                (logits.softmax(1) if name == "semantic" else logits.sigmoid()).numpy()
                for name, logits in network(tiles).items()
            ]

    return run


def four_bands(bundle: Bundle, size_px: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    n_bands = len(bundle.bands)
    input_bchw = np.zeros((1, 2 * n_bands, size_px, size_px), np.float32)
    present = [bundle.bands.index(band) for band in BANDS]
    input_bchw[:, present] = rng.random((1, len(present), size_px, size_px), np.float32)
    input_bchw[:, [n_bands + number for number in present]] = 1
    return input_bchw


if __name__ == "__main__":
    main()
