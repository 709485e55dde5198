"""Tasks on the workers of a Dask cluster.

Plain futures in a bounded window, no task graph: a scene of any size costs the client and the scheduler the
same memory. What a task needs beside its item (scene, paths, rules) travels once, as the result of a task of
its own, which the scheduler computes again where a worker that held it is lost.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from distributed import Client, Future, KilledWorker
from tornado.platform.asyncio import BaseAsyncIOLoop

from geopanoptic.errors import ResourceError
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS, Item, Value, in_order
from geopanoptic.pipeline.execution.loss import LOSSES, asking_scheduler, lost_scheduler
from geopanoptic.products.report import peak_memory_bytes

RETRIES = 3
"""Times that a task which raised is tried again, elsewhere where possible."""

GPU = "GPU"
"""Dask resource of workers that have a GPU: ``dask worker ... --resources GPU=1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDask:
    """An executor over a connected client, with as many workers as the cluster has threads by now, or soon."""

    client: Client
    expected: int = 1
    """Threads that the cluster is to have, where workers are still on their way."""
    _under_way: set[concurrent.futures.Future[Any]] = field(default_factory=set, compare=False)
    _on_gpu: set[concurrent.futures.Future[Any]] = field(default_factory=set, compare=False)

    @property
    def workers(self) -> int:
        return max(sum(self.client.nthreads().values()), self.expected)

    def map(
        self,
        function: Callable[[Item], Value],
        items: Sequence[Item],
        *,
        network: bool = False,
        failed: Callable[[Item, Exception], Value] | None = None,
    ) -> Iterator[Value]:
        """See ``Executor.map``. A task that raises is tried again ``RETRIES`` times; one whose worker dies
        moves to another until the scheduler has lost too many (``distributed.scheduler.allowed-failures``).
        The scheduler suspects every task that waited on those workers, so that such a task is tried again by
        itself, when nothing else of this map is under way, before it is refused.

        Raises ResourceError for such a task, and where the scheduler is lost.
        """
        with asking_scheduler(self.client):
            window = 2 * self.workers
            resources = self._resources() if network else None
            loop = cast(BaseAsyncIOLoop, self.client.loop).asyncio_loop
            held = self.client.submit(_itself, function, pure=False)
        under_way = self._under_way

        def submit(item: Item, held: Future = held) -> concurrent.futures.Future[Value]:
            with asking_scheduler(self.client):
                future = self.client.submit(
                    _compute, held, item, pure=False, retries=RETRIES, resources=resources
                )
            # Fetched as it completes; whatever goes wrong on the way arrives here too.
            fetched: concurrent.futures.Future[Value] = asyncio.run_coroutine_threadsafe(
                _result(future), loop
            )
            for waiting in (under_way, self._on_gpu) if resources else (under_way,):
                waiting.add(fetched)
                fetched.add_done_callback(waiting.discard)
            return fetched

        def alone(item: Item) -> Value:
            concurrent.futures.wait(tuple(under_way))
            with asking_scheduler(self.client):
                # Anew, for it may have been suspected, too.
                held = self.client.submit(_itself, function, pure=False)
            return submit(item, held).result()

        def told(item: Item, error: Exception) -> Value:
            if isinstance(error, KilledWorker):
                try:
                    return alone(item)
                except Exception as again:
                    error = again
            if isinstance(error, LOSSES) or self.client.status != "running":
                raise lost_scheduler() from error
            if isinstance(error, KilledWorker):
                error = ResourceError(
                    "Every worker that tried this part died, which is mostly a lack of memory.",
                    remedy="Give a smaller --memory or fewer --workers, or leave the part out with --on-error skip.",
                )
            if failed is None:
                raise error
            return failed(item, error)

        yield from in_order(submit, items, window=window, failed=told)

    def everywhere(self, function: Callable[[], Value]) -> list[Value]:
        """See ``Executor.everywhere``."""
        with suppress(ResourceError), asking_scheduler(self.client):
            return list(self.client.run(function, on_error="ignore").values())
        return []

    def worker_peak_bytes(self) -> int | None:
        """See ``Executor.worker_peak_bytes``."""
        try:
            with asking_scheduler(self.client):
                peaks = self.client.run(peak_memory_bytes, on_error="ignore").values()
        except ResourceError:  # a figure for the report: no reason to lose a map that is computed
            return None
        return max((peak for peak in peaks if peak is not None), default=None)

    @property
    def waits(self) -> bool:
        """Whether a task is under way."""
        return bool(self._under_way)

    def present(self) -> int:
        """Workers that take what is under way: those with a GPU where that needs one. Raises ResourceError where the
        scheduler does not answer."""
        with asking_scheduler(self.client):
            described = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(not self._on_gpu or bool(worker["resources"].get(GPU)) for worker in described)

    def give_up(self) -> None:
        """What waits for a task of this executor fails."""
        for fetched in tuple(self._under_way):
            fetched.cancel()

    def _resources(self) -> Mapping[str, float] | None:
        described = self.client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["resources"].get(GPU) for worker in described):
            return {GPU: 1 / NETWORK_TASKS}
        return None


def _itself(function: Callable[[Item], Value]) -> Callable[[Item], Value]:
    return function


def _compute(function: Callable[[Item], Value], item: Item) -> Value:
    return function(item)


async def _result(future: Future) -> Value:
    return await future
