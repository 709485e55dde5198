"""From a crew to the executor that it works for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from geopanoptic.pipeline.execution.crew import PROCESSES, SLURM, THREADS, Crew
from geopanoptic.pipeline.execution.executor import Executor
from geopanoptic.pipeline.execution.threads import Threads
from geopanoptic.pipeline.progress import Progress

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def open_executor(
    crew: Crew, *, folder: Path, progress: Progress, client: Client | None = None
) -> Iterator[Executor]:
    """Start or join the crew; what was started ends with the context. Tasks share ``folder``.

    Raises as ``local_processes``, ``connected``, ``require_package``, ``require_shared`` and ``slurm_jobs``.
    """
    if crew.scheduler == THREADS:
        yield Threads(workers=crew.threads)
        return
    from geopanoptic.pipeline.execution.clusters import (
        connected,
        local_processes,
        require_package,
        require_shared,
    )
    from geopanoptic.pipeline.execution.on_dask import OnDask
    from geopanoptic.pipeline.execution.watching import watched

    if crew.scheduler == PROCESSES:
        with local_processes(crew) as local:
            yield OnDask(client=local)
        return
    if crew.scheduler == SLURM:
        from geopanoptic.pipeline.execution.slurm import slurm_jobs

        # Jobs come one by one: the first must not be taken for all.
        cluster, expected = slurm_jobs(crew, folder=folder, say=progress.note), crew.processes * crew.threads
    else:
        cluster, expected = connected(crew.scheduler, client), 1
    with cluster as joined:
        require_package(joined)
        require_shared(joined, folder)
        executor = OnDask(client=joined, expected=expected)
        with nullcontext() if crew.scheduler == SLURM else watched(executor, progress.note):
            yield executor
