"""Slurm jobs: what is configured, what is refused, and maps by a real Slurm where there is one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dask
import pytest
from first_block import AtFirstBlock

import geopanoptic
from geopanoptic.errors import ResourceError, UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.execution import slurm_queue
from geopanoptic.pipeline.execution.crew import Crew, crew_for
from geopanoptic.pipeline.execution.slurm import job_settings
from geopanoptic.pipeline.execution.slurm_queue import Standing
from geopanoptic.pipeline.memory import default_budget_bytes
from geopanoptic.pipeline.progress import Silent

SCRIPT = Path(__file__).resolve().parents[2] / "configs" / "slurm-array.sh"
LAYOUT = {"tile_px": 48, "block_px": 48, "device": "cpu", "runtime": "torch", "min_area_m2": 500.0}


@contextmanager
def jobs_with(**settings: object) -> Iterator[None]:
    """Other settings of a job, in which ``_`` stands for ``-``, than these, which are small."""
    job = {"cores": 1, "memory": "2GB", "walltime": "00:10:00"} | settings
    with dask.config.set({f"jobqueue.slurm.{name.replace('_', '-')}": value for name, value in job.items()}):
        yield


# Of the widest scope, so that they skip before other fixtures compute.
@pytest.fixture(scope="session")
def jobqueue() -> None:
    pytest.importorskip("dask_jobqueue", reason="Slurm needs the extra geopanoptic[cluster]")


@pytest.fixture(scope="session")
def slurm(jobqueue: None) -> Iterator[None]:
    """A cluster that answers, looked at often."""
    if shutil.which("sbatch") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("no Slurm answers here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geopanoptic.pipeline.execution.keeping.LOOK_S", 1.0)
        yield


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a scene") / "scene.tif"
    geopanoptic.synthesize((100, 600), seed=7).to_geotiff(path)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cancel_a_job(work: Path) -> None:
    slurm_queue.cancel([min(log.stem for log in (work / "jobs").glob("*.log"))])


class GivesUpWaiting(Silent):
    """Ctrl-C when it hears for what jobs wait."""

    def note(self, text: str) -> None:
        if "pending (" in text:
            self.heard = text
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("walltime", "seconds", "lifetime"),
    [
        ("60", 3600, ["--lifetime", "3000s", "--lifetime-stagger", "300s"]),
        ("1:30", 90, ["--lifetime", "75s", "--lifetime-stagger", "8s"]),
        ("01:00:00", 3600, ["--lifetime", "3000s", "--lifetime-stagger", "300s"]),
        ("1-12", 129_600, ["--lifetime", "129000s", "--lifetime-stagger", "300s"]),
        ("2-00:30", 174_600, ["--lifetime", "174000s", "--lifetime-stagger", "300s"]),
        (None, None, []),
    ],
)
def test_workers_leave_before_their_job_ends(jobqueue, walltime, seconds, lifetime):
    with jobs_with(walltime=walltime, worker_extra_args=["--resources", "GPU=1"]):
        settings = job_settings()
    assert settings.walltime_s == seconds
    assert settings.worker_args == [*lifetime, "--resources", "GPU=1", "--name", "$SLURM_JOB_ID"]


def test_a_job_gives_the_crew_its_cores_and_memory(jobqueue):
    with jobs_with(cores=3, memory="4GiB"):
        crew = crew_for("slurm", workers=5, threads=None)
    assert crew == Crew(scheduler="slurm", processes=5, threads=3, memory_bytes=4 << 30)
    assert default_budget_bytes(crew.memory_bytes) == 2 << 30


# YAML reads 10:00:00 without quotes as a number.
@pytest.mark.parametrize(
    "wrong",
    [{"cores": None}, {"cores": "many"}, {"memory": "much"}, {"walltime": 36_000}, {"walltime": "1h"}],
)
def test_settings_that_cannot_be_meant_are_refused(jobqueue, wrong):
    with jobs_with(**wrong), pytest.raises(UsageError, match="Slurm"):
        crew_for("slurm", workers=1, threads=None)


def test_a_machine_without_slurm_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResourceError, match="no command `sbatch`"):
        slurm_queue.submit("#!/bin/sh\n", log=tmp_path / "%j.log")
    slurm_queue.cancel([])


def test_jobs_are_told_by_state_and_reason():
    waiting, running = Standing(state="PENDING", reason="Resources"), Standing(state="RUNNING", reason="None")
    assert slurm_queue.told([waiting, running, waiting]) == "2 jobs pending (Resources), 1 job running"


@pytest.mark.slow
def test_the_map_is_the_same_when_a_job_is_cancelled(slurm, scene_file, tiny_bundle: Bundle, tmp_path):
    geopanoptic.run(scene_file, tmp_path / "threads.gpkg", model=tiny_bundle.path, **LAYOUT)
    work = tmp_path / "work"
    progress = AtFirstBlock(partial(cancel_a_job, work))
    with jobs_with():
        geopanoptic.run(
            scene_file,
            tmp_path / "jobs.gpkg",
            model=tiny_bundle.path,
            work=work,
            scheduler="slurm",
            workers=2,
            progress=progress,
            **LAYOUT,
        )
    assert digest(tmp_path / "jobs.gpkg") == digest(tmp_path / "threads.gpkg")
    assert progress.acted
    assert not any(work.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"queue": "no-such-partition"}, "Slurm refuses.*partition"),
        ({"memory": "900TB"}, "Slurm refuses"),
        ({"python": "/no/such/python"}, "ended before a worker started.*/no/such/python"),
    ],
)
def test_jobs_that_cannot_work_end_the_run(slurm, wrong, said, scene_file, tiny_bundle: Bundle, tmp_path):
    with jobs_with(**wrong), pytest.raises(ResourceError, match=f"(?s){said}"):
        geopanoptic.run(
            scene_file, tmp_path / "map.gpkg", model=tiny_bundle.path, scheduler="slurm", workers=2
        )
    # Only logs of jobs are left, which the refusal names, and the lock beside them.
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.suffix == ".log" or path.name == "lock" for path in left)


@pytest.mark.slow
def test_a_run_says_for_what_its_jobs_wait_and_takes_them_along(slurm, scene_file, tiny_bundle, tmp_path):
    progress = GivesUpWaiting()
    with (
        jobs_with(job_extra_directives=["--begin=now+1hour"], name="geopanoptic-waits"),
        pytest.raises(KeyboardInterrupt),
    ):
        geopanoptic.run(
            scene_file, tmp_path / "map.gpkg", model=tiny_bundle.path, scheduler="slurm", workers=3,
            progress=progress,
        )  # fmt: skip
    assert progress.heard == "Waiting for workers: 3 jobs pending (BeginTime)."
    assert not squeue("--name=geopanoptic-waits")


@pytest.mark.slow
def test_a_job_array_makes_the_same_map(slurm, scene_file, tmp_path):
    geopanoptic.run(scene_file, tmp_path / "threads.gpkg", threads=1)
    out, work = tmp_path / "array.gpkg", tmp_path / "its work"
    environment = os.environ | {
        "SCENE": str(scene_file),
        "OUT": str(out),
        "WORK": str(work),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PARTS": "2",
        "CPUS": "1",
        "MEMORY": "3G",
        "WALLTIME": "10",
    }
    # First without a part, as if that had failed.
    for sent in ({"ONLY": "2"}, {}):
        assert not out.exists()
        submitted = subprocess.run(
            ["bash", SCRIPT], cwd=tmp_path, env=environment | sent, check=True, capture_output=True, text=True
        )
        job = submitted.stdout.split()[-1]
        while squeue(f"--jobs={job}"):
            time.sleep(0.5)
        told = (tmp_path / f"slurm-{job}.out").read_text()
        assert ("shards 1/2 have not finished" in told) == bool(sent), told
    assert digest(out) == digest(tmp_path / "threads.gpkg")


def squeue(*options: str) -> str:
    return subprocess.run(["squeue", "--noheader", *options], capture_output=True, text=True).stdout
