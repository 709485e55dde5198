"""Step 2: how is the work laid out, and what will it cost?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.panoptic.numbering import LARGEST_MAP_PX
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.memory import graph_bytes, needed_bytes, network_bytes, size_text, sums_bytes
from geopanoptic.pipeline.planning.aoi import AreaOfInterest
from geopanoptic.pipeline.planning.fitting import (
    budget_of,
    fit_layout,
    grouping_tasks,
    too_little_memory,
    too_many_processes,
)
from geopanoptic.pipeline.planning.layout import Layout
from geopanoptic.pipeline.planning.room import disk_bytes
from geopanoptic.pipeline.planning.suitability import (
    at_working_pixel,
    check_one_date,
    dates_text,
    is_rounded,
    length_text,
    matching_bands,
    notes_of,
    warnings_of,
)
from geopanoptic.pipeline.progress import duration_text
from geopanoptic.scene import Scene

DEFAULT_MIN_AREA_PX = 10
"""Default minimum area of a region, in input pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a run needs to know before it touches a pixel."""

    scene: Scene
    bundle: Bundle
    bands: tuple[str, ...]
    """The model's bands that the scene has, in the model's order."""
    missing_bands: tuple[str, ...]
    grid: Grid
    """The output grid, ``bundle.output_scale`` times finer than the scene's."""
    layout: Layout
    processes: int
    """Worker processes; 1 where the run's own process computes."""
    workers: int
    """Threads of each process."""
    grouping_tasks: int
    """Blocks that each process groups at a time."""
    min_area_px: int
    """Output pixels."""
    simplify_m: float
    memory_bytes: int
    disk_bytes: int
    budget_bytes: int
    sums_bytes: int
    """What is kept of a season while it is read, a part of ``memory_bytes``."""
    here_bytes: int
    """Of ``memory_bytes`` what the run's own machine needs; all of it unless others compute."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    """Of the map; a part of its metadata."""
    troubles: tuple[str, ...]
    """Warnings of the machine and the budget, on which the map's bytes do not depend."""
    precision: str = "auto"
    """Of the network's numbers; not ``auto`` once blocks are computed."""
    wanted: AreaOfInterest | None = None
    """Beyond it nothing is looked at; None: the whole scene."""
    asked_pixel_m: float | None = None
    """The pixel that was asked for in metres, of which the scene's is the nearest possible one."""
    estimated_s: float | None = None
    """What a run may take, by the last one on this machine with the same network; None where there was none, and of an area of
    interest."""

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """Of the map, in the order of the model's channels."""
        return self.bundle.classes

    @property
    def dates_agree(self) -> bool:
        """Whether every date has all of ``bands``."""
        return all(set(self.bands) <= set(bands) for bands in self.scene.bands_by_date.values())

    @property
    def n_tiles(self) -> int:
        scale = self.bundle.output_scale
        blocks = self.grid.blocks(self.layout.block_px * scale)
        return sum(len(self.layout.cores(block.covering(scale))) for block in blocks)

    @property
    def network_px(self) -> int:
        """Input pixels that the network is to be given, with halos and on every date, where all are valid."""
        scale, halo_px = self.bundle.output_scale, self.layout.halo_px
        blocks = self.grid.blocks(self.layout.block_px * scale)
        cores = (core for block in blocks for core in self.layout.cores(block.covering(scale)))
        return len(self.scene.dates) * sum(core.grown(halo_px).size_px for core in cores)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready values (sizes in pixels and bytes)."""
        return {
            "scene": self.scene.name,
            "dates": [str(when) for when in self.scene.dates if when],
            "bands": list(self.bands),
            "missing_bands": list(self.missing_bands),
            "model": self.bundle.name,
            "stored_pixel_m": max(self.scene.stored_grid.pixel_size_m()),
            "pixel_m": max(self.scene.grid.pixel_size_m()),
            "pixel_m2": math.prod(self.scene.grid.pixel_size_m()),
            "output_shape": list(self.grid.shape),
            "tile_px": self.layout.tile_px,
            "halo_px": self.layout.halo_px,
            "block_px": self.layout.block_px,
            "batch": self.layout.batch,
            "tiles": self.n_tiles,
            "processes": self.processes,
            "workers": self.workers,
            "min_area_output_px": self.min_area_px,
            "simplify_m": self.simplify_m,
            "memory_bytes": self.memory_bytes,
            "memory_budget_bytes": self.budget_bytes,
            "series_memory_bytes": self.sums_bytes,
            "disk_bytes": self.disk_bytes,
            "network_px": self.network_px,
            "estimated_seconds": self.estimated_s,
            "notes": list(self.notes),
            "warnings": [*self.warnings, *self.troubles],
        }

    def __repr__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """The plan as a few lines of text."""
        (height, width), stored = self.scene.stored_grid.shape, max(self.scene.stored_grid.pixel_size_m())
        pixel = max(self.scene.grid.pixel_size_m())
        read = f", read at {length_text(pixel)}" if self.scene.reduction is not None else ""
        if self.asked_pixel_m is not None and is_rounded(self.asked_pixel_m, pixel):
            read += f" (asked {length_text(self.asked_pixel_m)}, nearest possible {length_text(pixel)})"
        series = f", {size_text(self.sums_bytes)} of it for the season" if self.sums_bytes else ""
        rows = [
            ("scene", f"{self.scene.name}: {width:,} x {height:,} px of {length_text(stored)}{read}"),
            *([("dates", dates_text(self.scene))] if any(self.scene.dates) else []),
            ("bands", ", ".join(self.bands) + _without(self.missing_bands)),
            ("model", self.bundle.name),
            (
                "output",
                f"{self.grid.width:,} x {self.grid.height:,} px of "
                f"{length_text(pixel / self.bundle.output_scale)}",
            ),
            (
                "tiles",
                f"{self.n_tiles:,} of at most {self.layout.tile_px} px with a halo of {self.layout.halo_px} px, "
                f"{self.layout.batch} at a time, in blocks of {self.layout.block_px} px",
            ),
            (
                "memory",
                f"about {size_text(self.memory_bytes)}{series} (budget {size_text(self.budget_bytes)})",
            ),
            ("disk", f"about {size_text(self.disk_bytes)} while running"),
        ]
        if self.estimated_s is not None:
            rows.append(
                ("time", f"about {duration_text(self.estimated_s)}, going by the last run on this machine")
            )
        return "\n".join(f"{name:<8}{text}" for name, text in rows)


def make_plan(
    scene: Scene,
    bundle: Bundle,
    *,
    min_area_m2: float | None = None,
    simplify_m: float | None = None,
    tile_px: int | None = None,
    block_px: int | None = None,
    batch: int | None = None,
    memory: str | int | None = None,
    crew: Crew | None = None,
    pixel_size: float | str = "auto",
) -> Plan:
    """Check scene against model and lay the work out within the memory budget, for ``crew`` (default: all
    threads of this process). Processes of this machine share the budget; on others it is for each.

    Raises SceneError where the model cannot take the scene, UsageError for sizes that cannot be meant and
    ResourceError where not even the smallest tile fits the budget.
    """
    scene = at_working_pixel(scene, bundle, pixel_size)
    asked_pixel_m = None if pixel_size in ("auto", "native") else float(pixel_size)
    bundle = bundle.for_pixels(max(scene.grid.pixel_size_m()))
    bands = matching_bands(scene, bundle.bands, model=bundle.name)
    if not bundle.takes_series:
        check_one_date(scene, model=bundle.name)
    for name, value in (("--tile", tile_px), ("--block", block_px), ("--batch", batch)):
        if value is not None and value < 1:
            raise UsageError(
                f"{name} is {value}.", remedy=f"Give {name} a positive number of pixels or tiles."
            )

    scale = bundle.output_scale
    grid = scene.grid.scaled(scale)
    if grid.height * grid.width > 2**62:
        raise SceneError(f"{scene.name} claims {scene.grid.width} x {scene.grid.height} pixels.")
    min_area_px, simplify_m = drawing_sizes(grid, min_area_m2, simplify_m, scale=scale)
    crew = crew or Crew.of_threads()
    budget = budget_of(memory, crew)

    def layout_for(crew: Crew, budget: int = budget) -> Layout:
        return fit_layout(scene, bundle, budget, crew, tile_px, block_px, batch)

    layout = layout_for(crew)
    tasks = grouping_tasks(budget // crew.sharing, layout, bundle, crew)
    tiles = network_bytes(layout, bundle, crew.threads) * crew.sharing
    needed = needed_bytes(layout, bundle, crew.threads, tasks) * crew.sharing

    output_px = grid.height * grid.width
    graph = graph_bytes(output_px)
    return Plan(
        scene=scene,
        bundle=bundle,
        bands=bands,
        missing_bands=tuple(band for band in bundle.bands if band not in bands),
        grid=grid,
        layout=layout,
        processes=crew.processes,
        workers=crew.threads,
        grouping_tasks=tasks,
        min_area_px=min_area_px,
        simplify_m=simplify_m,
        memory_bytes=max(needed, graph),
        disk_bytes=disk_bytes(output_px),
        budget_bytes=budget,
        sums_bytes=sums_bytes(layout, bundle) * crew.sharing,
        here_bytes=max(needed, graph) if crew.is_local else graph,
        notes=notes_of(scene, bundle, asked_pixel_m),
        warnings=warnings_of(scene, bundle),
        troubles=(
            *(
                (
                    f"A map of {output_px / 1e6:,.0f} Mpx may have more borders than one map can number, which shows after "
                    "the network only: map the scene in parts, with --aoi.",
                )
                if output_px > LARGEST_MAP_PX
                else ()
            ),
            *_over_budget("Joining the regions of a scene this large", graph, budget),
            *_over_budget(
                f"The network on tiles of {layout.tile_px} px, {layout.batch} at a time,", tiles, budget
            ),
            *(
                _over_budget(f"Grouping blocks of {layout.block_px} px", needed, budget)
                if needed > tiles
                else ()
            ),
            *too_many_processes(layout, scene, bundle, budget, crew, layout_for),
            *too_little_memory(layout, scene, bundle, budget, crew, partial(layout_for, crew)),
        ),
        asked_pixel_m=asked_pixel_m,
    )


def drawing_sizes(
    grid: Grid, min_area_m2: float | None, simplify_m: float | None, *, scale: int = 1
) -> tuple[int, float]:
    """Smallest region in pixels of a map's grid, and how far its borders may move in metres.

    ``scale`` is the number of its pixels per pixel of the scene along an axis. Raises UsageError for sizes that cannot
    be meant.
    """
    for name, amount in (("--min-area", min_area_m2), ("--simplify", simplify_m)):
        if amount is not None and not 0 <= amount < math.inf:
            raise UsageError(f"{name} is {amount}.", remedy=f"Give {name} zero or more.")
    pixel_row_m, pixel_col_m = grid.pixel_size_m()
    min_area_px = DEFAULT_MIN_AREA_PX * scale**2
    if min_area_m2 is not None:
        # No region is larger than the scene, and a number that is may be too large for an integer.
        min_area_px = round(min(min_area_m2 / (pixel_row_m * pixel_col_m), grid.height * grid.width + 1))
    return min_area_px, max(pixel_row_m, pixel_col_m) if simplify_m is None else simplify_m


def _over_budget(what: str, needed: int, budget: int) -> tuple[str, ...]:
    if needed <= budget:
        return ()
    return (f"{what} takes about {size_text(needed)}, more than the budget of {size_text(budget)}.",)


def _without(missing: tuple[str, ...]) -> str:
    return f" (without {', '.join(missing)})" if missing else ""
