"""Tasks for tests of executors: in a module of their own, which worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass


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
