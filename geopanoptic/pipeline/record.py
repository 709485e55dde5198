"""What a run remembers of itself: seconds per stage, warnings, and the texts of its report."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geopanoptic.panoptic.parcels.repair import PanopticRegions
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.aoi import name_of_area
from geopanoptic.pipeline.planning.plan import Plan
from geopanoptic.pipeline.planning.rates import LEAST_PX, Rate
from geopanoptic.pipeline.progress import Progress, Stage
from geopanoptic.products.report import outputs_of, peak_memory_bytes, restart_peak, versions
from geopanoptic.scene import Normalisation, Scene


@dataclass(slots=True)
class Record:
    """Passes progress on, and remembers seconds, pixels and warnings for the report."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """Largest resident size of this process by stage; one begins where the one before it ends."""
    warnings: list[str] = field(default_factory=list)
    of_pixels: list[str] = field(default_factory=list)
    """Those of the ``warnings`` that come of the scene's pixels: the same in every run of the same map."""
    network_px: int = 0
    """Input pixels given to the network, halos included."""
    network_s: float = 0.0
    """Seconds inside the network, the mean over the processes that ran it side by side."""
    worker_peak_bytes: int | None = None
    """Of the worker process that needed most; None where this process computes."""
    runtime: str = ""
    """What computed the network, such as ``openvino 2026.4.1, f32 on cpu``."""
    area: dict[str, Any] | None = None
    """What tells the area of interest from others, as ``identity_of_area`` found it when the run began."""
    valid_share: dict[str, float] = field(default_factory=dict)
    """Share of the scene's pixels that are valid, by date, from a fixed sample."""
    skipped: list[dict[str, Any]] = field(default_factory=list)
    """What is missing because it failed, with its ``reason``: blocks of a ``file`` that cannot be decoded, at
    ``window`` (row0, col0, row1, col1) in its pixels; blocks of the output, at ``output_window``; and a whole
    ``date`` that cannot be opened."""
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str, *, total: float = 1, unit: str = "") -> Iterator[Stage]:
        """Time a stage; one without a unit is too short to show."""
        started = time.perf_counter()
        if unit:
            with self.progress.stage(name, total=total, unit=unit) as stage:
                yield stage
        else:
            yield _Unseen()
        self.seconds[name] = time.perf_counter() - started
        peak = peak_memory_bytes()
        if peak is not None:
            self.peak_bytes[name] = max(peak, self.peak_bytes.get(name, 0))
        restart_peak()

    def note(self, text: str) -> None:
        self.progress.note(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.progress.warn(text)

    def warn_of_pixels(self, text: str) -> None:
        """A warning that belongs into the map, too."""
        self.of_pixels.append(text)
        self.warn(text)

    def announce(self, planned: Plan) -> None:
        """Pass on what is known before any pixel is read."""
        for note in (*planned.scene.notes, *planned.notes):
            self.note(note)
        for warning in (*planned.scene.warnings, *planned.warnings, *planned.troubles):
            self.warn(warning)
        for lost in planned.scene.left_out:
            if lost.damaged:
                self.skipped.append(lost.to_json())

    def rate(self, output_px: int) -> Rate | None:
        """How fast the run was, once it is over; None where the network was given too little to tell."""
        if self.network_px < LEAST_PX:
            return None
        before_s = sum(self.seconds.get(name, 0.0) for name in ("plan", "load model", "normalise"))
        network_s = self.seconds["network"]
        return Rate(
            start_s=before_s,
            network_s_per_px=network_s / self.network_px,
            after_s_per_px=(sum(self.seconds.values()) - before_s - network_s) / output_px,
        )

    @property
    def failed_blocks(self) -> int:
        """Blocks of the output that could not be computed."""
        return sum("output_window" in lost for lost in self.skipped)

    def skip(self, lost: dict[str, Any], text: str) -> None:
        """Remember that a part is left out, and warn of it."""
        self.skipped.append(lost)
        self.warn(f"Left out as nodata: {text}")

    def summary(self, scene_px: int) -> dict[str, Any]:
        """Seconds, rates and peak memory so far."""
        total_s = time.perf_counter() - self.started
        return {
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "seconds_total": round(total_s, 3),
            "scene_px": scene_px,
            "px_per_s": round(scene_px / total_s),
            "network_px": self.network_px,
            "network_seconds": round(self.network_s, 3),
            "network_px_per_s": round(self.network_px / self.network_s) if self.network_s else None,
            "share_of_network_rate": round(self.network_s / total_s, 3),
            "peak_memory_bytes": max([peak_memory_bytes() or 0, *self.peak_bytes.values()]) or None,
            "stage_peak_memory_bytes": self.peak_bytes,
            "worker_peak_memory_bytes": self.worker_peak_bytes,
            "warnings": self.warnings,
        }


def metadata(planned: Plan, asked: Parameters, record: Record) -> dict[str, Any]:
    """What can change the map, and nothing that cannot: the same map has the same bytes."""
    return {
        "software": f"geopanoptic {versions()['geopanoptic']}",
        "model": planned.bundle.name,
        "model_sha256": planned.bundle.sha256,
        "scene": planned.scene.name,
        "dates": [str(date) for date in planned.scene.dates if date is not None],
        "dates_left_out": [lost.to_json() for lost in planned.scene.left_out],
        "valid_share": record.valid_share,
        "masks": {str(mask.date): mask.name for mask in planned.scene.masks},
        "bands": list(planned.bands),
        "missing_bands": list(planned.missing_bands),
        "pixel_m": max(planned.scene.grid.pixel_size_m()),
        "min_area_output_px": planned.min_area_px,
        "simplify_m": planned.simplify_m,
        "fusion": asked.fusion,
        "area_of_interest": None if asked.aoi is None else name_of_area(asked.aoi),
        "assumed_crs": planned.scene.assumed_crs,
        "warnings": [*planned.scene.warnings, *planned.warnings, *record.of_pixels],
        "skipped_blocks": record.skipped,
    }


def report(
    planned: Plan,
    asked: Parameters,
    normalisation: Normalisation,
    final: PanopticRegions,
    record: Record,
    crew: Crew,
) -> dict[str, Any]:
    """Everything about a run, ready for JSON."""
    return {
        **metadata(planned, asked, record),
        "area_of_interest_content": record.area,
        "files": [str(file) for file in planned.scene.files],
        "notes": [*planned.scene.notes, *planned.notes],
        "plan": planned.to_dict(),
        "device": _device_used(asked, record),
        "runtime": record.runtime,
        "scheduler": crew.scheduler,
        "normalisation": {
            band: [low, high]
            for band, low, high in zip(planned.bands, normalisation.low, normalisation.high, strict=True)
        },
        "thresholds": planned.bundle.thresholds.model_dump(),
        "parcels": final.n_things,
        "landcover_areas": final.n_regions - final.n_things,
        "versions": versions(),
        **record.summary(planned.scene.grid.height * planned.scene.grid.width),
    }


def _device_used(asked: Parameters, record: Record) -> str:
    kind = record.runtime.rpartition(" on ")[2]
    return asked.device if asked.device.startswith(f"{kind}:") else kind


def last_date(scene: Scene) -> datetime.datetime | None:
    """The scene's last date at midnight UTC; None where it states none."""
    dates = [date for date in scene.dates if date is not None]
    return datetime.datetime.combine(max(dates), datetime.time(), tzinfo=datetime.UTC) if dates else None


def warn_of_remains(run_json: Path, targets: Sequence[Path], record: Record) -> None:
    """Warn of files of the map that is about to be replaced which are none of the new one's ``targets``: they stay."""
    new = {each.resolve() for each in targets}
    remains = [name for name in outputs_of(run_json) if _is_remaining(run_json.parent / name, new)]
    if remains:
        several = len(remains) > 1
        record.warn(
            f"{', '.join(remains)} {'are' if several else 'is'} of the map that this run replaces, and "
            f"{'stay' if several else 'stays'} as {'they are' if several else 'it is'}. Ask for all of its files again "
            f"(--parquet, --stac, --rasters), or remove {'them' if several else 'it'}."
        )


def _is_remaining(path: Path, new: set[Path]) -> bool:
    return path.is_file() and path.resolve() not in new


class _Unseen:
    def advance(self, amount: float) -> None:
        pass
