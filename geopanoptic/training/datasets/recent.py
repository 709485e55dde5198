"""What was read last, kept up to a number of bytes: of files whose sizes differ by orders of magnitude."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


class Recent(Generic[Key, Value]):
    """``read`` of a key, for any thread; what was asked for last is kept, up to ``limit_bytes`` and one at least."""

    def __init__(self, read: Callable[[Key], Value], *, limit_bytes: int) -> None:
        self._read, self._limit_bytes = read, limit_bytes
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, key: Key) -> Value:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # A thread that asks for what is being read reads it a second time, to the same end.
        value = self._read(key)
        with self._lock:
            self._kept[key] = value
            while (
                len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self._limit_bytes
            ):
                self._kept.popitem(last=False)
        return value
