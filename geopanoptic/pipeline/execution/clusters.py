"""Dask clusters of a run: processes of this machine, or a scheduler that somebody else started."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.comm import connect
from distributed.security import Security

from geopanoptic.errors import ResourceError, UsageError
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.execution.loss import asking_scheduler
from geopanoptic.pipeline.execution.quiet import LOGGER

CONNECT_S = 10
PACKAGE = "geopanoptic"
_hushing = Lock()
_levels: list[int] = []


@contextmanager
def local_processes(crew: Crew) -> Iterator[Client]:
    """Worker processes on this machine, spawned (GDAL and CUDA do not survive a fork), not seen from outside.

    Raises ResourceError where they do not start.
    """
    settings = {
        "distributed.worker.multiprocessing-method": "spawn",
        **_also_loading(f"{__package__}.quiet"),
        # After 15 s, Dask's default, a busy machine has not yet started a process in the place of one that died:
        # Dask would give it up, and the tasks would wait for ever.
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with (
        dask.config.set(settings),
        _hushed(),
        _started(crew) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _also_loading(module: str) -> dict[str, list[Any]]:
    """Settings of Dask by which workers load a module after what a user's own configuration names."""
    named, arguments = (dask.config.get(f"distributed.worker.{each}") for each in ("preload", "preload-argv"))
    named = [named] if isinstance(named, str) else named
    if arguments and isinstance(arguments[0], str):
        arguments = [arguments] * len(named)
    return {
        "distributed.worker.preload": [*named, module],
        "distributed.worker.preload-argv": [*arguments, []] if arguments else [],
    }


@contextmanager
def _hushed() -> Iterator[None]:
    """Dask's own words about workers that end late, die or are replaced are for nobody."""
    logger = logging.getLogger(LOGGER)
    with _hushing:
        _levels.append(logger.level)
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        with _hushing:
            # Of several runs at a time, the last puts back what the first has found.
            before = _levels.pop()
            if not _levels:
                logger.setLevel(before)


def _started(crew: Crew, *, once_more: bool = True) -> LocalCluster:
    """Dask replaces processes that die later, but gives up where one dies while it starts: so it is asked twice."""
    try:
        return LocalCluster(
            n_workers=crew.processes,
            threads_per_worker=crew.threads,
            processes=True,
            dashboard_address="127.0.0.1:0",
        )
    except RuntimeError as failure:
        if once_more:
            return _started(crew, once_more=False)
        # A process that is spawned imports the script that was started, and with it what the script calls.
        raise ResourceError(
            f"The worker processes did not start: {failure}",
            remedy="Take fewer --workers or --scheduler threads. A Python script must call this under "
            '`if __name__ == "__main__":`.',
        ) from None


@contextmanager
def connected(address: str, client: Client | None = None) -> Iterator[Client]:
    """``client`` itself, which stays open, or one for the scheduler at ``address``.

    Raises ResourceError where no scheduler answers, UsageError for an address that is none.
    """
    if client is not None:
        yield client
        return
    try:
        # A client that cannot connect says so once more, with a traceback, when it is thrown away.
        # In a thread of its own, for a notebook's runs a loop already.
        with ThreadPoolExecutor(1) as beside:
            beside.submit(asyncio.run, asyncio.wait_for(_knock(address), CONNECT_S)).result()
        own = Client(address, timeout=CONNECT_S, set_as_default=False)
    except OSError:
        raise ResourceError(
            f"No Dask scheduler answers at {address}.",
            remedy="Start one with `dask scheduler` and workers with `dask worker`, or check the address.",
        ) from None
    except ValueError as error:
        raise UsageError(
            f"{address!r} is not the address of a Dask scheduler: {error}.",
            remedy="Write it like tcp://HOST:8786.",
        ) from None
    except TypeError as error:
        if not address.startswith("tls://"):
            raise UsageError(
                f"The Dask scheduler at {address} cannot be reached: {error}.",
                remedy="Write it like tcp://HOST:8786.",
            ) from None
        raise UsageError(
            f"The Dask scheduler at {address} cannot be reached in safety: {error}.",
            remedy="Name the certificates in Dask's configuration (distributed.comm.tls), or write tcp://HOST:8786.",
        ) from None
    with own:
        yield own


async def _knock(address: str) -> None:
    arguments = Security().get_connection_args("client")
    comm = await connect(address, timeout=CONNECT_S, **arguments)
    await comm.close()


def size_of(client: Client) -> tuple[int, int]:
    """Workers of a cluster and the threads of the smallest. Raises ResourceError where it has none."""
    with asking_scheduler(client):
        threads = client.nthreads().values()
    if not threads:
        raise ResourceError(
            f"The Dask scheduler {client.scheduler.address} has no workers.",
            remedy=f"Start some: dask worker {client.scheduler.address}",
        )
    return len(threads), min(threads)


def require_package(client: Client) -> None:
    """Raises ResourceError where workers do not have this package, or another version of it."""
    with asking_scheduler(client):
        found = client.run(version, PACKAGE, on_error="return")
    for address, theirs in found.items():
        if theirs != version(PACKAGE):
            raise ResourceError(
                f"The worker {address} has {PACKAGE} {theirs}, not {version(PACKAGE)}."
                if isinstance(theirs, str)
                else f"The worker {address} does not have the package {PACKAGE}: {theirs}.",
                remedy=f"Install {PACKAGE} {version(PACKAGE)} in the Python environment of the workers.",
            )


def require_shared(client: Client, folder: Path) -> None:
    """Raises UsageError where a worker does not see ``folder``, in which tasks leave their results."""
    with asking_scheduler(client):
        seen = client.run(os.path.isdir, os.fspath(folder))
    blind = [address for address, sees in seen.items() if not sees]
    if blind:
        raise UsageError(
            f"The work folder {folder} is not there for {len(blind)} workers, such as {blind[0]}.",
            remedy="Name a folder that all machines share with --work.",
        )
