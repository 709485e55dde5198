"""Is int8 worth it? A bundle's network of single images quantised after training, against float32 and bfloat16.

``python tests/benchmarks/int8.py POOL [--model fields-s] [--samples 14] [--repeats 5]``, which needs OpenVINO and
`pip install nncf`: ``POOL`` has the folders of ``geopanoptic.training.samples``. Ranges of activations are seen on training
images; panoptic quality is that of ``python -m geopanoptic.evaluation`` on the validation images, rates are those of the
bare network on random tiles, as many side by side as there are cores, in turn.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from geopanoptic.cores import usable_cores
from geopanoptic.evaluation.__main__ import quality, rules_of
from geopanoptic.evaluation.pools.samples import BundleMapper, read_image, read_images
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.runtimes import load_runtime
from geopanoptic.models.runtimes.openvino_runtime import OpenVinoProbabilities, _Compiled
from geopanoptic.models.runtimes.runtime import Floats, ImageRuntime

TILE_PX = 896
Load = Callable[[Bundle], ImageRuntime]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pool", type=Path)
    parser.add_argument("--model", default=None)
    parser.add_argument("--samples", type=int, default=14, help="of every training folder")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    bundle = load_bundle(asked.model)
    seen = inputs_of_training(bundle, asked.pool, asked.samples)
    loads: dict[str, Load] = {
        "f32": lambda each: load_runtime(each, "cpu", precision="f32"),
        "bf16": lambda each: load_runtime(each, "cpu", precision="bf16"),
        "int8, symmetric activations": lambda each: quantised(each, seen, preset="performance"),
        "int8, asymmetric activations": lambda each: quantised(each, seen, preset="mixed"),
    }
    rates = rates_of({name: load(bundle) for name, load in loads.items()}, asked.repeats)
    for name, load in loads.items():
        print(f"{name}: {rates[name]:.2f} Mpx/s")
        with tempfile.TemporaryDirectory() as scratch:
            maps, rules = BundleMapper(bundle, load, Path(scratch)), rules_of(bundle)
            for folder in sorted(asked.pool.glob("val-*")):
                found = quality(read_images(folder), partial(maps.as_run, rules=rules))
                print(f"  {folder.name:<14} PQ known {found['known'].pq:.3f}", flush=True)


def inputs_of_training(bundle: Bundle, pool: Path, samples: int) -> list[Floats]:
    """What the network is shown of some training images, without the ground around that has no data."""
    seen: list[Floats] = []

    def load(each: Bundle) -> ImageRuntime:
        runtime = load_runtime(each, "cpu", precision="f32")

        def watched(input_bchw: Floats) -> tuple[Floats, Floats]:
            rows, cols = (np.flatnonzero(input_bchw.any(axis=axes)) for axes in ((0, 1, 3), (0, 1, 2)))
            stride = each.stride_px
            where = [
                slice(at.min() // stride * stride, -(-(at.max() + 1) // stride) * stride)
                for at in (rows, cols)
            ]
            seen.append(np.array(input_bchw[:, :, where[0], where[1]]))
            return runtime.probabilities(input_bchw)

        return replace(runtime, probabilities=watched)

    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        maps, rules = BundleMapper(bundle, load, Path(scratch)), rules_of(bundle)
        for folder in sorted(each for each in pool.iterdir() if not each.name.startswith("val-")):
            files = sorted(folder.glob("[!.]*.npz"))
            for file in rng.sample(files, min(samples, len(files))):
                maps.as_run(read_image(file), rules)
    return seen


def quantised(bundle: Bundle, seen: list[Floats], *, preset: str) -> ImageRuntime:
    import nncf
    import openvino

    from geopanoptic.models.graph_cache import image_graph

    runtime = load_runtime(bundle, "cpu", runtime="openvino", precision="f32")
    core = openvino.Core()
    graph = core.read_model(image_graph(bundle, bundle.dense_network, bands=None, margin_px=0), b"")
    smaller = nncf.quantize(
        graph,
        nncf.Dataset(seen, lambda input_bchw: [input_bchw]),
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(seen),
    )
    threads = usable_cores()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = _Compiled(network=core.compile_model(smaller, "CPU", settings))
    return replace(runtime, probabilities=OpenVinoProbabilities(network=compiled))


def rates_of(runtimes: dict[str, ImageRuntime], repeats: int) -> dict[str, float]:
    """Mpx/s of the bare networks, halos counted: medians."""
    threads = usable_cores()
    bands = 2 * len(next(iter(runtimes.values())).bundle.bands)
    tiles = np.random.default_rng(0).random((threads, bands, TILE_PX, TILE_PX), np.float32)
    found: dict[str, list[float]] = {name: [] for name in runtimes}
    for repeat in range(repeats + 1):
        for name, runtime in runtimes.items():
            started = time.perf_counter()
            runtime(tiles)
            if repeat:  # the first call allocates
                found[name].append(threads * TILE_PX**2 / 1e6 / (time.perf_counter() - started))
    return {name: statistics.median(each) for name, each in found.items()}


if __name__ == "__main__":
    main()
