"""Compiled functions over parts of their work at the same time: they release the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")

_PARTS_PER_WORKER = 4


def over_parts(work: Callable[[int, int], Value], count: int, workers: int) -> list[Value]:
    """``work(begin, end)`` of successive parts of 0..``count``, on so many threads; at least one part."""
    n_parts = max(min(workers * _PARTS_PER_WORKER, count), 1) if workers > 1 else 1
    bounds = [count * part // n_parts for part in range(n_parts + 1)]
    if n_parts == 1:
        return [work(0, count)]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(work, bounds[:-1], bounds[1:]))
