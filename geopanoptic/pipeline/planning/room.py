"""Whether there is the memory and the disk that a plan asks for."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from geopanoptic.errors import ResourceError
from geopanoptic.panoptic.quantisation import BYTES_PER_PX
from geopanoptic.pipeline.memory import machine_bytes, parse_size, size_text

if TYPE_CHECKING:
    from geopanoptic.pipeline.planning.plan import Plan

# The store holds the quantised layers, the pieces and the labels at once; without the pieces, while the products are
# written. Rasters are written uncompressed first.
STORE_BYTES_PER_PX = BYTES_PER_PX + 8
WRITING_BYTES_PER_PX = BYTES_PER_PX + 4
PRODUCT_BYTES_PER_PX = 1
RASTER_BYTES_PER_PX = 8


def disk_bytes(output_px: int) -> int:
    """What a run needs of the disk that all it writes lies on, save rasters."""
    return output_px * STORE_BYTES_PER_PX + (64 << 20)


def check_memory(plan: Plan, memory: str | int | None) -> None:
    """Raise ResourceError where a run will need more memory than this machine has in all, or this process's control
    group or Slurm job, unless a budget was asked for, ``memory``, that covers it.

    What an area of interest holds of the scene, and so what it takes, is not known beforehand.
    """
    needed = plan.here_bytes
    if plan.wanted is not None or needed <= max(machine_bytes(), parse_size(memory) if memory else 0):
        return
    raise ResourceError(
        f"The run needs about {size_text(needed)} of memory, and there are {size_text(machine_bytes())} here.",
        remedy="Run it where there is more, or map a part with --aoi. If you know that less will do, as in a scene "
        f"that is mostly nodata: --memory {-(-needed // 2**30)}GB.",
    )


def check_disk(
    plan: Plan, work: Path, *, stored_bytes: int = 0, out: Path | None = None, rasters: Path | None = None
) -> None:
    """Raise ResourceError where a disk has less room than a run will need in the folder ``work``, which holds
    ``stored_bytes`` already, and those of the map and of its rasters. They may be missing yet."""
    output_px = plan.grid.height * plan.grid.width
    goes_to = [("--work", _existing(work), output_px * WRITING_BYTES_PER_PX - stored_bytes)]
    if out is not None:
        goes_to.append(("--out", _existing(out), output_px * PRODUCT_BYTES_PER_PX))
    if rasters is not None:
        goes_to.append(("--rasters", _existing(rasters), output_px * RASTER_BYTES_PER_PX))
    for device, on_disk in groupby(sorted(goes_to, key=_device), key=_device):
        options, folders, sizes = zip(*on_disk, strict=True)
        needed = max(sum(sizes), plan.disk_bytes - stored_bytes if device == _device(goes_to[0]) else 0)
        status = os.statvfs(folders[0])
        free = status.f_bavail * status.f_frsize
        if free < needed:
            raise ResourceError(
                f"The run needs about {size_text(needed)} for {' and '.join(options)}, and {folders[0]} has "
                f"{size_text(free)} free.",
                remedy=f"Free some space, or name another folder with {' or '.join(options)}.",
            )


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _device(place: tuple[str, Path, int]) -> int:
    return place[1].stat().st_dev
