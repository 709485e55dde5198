"""What Dask loads into the worker processes of this machine: they leave Ctrl-C and failures to the one that they work for.

A shell sends Ctrl-C to all processes of a command; each worker would show where it was. What fails in a task is told by
the run; Dask would show it as often as it tries.
"""

from __future__ import annotations

import logging
import signal

from distributed import Worker

LOGGER = "distributed"


def dask_setup(worker: Worker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger(LOGGER).setLevel(logging.CRITICAL)
