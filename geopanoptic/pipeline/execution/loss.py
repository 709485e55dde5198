"""A Dask scheduler that is lost while a run needs it: told in one way, whatever Dask makes of it.

A client that loses its scheduler cancels what is under way at once, looks for a new one for a few seconds and
then closes itself; where there is a new one, it knows nothing of the run. Depending on the moment that shows as
a cancelled future, a closed connection, a time limit or a closed client.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

from distributed import Client
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError

from geopanoptic.errors import ResourceError

LOSSES = (CancelledError, CommClosedError, ClosedClientError)
"""What a task's result may raise that the task itself never does."""


@contextmanager
def asking_scheduler(client: Client) -> Iterator[None]:
    """Around calls that the scheduler answers itself; raises ResourceError where it is lost."""
    if client.status != "running":
        raise lost_scheduler()
    try:
        yield
    except (*LOSSES, OSError) as error:
        raise lost_scheduler() from error


def lost_scheduler() -> ResourceError:
    """The refusal of a run whose scheduler is lost."""
    return ResourceError(
        "The Dask scheduler was lost.",
        remedy="Start it again, with workers, and continue with --resume.",
    )
