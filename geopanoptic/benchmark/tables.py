"""The figures as a table: one column for each scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table

from geopanoptic.benchmark.benchmark import Figures
from geopanoptic.benchmark.stages import AFTER_NETWORK, STAGES
from geopanoptic.cores import usable_cores
from geopanoptic.pipeline.execution.crew import PROCESSES, THREADS

_GB = 2**30


def heading(measured: Sequence[Figures]) -> str:
    """What was measured, in one line."""
    report, plan = measured[0].report, measured[0].report["plan"]
    repeats = len(measured[0].rounds)
    is_local = report["scheduler"] in (THREADS, PROCESSES)
    parts = [
        f"model {report['model']}",
        f"runtime {report['runtime']}" if "runtime" in report else "",
        f"device {report['device']}",
        f"{plan['workers'] * plan['processes']} threads"
        + (f" on {usable_cores()} cores" if is_local else ""),
        f"medians of {repeats} runs" if repeats > 1 else "one run",
    ]
    return ", ".join(part for part in parts if part)


def table_of(measured: Sequence[Figures]) -> Table:
    """All medians; seconds of a stage with its share of the run."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    table.add_column("")
    for figures in measured:
        table.add_column(figures.subject.name, justify="right")

    def add(name: str, text_of: Callable[[Figures], str], style: str = "") -> None:
        table.add_row(name, *(text_of(figures) for figures in measured), style=style)

    def section() -> None:
        table.add_row()

    for stage in STAGES:
        if stage != "other" or any(figures.seconds[stage] >= 0.05 for figures in measured):
            add(f"{stage}, s", lambda figures, stage=stage: _spent(figures, stage))  # type: ignore[misc]
    add("run, s", _range_of_run, "bold")
    section()
    add("Mpx/s", lambda figures: f"{figures.px_per_s / 1e6:.3f}")
    add("km2/h", lambda figures: f"{figures.km2_per_h:,.0f}")
    section()
    add("bare network, Mpx/s", lambda figures: f"{figures.bare_px_per_s / 1e6:.3f}")
    add("share of it", lambda figures: f"{figures.median('share_of_bare'):.2f}", "bold")
    add("  halos not counted", lambda figures: f"{figures.median('share_of_bare_without_halo'):.2f}")
    add("  in processor time", lambda figures: f"{figures.median('share_of_bare_processor'):.2f}")
    add("after the network", lambda figures: f"{figures.median('share_after_network'):.1%}", "bold")
    section()
    add("peak memory, GB", lambda figures: f"{figures.peak_bytes / _GB:.2f}", "bold")
    for stage in ("network", *AFTER_NETWORK):
        add(f"  {stage}", lambda figures, stage=stage: f"{figures.stage_peak_bytes[stage] / _GB:.2f}")  # type: ignore[misc]
    add("planned, GB", lambda figures: f"{figures.planned_bytes / _GB:.2f}")
    if len(measured) > 1:
        first = measured[0].peak_bytes
        add("times the first", lambda figures: f"{figures.peak_bytes / first:.2f}")
    section()
    add("parcels", lambda figures: f"{figures.report['parcels']:,}")
    return table


def _spent(figures: Figures, stage: str) -> str:
    seconds = figures.seconds[stage]
    return f"{seconds:.1f}  {seconds / figures.run_s:4.0%}"


def _range_of_run(figures: Figures) -> str:
    seconds = [each.run_s for each in figures.rounds]
    spread = f" ({min(seconds):.1f}-{max(seconds):.1f})" if len(seconds) > 1 else ""
    return f"{figures.run_s:.1f}{spread}"
