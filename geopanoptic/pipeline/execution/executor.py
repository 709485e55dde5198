"""What every stage asks of the machine: one function over many items, results in order, few in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Semaphore
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

NETWORK_TASKS = 2
"""Tasks that share a network: while one has it, the other reads, quantises and stores."""

# Results that wait for an earlier, slower one, in windows: bounds memory, and keeps workers busy meanwhile.
_WINDOWS_KEPT = 4


class Executor(Protocol):
    """Runs functions on workers. Functions and items are picklable values, never closures."""

    @property
    def workers(self) -> int:
        """Tasks that are computed at the same time."""

    def map(
        self,
        function: Callable[[Item], Value],
        items: Sequence[Item],
        *,
        network: bool = False,
        failed: Callable[[Item, Exception], Value] | None = None,
    ) -> Iterator[Value]:
        """Yield ``function(item)`` in the items' order; about ``2 * workers`` tasks are under way.

        ``network``: the function runs a network, which takes a whole process or GPU; ``NETWORK_TASKS`` of them
        share one. Where a task fails, ``failed(item, error)`` gives the value in its place or raises; without it the
        first exception is raised at its place. Whatever has not started by then is cancelled.
        """

    def everywhere(self, function: Callable[[], Value]) -> list[Value]:
        """Call ``function`` once in every process that computes at the moment; the values of those where it did not fail."""

    def worker_peak_bytes(self) -> int | None:
        """Largest resident size that one of the worker processes has had in its life, of those that are there.

        None where this process is the worker, and where it cannot be known.
        """


def in_order(
    submit: Callable[[Item], Future[Value]],
    items: Sequence[Item],
    *,
    window: int,
    failed: Callable[[Item, Exception], Value] | None = None,
) -> Iterator[Value]:
    """The loop behind ``Executor.map``: submit as tasks complete, at most ``window`` unfinished."""
    free = Semaphore(window)
    under_way: deque[tuple[Item, Future[Value]]] = deque()

    def first() -> Value:
        item, future = under_way.popleft()
        try:
            return future.result()
        except Exception as error:
            if failed is None:
                raise
            return failed(item, error)

    try:
        for item in items:
            free.acquire()
            future = submit(item)
            future.add_done_callback(lambda _: free.release())
            under_way.append((item, future))
            while under_way and (under_way[0][1].done() or len(under_way) > _WINDOWS_KEPT * window):
                yield first()
        while under_way:
            yield first()
    finally:
        for _, future in under_way:
            future.cancel()
