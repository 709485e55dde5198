"""Step 2: does the model fit the scene, how is the work laid out, and what will it cost?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid
from geopanoptic.models.bundle import Bundle, list_bundles, load_bundle
from geopanoptic.models.manifest import ClassSpec
from geopanoptic.pipeline.aoi import AreaOfInterest
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.fitting import budget_of, fit_layout, grouping_tasks, too_many_processes
from geopanoptic.pipeline.layout import Layout
from geopanoptic.pipeline.memory import graph_bytes, needed_bytes, network_bytes, size_text, sums_bytes
from geopanoptic.pipeline.progress import duration_text
from geopanoptic.pipeline.room import disk_bytes
from geopanoptic.scene import Scene

REQUIRED_BANDS = ("blue", "green", "red")
SERIES_BUNDLE = "fields-series"
"""What maps a scene of several dates where no model is asked for."""

DEFAULT_MIN_AREA_PX = 10
"""Default minimum area of a region, in input pixels."""

_LONGEST_SEASON_DAYS = 456
"""Fifteen months: those of PASTIS take fourteen."""


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
        if self.asked_pixel_m is not None and _rounded(self.asked_pixel_m, pixel):
            read += f" (asked {length_text(self.asked_pixel_m)}, nearest possible {length_text(pixel)})"
        series = f", {size_text(self.sums_bytes)} of it for the season" if self.sums_bytes else ""
        rows = [
            ("scene", f"{self.scene.name}: {width:,} x {height:,} px of {length_text(stored)}{read}"),
            *([("dates", _dates_text(self.scene))] if any(self.scene.dates) else []),
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


def bundle_for(scene: Scene, model: str | Path | None = None) -> Bundle:
    """The bundle of a name or folder; by default the one for series where the scene is one and it is bundled.

    Raises ModelError as ``load_bundle``.
    """
    if model is None and len(scene.dates) > 1 and SERIES_BUNDLE in list_bundles():
        return load_bundle(SERIES_BUNDLE)
    return load_bundle(model)


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

    def layout_for(crew: Crew) -> Layout:
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
        notes=(*_reading_notes(scene, asked_pixel_m), *_notes(scene, bundle)),
        warnings=(*_pixel_size_warnings(scene, bundle), *_season_warnings(scene, bundle)),
        troubles=(
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


def at_working_pixel(scene: Scene, bundle: Bundle, pixel_size: float | str = "auto") -> Scene:
    """The scene in the pixels that the network is to be shown: about ``pixel_size`` metres, those of the files
    (``native``), or (``auto``) as the bundle likes them, unless the scene has been reduced already.

    Raises UsageError for another word, and for a size that is no size or much finer than the files' pixels.
    """
    if pixel_size == "auto":
        return scene if scene.reduction is not None else scene.for_network(bundle.reading_pixel_m)
    if pixel_size == "native":
        return scene.reduced(1)
    stored_m = max(scene.stored_grid.pixel_size_m())
    try:
        wanted_m = float(pixel_size)
    except (TypeError, ValueError):
        wanted_m = math.nan
    if not 0 < wanted_m < math.inf:
        raise UsageError(
            f"--pixel-size is {pixel_size!r}.", remedy="Give auto, native or a number of metres, such as 5."
        )
    if wanted_m < stored_m / 1.5:
        raise UsageError(
            f"--pixel-size is {wanted_m:g} m and the pixels of {scene.name} are {length_text(stored_m)} already.",
            remedy="Leave it out, or give native: nothing is gained by finer pixels than the files have.",
        )
    return scene.at_pixel_size(wanted_m)


def matching_bands(scene: Scene, of_model: Sequence[str], *, model: str) -> tuple[str, ...]:
    """Those of a model's bands that the scene has. Raises SceneError where a date lacks one that the model needs."""
    bands = tuple(band for band in of_model if band in scene.bands)
    required = [band for band in REQUIRED_BANDS if band in of_model]
    for when, present in scene.bands_by_date.items():
        lacking = [band for band in required or of_model if band not in present]
        if not lacking or (not required and len(lacking) < len(of_model)):
            continue
        whose = scene.name if len(scene.dates) == 1 else f"{scene.name} of {when}"
        raise SceneError(
            f"{whose} has no {', '.join(lacking)} band. Model {model} takes "
            f"{', '.join(of_model)} and needs at least {', '.join(required) or 'one of them'}; "
            f"{'the scene' if len(scene.dates) == 1 else 'that date'} has {', '.join(present)}.",
            remedy="Name the file's bands in their order with --bands (a '-' skips one), or add the missing files.",
        )
    return bands


def check_one_date(scene: Scene, *, model: str) -> None:
    """Raises SceneError for a scene of several dates, of which a model of single images takes one."""
    dates = [str(when) for when in scene.dates if when is not None]
    if len(dates) > 1:
        raise SceneError(
            f"{scene.name} has {len(dates)} dates ({', '.join(dates)}) and model {model} takes one.",
            remedy=f"Choose one with --dates {dates[len(dates) // 2]}, or a model that takes them all, such as "
            f"--model {SERIES_BUNDLE}.",
        )


def _notes(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    if len(scene.dates) == 1:
        return ()
    return (f"All {_dates_text(scene)} are used: model {bundle.name} takes a season.",)


def _reading_notes(scene: Scene, asked_pixel_m: float | None) -> tuple[str, ...]:
    """Which pixels the network is shown, where those are not the files' or not those asked for."""
    stored_m, read_m = (max(grid.pixel_size_m()) for grid in (scene.stored_grid, scene.grid))
    stored, read = length_text(stored_m), length_text(read_m)
    notes = []
    if asked_pixel_m is not None and _rounded(asked_pixel_m, read_m):
        notes.append(
            f"Pixels of {length_text(asked_pixel_m)} were asked for; the nearest possible are {read}, as whole pixels "
            f"of {stored} make one."
        )
    if scene.reduction is not None:
        factor = scene.reduction.factor
        how = f"Read at {read}: every pixel is the mean of {factor} x {factor} of the scene's {stored}."
        other = " `geopanoptic run --pixel-size` says otherwise (metres, or native)."
        notes.append(how + (other if asked_pixel_m is None else ""))
    return tuple(notes)


def _rounded(asked_m: float, given_m: float) -> bool:
    """Whether a length is another one to three digits, as both are told."""
    return length_text(asked_m) != length_text(given_m)


def length_text(length_m: float) -> str:
    """Metres for people, to three digits: ``2.5 m``, ``1000 m``."""
    return f"{float(f'{length_m:.3g}'):g} m"


def _over_budget(what: str, needed: int, budget: int) -> tuple[str, ...]:
    if needed <= budget:
        return ()
    return (f"{what} takes about {size_text(needed)}, more than the budget of {size_text(budget)}.",)


def _dates_text(scene: Scene) -> str:
    first, *others = (str(when) for when in scene.dates)
    return f"{len(scene.dates)} dates from {first} to {others[-1]}" if others else first


def _pixel_size_warnings(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    pixel_m = max(scene.grid.pixel_size_m())
    low, high = bundle.pixel_size_m
    if low <= pixel_m <= high:
        return ()
    return (
        f"The network is shown pixels of {length_text(pixel_m)}; model {bundle.name} was trained on {low:g} to {high:g} m. "
        "Look at the result before you trust it.",
    )


def _season_warnings(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    """A series is one season, and kinds of parcels that are told by it need dates."""
    if not bundle.takes_series:
        return ()
    first, last = scene.dates[0], scene.dates[-1]
    if first is not None and last is not None and (last - first).days > _LONGEST_SEASON_DAYS:
        return (
            f"The dates reach from {first} to {last}, and model {bundle.name}, which goes by the day of the year, takes "
            "them as one season: crops of several years are mixed. Choose one with --from and --to.",
        )
    if sum(each.kind == "thing" for each in bundle.classes) < 2:
        return ()
    if None in scene.dates:
        return (
            f"{scene.name} states no date, and model {bundle.name} tells kinds of parcels by the day of the year: they "
            "are guesses. Give --dates, or use a model of one kind.",
        )
    if len(scene.dates) == 1:
        return (f"{scene.name} has one date: kinds of parcels are often wrong then.",)
    return ()


def _without(missing: tuple[str, ...]) -> str:
    return f" (without {', '.join(missing)})" if missing else ""
