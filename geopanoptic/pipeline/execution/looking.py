"""A thread that looks after what a run waits for, and ends the waiting where that is in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def looked_after(
    look: Callable[[], object],
    *,
    every_s: float,
    end: Callable[[], None],
    name: str,
    patience_s: float | None = None,
) -> Iterator[None]:
    """Within, a thread calls ``look`` every ``every_s`` seconds.

    What that raises is raised here: ``end`` makes fail what the run waits for, again and again for what was on its way.
    At the end a look that is under way is waited for, ``patience_s`` at the most; the thread goes with the process.
    """
    over = threading.Event()
    refusals: list[Exception] = []

    def look_after() -> None:
        while not over.wait(every_s):
            try:
                look()
            except Exception as refusal:
                refusals.append(refusal)
                end()
                while not over.wait(every_s):
                    end()

    thread = threading.Thread(target=look_after, name=name, daemon=True)
    thread.start()
    try:
        yield
    except Exception as failure:
        # What fails after the end does so for that.
        if refusals:
            raise refusals[0] from None
        raise failure
    finally:
        over.set()
        thread.join(patience_s)
