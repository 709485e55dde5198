"""A network of series on one thread: rate per date and peak memory for more and more dates.

``python tests/benchmarks/series.py [--model fields-series] [--tile 512] [--dates 1 6 24 60] [--runtime ...]``: one
tile with the halo of a run, four bands, every date another image without clouds. Without ``--model`` an untrained
network of the default sizes, which costs the same. Processor seconds, so that other work on the machine matters
less. ``date`` counts the tile's core once for every date; ``once`` is what is left when the dates' slope is taken off,
mostly the decoder. Peak memory is the process's so far: flat where dates do not add up.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geopanoptic.models.bundle import Bundle, load_bundle, save_bundle
from geopanoptic.models.manifest import TemporalSettings, UNetSettings
from geopanoptic.models.networks.building import build_network
from geopanoptic.models.runtimes import Runtime, load_runtime
from geopanoptic.models.runtimes.loading import installed_runtimes

BANDS = ("blue", "green", "red", "nir")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model")
    parser.add_argument("--tile", type=int, default=512, help="core, without halo")
    parser.add_argument("--dates", type=int, nargs="+", default=[1, 6, 24, 60])
    parser.add_argument("--runtime", nargs="+", default=list(installed_runtimes()))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = load_bundle(asked.model) if asked.model else untrained(Path(scratch))
        halo_px = -(-bundle.reach_px // bundle.stride_px) * bundle.stride_px
        print(f"{bundle.name}: core {asked.tile} px, halo {halo_px} px")
        for name in asked.runtime:
            network = load_runtime(bundle, "cpu", 1, name, bands=BANDS, margin_px=halo_px)
            measure(network, asked.tile, sorted(asked.dates))


def measure(network: Runtime, core_px: int, dates: list[int]) -> None:
    size_px = core_px + 2 * network.margin_px
    network.over(season(network.bundle, 1, size_px))  # chooses kernels and allocates
    seconds: dict[int, float] = {}
    for n_dates in dates:
        making_s = time.process_time()
        for _ in season(network.bundle, n_dates, size_px):
            pass
        making_s = time.process_time() - making_s
        started = time.process_time()
        network.over(season(network.bundle, n_dates, size_px))
        seconds[n_dates] = time.process_time() - started - making_s
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rate = n_dates * core_px**2 / seconds[n_dates] / 1e6
        print(
            f"  {network.name:<12} {n_dates:3d} dates {seconds[n_dates]:7.2f} s  core x dates {rate:6.3f} Mpx/s"
            f"  peak {peak_mb:6.0f} MB"
        )
    fewest, most = dates[0], dates[-1]
    if most > fewest:
        slope_s = (seconds[most] - seconds[fewest]) / (most - fewest)
        print(
            f"  {network.name:<12} a date more {slope_s:.3f} s, {core_px**2 / slope_s / 1e6:.3f} Mpx/s;"
            f" once {seconds[fewest] - fewest * slope_s:.3f} s"
        )


def season(bundle: Bundle, n_dates: int, size_px: int) -> Iterator[tuple[NDArray[np.float32], float]]:
    rng = np.random.default_rng(0)
    n_bands = len(bundle.bands)
    present = [bundle.bands.index(band) for band in BANDS]
    for number in range(n_dates):
        image = np.zeros((1, 2 * n_bands, size_px, size_px), np.float32)
        image[:, present] = rng.random((1, len(present), size_px, size_px), np.float32)
        image[:, [n_bands + channel for channel in present]] = 1
        yield image, 1.0 + 365 * number / n_dates


def untrained(folder: Path) -> Bundle:
    bands = load_bundle().bands
    settings = UNetSettings(temporal=TemporalSettings())
    network = build_network(settings, n_bands=len(bands), n_classes=9)
    kinds = ["thing"] * 4 + ["stuff"] * 5
    return save_bundle(
        folder,
        weights=network.state_dict(),
        card="",
        name="untrained",
        network=settings,
        bands=bands,
        classes=[
            {"id": number, "name": f"class {number}", "kind": kind, "colour": "#000000"}
            for number, kind in enumerate(kinds, 1)
        ],
        stride_px=network.stride_px,
        reach_px=186,
        licence="Apache-2.0",
    )


if __name__ == "__main__":
    main()
