"""How fast runs are on this machine: what the last one took by pixel, kept in the user's cache folder.

Only estimates are made of it. Nothing that a run computes depends on it, and a folder that cannot be written or
read is no reason to fail.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from geopanoptic.models.graph_cache import cache_folder

LEAST_PX = 1_000_000
"""Runs of fewer network pixels say little of larger ones."""

_KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a run took."""

    start_s: float
    """Until the first tile: planning, loading, normalisation."""
    network_s_per_px: float
    """By pixel given to the network, with halos and on every date; reading that it waited for included."""
    after_s_per_px: float
    """By output pixel."""

    def seconds(self, network_px: int, output_px: int) -> float:
        """What a run of so many pixels would take."""
        return self.start_s + self.network_s_per_px * network_px + self.after_s_per_px * output_px


def remember(key: str, rate: Rate) -> None:
    """Keep the rate of the latest run with this ``key``: what decides how fast a run is."""
    file = _file()
    kept = _all(file)
    kept.pop(key, None)
    latest = dict([*kept.items(), (key, asdict(rate))][-_KEPT:])
    partial = file.with_name(f"{uuid4().hex}.partial")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(latest, indent=1))
        partial.replace(file)


def remembered(key: str) -> Rate | None:
    """The rate of the latest run with this ``key`` on this machine, if there was one."""
    stored = _all(_file()).get(key)
    if stored is None:
        return None
    with suppress(TypeError, ValueError):
        return Rate(**{name: float(value) for name, value in stored.items()})
    return None


def _file() -> Path:
    return cache_folder().with_name("rates.json")


def _all(file: Path) -> dict[str, dict[str, float]]:
    try:
        stored = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {key: value for key, value in stored.items() if isinstance(value, dict)}
