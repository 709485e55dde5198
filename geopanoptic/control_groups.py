"""What the control groups of Linux leave this process: containers, services, user slices and jobs of a cluster.

Groups lie in each other, and every one around counts. Both versions are read, and machines that have both.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_FILES = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def cores_given() -> float:
    """Cores' worth of time that this process is given; infinite where nothing limits it."""
    folders = [*_folders("", "unified"), *_folders("cpu", "cpu,cpuacct")]
    return min((_cores_of(folder) for folder in folders), default=math.inf)


def memory_given() -> float:
    """Bytes of memory that this process's groups may have; infinite where nothing limits them."""
    return min((limit for limit, _ in _memory()), default=math.inf)


def memory_left() -> float:
    """Bytes of memory that this process's groups can still take, all that they can drop at need counted as free."""
    return min((max(limit - used, 0.0) for limit, used in _memory()), default=math.inf)


def _cores_of(folder: Path) -> float:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if int(quota) > 0 and int(period) > 0:  # -1 is no limit in version 1
                return int(quota) / int(period)
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return math.inf


def _memory() -> list[tuple[float, float]]:
    """Limit and use of every group that has a limit."""
    found = []
    for controllers, limits, usage, dropped in (
        (("", "unified"), ("memory.max", "memory.high"), "memory.current", ("active_file", "inactive_file")),
        (
            ("memory",),
            ("memory.limit_in_bytes",),
            "memory.usage_in_bytes",
            ("total_active_file", "total_inactive_file"),
        ),
    ):
        for folder in _folders(*controllers):
            stated = []
            for name in limits:
                with suppress(OSError, ValueError):  # no such file, or "max"
                    stated.append(int((folder / name).read_text()))
            if not stated:
                continue
            cached = sum(_number(folder / "memory.stat", name) for name in dropped)
            found.append((float(min(stated)), max(_number(folder / usage) - cached, 0.0)))
    return found


def _number(file: Path, name: str = "") -> float:
    """The number in a file, of several that with this name; 0 where it is not told."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
        return next(float(line[-1]) for line in lines if line[:-1] == ([name] if name else []))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0


def _folders(*controllers: str) -> list[Path]:
    """This process's group of the one of these controllers that there is and all around it, the innermost first.

    "" and "unified" stand for version 2, whose groups have all controllers. A container may not see the folders of
    the groups around its own, which is then the outermost.
    """
    try:
        lines = [line.split(":", 2) for line in os.fsdecode(_MEMBERSHIP.read_bytes()).splitlines()]
    except OSError:
        return []
    paths = [
        (controller, Path(path.strip("/")))
        for controller in controllers
        for number, names, path in (line for line in lines if len(line) == 3)
        if (
            number == "0"
            if controller in ("", "unified")
            else set(controller.split(",")) & set(names.split(","))
        )
    ]
    folders = [_FILES / controller / around for controller, path in paths for around in (path, *path.parents)]
    # Path.is_dir raises where a folder may not be looked into.
    return [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]  # noqa: PTH112
