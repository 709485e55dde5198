"""What a run keeps in memory: the budget it gets, and what a layout of tiles and blocks takes of it."""

from __future__ import annotations

import ctypes
import math
import os
import re
import sys
from collections.abc import Callable

from geopanoptic.control_groups import memory_given, memory_left
from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import KIND_PARTS, KINDS_COARSER
from geopanoptic.pipeline.planning.layout import Layout

# Bytes per input pixel of a tile with halo and of its core, of which OpenVINO takes about 340 and 700 with the bundled
# network in float32; the rest is the tile's ten bands with flags, and the next tiles, read and stored meanwhile. Per
# output pixel of a block for every worker of the stages after the network. Checked with geopanoptic bench, whose
# table has the plan below the peaks.
HALO_BYTES_PER_PX = 500
CORE_BYTES_PER_PX = 900
BLOCK_BYTES_PER_PX = 110
PROCESS_BYTES = 900 << 20
"""Code and its libraries, torch among them where a network is made ready for the first time, and caches."""
WORTHWHILE_TILE_BYTES = 600 << 20
"""A tile of 512 px with the halo of the bundled network: with smaller ones, fewer processes are faster."""

GRAPH_BYTES_PER_PX = 4
"""By output pixel of the whole scene: its regions and their contacts. 3.4 were measured between 4096 and 16,384 pixels a
side with one region to 94 pixels (tests/benchmarks/postprocessing.py), which is more than most scenes have."""

_ENCODER_WIDTHS = {"mobilenet_v2": (16, 24, 32, 96, 320)}

DEFAULT_BUDGET_BYTES = 6 << 30
CORE_BUDGET_BYTES = 2 << 30
"""What every core that computes gets by default where that is more: a tile of its own, and a share of a block."""

_RETURNED_FROM_BYTES = 4 << 20
# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def needed_bytes(layout: Layout, bundle: Bundle, workers: int, grouping_tasks: int | None = None) -> int:
    """Peak of one process with so many threads, however many dates the scene has; ``grouping_tasks`` of them group
    blocks at a time, by default all."""
    grouping = grouping_task_bytes(layout, bundle) * (grouping_tasks or workers)
    return max(network_bytes(layout, bundle, workers), PROCESS_BYTES + grouping)


def network_bytes(layout: Layout, bundle: Bundle, workers: int) -> int:
    """Peak of one process with so many threads until its blocks are stored."""
    # A second look that is larger is at a larger tile, and within no more pixels of halo.
    tile_px = int(layout.tile_px * max(bundle.second_scale or 1, 1))
    tile = (tile_px + 2 * layout.halo_px) ** 2 * HALO_BYTES_PER_PX + tile_px**2 * CORE_BYTES_PER_PX
    return PROCESS_BYTES + tile * min(layout.batch, workers) + sums_bytes(layout, bundle)


def grouping_tasks_within(budget: int, layout: Layout, bundle: Bundle, workers: int) -> int:
    """How many blocks a process with so many threads may group at a time; one at least, whatever it takes."""
    return max(min((budget - PROCESS_BYTES) // grouping_task_bytes(layout, bundle), workers), 1)


def grouping_task_bytes(layout: Layout, bundle: Bundle) -> int:
    """Peak of grouping one block."""
    return (layout.block_px * bundle.output_scale) ** 2 * BLOCK_BYTES_PER_PX


def graph_bytes(output_px: int) -> int:
    """Peak of the process that joins the regions of a scene's blocks, whatever the layout."""
    return PROCESS_BYTES + output_px * GRAPH_BYTES_PER_PX


def sums_bytes(layout: Layout, bundle: Bundle) -> int:
    """What a network for series holds of a batch of tiles between two dates; 0 for one that takes one image.

    The sums themselves, one date's share of them, and the next date, which is being read.
    """
    settings = bundle.manifest.network
    if settings.temporal is None:
        return 0
    n_bands = len(bundle.bands)
    widths = (settings.detail_channels, *_ENCODER_WIDTHS[settings.encoder][: settings.encoder_depth])
    floats_per_px = sum(
        (2 * width + settings.temporal.heads) / 4**level for level, width in enumerate(widths)
    )
    if settings.temporal.kinds:
        floats_per_px += (KIND_PARTS * (n_bands + 1) + n_bands) / KINDS_COARSER**2
    tile_px = (layout.tile_px + 2 * layout.halo_px) ** 2
    return int(layout.batch * tile_px * 4 * 2 * (floats_per_px + n_bands))


def parse_size(text: str | int) -> int:
    """``4GB``, ``512 MiB`` or a number of bytes as bytes; decimal and binary prefixes both mean 1024."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)i?b?\s*", str(text), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a size.", remedy="Write a size such as 4GB or 800MB.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def default_budget_bytes(given_bytes: int | None = None, *, cores: int = 1) -> int:
    """6 GB, or 2 GB for each of the ``cores`` that compute if that is more; but at most half of what a process is
    given, by default what the machine, this process's control groups or its Slurm job can still give."""
    return min((given_bytes or available_bytes()) // 2, max(DEFAULT_BUDGET_BYTES, cores * CORE_BUDGET_BYTES))


def machine_bytes() -> int:
    """All memory of this machine, or of this process's control groups or Slurm job where that is less."""
    import psutil

    return int(min(psutil.virtual_memory().total, _slurm_job_bytes() or math.inf, memory_given()))


def available_bytes() -> int:
    """What of ``machine_bytes`` is free."""
    import psutil

    return int(min(psutil.virtual_memory().available, _slurm_job_bytes() or math.inf, memory_left()))


def _slurm_job_bytes() -> int:
    """Memory on this machine of the Slurm job that this process is part of; 0 where there is none or no limit."""
    megabytes, per_core, cores = (
        int(text) if (text := os.environ.get(name, "")).isdecimal() else 0
        for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE")
    )
    return (megabytes or per_core * cores) << 20


def return_large_arrays() -> None:
    """Let the C library (glibc) return arrays to the system as soon as they are freed, from now on.

    By itself it keeps up to 64 MB of them in every thread: measured over a run of 2048 x 2048 px 190 MB of the
    peak, and not a processor second less.
    """
    tune = _of_c_library("mallopt")
    if tune is not None:
        tune(_M_MMAP_THRESHOLD, _RETURNED_FROM_BYTES)
        tune(_M_TRIM_THRESHOLD, 4 * _RETURNED_FROM_BYTES)


def return_freed_memory() -> None:
    """Give the system back what this process has freed and its C library (glibc) keeps for later."""
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Callable[..., int] | None:
    """A function of glibc, where this is Linux with it."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), name, None)


def size_text(count: int) -> str:
    """Bytes for people."""
    if count < 2**20:
        return f"{count:,} bytes"
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
