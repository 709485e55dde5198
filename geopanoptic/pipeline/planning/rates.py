"""How fast runs are on this machine: what the last one took by pixel, kept in the user's cache folder.

Only estimates are made of it. Nothing that a run computes depends on it, and a folder that cannot be written or
read is no reason to fail.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from geopanoptic.models.cache_folder import cache_folder, keep

LEAST_PX = 1_000_000
"""Runs of fewer network pixels say little of larger ones."""

_RATES = "rates.json"
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
    folder = cache_folder()
    if folder is None:
        return
    kept = _all(folder)
    kept.pop(key, None)
    latest = dict([*kept.items(), (key, asdict(rate))][-_KEPT:])
    keep(folder / _RATES, json.dumps(latest, indent=1).encode())


def remembered(key: str) -> Rate | None:
    """The rate of the latest run with this ``key`` on this machine, if there was one."""
    folder = cache_folder()
    stored = None if folder is None else _all(folder).get(key)
    if stored is None:
        return None
    with suppress(TypeError, ValueError):
        return Rate(**{name: float(value) for name, value in stored.items()})
    return None


def _all(folder: Path) -> dict[str, dict[str, float]]:
    try:
        stored = json.loads((folder / _RATES).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {key: value for key, value in stored.items() if isinstance(value, dict)}
