"""The layout that fits a memory budget and takes the least time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from geopanoptic.cores import usable_cores
from geopanoptic.errors import ResourceError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.panoptic.watershed.forest import LARGEST_BLOCK_PX
from geopanoptic.pipeline.detections.layout import finding_layout
from geopanoptic.pipeline.execution.crew import Crew
from geopanoptic.pipeline.memory import (
    available_bytes,
    default_budget_bytes,
    grouping_tasks_within,
    needed_bytes,
    network_bytes,
    parse_size,
    size_text,
)
from geopanoptic.pipeline.planning.layout import Layout, round_up
from geopanoptic.scene import Scene

# Of halos a network computes the encoder only. Processor seconds per megapixel of cores with fields-s (halo 192)
# and memory of two tiles side by side: 512 px 1.71 and 0.7 GB, 640 px 1.73 and 1.1, 768 px 1.65 and 1.5, 1024 px
# 1.58 and 2.5.
MOST_HALOS = 3
LEAST_TILE_PX = 512
"""Tiles of the larger of these sizes are large enough: larger ones take more memory and hardly less time."""

# Seconds of a look at a halo's pixel over those of a core's, by the figures above, and of grouping one over them.
HALO_COST = 0.1
GROUPING_COST = 0.25
WORTH_TELLING = 0.8
"""Share of the time that fewer processes would take, from which on they are not advised."""
MOST_OF_MEMORY = 0.8
"""What may be asked for of the memory that is free."""
MORE_MEMORY, MUCH_LESS = (1.5, 2, 3, 4), 0.5
"""Times a budget that are worth asking for where they take no more than this share of the time."""


def budget_of(memory: str | int | None, crew: Crew) -> int:
    """What was asked for, or the default of a crew; processes of this machine share it.

    Raises UsageError where it is no size.
    """
    if memory is not None:
        return parse_size(memory)
    return default_budget_bytes(crew.memory_bytes, cores=crew.threads * crew.sharing)


def fit_layout(
    scene: Scene,
    bundle: Bundle,
    budget: int,
    crew: Crew,
    tile_px: int | None,
    block_px: int | None,
    batch: int | None,
) -> Layout:
    """The layout that takes the least time of those within the budget: few and large tiles at a time pay for fewer
    halos, many and small ones keep more threads busy.

    Blocks of a size that is asked for, or that a run began with, may take more to group than the budget has. Raises
    ResourceError where not even the smallest tile fits, and as ``_groupable``.
    """
    of_process = budget // crew.sharing
    if bundle.finds_parcels:
        layouts = [finding_layout(bundle, scene.grid.window)]
    else:
        layouts = _groupable(
            _layouts(scene.grid.window, bundle, crew, tile_px, block_px, batch),
            scene.grid,
            bundle.output_scale,
        )

    def needed(layout: Layout) -> int:
        if block_px is not None:
            return network_bytes(layout, bundle, crew.threads)
        return needed_bytes(layout, bundle, crew.threads, grouping_tasks(0, layout, bundle, crew))

    fitting = [layout for layout in layouts if needed(layout) <= of_process]
    if not fitting and tile_px is not None:
        return min(layouts, key=needed)
    if not fitting:
        smallest, several = min(map(needed, layouts)), crew.sharing > 1
        raise ResourceError(
            f"A memory budget of {size_text(budget)} is too small: the smallest layout needs about "
            f"{size_text(smallest)}" + (f" for each of {crew.sharing} processes." if several else "."),
            remedy="Give more with --memory" + (", or have fewer --workers." if several else "."),
        )
    return min(fitting, key=lambda layout: _duration(layout, scene, bundle, of_process, crew))


def _duration(layout: Layout, scene: Scene, bundle: Bundle, budget: int, crew: Crew) -> float:
    """Of a process with this budget, in what one thread takes for the cores of the same ground."""
    looked_at = len(scene.dates) * ((layout.tile_px + 2 * layout.halo_px) / layout.tile_px) ** 2
    tasks = grouping_tasks(budget, layout, bundle, crew)
    return (1 + HALO_COST * looked_at) / min(layout.batch, crew.threads) + GROUPING_COST / tasks


def too_many_processes(
    layout: Layout,
    scene: Scene,
    bundle: Bundle,
    budget: int,
    crew: Crew,
    layout_for: Callable[[Crew], Layout],
) -> tuple[str, ...]:
    """A warning where processes that share a budget leave each other tiles smaller than their halos, as in ``layout``, and
    fewer would be done earlier."""
    if crew.sharing == 1 or layout.tile_px >= layout.halo_px:
        return ()

    def duration(processes: int) -> float:
        fewer = replace(crew, processes=processes)
        each_s = _duration(layout_for(fewer), scene, bundle, budget // processes, fewer)
        return each_s / min(processes, max(usable_cores() // crew.threads, 1))

    best = min(range(1, crew.processes + 1), key=duration)
    share = duration(best) / duration(crew.processes)
    if share > WORTH_TELLING:
        return ()
    return (
        f"{size_text(budget)} leave each of {crew.processes} processes tiles of {layout.tile_px} px within halos of "
        f"{layout.halo_px} px, most of whose work is lost. --workers {best} would take about {share:.0%} of the time; "
        "so may more --memory.",
    )


def too_little_memory(
    layout: Layout,
    scene: Scene,
    bundle: Bundle,
    budget: int,
    crew: Crew,
    layout_within: Callable[[int], Layout],
) -> tuple[str, ...]:
    """A warning where the budget of a single process leaves tiles smaller than their halos, as in ``layout``, and a
    little more would have it done much earlier."""
    if crew.sharing > 1 or layout.tile_px >= layout.halo_px:
        return ()
    now = _duration(layout, scene, bundle, budget, crew)
    for times in MORE_MEMORY:
        # As it is written, to a tenth of a gigabyte.
        told = size_text(parse_size(f"{math.ceil(budget * times / 2**30 * 10) / 10}GB")).replace(" ", "")
        more = parse_size(told)
        if more > MOST_OF_MEMORY * (crew.memory_bytes or available_bytes()):
            break
        larger = layout_within(more)
        share = _duration(larger, scene, bundle, more, crew) / now
        if larger.tile_px >= layout.halo_px and share <= MUCH_LESS:
            return (
                f"{size_text(budget)} leave tiles of {layout.tile_px} px within halos of {layout.halo_px} px, most of whose "
                f"work is lost. --memory {told} would take about {share:.0%} of the time.",
            )
    return ()


def grouping_tasks(budget: int, layout: Layout, bundle: Bundle, crew: Crew) -> int:
    """Blocks that each process groups at a time; all of its threads do where a network states parcels one by one."""
    if bundle.finds_parcels:
        return crew.threads
    return grouping_tasks_within(budget, layout, bundle, crew.threads)


def _layouts(
    scene: Window, bundle: Bundle, crew: Crew, tile_px: int | None, block_px: int | None, batch: int | None
) -> list[Layout]:
    """What may be worth it, the largest tiles and the most of them at a time first."""
    stride = bundle.stride_px
    halo = round_up(bundle.reach_px, stride)
    longest = max(scene.height, scene.width)
    # A scene of one tile would leave all but one thread idle; below a few halos, splitting costs more.
    share = -(-longest // _side_for(crew.threads * crew.processes))
    largest = max(round_up(share, stride), min(2 * halo, round_up(longest, stride)))
    largest = min(largest, max(MOST_HALOS * halo, LEAST_TILE_PX))

    def tile(size: int) -> int:
        # Equal tiles: a scene slightly larger than two tiles gets three smaller ones, not two and a sliver.
        return round_up(-(-longest // -(-longest // size)), stride)

    if tile_px is not None:
        tiles = [round_up(tile_px, stride)]
    else:
        tiles = [tile(size) for size in (*range(largest, 64, -64), 64, 32)]
    numbers = [batch] if batch else range(crew.threads, 0, -1)
    return [
        Layout(
            tile_px=size,
            halo_px=halo,
            stride_px=stride,
            block_px=block_px or _side_for(crew.threads if batch else number) * size,
            batch=number,
        )
        for size in tiles
        for number in numbers
    ]


def _groupable(layouts: list[Layout], grid: Grid, scale: int) -> list[Layout]:
    """Those whose blocks of a scene's grid are small enough to be grouped, in pixels ``scale`` times smaller.

    Raises UsageError where none is.
    """
    most_px = LARGEST_BLOCK_PX // scale**2
    found = [
        each
        for each in layouts
        if min(each.block_px, grid.height) * min(each.block_px, grid.width) <= most_px
    ]
    if not found:
        raise UsageError(
            f"Blocks of {min(each.block_px for each in layouts)} px are too large to be grouped.",
            remedy=f"Give --block of at most {math.isqrt(most_px)} pixels.",
        )
    return found


def _side_for(n_tiles: int) -> int:
    """Side of the smallest square of at least ``n_tiles`` tiles."""
    return math.isqrt(max(n_tiles - 1, 0)) + 1
