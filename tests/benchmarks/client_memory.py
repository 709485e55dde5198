"""What a hundred thousand tasks on Dask add to the memory of the process that hands them out.

``python tests/benchmarks/client_memory.py [--tasks 100000]``: worker processes of this machine compute
trivial tasks through the same executor as a run's stages. Client and scheduler are one process here, as with
``--scheduler processes``. Prints its growth in resident memory over the tasks, and the tasks per second.
"""

from __future__ import annotations

import argparse
import gc
import time
from dataclasses import dataclass

import psutil

from geopanoptic.grid import Window
from geopanoptic.pipeline.dense import DenseCount
from geopanoptic.pipeline.execution.clusters import local_processes
from geopanoptic.pipeline.execution.crew import crew_for
from geopanoptic.pipeline.execution.on_dask import OnDask

BLOCK_PX = 1024
WARM_UP = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class CountBlock:
    """Task: the result of the dense stage for a block, without the work."""

    def __call__(self, block: Window) -> DenseCount:
        return DenseCount(network_px=block.size_px, core_px=block.size_px, network_s=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    process = psutil.Process()
    with local_processes(crew_for("processes", workers=options.workers, threads=1)) as client:
        executor = OnDask(client=client)
        blocks = [Window(row, 0, row + BLOCK_PX, BLOCK_PX) for row in range(options.tasks)]
        compute(executor, blocks[:WARM_UP])
        before = process.memory_info().rss
        started = time.perf_counter()
        compute(executor, blocks)
        seconds = time.perf_counter() - started
        gc.collect()
        added = process.memory_info().rss - before
    print(
        f"{options.tasks:,} tasks: {added / 2**20:+.0f} MB in client and scheduler, "
        f"{options.tasks / seconds:,.0f} tasks/s"
    )


def compute(executor: OnDask, blocks: list[Window]) -> None:
    """Consumes the results one by one, as the stages do."""
    for count in executor.map(CountBlock(), blocks):
        if count.core_px != BLOCK_PX**2:
            raise SystemExit("a task gave a wrong result")


if __name__ == "__main__":
    main()
