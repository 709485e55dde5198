"""Stages B to E: from quantised layers in the run store to labelled regions.

Only integers from here on; every stage runs over blocks in any order and meets its neighbours either in
the run store (a margin of pixels) or in a global step over small summaries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.panoptic.centres import find_centres
from geopanoptic.panoptic.forest import BlockForest, BlockSummary, forest_block
from geopanoptic.panoptic.pieces import BlockRegions, Evidence, describe_block
from geopanoptic.panoptic.quantisation import NODATA_CLASS
from geopanoptic.panoptic.regions import join_blocks
from geopanoptic.panoptic.repair import PanopticRegions, repair
from geopanoptic.panoptic.watershed import TerminalLabels, label_block, stitch
from geopanoptic.pipeline.executor import Value, map_blocks
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.rules import GroupingRules
from geopanoptic.pipeline.store import RunStore


def segment(store: RunStore, rules: GroupingRules, *, workers: int, progress: Progress) -> PanopticRegions:
    """Group the stored layers into regions and write the layer ``label`` (int32, 0 = nodata).

    Every label is one 4-connected region; labels 1..n_things are things, the rest pieces of stuff.
    """
    blocks = store.blocks()
    scene_px = store.shape[0] * store.shape[1]
    with progress.stage("group", total=3 * scene_px, unit="px") as stage:

        def over_blocks(function: Callable[[Window], Value]) -> list[Value]:
            values = []
            for block, value in zip(blocks, map_blocks(function, blocks, workers=workers), strict=True):
                values.append(value)
                stage.advance(block.size_px)
            return values

        def grow(block: Window) -> BlockSummary:
            forest = _grow_forest(store, block, rules)
            store.write("zones", block, forest.zones)
            return forest.summary

        terminals = stitch(over_blocks(grow))

        def describe(block: Window) -> BlockRegions:
            return _describe(store, block, terminals[block], rules)

        graph, region_of_piece = join_blocks(over_blocks(describe))
        store.drop("zones")
        final = repair(graph, rules.repair)
        of_region = np.concatenate([final.final_label, np.zeros(1, np.int32)])  # region -1 is nodata
        label_of_piece = {
            block: of_region[regions] for block, regions in zip(blocks, region_of_piece, strict=True)
        }

        def paint(block: Window) -> None:
            store.write("label", block, label_of_piece[block][store.read("piece", block)])

        over_blocks(paint)
        store.drop("piece")
    return final


def _grow_forest(store: RunStore, block: Window, rules: GroupingRules) -> BlockForest:
    margin = block.grown(rules.centre_radius_px)
    domain = store.read("field", margin) >= rules.field_u8
    seeds = find_centres(
        store.read("heat", margin),
        domain,
        core=block,
        window=margin,
        scene_width=store.shape[1],
        radius_px=rules.centre_radius_px,
        threshold_u16=rules.centre_u16,
    )
    return forest_block(store.read("relief", block), domain[block.slices(margin)], seeds, block, store.shape)


def _describe(
    store: RunStore, block: Window, terminals: TerminalLabels, rules: GroupingRules
) -> BlockRegions:
    labels: NDArray[np.int64] = label_block(store.read("zones", block), terminals, block, store.shape[1])
    stuff = store.read("stuff", block)
    valid = stuff != NODATA_CLASS
    piece, regions = describe_block(
        labels,
        valid,
        Evidence(
            field=store.read("field", block),
            boundary=store.read("boundary", block),
            relief=store.read("relief", block),
            heat=store.read("heat", block),
            thing=store.read("thing", block),
            stuff=np.where(valid, stuff, 0).astype(np.uint8),
        ),
        window=block,
        scene_width=store.shape[1],
        n_things=rules.n_thing_classes,
        n_stuff=rules.n_stuff_classes,
    )
    store.write("piece", block, piece)
    return regions
