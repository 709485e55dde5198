"""Runs one function over many blocks on threads, with a bounded number in flight.

The heavy work of every stage releases the interpreter lock (numba, GDAL, torch), so threads are enough on
one machine. Results come in the order of the items, whatever finished first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


def map_blocks(function: Callable[[Item], Value], items: Iterable[Item], *, workers: int) -> Iterator[Value]:
    """Yield ``function(item)`` in the items' order; at most ``2 * workers`` items are under way.

    The first exception is raised at its place and whatever has not started is cancelled.
    """
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="geopanoptic")
    under_way: deque[Future[Value]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
