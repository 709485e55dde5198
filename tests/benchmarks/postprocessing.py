"""Everything after the network, without a network: ``python tests/benchmarks/postprocessing.py``.

A store of quantised layers, made block by block from the blurred and noisy truth of a generated landscape
that is repeated in mirror images, goes through grouping, tracing and writing. Each size is a process of its
own; the peak of resident memory is measured stage by stage (Linux). Prints seconds, seconds of all cores
together, megapixels per second of one core, and the peaks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.models.bundle import load_bundle
from geopanoptic.panoptic.quantisation import LAYERS
from geopanoptic.pipeline.emission.emitting import RASTERS, trace_layers, write_products
from geopanoptic.pipeline.execution import Threads
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.grouping.rules import quantiser, rules_of_bundle
from geopanoptic.pipeline.grouping.segmentation import segment
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.plan import Plan, make_plan
from geopanoptic.pipeline.progress import Silent
from geopanoptic.pipeline.record import Record, last_date, metadata
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.products.commit import Commit
from geopanoptic.products.report import restart_peak
from geopanoptic.scene import open_scene
from geopanoptic.training.synthetic import BANDS, generate_scene

PATTERN_PX = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384], help="sides in output pixels")
    parser.add_argument("--block", type=int, default=2048, help="side of a block in output pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rasters", action="store_true", help="write the three rasters too")
    parser.add_argument("--one", action="store_true", help="run the first size in this process, print JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured_run(options.sizes[0], options.block, options.workers, options.rasters)))
        return
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", "--sizes", str(size), "--block", str(options.block)]
        command += ["--workers", str(options.workers), *(["--rasters"] if options.rasters else [])]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        report(size, told)


def report(size_px: int, told: dict) -> None:
    print(
        f"{size_px} x {size_px} px, {told['parcels']:,} parcels, {told['areas']:,} areas, "
        f"sha256 {told['sha256'][:16]}; {told['rest_mb']:.0f} MB at rest"
    )
    print(f"{'stage':10}{'s':>8}{'core s':>8}{'Mpx/core s':>12}{'peak MB':>9}")
    seconds, core_s, peak_mb = zip(*told["stages"].values(), strict=True)
    rows = told["stages"] | {"all": (sum(seconds), sum(core_s), max(peak_mb))}
    for name, (stage_s, stage_core_s, stage_mb) in rows.items():
        rate = size_px**2 / stage_core_s / 1e6
        print(f"{name:10}{stage_s:8.2f}{stage_core_s:8.2f}{rate:12.1f}{stage_mb:9.0f}", flush=True)


def measured_run(size_px: int, block_px: int, workers: int, with_rasters: bool) -> dict:
    stages: dict[str, tuple[float, float, float]] = {}
    record = Record(Silent())

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        restart_peak()
        known = set(record.peak_bytes)
        started, started_cpu = time.perf_counter(), time.process_time()
        yield
        seconds, core_s = time.perf_counter() - started, time.process_time() - started_cpu
        # The record begins a peak of its own with every stage that it knows.
        inner = [peak / 2**20 for each, peak in record.peak_bytes.items() if each not in known]
        stages[name] = seconds, core_s, max([resident_mb("VmHWM"), *inner])

    with tempfile.TemporaryDirectory(prefix="postprocessing-") as name:
        folder = Path(name)
        warm_up(folder / "small", workers)
        planned = plan_of(folder / "scene.tif", size_px, workers)
        store = RunStore(folder=folder / "store", shape=planned.grid.shape, block_px=block_px)
        fill(store, planned)
        rest_mb = resident_mb("VmRSS")
        out = folder / "out.gpkg"
        rasters = {each: folder / f"{each}.tif" for each in RASTERS if with_rasters}
        with Commit([out, *rasters.values()]) as commit:
            told = run_stages(store, planned, commit, out, rasters, record, stage)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in (out, *rasters.values())))
    return {"stages": stages, "sha256": digest.hexdigest(), "rest_mb": rest_mb, **told}


def run_stages(store, planned, commit, out, rasters, record, stage) -> dict:
    with stage("group"):
        rules = rules_of_bundle(planned.bundle, min_area_px=planned.min_area_px)
        executor = Threads(workers=planned.workers)
        final = segment(store, rules, executor=executor, progress=record, at_a_time=planned.grouping_tasks)
    with stage("trace"):
        layers = trace_layers(store, planned, final, Threads(workers=planned.workers), record)
    with stage("write"):
        products = {
            "store": store,
            "planned": planned,
            "final": final,
            "layers": layers,
            "about": metadata(planned, Parameters(), record),
            "observed": last_date(planned.scene),
        }
        checks = write_products(commit, out, rasters, **products)
    with stage("publish"):
        commit.publish(checks)
    return {"parcels": final.n_things, "areas": final.n_regions - final.n_things}


def plan_of(path: Path, size_px: int, workers: int) -> Plan:
    """The plan of an empty scene of that size, for the default model."""
    bundle = load_bundle()
    side = size_px // bundle.output_scale
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=len(BANDS),
        height=side,
        width=side,
        crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_800_000),
        tiled=True,
        sparse_ok=True,
    ) as file:
        file.descriptions = BANDS
    return make_plan(open_scene(path), bundle, crew=Crew.of_threads(workers))


def fill(store: RunStore, planned: Plan) -> None:
    """Write every layer of every block from one pattern, mirrored at its edges again and again."""
    pattern = quantised_pattern(planned)
    for block in store.blocks():
        rows, cols = (mirrored(*ends) for ends in ((block.row0, block.row1), (block.col0, block.col1)))
        for name in LAYERS:
            store.write(name, block, pattern[name][np.ix_(rows, cols)])


def mirrored(first: int, last: int) -> NDArray[np.int64]:
    place = np.arange(first, last) % (2 * PATTERN_PX)
    return np.minimum(place, 2 * PATTERN_PX - 1 - place)


def quantised_pattern(planned: Plan) -> dict[str, NDArray[np.generic]]:
    """The layers of a generated landscape as an imperfect network would see it."""
    scene = generate_scene((PATTERN_PX // 2, PATTERN_PX // 2), seed=5)
    instances, cover = scene.instances, scene.cover
    rng = np.random.default_rng(5)

    def noise(sigma_px: float, amplitude: float) -> NDArray[np.float32]:
        rough = ndimage.gaussian_filter(rng.normal(size=instances.shape), sigma_px)
        return (rough * amplitude / rough.std()).astype(np.float32)

    edge = np.zeros(instances.shape, bool)
    edge[:, 1:] |= instances[:, 1:] != instances[:, :-1]
    edge[1:] |= instances[1:] != instances[:-1]
    depth = ndimage.distance_transform_edt(~edge)
    boundary = np.clip(ndimage.gaussian_filter(edge.astype(np.float32), 1.2) * 2.5 + noise(4, 0.12), 0, 1)
    distance = np.clip(np.minimum(depth / 15, 1) * (1 - boundary / 2) + noise(4, 0.05), 0, 1)
    logits = np.stack([3.0 * (cover == k) + noise(5, 1) for k in range(len(planned.bundle.classes))])
    likely = np.exp(logits.astype(np.float32) * 2)
    outputs = {
        "semantic": likely / likely.sum(axis=0),
        "centre": np.clip(distance**2 * 0.8 + noise(3, 0.08), 0, 1).astype(np.float32),
        "boundary": boundary.astype(np.float32),
        "distance": distance.astype(np.float32),
    }
    return quantiser(planned.bundle)(outputs, np.ones(instances.shape, bool))


def warm_up(folder: Path, workers: int) -> None:
    """A small scene through every stage: compiled code and libraries are loaded."""
    folder.mkdir(parents=True)
    planned = plan_of(folder / "scene.tif", PATTERN_PX, workers)
    store = RunStore(folder=folder / "store", shape=planned.grid.shape, block_px=PATTERN_PX // 2)
    fill(store, planned)
    out = folder / "out.gpkg"
    with Commit([out]) as commit:
        run_stages(store, planned, commit, out, {}, Record(Silent()), nullcontext)


def resident_mb(key: str) -> float:
    """``VmRSS`` or ``VmHWM`` (peak) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    main()
