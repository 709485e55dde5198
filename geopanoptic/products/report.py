"""``run.json``: what ran, on what, with which versions, how fast, and what to be careful about."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from geopanoptic.products.writing import writing

_PACKAGES = (
    "geopanoptic",
    "geopandas",
    "numba",
    "numpy",
    "pyogrio",
    "pyproj",
    "rasterio",
    "segmentation-models-pytorch",
    "shapely",
    "timm",
    "torch",
)
_USER_INFO = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET_VALUE = re.compile(
    r"(?i)([?&;|](?:[\w.%-]*(?:token|secret|password|passwd|signature|credential|apikey|api[_-]key"
    r"|accesskeyid|accessid|authorization|subscription-key)[\w.%-]*|sig|key|auth|pwd)=)[^&;#|\s\"']+"
)


def write_run_report(path: Path, report: Mapping[str, Any]) -> None:
    """Writes ``report`` as JSON with its keys in the given order, secrets redacted, non-numbers as null.

    Paths become text, dates ISO 8601 (times in UTC), numpy values plain numbers.
    """
    text = json.dumps(_plain(report), indent=2, ensure_ascii=False, allow_nan=False)
    with writing(path):
        path.write_text(text + "\n", encoding="utf-8")


def told_outputs(targets: Sequence[Path], *, beside: Path) -> dict[str, list[str]]:
    """What a report that lies at ``beside`` says of the files that were made with it: their paths from its folder."""
    folder = beside.resolve().parent
    return {"outputs": [Path(os.path.relpath(each.resolve(), folder)).as_posix() for each in targets]}


def outputs_of(run_json: Path) -> list[str]:
    """What a report says by :func:`told_outputs`; none where it does not or cannot be read."""
    try:
        told = json.loads(run_json.read_text(encoding="utf-8")).get("outputs")
    except (OSError, ValueError, AttributeError):
        return []
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []


def redact(text: str) -> str:
    """``text`` with the passwords, tokens and signatures of any URL in it replaced by ``REDACTED``."""
    return _SECRET_VALUE.sub(r"\1REDACTED", _USER_INFO.sub("REDACTED@", text))


def versions() -> dict[str, str]:
    """Versions of Python, the system and every package that can change a result, by name."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_bytes() -> int | None:
    """Largest resident size that this process has had, since ``restart_peak`` where the system lets it; children
    are not included. None on Windows."""
    try:
        # What getrusage says on Linux may be the peak of the process that started this one.
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def restart_peak() -> None:
    """Let ``peak_memory_bytes`` begin again with what is resident now; does nothing but on Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int():
            return value
        case str():
            return redact(value)
        case os.PathLike():
            return redact(os.fsdecode(value))
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case np.integer() | np.bool_():
            return value.item()
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
        case date():
            return value.isoformat()
        case np.ndarray():
            return _plain(value.tolist())
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case Sequence() | set() | frozenset():
            return [_plain(each) for each in (sorted(value) if isinstance(value, set | frozenset) else value)]
        case _:
            return redact(str(value))
