"""Tasks for tests of executors: in a module of their own, which worker processes can import."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """Squares after a pause that makes later items finish first; fails on ``bad``, dies on ``deadly``."""

    bad: int | None = None
    deadly: int | None = None
    pause_s: float = 0.0

    def __call__(self, number: int) -> int:
        time.sleep(self.pause_s * (number % 3 == 0))
        if number == self.bad:
            raise ValueError(f"{number} is bad")
        if number == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number


def serve_cluster(addresses: SimpleQueue[str]) -> None:
    """A Dask scheduler with one worker, which live until this process is killed; puts their address."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, protocol="tcp", processes=False, dashboard_address=None
    ) as cluster:
        addresses.put(cluster.scheduler_address)
        signal.pause()


def what_a_worker_has(module: str) -> tuple[bool, object, int]:
    """Whether it has loaded a module, what Ctrl-C does, and from which level on Dask speaks."""
    return module in sys.modules, signal.getsignal(signal.SIGINT), logging.getLogger("distributed").level
