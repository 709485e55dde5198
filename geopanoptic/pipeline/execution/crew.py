"""Who computes a run: known before anything is started, so that a plan can be made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geopanoptic.cores import usable_cores
from geopanoptic.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from geopanoptic.pipeline.execution.executor import Executor

THREADS, PROCESSES, SLURM = "threads", "processes", "slurm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """``processes`` worker processes of ``threads`` threads each, started or reached by ``scheduler``."""

    scheduler: str
    processes: int
    threads: int
    memory_bytes: int | None = None
    """Memory of each process, where that is not what this machine has free."""

    @classmethod
    def of_threads(cls, threads: int | None = None) -> Crew:
        """This process, by default with one thread per core that it may use."""
        return cls(scheduler=THREADS, processes=1, threads=threads or usable_cores())

    @property
    def is_local(self) -> bool:
        """Whether all of them share this machine's memory and cores."""
        return self.scheduler in (THREADS, PROCESSES)

    @property
    def sharing(self) -> int:
        """Processes that share one memory budget."""
        return self.processes if self.is_local else 1


def crew_for(
    scheduler: str, *, workers: int | None, threads: int | None, client: Client | None = None
) -> Crew:
    """The crew that a user asks for; an address or ``client`` is asked what it has.

    Raises UsageError for an unknown scheduler, numbers below 1 and a ``client`` that is none or whose answers have to be
    awaited, ResourceError where nothing answers at an address or it has no workers.
    """
    for option, number in (("--workers", workers), ("--threads", threads)):
        if number is not None and number < 1:
            raise UsageError(f"{option} is {number}.", remedy=f"Give {option} a number of at least 1.")
    if client is not None or "://" in scheduler:
        from geopanoptic.pipeline.execution.clusters import connected, size_of

        if workers is not None:
            raise UsageError(
                f"--workers {workers} is asked for, and the Dask cluster has workers of its own.",
                remedy="Leave --workers out, or start more workers there.",
            )
        # An address has no such attribute.
        if client is not None and getattr(client, "asynchronous", True):
            raise UsageError(
                f"client= takes a distributed.Client that answers at once, not {client!r}.",
                remedy="Make it without asynchronous=True, or give the scheduler's address: scheduler='tcp://HOST:PORT'.",
            )
        with connected(scheduler, client) as cluster:
            processes, found = size_of(cluster)
            address = cluster.scheduler.address
        return Crew(scheduler=address, processes=processes, threads=threads or found)
    match scheduler:
        case "threads":
            return Crew.of_threads(threads or workers)
        case "processes":
            each = threads or 1
            return Crew(
                scheduler=PROCESSES, processes=workers or max(usable_cores() // each, 1), threads=each
            )
        case "slurm":
            from geopanoptic.pipeline.execution.slurm import job_settings

            job = job_settings()
            return Crew(
                scheduler=SLURM,
                processes=workers or 1,
                threads=threads or job.cores,
                memory_bytes=job.memory_bytes,
            )
        case _:
            raise UsageError(
                f"There is no scheduler {scheduler!r}.",
                remedy="Use threads, processes, slurm or the address of a Dask scheduler, tcp://HOST:PORT.",
            )


def local_workers(executor: Executor) -> int:
    """Threads for steps over the whole scene, which this process takes while workers, here or elsewhere, wait."""
    return min(executor.workers, usable_cores())
