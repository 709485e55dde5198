"""Seconds and memory of a run by what they were spent on, out of its ``run.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STAGES = {
    "start": "opening, planning, loading the model",
    "read": "normalisation, and what the network waited for reading and storing",
    "network": "inside the network",
    "group": "from dense layers to regions",
    "trace": "borders, simplification, polygons",
    "write": "GeoPackage and rasters",
    "other": "stages that this table does not name",
}
"""Names of the table's stages in their order, and what belongs to each."""

AFTER_NETWORK = ("group", "trace", "write")

_STAGE_OF = {
    "plan": "start",
    "load model": "start",
    "normalise": "read",
    "group": "group",
    "trace": "trace",
    "simplify": "trace",
    "polygons": "trace",
    "write": "write",
}


def seconds_by_stage(report: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of every stage in ``STAGES``; they sum to ``seconds_total`` of the report.

    The dense stage reads and stores beside the network: of its time, what exceeds the seconds inside the
    network is the wait for reading and storing.
    """
    spent = dict.fromkeys(STAGES, 0.0)
    for name, seconds in report["seconds"].items():
        if name == "network":
            inside = min(report["network_seconds"], seconds)
            spent["network"] += inside
            spent["read"] += seconds - inside
        else:
            spent[_STAGE_OF.get(name, "other")] += seconds
    spent["other"] += max(report["seconds_total"] - sum(spent.values()), 0.0)
    return spent


def peaks_by_stage(report: Mapping[str, Any]) -> dict[str, int]:
    """Largest resident size of the run's process in every stage of ``STAGES``, 0 where it is not known.

    That of the network is not parted from reading beside it.
    """
    peaks = dict.fromkeys(STAGES, 0)
    for name, peak_bytes in report.get("stage_peak_memory_bytes", {}).items():
        stage = "network" if name == "network" else _STAGE_OF.get(name, "other")
        peaks[stage] = max(peaks[stage], peak_bytes)
    return peaks
