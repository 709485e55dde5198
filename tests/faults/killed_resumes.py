"""Kills `geopanoptic run` with SIGKILL at random moments, resumes it, and compares the maps byte for byte.

``python tests/faults/killed_resumes.py FOLDER [--kills 30] [--worker-kills 0]``: a generated scene is mapped
once without disturbance. Then runs are killed, every other one a second time when it is resumed, and finished
with ``--resume``: GeoPackage and rasters must be those of the undisturbed run. With ``--worker-kills``, a
random worker of ``--scheduler processes`` is killed, and the run must come to its end by itself.

Runs are forked from a process that has imported the package, so that the moments fall into the map and not
into the imports; each is a process of its own all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import random
import shutil
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from killed_runs import write_scene

FORKED = multiprocessing.get_context("forkserver")
PRELOADED = [
    "geopanoptic.cli.main",
    "geopanoptic.cli.run",
    "geopanoptic.pipeline.run",
    "torch",
    "distributed",
]
LAYOUT = ["--tile", "64", "--block", "64", "--batch", "1", "--quiet"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--worker-kills", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    FORKED.set_forkserver_preload(PRELOADED)
    scene, out = write_scene(options.folder / "scene.tif"), options.folder / "map" / "parcels.gpkg"
    undisturbed(scene, out)  # compiles what is cached from then on
    dice = random.Random(4)

    expected, duration_s = undisturbed(scene, out)
    same = 0
    for number in range(options.kills):
        same += after_killed_driver(scene, out, dice, duration_s, twice=number % 2 == 1) == expected
        print(f"{same} of {number + 1} resumed runs gave the bytes of the undisturbed run", flush=True)

    by_itself = 0
    if options.worker_kills:
        _, duration_s = undisturbed(scene, out, *PROCESSES)
    for number in range(options.worker_kills):
        by_itself += after_killed_worker(scene, out, dice, duration_s) == expected
        print(f"{by_itself} of {number + 1} runs gave the same bytes without a worker", flush=True)
    if (same, by_itself) != (options.kills, options.worker_kills):
        raise SystemExit("not all maps are the same")


PROCESSES = ("--scheduler", "processes", "--workers", "2", "--threads", "1")


def undisturbed(scene: Path, out: Path, *more: str) -> tuple[dict[str, str], float]:
    started = time.monotonic()
    finish(start(scene, out, *more))
    return digests(out), time.monotonic() - started


def after_killed_driver(
    scene: Path, out: Path, dice: random.Random, duration_s: float, *, twice: bool
) -> dict[str, str]:
    shutil.rmtree(out.parent)
    for resume in [[], ["--resume"]][: 1 + twice]:
        process = start(scene, out, *resume)
        process.join(dice.uniform(0, 1 / (1 + twice)) * duration_s)
        process.kill()
        process.join()
    finish(start(scene, out, "--resume"))
    stray = [path.name for path in out.parent.iterdir() if path.name.startswith(".")]
    if stray:
        raise SystemExit(f"stray after a resumed run: {stray}")
    return digests(out)


def after_killed_worker(scene: Path, out: Path, dice: random.Random, duration_s: float) -> dict[str, str]:
    shutil.rmtree(out.parent)
    process = start(scene, out, *PROCESSES)
    process.join(dice.uniform(0.1, 0.9) * duration_s)
    with contextlib.suppress(psutil.NoSuchProcess):  # the run was quicker
        children = psutil.Process(process.pid).children()
        workers = [each for each in children if "spawn_main" in str(each.cmdline())]
        if workers:
            dice.choice(workers).kill()
    finish(process)
    return digests(out)


def start(scene: Path, out: Path, *more: str) -> BaseProcess:
    out.parent.mkdir(exist_ok=True)
    rasters = str(out.parent / "rasters")
    arguments = ["run", str(scene), "--out", str(out), "--rasters", rasters, "--overwrite", *LAYOUT, *more]
    process = FORKED.Process(target=invoke, args=(arguments,))
    process.start()
    return process


def invoke(arguments: list[str]) -> None:
    from geopanoptic.cli.main import invoke

    raise SystemExit(invoke(arguments))


def finish(process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        raise SystemExit(f"a run that should have finished left with {process.exitcode}")


def digests(out: Path) -> dict[str, str]:
    """Hashes of the GeoPackage and the rasters, by name."""
    products = [out, *sorted((out.parent / "rasters").glob("*.tif"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in products}


if __name__ == "__main__":
    main()
