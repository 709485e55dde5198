"""Tasks on threads of this process: numba, GDAL and torch release the interpreter lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from geopanoptic.pipeline.execution.executor import NETWORK_TASKS, Item, Value, in_order

_INTERRUPTED = "geopanoptic-interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """An executor of ``workers`` threads, which live for one ``map``."""

    workers: int

    def map(
        self,
        function: Callable[[Item], Value],
        items: Sequence[Item],
        *,
        network: bool = False,
        failed: Callable[[Item, Exception], Value] | None = None,
    ) -> Iterator[Value]:
        """See ``Executor.map``."""
        n_threads = NETWORK_TASKS if network else self.workers
        threads: list[threading.Thread] = []
        pool = ThreadPoolExecutor(
            max_workers=n_threads,
            thread_name_prefix="geopanoptic",
            initializer=lambda: threads.append(threading.current_thread()),
        )
        try:
            yield from in_order(
                lambda item: pool.submit(function, item), items, window=2 * n_threads, failed=failed
            )
        except BaseException as failure:
            # Someone who interrupts does not wait for tiles under way; after a failure nothing may go on.
            interrupted = not isinstance(failure, Exception)
            for thread in threads if interrupted else ():
                thread.name = _INTERRUPTED
            pool.shutdown(wait=not interrupted, cancel_futures=True)
            raise
        pool.shutdown()

    def everywhere(self, function: Callable[[], Value]) -> list[Value]:
        """See ``Executor.everywhere``."""
        with suppress(Exception):
            return [function()]
        return []

    def worker_peak_bytes(self) -> None:
        """See ``Executor.worker_peak_bytes``."""


def wait_for_interrupted() -> None:
    """Wait for the tasks that an interrupted run of this process has left behind: they still write its blocks."""
    for thread in threading.enumerate():
        if thread.name == _INTERRUPTED:
            thread.join()
