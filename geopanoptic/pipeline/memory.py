"""What a run keeps in memory: the budget it gets, and what a layout of tiles and blocks takes of it."""

from __future__ import annotations

import re
from pathlib import Path

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.pipeline.layout import Layout

# Measured peaks with the bundled network in float32 (geopanoptic bench --size 10980 --areas 1 --run-options
# "--tile 848"), the same for OpenVINO and torch within a sixth: bytes per input pixel of a tile with halo and of
# its core, the next block's tiles being read meanwhile, and per output pixel of a block for every worker of the
# stages after the network.
HALO_BYTES_PER_PX = 520
CORE_BYTES_PER_PX = 1500
BLOCK_BYTES_PER_PX = 110
PROCESS_BYTES = 1200 << 20

_ENCODER_WIDTHS = {"mobilenet_v2": (16, 24, 32, 96, 320)}

DEFAULT_BUDGET_BYTES = 6 << 30


def needed_bytes(layout: Layout, bundle: Bundle, workers: int) -> int:
    """Peak of one process with so many threads, however many dates the scene has."""
    tile = (
        layout.tile_px + 2 * layout.halo_px
    ) ** 2 * HALO_BYTES_PER_PX + layout.tile_px**2 * CORE_BYTES_PER_PX
    network = tile * min(layout.batch, workers) + sums_bytes(layout, bundle)
    grouping = (layout.block_px * bundle.output_scale) ** 2 * BLOCK_BYTES_PER_PX * workers
    return PROCESS_BYTES + max(network, grouping)


def sums_bytes(layout: Layout, bundle: Bundle) -> int:
    """What a network for series holds of a batch of tiles between two dates; 0 for one that takes one image.

    The sums themselves, one date's share of them, and the next date, which is being read.
    """
    settings = bundle.manifest.network
    if settings.temporal is None:
        return 0
    widths = (settings.detail_channels, *_ENCODER_WIDTHS[settings.encoder][: settings.encoder_depth])
    floats_per_px = sum(
        (2 * width + settings.temporal.heads) / 4**level for level, width in enumerate(widths)
    )
    n_inputs = 2 * len(bundle.bands)
    tile_px = (layout.tile_px + 2 * layout.halo_px) ** 2
    return int(layout.batch * tile_px * 4 * (2 * floats_per_px + n_inputs))


def parse_size(text: str | int) -> int:
    """``4GB``, ``512 MiB`` or a number of bytes as bytes; decimal and binary prefixes both mean 1024."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)i?b?\s*", str(text), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{text!r} is not a size.", remedy="Write a size such as 4GB or 800MB.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def default_budget_bytes() -> int:
    """6 GB, or half of what the machine or this process's control group can still give if that is less."""
    import psutil

    available = psutil.virtual_memory().available
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            available = min(available, int(Path(name).read_text()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(available // 2, DEFAULT_BUDGET_BYTES)


def size_text(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
