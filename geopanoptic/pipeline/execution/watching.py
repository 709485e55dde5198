"""A cluster that somebody else keeps: told where it has no workers left, and given up where none come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geopanoptic.errors import ResourceError
from geopanoptic.pipeline.execution.looking import looked_after
from geopanoptic.pipeline.execution.on_dask import OnDask

LOOK_S = 5.0
GIVE_UP_S = 900.0
"""Adaptive clusters and job queues take minutes to give new workers."""


@contextmanager
def watched(executor: OnDask, say: Callable[[str], None]) -> Iterator[None]:
    """Looked at by a thread: tasks of a cluster without workers would wait for ever, in silence.

    Raises ResourceError where none come back for ``GIVE_UP_S``.
    """
    address = executor.client.scheduler.address  # type: ignore[union-attr]
    without_s = 0.0

    def look() -> None:
        nonlocal without_s
        try:
            present = executor.present()
        except ResourceError:  # told by the task that waits for it, unless the scheduler was just busy
            return
        # Adaptive clusters let their workers go while a stage needs none.
        if present or not executor.waits:
            if present and without_s:
                say(f"{present} at work again.")
            without_s = 0.0
            return
        if not without_s:
            say(
                f"No worker is left at {address}. The run goes on as soon as there is one "
                f"(dask worker {address}), and waits {GIVE_UP_S / 60:.0f} minutes for it."
            )
        without_s += LOOK_S
        if without_s >= GIVE_UP_S:
            raise ResourceError(
                f"No worker came back to the Dask scheduler {address} within {GIVE_UP_S / 60:.0f} minutes.",
                remedy=f"Start some (dask worker {address}), and continue with --resume. Where they died, it was "
                "mostly for lack of memory: give a smaller --memory.",
            )

    # A scheduler that hangs never answers a look.
    with looked_after(look, every_s=LOOK_S, end=executor.give_up, name="workers", patience_s=LOOK_S):
        yield
