"""Runs and the bare network in turn, each in a fresh process, and the figures that follow from them."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geopanoptic.benchmark.bare import BareNetwork, Tiles, measure_bare
from geopanoptic.benchmark.processes import Finished, run_measured
from geopanoptic.benchmark.scenes import write_mosaic
from geopanoptic.benchmark.stages import AFTER_NETWORK, STAGES, peaks_by_stage, seconds_by_stage
from geopanoptic.pipeline.progress import Progress

FIRST_PX = 256
WHOLE_RUNS_ONLY = ("out", "model", "keep_work", "resume", "shard", "finish", "dry_run")
"""Parameters of ``geopanoptic run`` that are decided here, or with which a run is less than a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A scene to measure."""

    name: str
    source: tuple[str, ...]
    """Files or folder, as ``geopanoptic run`` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One run, and the bare network on the same tiles right after it."""

    report: Mapping[str, Any]
    """The run's ``run.json``."""
    process: Finished
    bare: BareNetwork

    @property
    def run_s(self) -> float:
        return float(self.report["seconds_total"])

    @property
    def seconds(self) -> dict[str, float]:
        return seconds_by_stage(self.report)

    @property
    def share_of_bare(self) -> float:
        """Rate of the run over that of the bare network; in both, pixels of halos count."""
        return self.report["network_px"] / self.run_s / self.bare.px_per_s

    @property
    def share_of_bare_without_halo(self) -> float:
        """The same, where only pixels of the scene count for the run: what halos cost is held against it."""
        return self.report["scene_px"] / self.run_s / self.bare.px_per_s

    @property
    def share_of_bare_processor(self) -> float:
        """``share_of_bare`` in processor time, start of the process included: steadier where cores are shared."""
        bare_s = self.bare.processor_s * self.report["network_px"] / self.bare.network_px
        return bare_s / self.process.processor_s

    @property
    def share_after_network(self) -> float:
        seconds = self.seconds
        return sum(seconds[name] for name in AFTER_NETWORK) / self.run_s

    @property
    def peak_bytes(self) -> int:
        """Of the process tree as sampled, or of the run's process as its kernel saw it, if that is more."""
        return max(self.process.peak_bytes, self.report.get("peak_memory_bytes") or 0)


@dataclass(slots=True, kw_only=True)
class Figures:
    """The rounds of one scene and their medians."""

    subject: Subject
    rounds: list[Round] = field(default_factory=list)

    @property
    def report(self) -> Mapping[str, Any]:
        """The last run's."""
        return self.rounds[-1].report

    @property
    def scene_px(self) -> int:
        return int(self.report["scene_px"])

    @property
    def pixel_m2(self) -> float:
        """Of the pixels of ``scene_px``."""
        return float(self.report["plan"]["pixel_m2"])

    @property
    def run_s(self) -> float:
        return statistics.median(each.run_s for each in self.rounds)

    @property
    def px_per_s(self) -> float:
        return self.scene_px / self.run_s

    @property
    def km2_per_h(self) -> float:
        return self.px_per_s * self.pixel_m2 * 3600 / 1e6

    @property
    def bare_px_per_s(self) -> float:
        """Of the bare network, halos included."""
        return statistics.median(each.bare.px_per_s for each in self.rounds)

    @property
    def seconds(self) -> dict[str, float]:
        """Median seconds of every stage."""
        return {name: statistics.median(each.seconds[name] for each in self.rounds) for name in STAGES}

    @property
    def planned_bytes(self) -> int:
        return int(self.report["plan"]["memory_bytes"])

    @property
    def peak_bytes(self) -> int:
        """Largest of all rounds."""
        return max(each.peak_bytes for each in self.rounds)

    @property
    def stage_peak_bytes(self) -> dict[str, int]:
        """Largest of all rounds for every stage in ``STAGES``, of the run's own process; 0 where unknown."""
        peaks = [peaks_by_stage(each.report) for each in self.rounds]
        return {name: max(each[name] for each in peaks) for name in STAGES}

    def median(self, name: str) -> float:
        """Median of one property of the rounds, such as ``share_of_bare``."""
        return statistics.median(getattr(each, name) for each in self.rounds)

    def to_dict(self) -> dict[str, Any]:
        """Medians, and every round with its whole report (JSON-ready)."""
        return {
            "scene": self.subject.name,
            "scene_px": self.scene_px,
            "pixel_m2": self.pixel_m2,
            "repeats": len(self.rounds),
            "run_s": self.run_s,
            "process_s": statistics.median(each.process.seconds for each in self.rounds),
            "processor_s": statistics.median(each.process.processor_s for each in self.rounds),
            "seconds": self.seconds,
            "px_per_s": self.px_per_s,
            "km2_per_h": self.km2_per_h,
            "bare_px_per_s": self.bare_px_per_s,
            "share_of_bare": self.median("share_of_bare"),
            "share_of_bare_without_halo": self.median("share_of_bare_without_halo"),
            "share_of_bare_processor": self.median("share_of_bare_processor"),
            "share_after_network": self.median("share_after_network"),
            "peak_memory_bytes": self.peak_bytes,
            "stage_peak_memory_bytes": self.stage_peak_bytes,
            "planned_memory_bytes": self.planned_bytes,
            "rounds": [
                {
                    "process_s": each.process.seconds,
                    "processor_s": each.process.processor_s,
                    "peak_memory_bytes": each.peak_bytes,
                    "bare_s": each.bare.seconds,
                    "bare_processor_s": each.bare.processor_s,
                    "bare_network_px": each.bare.network_px,
                    "report": each.report,
                }
                for each in self.rounds
            ],
        }


def measure(
    subjects: Sequence[Subject],
    *,
    folder: Path,
    repeats: int,
    model: str | None = None,
    options: Sequence[str] = (),
    progress: Progress,
) -> list[Figures]:
    """Measure every subject ``repeats`` times, in turn, so that a change of the machine's load meets all.

    One ``model`` for all, by default what the largest of them takes.
    ``options`` are options of ``geopanoptic run``, given to every run; ``WHOLE_RUNS_ONLY`` must not be among them. Outputs
    are written into ``folder`` and replaced. Raises what the runs are refused with, before anything is measured
    where their plans tell.
    """
    plans = []
    for subject in subjects:
        # Without --overwrite: of what the options name, nothing is replaced that was there before.
        planned = run_measured(_command(subject.source, folder, model, ("--dry-run", *options)))
        plans.append(json.loads(planned.output))
    model = model or model_of_largest(plans)
    compile_kernels(folder, model)
    measured = [Figures(subject=subject) for subject in subjects]
    for number in range(1, repeats + 1):
        for figures in measured:
            figures.rounds.append(_round(figures.subject, folder, model, options))
            latest = figures.rounds[-1]
            progress.note(
                f"{figures.subject.name}, {number} of {repeats}: run {latest.run_s:.1f} s, bare network "
                f"{latest.bare.seconds:.1f} s, peak {latest.peak_bytes / 2**30:.2f} GB"
            )
    return measured


def model_of_largest(plans: Sequence[Mapping[str, Any]]) -> str:
    """What the largest of the scenes with these plans takes: figures of different models say nothing of size."""
    return str(max(plans, key=lambda plan: math.prod(plan["output_shape"]))["model"])


def compile_kernels(folder: Path, model: str | None = None) -> None:
    """One small run that does not count: kernels not yet compiled on this machine are no part of a rate."""
    small = folder / "first.tif"
    write_mosaic(small, FIRST_PX)
    run_measured(_command((str(small),), folder, model, ("--overwrite",)))


def _round(subject: Subject, folder: Path, model: str | None, options: Sequence[str]) -> Round:
    process = run_measured(_command(subject.source, folder, model, ("--overwrite", *options)))
    report = json.loads(process.output)
    return Round(report=report, process=process, bare=measure_bare(Tiles.of_report(report, model)))


def _command(source: Sequence[str], folder: Path, model: str | None, options: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "geopanoptic", "run", *source]
    command += ["--out", str(folder / "parcels.gpkg"), "--json", *options]
    return command if model is None else [*command, "--model", model]
