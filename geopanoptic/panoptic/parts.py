"""How work on a whole scene, its graph or its borders, is divided: into parts, for any number of threads.

The parts follow from the work alone, never from the threads, and so does what comes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

Map = Callable[..., Iterator[Any]]
"""``map``, or that of a pool of threads: results in the order of the items."""

_PARTS = 16

Value = TypeVar("Value")


def over_parts(work: Callable[[int, int], Value], count: int, each: Map) -> list[Value]:
    """``work(begin, end)`` of successive parts of 0..``count``, at least one."""
    n_parts = max(min(_PARTS, count), 1)
    bounds = [count * part // n_parts for part in range(n_parts + 1)]
    return list(each(work, bounds[:-1], bounds[1:]))


def places_of(part: NDArray[np.integer], n_parts: int) -> list[NDArray[np.int64]]:
    """Where in ``part`` (m,) each of the numbers 0 to ``n_parts`` - 1 stands, ascending."""
    # Of numbers this small numpy counts instead of comparing.
    order = np.argsort(part.astype(np.min_scalar_type(n_parts)), kind="stable")
    return np.split(order, np.cumsum(np.bincount(part, minlength=n_parts))[:-1])


@njit(nogil=True, cache=True)
def z_order(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of pixels (n,) on a curve of which every stretch covers compact ground (Morton, 1966)."""
    place = np.zeros(len(rows), np.int64)
    for bit in range(31):
        for i in range(len(rows)):
            place[i] |= (cols[i] >> bit & 1) << 2 * bit | (rows[i] >> bit & 1) << 2 * bit + 1
    return place
