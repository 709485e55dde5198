"""A progress that interferes with a run at a known moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

from geopanoptic.pipeline.progress import Silent


class AtFirstBlock(Silent):
    """Acts once, when the first block of the network's stage is done; whether it has is ``acted``."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act, self.acted = act, False

    @contextmanager
    def stage(self, name, *, total, unit):
        with super().stage(name, total=total, unit=unit) as counter:
            yield self if name == "network" else counter

    def advance(self, amount: float) -> None:
        if not self.acted:
            self.act()
            self.acted = True
