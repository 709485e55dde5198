"""Slurm jobs as Dask workers: the scheduler in this process, the job script by dask-jobqueue (the extra ``cluster``).

What a job asks for (cores, memory, walltime, queue) is dask-jobqueue's own configuration, ``jobqueue.slurm``;
configs/slurm.yaml is a start, named by the environment variable ``DASK_CONFIG``. The jobs themselves are kept by
``keeping``: dask-jobqueue misses those that end before their worker starts.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_bytes
from distributed import Client

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.execution.keeping import Keeper, kept
from geopanoptic.pipeline.resuming.workfolder import JOBS

# Workers leave before their job's walltime ends, at different moments, so that their tasks move on in peace.
_LEAVE_BEFORE_S = 600

_WALLTIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """What is configured for a job."""

    cores: int
    memory_bytes: int
    walltime_s: int | None
    extra_args: tuple[str, ...]
    """More options of ``dask worker``."""
    logs: Path | None

    @property
    def worker_args(self) -> list[str]:
        """Options of ``dask worker``: the id of the job as its name, and an end before the job's."""
        args = [*self.extra_args, "--name", "$SLURM_JOB_ID"]
        if self.walltime_s is None or "--lifetime" in args:
            return args
        early_s = min(self.walltime_s / 6, _LEAVE_BEFORE_S)
        lifetime = [f"{self.walltime_s - early_s:.0f}s", "--lifetime-stagger", f"{early_s / 2:.0f}s"]
        return ["--lifetime", *lifetime, *args]


def job_settings() -> JobSettings:
    """What a job may use, as configured. Raises UsageError where dask-jobqueue or its settings are missing."""
    _require_jobqueue()
    settings = dask.config.get("jobqueue.slurm")
    if settings["cores"] is None or settings["memory"] is None:
        raise UsageError(
            "Nothing says what a Slurm job may use.",
            remedy="Put cores, memory, walltime and queue under jobqueue: slurm: in a YAML file, as configs/slurm.yaml of the "
            "repository does, and name that file in DASK_CONFIG.",
        )
    return JobSettings(
        cores=_read("cores", settings["cores"], int, "a number such as 4"),
        memory_bytes=_read("memory", settings["memory"], parse_bytes, "a size such as 16GB"),
        walltime_s=None
        if settings["walltime"] is None
        else _read("walltime", settings["walltime"], _seconds, 'a time in quotes such as "01:00:00"'),
        extra_args=tuple(map(str, settings["worker-extra-args"] or ())),
        logs=None if settings["log-directory"] is None else Path(settings["log-directory"]),
    )


@contextmanager
def slurm_jobs(crew: Crew, *, folder: Path, say: Callable[[str], None]) -> Iterator[Client]:
    """``crew.processes`` jobs from the moment that the first one works, kept at that number; ``say`` hears of them.

    Their logs lie in ``folder`` unless another place is configured. Raises ResourceError where jobs cannot be
    submitted, or end before a worker starts.
    """
    settings = job_settings()
    from dask_jobqueue import SLURMCluster

    scheduler = {"dashboard_address": "127.0.0.1:0"} | (
        dask.config.get("jobqueue.slurm.scheduler-options") or {}
    )
    logs = (settings.logs or folder / JOBS).absolute()
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise OutputError(
            f"The logs of Slurm jobs cannot be written to {logs}: {failure.strerror}.",
            remedy="Name another folder in log-directory, in the file that DASK_CONFIG names.",
        ) from None
    with (
        SLURMCluster(
            processes=1, worker_extra_args=settings.worker_args, scheduler_options=scheduler
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        kept(Keeper(client=client, script=cluster.job_script(), number=crew.processes, logs=logs, say=say)),
    ):
        yield client


def _read(name: str, value: object, read: Callable[[Any], int], expected: str) -> int:
    try:
        return read(value)
    except (TypeError, ValueError, AttributeError):
        raise UsageError(
            f"The Slurm setting {name} is {value!r}, not {expected}.",
            remedy="Correct it in the file that DASK_CONFIG names.",
        ) from None


def _seconds(walltime: str) -> int:
    """Slurm's ``[days-]hours:minutes:seconds`` and its shorter forms: minutes, minutes:seconds, days-hours."""
    found = _WALLTIME.fullmatch(walltime)
    if found is None:
        raise ValueError(walltime)
    days, *parts = found.groups()
    given = [int(part) for part in parts if part is not None]
    unit_s = 3600 if days is not None or len(given) == 3 else 60
    seconds = sum(number * unit_s // 60**place for place, number in enumerate(given))
    return int(days or 0) * 86_400 + seconds


def _require_jobqueue() -> None:
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue  # noqa: F401  brings its own configuration
    except ImportError:
        raise UsageError(
            "The scheduler slurm needs the package dask-jobqueue, which is not installed.",
            remedy="Install it: pip install 'geopanoptic[cluster]'.",
        ) from None
    # Version 0.9 makes Ctrl-C an exit without a word as it is imported. Only the main thread has a say in that.
    if signal.getsignal(signal.SIGINT) is not on_interrupt and on_interrupt is not None:
        with suppress(ValueError):
            signal.signal(signal.SIGINT, on_interrupt)
