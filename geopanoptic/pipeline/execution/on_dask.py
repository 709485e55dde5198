"""Tasks on the workers of a Dask cluster.

Plain futures in a bounded window, no task graph: a scene of any size costs the client and the scheduler the
same memory. What a task needs beside its item (scene, paths, rules) travels once, as the result of a task of
its own, which the scheduler computes again where a worker that held it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import NoReturn

from distributed import Client, KilledWorker

from geopanoptic.errors import ResourceError
from geopanoptic.pipeline.execution.executor import NETWORK_TASKS, Item, Value, in_order

RETRIES = 3
"""Times that a task which raised is tried again, elsewhere where possible."""

GPU = "GPU"
"""Dask resource of workers that have a GPU: ``dask worker ... --resources GPU=1``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDask:
    """An executor over a connected client, with as many workers as the cluster has threads by now."""

    client: Client

    @property
    def workers(self) -> int:
        return max(sum(self.client.nthreads().values()), 1)

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

        Raises ResourceError for such a task, and where the scheduler is lost.
        """
        held = self.client.submit(_itself, function, pure=False)
        pool = self.client.get_executor(
            pure=False, retries=RETRIES, resources=self._resources() if network else None
        )

        def told(item: Item, error: Exception) -> Value:
            if isinstance(error, CancelledError):
                self._lost(error)
            if isinstance(error, KilledWorker):
                error = ResourceError(
                    "Every worker that tried this part died, which is mostly a lack of memory.",
                    remedy="Give a smaller --memory or fewer --workers, or leave the part out with --on-error skip.",
                )
            if failed is None:
                raise error
            return failed(item, error)

        yield from in_order(
            lambda item: pool.submit(_compute, held, item), items, window=2 * self.workers, failed=told
        )

    def _resources(self) -> Mapping[str, float] | None:
        described = self.client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["resources"].get(GPU) for worker in described):
            return {GPU: 1 / NETWORK_TASKS}
        return None

    def _lost(self, error: Exception) -> NoReturn:
        raise ResourceError(
            f"The Dask scheduler {self.client.scheduler.address} was lost.",
            remedy="Start it again and continue with --resume.",
        ) from error


def _itself(function: Callable[[Item], Value]) -> Callable[[Item], Value]:
    return function


def _compute(function: Callable[[Item], Value], item: Item) -> Value:
    return function(item)
