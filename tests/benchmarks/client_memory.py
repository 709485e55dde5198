"""What a hundred thousand tiles add to the memory of the process that hands them out.

``python tests/benchmarks/client_memory.py [--tasks 100000]``: tiles without work go through the executor of a
run on a Dask cluster. Client, scheduler and worker are this one process, so the figure is an upper bound for
each of them; it includes the list of all tiles. The worker has many threads, hence many tasks are under way:
with few, the time between two of them would be spent waiting, and nothing but the time would differ.

Prints resident memory and its growth over that after the first thousand tasks, as they go by. Dask itself takes
about two milliseconds of a core per task: some five minutes on an idle machine.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import psutil
from distributed import Client, LocalCluster

from geopanoptic.grid import Window
from geopanoptic.pipeline.execution.on_dask import OnDask
from geopanoptic.pipeline.network.dense import DenseCount

BLOCK_PX = 1024
FIRST = 1000
MOST_BYTES = 100 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CountBlock:
    """Task: the result of the dense stage for a block, without the work."""

    def __call__(self, block: Window) -> DenseCount:
        return DenseCount(network_px=block.size_px, core_px=block.size_px, network_s=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=64)
    options = parser.parse_args()
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=options.threads, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        executor = OnDask(client=client)
        watch(executor, FIRST, first_bytes=None)
        first_bytes = resident_bytes()
        print(f"{'tasks':>9}  {'resident MB':>11}  {'added MB':>8}  {'tasks/s':>7}", flush=True)
        added_bytes = watch(executor, options.tasks, first_bytes=first_bytes)
    print(f"{options.tasks:,} tasks added {added_bytes / 2**20:.1f} MB at the most")
    if added_bytes > MOST_BYTES:
        raise SystemExit(f"that is more than {MOST_BYTES / 2**20:.0f} MB")


def watch(executor: OnDask, n_tasks: int, *, first_bytes: int | None) -> int:
    """Consumes results one by one, as the dense stage does; the most that was added to ``first_bytes``."""
    added_bytes, started = 0, time.perf_counter()
    blocks = [Window(row, 0, row + BLOCK_PX, BLOCK_PX) for row in range(n_tasks)]
    for number, count in enumerate(executor.map(CountBlock(), blocks), 1):
        if count.core_px != BLOCK_PX**2:
            raise SystemExit("a task gave a wrong result")
        if first_bytes is None or number % 100:
            continue
        now_bytes = resident_bytes()
        added_bytes = max(added_bytes, now_bytes - first_bytes)
        if number % max(n_tasks // 10, 100) == 0:
            rate = number / (time.perf_counter() - started)
            print(
                f"{number:9,}  {now_bytes / 2**20:11.1f}  {added_bytes / 2**20:8.1f}  {rate:7.0f}", flush=True
            )
    return added_bytes


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
