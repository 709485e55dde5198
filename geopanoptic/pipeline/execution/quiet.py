"""What Dask loads into the worker processes of this machine: they leave Ctrl-C and failures to the one that they work for.

A shell sends Ctrl-C to all processes of a command; each worker would show where it was.
"""

from __future__ import annotations

import signal

from distributed import Worker


def dask_setup(worker: Worker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
