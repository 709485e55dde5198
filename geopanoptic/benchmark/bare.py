"""The network alone on the tiles of a run: the rate that no run can beat.

``python -m geopanoptic.benchmark.bare JSON`` measures in a process of its own.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Self

import numpy as np

from geopanoptic.benchmark.processes import run_measured
from geopanoptic.grid import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """The tiles of a run, sizes in input pixels; ``side_by_side`` of them are given to the network at once."""

    model: str
    """Name or folder of the bundle."""
    bands: tuple[str, ...]
    """The model's bands that the scene has."""
    runtime: str
    precision: str
    device: str
    dates: int
    """Images of every tile."""
    shape: tuple[int, int]
    tile_px: int
    halo_px: int
    block_px: int
    side_by_side: int
    threads: int
    pixel_m: float

    @classmethod
    def of_report(cls, report: Mapping[str, Any], model: str | None) -> Self:
        """The tiles that a run with this ``run.json`` had; ``model`` is what the run was asked for, None where it chose
        a bundled one itself."""
        from geopanoptic.models.bundle import load_bundle

        model = model or str(report["model"])
        plan, scale = report["plan"], load_bundle(model).output_scale
        height, width = plan["output_shape"]
        runtime, _, how = str(report.get("runtime", "auto")).partition(" ")
        processes = plan.get("processes", 1)
        return cls(
            model=model,
            bands=tuple(report["bands"]),
            runtime=runtime,
            precision="bf16" if "bf16" in how else "f32",
            device=str(report["device"]),
            dates=len(report["dates"]) or 1,
            shape=(height // scale, width // scale),
            tile_px=plan["tile_px"],
            halo_px=plan["halo_px"],
            block_px=plan["block_px"],
            side_by_side=plan["batch"] * processes,
            threads=plan["workers"] * processes,
            pixel_m=plan["pixel_m"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BareNetwork:
    """What the network alone did; pixels are of all dates and include halos, seconds exclude loading and a first call."""

    network_px: int
    seconds: float
    processor_s: float
    """Of all threads."""

    @property
    def px_per_s(self) -> float:
        return self.network_px / self.seconds


def measure_bare(tiles: Tiles) -> BareNetwork:
    """Run the network alone over ``tiles`` in a fresh process; raises what ``load_runtime`` raises."""
    finished = run_measured([sys.executable, "-m", __name__, json.dumps(asdict(tiles))])
    return BareNetwork(**json.loads(finished.output))


def run_bare(tiles: Tiles) -> BareNetwork:
    """Run the network alone over ``tiles``, here: nothing is read, grouped or written."""
    from geopanoptic.models.bundle import load_bundle
    from geopanoptic.pipeline.network.inference import BundleNetwork

    bundle = load_bundle(tiles.model).for_pixels(tiles.pixel_m)
    network = BundleNetwork(
        path=bundle.path,
        fingerprint=bundle.fingerprint,
        bands=tiles.bands,
        margin_px=tiles.halo_px,
        of_fine_pixels=bundle.of_fine_pixels,
        device=tiles.device,
        threads=tiles.threads,
        runtime=tiles.runtime,
        precision=tiles.precision,
    )()
    rng = np.random.default_rng(0)
    network_px, seconds, processor_s, warm = 0, 0.0, 0.0, False
    for count, (height, width) in _batches(tiles, bundle.stride_px):
        input_bchw = rng.random((count, len(network.channels), height, width), np.float32)
        dates = [(input_bchw, math.nan)] * tiles.dates
        if not warm:
            network.each_over(dates, _leave)
            warm = True
        started, before_s = time.perf_counter(), time.process_time()
        network.each_over(dates, _leave)
        seconds += time.perf_counter() - started
        processor_s += time.process_time() - before_s
        network_px += count * height * width * tiles.dates
    return BareNetwork(network_px=network_px, seconds=seconds, processor_s=processor_s)


def _leave(_number: int, _outputs: object) -> None:
    """Outputs stay where the runtime put them, as in a run."""


def _batches(tiles: Tiles, stride_px: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Number and shape (rows, cols, halo included) of the tiles of every network call."""
    from geopanoptic.pipeline.planning.layout import Layout

    layout = Layout(
        tile_px=tiles.tile_px,
        halo_px=tiles.halo_px,
        stride_px=stride_px,
        block_px=tiles.block_px,
        batch=tiles.side_by_side,
    )
    for block in Window(0, 0, *tiles.shape).blocks(tiles.block_px):
        for shape, alike in groupby(core.grown(tiles.halo_px).shape for core in layout.cores(block)):
            remaining = len(list(alike))
            while remaining:
                count = min(remaining, tiles.side_by_side)
                remaining -= count
                yield count, shape


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    asked |= {name: tuple(asked[name]) for name in ("bands", "shape")}
    print(json.dumps(asdict(run_bare(Tiles(**asked)))))
