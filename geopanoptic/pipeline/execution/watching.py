"""A cluster that somebody else keeps: told where it has no workers left, and given up where none come back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geopanoptic.errors import ResourceError
from geopanoptic.pipeline.execution.on_dask import OnDask

LOOK_S = 5.0
GIVE_UP_S = 900.0
"""Adaptive clusters and job queues take minutes to give new workers."""


@contextmanager
def watched(executor: OnDask, say: Callable[[str], None]) -> Iterator[None]:
    """Looked at by a thread: tasks of a cluster without workers would wait for ever, in silence.

    Raises ResourceError where none come back for ``GIVE_UP_S``.
    """
    over = threading.Event()
    refusals: list[ResourceError] = []
    address = executor.client.scheduler.address  # type: ignore[union-attr]

    def look_after() -> None:
        without_s = 0.0
        while not over.wait(LOOK_S):
            try:
                present = executor.present()
            except ResourceError:  # told by the task that waits for it, unless the scheduler was just busy
                continue
            # Adaptive clusters let their workers go while a stage needs none.
            if present or not executor.waits:
                if present and without_s:
                    say(f"{present} at work again.")
                without_s = 0.0
                continue
            if not without_s:
                say(
                    f"No worker is left at {address}. The run goes on as soon as there is one "
                    f"(dask worker {address}), and waits {GIVE_UP_S / 60:.0f} minutes for it."
                )
            without_s += LOOK_S
            if without_s >= GIVE_UP_S:
                refusals.append(
                    ResourceError(
                        f"No worker came back to the Dask scheduler {address} within {GIVE_UP_S / 60:.0f} minutes.",
                        remedy=f"Start some (dask worker {address}), and continue with --resume. Where they died, it was "
                        "mostly for lack of memory: give a smaller --memory.",
                    )
                )
                executor.give_up()
                # Again what was on its way to the scheduler by then.
                while not over.wait(LOOK_S):
                    executor.give_up()
                return

    thread = threading.Thread(target=look_after, name="workers", daemon=True)
    thread.start()
    try:
        yield
    except Exception as failure:
        # What fails after the tasks were given up does so for that.
        if refusals:
            raise refusals[0] from None
        raise failure
    finally:
        over.set()
        # A scheduler that hangs answers never; the thread goes with the process.
        thread.join(LOOK_S)
