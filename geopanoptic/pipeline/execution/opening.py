"""From a crew to the executor that it works for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from geopanoptic.pipeline.execution.crew import PROCESSES, SLURM, THREADS, Crew
from geopanoptic.pipeline.execution.executor import Executor
from geopanoptic.pipeline.execution.threads import Threads

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def open_executor(crew: Crew, *, folder: Path, client: Client | None = None) -> Iterator[Executor]:
    """Start or join the crew; what was started ends with the context. Tasks share ``folder``.

    Raises as ``connected``, ``require_shared`` and ``slurm_jobs``.
    """
    if crew.scheduler == THREADS:
        yield Threads(workers=crew.threads)
        return
    from geopanoptic.pipeline.execution.clusters import connected, local_processes, require_shared
    from geopanoptic.pipeline.execution.on_dask import OnDask

    if crew.scheduler == PROCESSES:
        with local_processes(crew) as local:
            yield OnDask(client=local)
    elif crew.scheduler == SLURM:
        from geopanoptic.pipeline.execution.slurm import slurm_jobs

        with slurm_jobs(crew) as jobs:
            yield OnDask(client=jobs)
    else:
        with connected(crew.scheduler, client) as joined:
            require_shared(joined, folder)
            yield OnDask(client=joined)
