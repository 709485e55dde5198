"""How much faster two worker processes are than one: the same scene and the same tiles, in turn.

``python tests/benchmarks/workers.py [--size 2048] [--tile 512] [--repeats 5] [--workers 1 2] [--model fields-m]``:
worker processes of one thread each map a generated scene, every run in a fresh process. Medians of

- the dense stage in seconds, and its rate, which is what more workers are for;
- the whole run in seconds, the start of the workers and what the driver does alone included;
- processor seconds of the whole process tree, which hardly depend on what else the machine does;
- cores: processor seconds over wall seconds, what the run was given of the machine.

Where fewer cores were given than there are workers, the ratio of the rates says nothing about geopanoptic. The
ratio of the processor seconds does: what two workers spend together beyond one is what they cannot gain.

One worker reads and stores on a core that nobody else uses. With ``--own-cores`` a run of n workers, its driver
included, gets n cores (``taskset``), as where every worker is a machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from geopanoptic.benchmark.benchmark import compile_kernels
from geopanoptic.benchmark.processes import run_measured
from geopanoptic.benchmark.scenes import write_mosaic


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run."""

    dense_s: float
    run_s: float
    processor_s: float
    px: int

    @property
    def px_per_s(self) -> float:
        return self.px / self.dense_s

    @property
    def cores(self) -> float:
        return self.processor_s / self.run_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", help="bundle; what the scene takes without it")
    parser.add_argument("--own-cores", action="store_true", help="a run of n workers gets n cores")
    options = parser.parse_args()
    rounds: dict[int, list[Round]] = {workers: [] for workers in options.workers}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = folder / "scene.tif"
        write_mosaic(scene, options.size)
        compile_kernels(folder)
        for number in range(1, options.repeats + 1):
            for workers, measured in rounds.items():
                cores = workers if options.own_cores else None
                measured.append(run(scene, folder, workers, options.tile, options.model, cores))
                print(f"{number} of {options.repeats}, {workers} workers: {measured[-1]}", flush=True)
    print(f"{'workers':>7}  {'dense s':>8}  {'Mpx/s':>6}  {'run s':>7}  {'processor s':>11}  {'cores':>5}")
    for workers, measured in rounds.items():
        print(
            f"{workers:7}  {median(measured, 'dense_s'):8.1f}  {median(measured, 'px_per_s') / 1e6:6.3f}  "
            f"{median(measured, 'run_s'):7.1f}  {median(measured, 'processor_s'):11.1f}  "
            f"{median(measured, 'cores'):5.2f}"
        )
    fewest, *more = rounds
    for workers in more:
        rate = median(rounds[workers], "px_per_s") / median(rounds[fewest], "px_per_s")
        spent = median(rounds[workers], "processor_s") / median(rounds[fewest], "processor_s")
        print(
            f"{workers} workers against {fewest}: {rate:.2f} times the rate, {spent:.2f} times the processor time"
        )


def run(scene: Path, folder: Path, workers: int, tile_px: int, model: str | None, cores: int | None) -> Round:
    command = [] if cores is None else ["taskset", "--cpu-list", f"0-{cores - 1}"]
    command += [sys.executable, "-m", "geopanoptic", "run", str(scene), "--out", str(folder / "parcels.gpkg")]
    command += [
        "--overwrite",
        "--json",
        "--scheduler",
        "processes",
        "--workers",
        str(workers),
        "--threads",
        "1",
    ]
    command += [] if model is None else ["--model", model]
    finished = run_measured([*command, "--tile", str(tile_px), "--block", str(tile_px), "--batch", "1"])
    report = json.loads(finished.output)
    return Round(
        dense_s=report["seconds"]["network"],
        run_s=finished.seconds,
        processor_s=finished.processor_s,
        px=report["scene_px"],
    )


def median(measured: list[Round], name: str) -> float:
    return statistics.median(getattr(each, name) for each in measured)


if __name__ == "__main__":
    main()
