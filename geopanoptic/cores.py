"""How many cores this process may use."""

from __future__ import annotations

import math
import os

from geopanoptic.control_groups import cores_given


def usable_cores() -> int:
    """Cores that this process may use: those it may run on, or the share that its control groups give it (``docker
    --cpus``, a service's quota) if that is less, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(math.ceil(min(allowed, cores_given())), 1)
