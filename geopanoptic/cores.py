"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may use: those it may run on, or the share of a container (``docker --cpus``) if that is
    less, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(allowed, quota_of(_CONTROL_GROUP)))


def quota_of(group: Path) -> float:
    """Cores' worth of time that a control group of Linux, version 2 or 1, is given; infinite where it has no limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text() for name in names).split()
            if int(quota) > 0:  # -1 is no limit in version 1
                return int(quota) / int(period)
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return math.inf
