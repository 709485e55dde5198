"""Slurm jobs as Dask workers, through dask-jobqueue (the extra ``cluster``).

What a job asks for (cores, memory, walltime, queue) is dask-jobqueue's own configuration, ``jobqueue.slurm``;
configs/slurm.yaml is a start, named by the environment variable ``DASK_CONFIG``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask
from distributed import Client

from geopanoptic.errors import ResourceError, UsageError
from geopanoptic.pipeline.execution.crew import Crew

# Workers leave before their job's walltime ends, at different moments, so that their tasks move on in peace.
LIFETIME = ["--lifetime", "50m", "--lifetime-stagger", "5m"]


def threads_per_job() -> int:
    """Cores of a job, as configured. Raises UsageError where dask-jobqueue or its settings are missing."""
    _require_jobqueue()
    cores = dask.config.get("jobqueue.slurm.cores", None)
    if cores is None or dask.config.get("jobqueue.slurm.memory", None) is None:
        raise UsageError(
            "Nothing says what a Slurm job may use.",
            remedy="Copy configs/slurm.yaml, set cores, memory, walltime and queue there, and name it in DASK_CONFIG.",
        )
    return int(cores)


@contextmanager
def slurm_jobs(crew: Crew) -> Iterator[Client]:
    """``crew.processes`` jobs, kept at that number while the run lasts; a job that ends is replaced.

    Raises ResourceError where jobs cannot be submitted.
    """
    _require_jobqueue()
    from dask_jobqueue import SLURMCluster

    configured = dask.config.get("jobqueue.slurm.worker-extra-args", None)
    try:
        with (
            SLURMCluster(processes=1, worker_extra_args=configured or LIFETIME) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            cluster.adapt(minimum_jobs=crew.processes, maximum_jobs=crew.processes)
            yield client
    except (FileNotFoundError, RuntimeError) as error:
        if "sbatch" not in str(error):
            raise
        raise ResourceError(
            f"Jobs cannot be submitted: {error}", remedy="Run on a machine from which `sbatch` works."
        ) from None


def _require_jobqueue() -> None:
    try:
        import dask_jobqueue  # noqa: F401  brings its own configuration
    except ImportError:
        raise UsageError(
            "The scheduler slurm needs the package dask-jobqueue, which is not installed.",
            remedy="Install it: pip install 'geopanoptic[cluster]'.",
        ) from None
