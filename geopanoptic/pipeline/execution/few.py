"""Tasks of which fewer than there are threads may be under way in a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from threading import BoundedSemaphore
from typing import Generic

from geopanoptic.pipeline.execution.executor import Item, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class FewAtATime(Generic[Item, Value]):
    """A task that waits, holding nothing, where ``at_a_time`` like it are under way in its process."""

    task: Callable[[Item], Value]
    at_a_time: int

    def __call__(self, item: Item) -> Value:
        with _turns(self.at_a_time):
            return self.task(item)


@cache
def _turns(at_a_time: int) -> BoundedSemaphore:
    return BoundedSemaphore(at_a_time)
