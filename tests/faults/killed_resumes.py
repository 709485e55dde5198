"""Kills `geopanoptic run`, its workers or its scheduler at random moments, and compares the maps byte for byte.

``python tests/faults/killed_resumes.py FOLDER [--kills 30] [--worker-kills N] [--process-kills N]
[--scheduler-kills N]``: a generated scene is mapped once without disturbance. Then, with SIGKILL,

- runs are killed, every other one a second time when it is resumed, and finished with ``--resume``;
- one of the two workers of a Dask cluster is killed, and is not replaced: the run must come to its end by itself;
- so must it where one of the processes of ``--scheduler processes`` is killed, which is replaced;
- the scheduler of a Dask cluster is killed: the run must leave soon, and say why, with exit code 7. It is
  finished with ``--resume``, every other time on a new cluster.

GeoPackage and rasters must be those of the undisturbed run. Runs, schedulers and the cluster's workers are
forked from a process that has imported what they need, so that the moments fall into the map and not into the
imports; each is a process of its own all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    "distributed.cli.dask_scheduler",
    "distributed.cli.dask_worker",
]
LAYOUT = ["--tile", "64", "--block", "64", "--batch", "1", "--quiet"]
PROCESSES = ["--scheduler", "processes", "--workers", "2", "--threads", "1"]
LOST_SCHEDULER = 7
LEAVES_WITHIN_S = 120

Digests = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--worker-kills", type=int, default=0)
    parser.add_argument("--process-kills", type=int, default=0)
    parser.add_argument("--scheduler-kills", type=int, default=0)
    parser.add_argument("--size", type=int, default=256, help="side of the scene in pixels")
    parser.add_argument("--seed", type=int, default=4, help="of the moments")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    FORKED.set_forkserver_preload(PRELOADED)
    scene = write_scene(options.folder / "scene.tif", (options.size, options.size))
    subject = Subject(scene=scene, out=options.folder / "map" / "parcels.gpkg")
    subject.map()  # compiles what is cached from then on
    expected = subject.map()
    dice, failed = random.Random(options.seed), False
    for n_kills, killed, whom in (
        (options.kills, KilledRun(subject=subject), "runs"),
        (options.worker_kills, KilledWorker(subject=subject), "workers"),
        (options.process_kills, KilledProcess(subject=subject), "processes"),
        (options.scheduler_kills, KilledScheduler(subject=subject), "schedulers"),
    ):
        if not n_kills:
            continue
        started, same = time.monotonic(), 0
        killed.undisturbed()
        duration_s = time.monotonic() - started
        for number in range(n_kills):
            shutil.rmtree(subject.out.parent)
            killed.kill([dice.random() * duration_s for _ in range(2)], number)
            same += subject.digests() == expected
            print(f"{whom} killed: {same} of {number + 1} maps have the same bytes", flush=True)
        failed |= same < n_kills
    if failed:
        raise SystemExit("not all maps are the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A scene, and the map that runs make of it."""

    scene: Path
    out: Path

    @property
    def told(self) -> Path:
        """What the last run wrote to stderr."""
        return self.scene.with_name("told.txt")

    def map(self, *more: str) -> Digests:
        self.finish(self.start(*more))
        return self.digests()

    def start(self, *more: str) -> BaseProcess:
        self.out.parent.mkdir(exist_ok=True)
        rasters = str(self.out.parent / "rasters")
        arguments = ["run", str(self.scene), "--out", str(self.out), "--rasters", rasters, "--overwrite"]
        return forked(geopanoptic, self.told, [*arguments, *LAYOUT, *more])

    def finish(self, process: BaseProcess) -> None:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a run left with {process.exitcode}:\n{self.told.read_text()}")
        stray = [path.name for path in self.out.parent.iterdir() if path.name.startswith(".")]
        if stray:
            raise SystemExit(f"stray after a run: {stray}")

    def digests(self) -> Digests:
        """Hashes of the GeoPackage and the rasters, by name."""
        products = [self.out, *sorted((self.out.parent / "rasters").glob("*.tif"))]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in products}


@dataclass(frozen=True, slots=True, kw_only=True)
class KilledRun:
    subject: Subject

    def undisturbed(self) -> None:
        self.subject.map()

    def kill(self, moments_s: list[float], number: int) -> None:
        kills = 1 + number % 2
        for resume, moment_s in zip(([], ["--resume"])[:kills], moments_s, strict=False):
            process = self.subject.start(*resume)
            process.join(moment_s / kills)
            process.kill()
            process.join()
        self.subject.map("--resume")


@dataclass(frozen=True, slots=True, kw_only=True)
class KilledWorker:
    subject: Subject

    def undisturbed(self) -> None:
        with cluster(self.subject.scene.parent) as (address, *_):
            self.subject.map("--scheduler", address)

    def kill(self, moments_s: list[float], number: int) -> None:
        with cluster(self.subject.scene.parent) as (address, _, *workers):
            process = self.subject.start("--scheduler", address)
            process.join(moments_s[0])
            workers[number % 2].kill()
            print(f"killed after {moments_s[0]:.1f} s", flush=True)
            self.subject.finish(process)


@dataclass(frozen=True, slots=True, kw_only=True)
class KilledProcess:
    subject: Subject

    def undisturbed(self) -> None:
        self.subject.map(*PROCESSES)

    def kill(self, moments_s: list[float], number: int) -> None:
        process = self.subject.start(*PROCESSES)
        process.join(moments_s[0])
        with contextlib.suppress(psutil.NoSuchProcess):  # the run was quicker
            children = psutil.Process(process.pid).children()
            workers = [each for each in children if "spawn_main" in str(each.cmdline())]
            if workers:
                workers[number % len(workers)].kill()
                print(f"killed one of {len(workers)} after {moments_s[0]:.1f} s", flush=True)
        self.subject.finish(process)


@dataclass(frozen=True, slots=True, kw_only=True)
class KilledScheduler:
    subject: Subject

    def undisturbed(self) -> None:
        with cluster(self.subject.scene.parent) as (address, *_):
            self.subject.map("--scheduler", address)

    def kill(self, moments_s: list[float], number: int) -> None:
        with cluster(self.subject.scene.parent) as (address, scheduler, *_):
            process = self.subject.start("--scheduler", address)
            process.join(moments_s[0])
            scheduler.kill()
            process.join(LEAVES_WITHIN_S)
            if process.exitcode is None:
                process.kill()
                raise SystemExit(f"a run did not leave within {LEAVES_WITHIN_S} s of its scheduler's death")
        told = self.subject.told.read_text()
        if process.exitcode not in (0, LOST_SCHEDULER) or (process.exitcode and "scheduler" not in told):
            raise SystemExit(f"a run without scheduler left with {process.exitcode}:\n{told}")
        print(f"killed after {moments_s[0]:.1f} s, left with {process.exitcode}", flush=True)
        if number % 2:
            with cluster(self.subject.scene.parent) as (address, *_):
                self.subject.map("--resume", "--scheduler", address)
        else:
            self.subject.map("--resume")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, *tuple[BaseProcess, ...]]]:
    """Address of a Dask scheduler, its process and those of its two workers, which end with the context."""
    from distributed import Client

    contact, log = folder / "scheduler.json", folder / "cluster.log"
    contact.unlink(missing_ok=True)
    common = ["--scheduler-file", str(contact), "--no-dashboard"]
    members = [forked(dask_scheduler, log, ["--host", "127.0.0.1", "--port", "0", *common])]
    alone = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
    members += [forked(dask_worker, log, [*alone, *common]) for _ in range(2)]
    try:
        with Client(scheduler_file=str(contact), set_as_default=False) as client:
            client.wait_for_workers(2)
            address = client.scheduler.address
        yield address, *members
    finally:
        for member in members:
            member.kill()
            member.join()


def forked(target: Callable[[list[str]], int], told: Path, arguments: list[str]) -> BaseProcess:
    process = FORKED.Process(target=telling, args=(target, told, arguments))
    process.start()
    return process


def telling(target: Callable[[list[str]], int], told: Path, arguments: list[str]) -> None:
    with told.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    raise SystemExit(target(arguments))


def geopanoptic(arguments: list[str]) -> int:
    from geopanoptic.cli.main import invoke

    return invoke(arguments)


def dask_scheduler(arguments: list[str]) -> int:
    from distributed.cli.dask_scheduler import main

    return main(arguments, standalone_mode=False) or 0


def dask_worker(arguments: list[str]) -> int:
    from distributed.cli.dask_worker import main

    return main(arguments, standalone_mode=False) or 0


if __name__ == "__main__":
    main()
